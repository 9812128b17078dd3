//! Continuous views of a daemon: `status --watch`, `events`, `top`.

mod harness;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use harness::{Daemon, Setting, Terminal, heeding_all_signals, in_front_of};
use nix::pty::Winsize;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{LocalFlags, tcgetattr};

const WEB: &str = "[program.web]\ncommand = \"sleep 1000\"\nautostart = false\nstartsecs = 0\n";

/// A `musterctl` that keeps running, and its output lines.
struct Viewer {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Viewer {
    fn of(daemon: &Daemon, words: &[&str]) -> Viewer {
        let mut command = heeding_all_signals(&daemon.ctl_command(words));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it can be executed");
        let lines = BufReader::new(child.stdout.take().expect("it was asked for"));
        Viewer { child, lines }
    }

    /// The next line that contains this text.
    fn shows(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).expect("it is text") > 0, "it ended without {what:?}");
            if line.contains(what) {
                return line;
            }
        }
    }

    fn ends(&mut self) -> Option<i32> {
        harness::wait_for("musterctl ends", || self.child.try_wait().expect("it is a child of this process")).code()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watched_status_shows_each_change_and_ends_with_the_daemon() {
    let mut daemon = Setting::supervising(WEB).start();
    let mut viewer = Viewer::of(&daemon, &["status", "--watch"]);
    let first = viewer.shows("web ");
    assert!(first.starts_with("web                              STOPPED   not started"), "{first}");
    daemon.ctl_well(&["start", "web"]);
    let line = viewer.shows("RUNNING");
    assert!(line.contains(&format!("pid {}", daemon.program("web")["pid"])), "{line}");
    daemon.ctl_well(&["stop", "web"]);
    viewer.shows("STOPPED");
    daemon.finish();
    assert_eq!(viewer.ends(), Some(0));
}

#[test]
fn events_are_shown_as_they_happen_and_as_json() {
    let mut daemon = Setting::supervising(WEB).start();
    let mut viewer = Viewer::of(&daemon, &["events"]);
    let mut json = Viewer::of(&daemon, &["events", "--json"]);
    viewer.shows("0 of 1 running");
    json.shows("\"kind\":\"snapshot\"");
    daemon.ctl_well(&["start", "web"]);
    viewer.shows("web: RUNNING (pid ");
    json.shows("\"to\":\"RUNNING\"");
    daemon.finish();
    viewer.shows("the daemon exits with code 0: stopped by SIGTERM");
    assert_eq!((viewer.ends(), json.ends()), (Some(0), Some(0)));
}

#[test]
fn a_killed_daemon_is_distinguished_from_one_that_exits() {
    let daemon = Setting::supervising(WEB).start();
    let mut viewer = Viewer::of(&daemon, &["events"]);
    viewer.shows("0 of 1 running");
    daemon.signal(9);
    assert_eq!(viewer.ends(), Some(7));
}

#[test]
fn an_interrupt_ends_also_a_viewer_that_was_started_with_interrupts_blocked() {
    let daemon = Setting::supervising(WEB).start();
    let interrupt = SigSet::from(Signal::SIGINT);
    interrupt.thread_block().expect("there is such a signal");
    let mut viewer = Viewer::of(&daemon, &["events"]);
    interrupt.thread_unblock().expect("there is such a signal");
    viewer.shows("0 of 1 running");
    harness::send(viewer.child.id() as i32, 2);
    let ended = harness::wait_for("musterctl ends", || viewer.child.try_wait().expect("it is a child of this process"));
    assert_eq!(ended.signal(), Some(2));
}

/// A terminal of this size, with `musterctl` attached, and its output.
struct Session {
    terminal: Terminal,
    device: File,
    child: Child,
}

impl Session {
    fn start(daemon: &Daemon, words: &[&str], size: Winsize) -> Session {
        Session::start_with(daemon, words, size, &[])
    }

    fn start_with(daemon: &Daemon, words: &[&str], size: Winsize, variables: &[(&str, &str)]) -> Session {
        let (terminal, device) = Terminal::open(Some(&size));
        let mut command = in_front_of(&device, &["--wait"], &daemon.ctl_command(words));
        let child = command.env("TERM", "xterm").envs(variables.iter().copied()).spawn();
        Session { terminal, device, child: child.expect("setsid is installed") }
    }

    fn type_in(&mut self, keys: &str) {
        self.terminal.type_in(keys);
    }

    fn shows(&self, what: &str) {
        self.terminal.shows(what);
    }

    fn is_raw(&self) -> bool {
        let now = tcgetattr(&self.device).expect("it is a terminal");
        !now.local_flags.contains(LocalFlags::ICANON) && !now.local_flags.contains(LocalFlags::ECHO)
    }

    fn ends(&mut self) -> ExitStatus {
        harness::wait_for("musterctl ends", || self.child.try_wait().expect("it is a child of this process"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for process in harness::below(self.child.id() as i32) {
            harness::send(process.pid, 9);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SMALL: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };

#[test]
fn top_shows_programs_and_keys_start_and_stop_them() {
    let programs = "[program.web]\ncommand = [\"sh\", \"-c\", \"echo good morning; exec sleep 1000\"]\nautostart = false\n\
                    startsecs = 0\n[program.other]\ncommand = \"sleep 1000\"\nautostart = false\n";
    let daemon = Setting::supervising(programs).start();
    let mut top = Session::start(&daemon, &["top"], SMALL);
    top.shows("0 of 2 RUNNING");
    assert!(top.is_raw());
    // The second of the two in order of names.
    top.type_in("\x1b[B");
    top.type_in("s");
    top.shows("start web: accepted");
    daemon.wait_for_state("web", "RUNNING");
    top.shows("1 of 2 RUNNING");
    top.type_in("l");
    top.shows("web: latest output");
    top.shows("good morning");
    top.type_in("\x1b");
    top.shows("1 of 2 RUNNING");
    top.type_in("w");
    top.shows("web is RUNNING");
    top.type_in("\x1b");
    let before = daemon.program("web")["pid"].clone();
    top.type_in("r");
    harness::wait_until("another run is there", || {
        let web = daemon.program("web");
        web["state"] == "RUNNING" && web["pid"] != before
    });
    top.type_in("x");
    daemon.wait_for_state("web", "STOPPED");
    top.shows("0 of 2 RUNNING");
    top.type_in("q");
    assert_eq!(top.ends().code(), Some(0));
    assert!(!top.is_raw(), "the terminal is restored");
    top.shows("\x1b[?25h\x1b[?1049l");
}

#[test]
fn top_leaves_the_terminal_as_it_was_however_it_ends() {
    for how in ["15", "1", "2", "the daemon ends", "the daemon is killed", "Ctrl-C"] {
        let daemon = Setting::supervising(WEB).start();
        let mut top = Session::start(&daemon, &["top"], SMALL);
        top.shows("0 of 1 RUNNING");
        assert!(top.is_raw());
        match how {
            "Ctrl-C" => top.type_in("\x03"),
            "the daemon ends" => daemon.terminate(),
            "the daemon is killed" => daemon.signal(9),
            signal => {
                let children = harness::below(top.child.id() as i32);
                let viewer = children.iter().find(|process| process.comm == "musterctl");
                let pid = viewer.map_or(top.child.id() as i32, |process| process.pid);
                harness::send(pid, signal.parse().expect("it is a signal's number"));
            }
        }
        top.ends();
        harness::wait_until(&format!("{how}: the terminal is as it was"), || !top.is_raw());
        top.shows("\x1b[?1049l");
    }
}

#[test]
fn top_fits_any_size_and_follows_it() {
    let programs = "[program.many]\ncommand = \"sleep 1000\"\nnumprocs = 60\nstartsecs = 0\n";
    let daemon = Setting::supervising(programs).start();
    harness::wait_until("all run", || daemon.ctl(&["status"]).code == Some(0));
    let top = Session::start(&daemon, &["top"], Winsize { ws_row: 10, ws_col: 40, ..SMALL });
    top.shows("many:0 ");
    top.shows("many:6 ");
    let device = top.device.try_clone().expect("a descriptor is available");
    let resized = Command::new("stty").args(["cols", "200", "rows", "50"]).stdin(device).status();
    assert!(resized.expect("stty is installed").success());
    top.shows("60 of 60 RUNNING");
    top.shows("many:40 ");
}

#[test]
fn a_shell_completes_commands_and_names_and_outlives_its_commands() {
    let daemon = Setting::supervising(WEB).start();
    let state = tempfile::tempdir().expect("a temporary directory can be created");
    let mut shell = Session::start_with(&daemon, &[], SMALL, &[("XDG_STATE_HOME", &state.path().to_string_lossy())]);
    // It starts with the status.
    shell.shows("NAME");
    shell.shows("musterctl> ");
    shell.type_in("status | grep web\r");
    shell.shows("no pipes");
    shell.shows("musterctl> ");
    shell.type_in("help start\r");
    shell.shows("Start programs");
    shell.shows("musterctl> ");
    shell.type_in("sta\t\t");
    shell.shows("status");
    shell.type_in("\x15star\tw\t\r");
    shell.shows("web: started");
    daemon.wait_for_state("web", "RUNNING");
    shell.shows("musterctl> ");
    shell.type_in("stop wbe\r");
    shell.shows("no such program");
    shell.shows("musterctl> ");
    shell.type_in("events\r");
    shell.shows("1 of 1 running");
    shell.type_in("\x03");
    shell.shows("musterctl> ");
    shell.type_in("stop web\r");
    shell.shows("web: stopped");
    shell.shows("musterctl> ");
    shell.type_in("exit\r");
    assert_eq!(shell.ends().code(), Some(0));
    let history = std::fs::read_to_string(state.path().join("musterctl/history")).expect("history is written");
    assert!(history.contains("start web") && history.contains("stop web"), "{history}");
    // The next one has the typed text in its history, and works without a file for it.
    let mut next =
        Session::start_with(&daemon, &["shell"], SMALL, &[("XDG_STATE_HOME", &state.path().to_string_lossy())]);
    next.shows("musterctl> ");
    next.type_in("\x1b[A");
    next.shows("stop web");
    next.type_in("\x15\x04");
    assert_eq!(next.ends().code(), Some(0));
    let mut homeless = Session::start_with(&daemon, &["shell"], SMALL, &[("XDG_STATE_HOME", "/proc/none")]);
    homeless.shows("musterctl> ");
    homeless.type_in("pid web\r");
    homeless.shows("musterctl> ");
    homeless.type_in("\x04");
    assert_eq!(homeless.ends().code(), Some(0));
}
