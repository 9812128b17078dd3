//! At a terminal: which process reads from it, the effect of Ctrl-C and Ctrl-Z, and that no init takes it from a shell.

use std::process::{Child, Command};

use crate::harness::{self, Terminal, in_front_of, skip, wait_for, wait_until};
use crate::inits::{Init, end, installed};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";

/// A terminal, and the session leader attached to it.
struct Session {
    terminal: Terminal,
    child: Child,
    device: String,
}

impl Session {
    fn start(words: &Command) -> Session {
        let (terminal, device) = Terminal::open(None);
        let name = std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&device)));
        let mut command = in_front_of(&device, &[], words);
        command.envs(words.get_envs().filter_map(|(name, value)| Some((name, value?))));
        // A prompt that cannot be mistaken for other output, and no start-up files.
        command.env("PS1", "ready$ ").env("TERM", "dumb").env_remove("PROMPT_COMMAND");
        let child = command.spawn().expect("setsid is installed");
        Session { terminal, child, device: name.expect("/proc shows it").to_string_lossy().into_owned() }
    }

    fn text(&self) -> String {
        self.terminal.text()
    }

    fn type_in(&mut self, keys: &str) {
        self.terminal.type_in(keys);
    }

    fn shows(&self, what: &str) {
        self.terminal.shows(what);
    }

    fn wait(&mut self) -> String {
        wait_for("the session's leader ends", || self.child.try_wait().expect("it is a child of this process").map(end))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let session = self.child.id() as i32;
        let everyone = harness::everyone();
        let below = |one: &&harness::Process| one.session == session || one.ppid == session;
        everyone.values().filter(below).for_each(|one| harness::send(one.pid, 9));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every init, in every way that gives its command the terminal.
fn every_way() -> Vec<(String, Command)> {
    let ways: [(Init, &[&str]); 6] = [
        (Init::Own, &[]),
        (Init::Own, &["-g"]),
        (Init::Own, &["--session"]),
        (Init::Tini, &["-s"]),
        (Init::Dumb, &[]),
        (Init::Dumb, &["-c"]),
    ];
    ways.into_iter().map(|(init, options)| (format!("{init:?} {options:?}"), init.with(options))).collect()
}

#[test]
fn the_command_reads_from_the_terminal() {
    for (way, mut command) in every_way() {
        let mut session = Session::start(command.args(["--", "sh", "-c", "read line; echo got:$line; exit 3"]));
        session.type_in("hello\n");
        session.shows("got:hello");
        assert_eq!(session.wait(), "exit 3", "{way}");
    }
}

#[test]
fn ctrl_c_reaches_the_command() {
    for (way, mut command) in every_way() {
        let script = "trap 'echo caught; exit 3' INT; echo up; while :; do sleep 0.02; done";
        let mut session = Session::start(command.args(["--", "sh", "-c", script]));
        session.shows("up");
        session.type_in(CTRL_C);
        session.shows("caught");
        assert_eq!(session.wait(), "exit 3", "{way}");
    }
}

#[test]
fn a_resized_terminal_tells_the_command() {
    for (way, mut command) in every_way() {
        let script = "trap 'echo resized; exit 3' WINCH; echo up; while :; do sleep 0.02; done";
        let mut session = Session::start(command.args(["--", "sh", "-c", script]));
        session.shows("up");
        let resized = Command::new("stty").args(["-F", &session.device, "cols", "77"]).status();
        assert!(resized.expect("stty is installed").success());
        session.shows("resized");
        assert_eq!(session.wait(), "exit 3", "{way}");
    }
}

#[test]
fn a_shell_as_the_command_has_job_control() {
    if installed("bash").is_none() {
        return skip("bash is not installed");
    }
    for (way, mut command) in every_way() {
        let mut session = Session::start(command.args(["--", "bash", "--norc", "--noprofile", "-i"]));
        session.shows("ready$ ");
        session.type_in("echo \"fl\"\"ags: [$-]\"\n");
        session.shows("flags: [");
        wait_until("the flags are complete", || session.text().contains(']'));
        let text = session.text();
        let flags = text.split(']').next().expect("there is one");
        assert!(flags.contains('m'), "{way}: {flags}");
        session.type_in("sleep 1000\n");
        session.shows("sleep 1000");
        wait_until("it sleeps", || {
            harness::everyone().values().any(|one| {
                one.command == "sleep 1000" && harness::find(one.ppid).is_some_and(|parent| parent.comm == "bash")
            })
        });
        session.type_in(CTRL_Z);
        session.shows("Stopped");
        session.type_in("kill %1; exit 3\n");
        session.type_in("exit 3\n");
        assert_eq!(session.wait(), "exit 3", "{way}");
    }
}

/// An interactive shell with job control at the terminal, in which an init is one of the jobs.
fn shell() -> Option<Session> {
    let Some(bash) = installed("bash") else {
        skip("bash is not installed");
        return None;
    };
    let session = Session::start(Command::new(bash).args(["--norc", "--noprofile", "-i"]));
    session.shows("ready$ ");
    Some(session)
}

#[test]
fn ctrl_z_gives_the_shell_the_terminal_and_fg_gives_it_back() {
    for options in [&[][..], &["-g"]] {
        let Some(mut session) = shell() else { return };
        session.type_in(&format!("{}\n", crate::inits::line(Init::Own.with(options).args(["cat"]))));
        session.shows("cat\r\n");
        for round in ["one", "two"] {
            session.type_in(&format!("{round}\n"));
            session.shows(&format!("{round}\r\n{round}\r\n"));
            session.type_in(CTRL_Z);
            session.shows("Stopped");
            session.shows("ready$ ");
            session.type_in("fg\n");
            session.shows("cat\r\n");
        }
        session.type_in("three\n");
        session.shows("three\r\nthree\r\n");
        session.type_in(CTRL_D);
        session.shows("ready$ ");
        session.type_in("exit 3\n");
        assert_eq!(session.wait(), "exit 3");
    }
}

#[test]
fn an_init_in_the_background_leaves_the_terminal_to_the_shell() {
    let Some(mut session) = shell() else { return };
    session.type_in(&format!("{} &\n", crate::inits::line(Init::Own.with(&[]).args(["cat"]))));
    session.shows("ready$ ");
    // It reads from the background, so it is stopped, and its init with it: that is what the shell sees.
    let leader = session.child.id() as i32;
    wait_until("the job is stopped", || {
        harness::everyone().values().any(|one| one.session == leader && one.comm == "musterd" && one.state == 'T')
    });
    session.type_in("echo still-$((1+1))\n");
    session.shows("still-2");
    session.shows("ready$ ");
    session.type_in("fg\n");
    session.shows("fg\r\n");
    session.shows("cat\r\n");
    session.type_in("now\n");
    session.shows("now\r\nnow\r\n");
    session.type_in(CTRL_D);
    session.shows("ready$ ");
}

#[test]
fn ctrl_z_does_nothing_where_no_shell_waits() {
    // Not a shell that creates processes: one whose vfork(2) child is stopped before it executes its program waits for
    // it without being stopped itself, and only that child could report it.
    let script = "$| = 1; print \"up\\n\"; while (1) { select(undef, undef, undef, 0.02); print \"tick\\n\" }";
    let mut session = Session::start(Init::Own.with(&[]).args(["perl", "-e", script]));
    session.shows("up");
    for _ in 0..3 {
        session.type_in(CTRL_Z);
        session.shows("^Z");
        session.shows("tick");
        session.shows("tick");
    }
    session.type_in(CTRL_C);
    assert_eq!(session.wait(), "exit 130");
}

#[test]
fn the_inits_parent_has_the_terminal_back_afterwards() {
    let script = format!("{}; read line; echo got:$line", crate::inits::line(Init::Own.with(&[]).args(["true"])));
    let mut session = Session::start(Command::new("sh").args(["-c", &script]));
    session.type_in("hello\n");
    session.shows("got:hello");
    assert_eq!(session.wait(), "exit 0");
}

#[test]
fn the_first_hang_up_after_the_hand_off_is_no_message_for_the_command() {
    for (init, options) in [(Init::Dumb, &["-v"][..]), (Init::Own, &["--session", "-vv"])] {
        let mut session = Session::start(init.with(options).args(["sleep", "1000"]));
        let ignored = match init {
            Init::Dumb => {
                session.shows(
                    "[dumb-init] Detached from controlling tty, ignoring the first SIGHUP and SIGCONT we receive.",
                );
                ["Ignoring tty hand-off signal 1.", "Ignoring tty hand-off signal 18."]
            }
            _ => ["SIGHUP was about the terminal we left", "SIGCONT was about the terminal we left"],
        };
        wait_until("both are ignored", || ignored.iter().all(|words| session.text().contains(words)));
        assert!(session.child.try_wait().expect("it is a child of this process").is_none());
        harness::send(session.child.id() as i32, 1);
        assert_eq!(session.wait(), "exit 129", "{init:?}: the second one goes to the command");
    }
}
