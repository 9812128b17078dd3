//! `musterctl --via`: every command through another one, several daemons at once, and commands that misbehave.
//!
//! A script stands in for `docker exec -i shop`: it runs its arguments with an environment of its own, as in a container.

mod browser;
mod contexts;
#[path = "../harness/mod.rs"]
mod harness;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Daemon, Ended, Setting, Terminal, ended, everyone, in_front_of, wait_until};
use nix::pty::Winsize;

const PROGRAMS: &str = r#"
[program.web]
command = ["sh", "-c", "echo web is up; while :; do sleep 1; done"]
startsecs = 0
[program.idle]
command = "sleep 1000"
autostart = false
startsecs = 0
[program.flood]
command = ["sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"]
autostart = false
startsecs = 0
[program.flood.logs]
stdout = "memory"
[program.repl]
command = ["sh", "-c", "while read line; do echo got $line; done"]
stdin = "pipe"
startsecs = 0
"#;

/// A daemon and a stand-in for the way to it. The stand-in notes each of its starts.
struct Far {
    daemon: Daemon,
    command: PathBuf,
}

impl Far {
    fn of(programs: &str) -> Far {
        let daemon = Setting::supervising(programs).start();
        let command = daemon.path("into the container");
        let bin = Path::new(harness::musterctl()).parent().expect("it is in a directory");
        let script = format!(
            "#!/bin/sh\necho started >>'{}'\nPATH='{}':$PATH MUSTER_SOCKET='{}' exec \"$@\"\n",
            daemon.path("starts").display(),
            bin.display(),
            daemon.socket().display()
        );
        harness::write_executable(&command, script.as_bytes());
        Far { daemon, command }
    }

    fn started(programs: &str) -> Far {
        let far = Far::of(programs);
        far.daemon.wait_for_running("web");
        wait_until("web has written", || far.daemon.ctl(&["logs", "web"]).out.contains("web is up"));
        far
    }

    /// The value of `--via`.
    fn via(&self) -> String {
        format!("'{}'", self.command.display())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = elsewhere();
        command.args(["--via", &self.via()]).args(words);
        command
    }

    fn ctl(&self, words: &[&str]) -> Ended {
        ended(&mut self.command(words))
    }

    fn starts(&self) -> usize {
        fs::read_to_string(self.daemon.path("starts")).unwrap_or_default().lines().count()
    }

    /// Waits until no far end of this daemon is left.
    fn assert_no_process_is_left(&self) {
        wait_until("no far end is left", || {
            let is_far = |pid: &i32| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let has = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|window| window == part);
                has(&words, b"dial-stdio") && has(&environment, self.daemon.socket().to_string_lossy().as_bytes())
            };
            !everyone().keys().any(is_far)
        });
    }
}

/// A child process that ends with the test, also if that fails.
struct Running(Child);

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// `musterctl` on a machine without a daemon.
fn elsewhere() -> Command {
    let mut command = Command::new(harness::musterctl());
    command.stdin(Stdio::null()).env("MUSTER_SOCKET", "").env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

fn via(command: &str, words: &[&str]) -> Ended {
    ended(elsewhere().args(["--via", command]).args(words))
}

#[test]
fn every_command_is_the_same_as_on_the_socket() {
    let far = Far::started(PROGRAMS);
    for words in [
        &["status", "--json", "idle"][..],
        &["status", "idle"],
        &["status", "wbe"],
        &["avail"],
        &["pid", "web"],
        &["pid"],
        &["version"],
        &["health"],
        &["logs", "web"],
        &["logs", "web", "idle"],
        &["logs", "wbe"],
        &["maintail", "-n", "1"],
        &["wait", "web", "--for", "running"],
        &["wait", "idle", "--for", "running", "--timeout", "0.05"],
        &["stop", "idle"],
        &["start", "web"],
        &["reload", "idle"],
        &["signal", "USR2", "idle"],
        &["signal", "HOP", "web"],
        &["clear", "idle"],
        &["reread"],
        &["update"],
        &["ps", "idle"],
        &["why", "idle"],
        &["completions", "bash"],
        &["fg", "idle"],
    ] {
        let (direct, through) = (far.daemon.ctl(words), far.ctl(words));
        assert_eq!(through, direct, "musterctl {words:?}");
    }
    assert_eq!(far.ctl(&["start", "idle"]).out, "idle: started\n");
    assert_eq!(far.ctl(&["restart", "idle"]).code, Some(0));
    assert_eq!(far.ctl(&["shutdown"]).out, "musterd: shutting down\n");
    far.assert_no_process_is_left();
}

#[test]
fn one_command_line_starts_the_command_once() {
    let far = Far::started(PROGRAMS);
    for words in [&["status"][..], &["logs", "web", "repl", "idle"], &["restart", "repl"], &["top", "--help"]] {
        let before = far.starts();
        assert_eq!(far.ctl(words).code.filter(|code| *code != 3), if words[0] == "status" { None } else { Some(0) });
        let expected = if words == ["top", "--help"] { 0 } else { 1 };
        assert_eq!(far.starts() - before, expected, "{words:?}");
    }
}

#[test]
fn a_followed_log_whose_reader_leaves_leaves_no_process() {
    let far = Far::started(PROGRAMS);
    let mut child =
        far.command(&["logs", "-f", "web", "repl"]).stdout(Stdio::piped()).spawn().map(Running).expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it was asked for"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("it is text");
    assert_eq!(line, "web | web is up\n");
    drop(lines);
    // The next line finds the pipe closed.
    far.daemon.ctl_well(&["restart", "web"]);
    let status = harness::wait_for("musterctl ends", || child.try_wait().expect("it is a child"));
    assert_eq!(status.code(), Some(0));
    far.assert_no_process_is_left();
}

#[test]
fn a_client_that_is_killed_leaves_no_process() {
    let far = Far::started(PROGRAMS);
    let mut child = far.command(&["logs", "-f", "web"]).stdout(Stdio::piped()).spawn().map(Running).expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it was asked for")).read_line(&mut line).expect("it is text");
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    far.assert_no_process_is_left();
}

/// The output of one program fills the pipe before the other log is even opened.
#[test]
fn a_log_that_floods_does_not_delay_another() {
    let far = Far::started(PROGRAMS);
    far.daemon.ctl_well(&["start", "flood"]);
    wait_until("flood has written", || !far.daemon.ctl(&["logs", "flood", "-n", "1"]).out.is_empty());
    let mut command = far.command(&["logs", "-f", "flood", "repl", "-n", "1"]);
    let mut child = command.stdout(Stdio::piped()).spawn().map(Running).expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
    let mut typed = far
        .daemon
        .ctl_command(&["fg", "repl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map(Running)
        .expect("it starts");
    let mut keys = typed.stdin.take().expect("it was asked for");
    let deadline = Instant::now() + harness::PATIENCE;
    let mut is_shown = false;
    for line in lines.map_while(Result::ok) {
        // Until it is shown: the log may not be followed yet.
        let _ = keys.write_all(b"hello\n");
        is_shown = line == "repl | got hello";
        if is_shown || Instant::now() > deadline {
            break;
        }
    }
    let _ = (child.kill(), child.wait(), typed.kill(), typed.wait());
    assert!(is_shown, "the quiet log was not shown");
}

#[test]
fn what_is_typed_arrives_through_the_command() {
    let far = Far::started(PROGRAMS);
    let mut command = far.command(&["fg", "repl"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map(Running).expect("it starts");
    let mut keys = child.stdin.take().expect("it was asked for");
    keys.write_all(b"over there\n").expect("musterctl reads");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it was asked for")).read_line(&mut line).expect("it is text");
    assert_eq!(line, "got over there\n");
    let _ = (child.kill(), child.wait());
}

#[test]
fn top_works_on_a_terminal_and_restores_it() {
    let far = Far::started(PROGRAMS);
    let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut terminal, device) = Terminal::open(Some(&size));
    let mut command = in_front_of(&device, &["--wait"], &far.command(&["top"]));
    let mut child = command.env("MUSTER_SOCKET", "").env("TERM", "xterm").spawn().map(Running).expect("it starts");
    terminal.shows("web");
    terminal.shows("RUNNING");
    terminal.type_in("q");
    let status = harness::wait_for("top ends", || child.try_wait().expect("it is a child"));
    assert_eq!(status.code(), Some(0), "{}", terminal.text());
    far.assert_no_process_is_left();
}

#[test]
fn a_shell_passes_the_way_on_and_completes_names() {
    let far = Far::started(PROGRAMS);
    let (mut terminal, device) = Terminal::open(None);
    let mut command = in_front_of(&device, &["--wait"], &far.command(&[]));
    let mut child = command
        .env("MUSTER_SOCKET", "")
        .env("TERM", "xterm")
        .env("HOME", "/dev/null")
        .spawn()
        .map(Running)
        .expect("it starts");
    terminal.shows("musterctl> ");
    terminal.type_in("start id\t\r");
    terminal.shows("idle: started");
    terminal.type_in("exit\r");
    let status = harness::wait_for("the shell ends", || child.try_wait().expect("it is a child"));
    assert_eq!(status.code(), Some(0), "{}", terminal.text());
    far.assert_no_process_is_left();
}

#[test]
fn completion_asks_the_daemon_of_the_line() {
    let far = Far::started(PROGRAMS);
    let words = ["__complete", "--", "musterctl", "--via", &far.via(), "stop", "w"];
    assert_eq!(ended(elsewhere().args(words)).out, "web\tRUNNING\n");
}

#[test]
fn failures_are_exit_code_7_with_the_last_line() {
    for (command, message) in [
        ("sh -c 'echo first >&2; echo Error: No such container: shop >&2; exit 1'", "No such container: shop"),
        ("sh -c 'echo OCI runtime exec failed: not found; exit 127'", "OCI runtime exec failed: not found"),
        ("sh -c 'exit 3'", "it ended without an answer: exit status: 3"),
        ("sh -c 'kill -9 $$'", "signal: 9"),
        ("sh -c '\"$0\" \"$@\" </dev/null'", "it ended without an answer"),
        ("sh -c 'yes | head -c 10000000'", "y"),
        ("sh -c 'echo musterctl dial-stdio streams 1; cat /dev/urandom'", "no daemon answers via"),
        ("sh -c 'printf \"\\033[2Jgone\\n\" >&2; exit 1'", "\u{fffd}[2Jgone"),
        ("/no/such/command", "no such command"),
        ("env MUSTER_SOCKET=/nonexistent/s sh -c 'exec \"$0\" \"$@\"'", "there is no such socket"),
    ] {
        let bin = Path::new(harness::musterctl()).parent().expect("it is in a directory");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let ended = ended(elsewhere().env("PATH", path).args(["--via", command, "status"]));
        assert_eq!((ended.code, ended.out.as_str()), (Some(7), ""), "{command}: {ended:?}");
        let error = ended.err.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(error.contains(message), "{command}: {}", ended.err);
        assert!(!ended.err.contains('\u{1b}'), "{command}: {:?}", ended.err);
    }
}

#[test]
fn a_command_that_does_nothing_is_given_up_and_ended() {
    let began = Instant::now();
    let ended = via("sh -c 'echo connecting >&2; trap \"\" TERM; while :; do sleep 1; done' unique-hang", &["status"]);
    assert_eq!(ended.code, Some(124), "{ended:?}");
    assert!(ended.err.contains("connecting") && ended.err.contains("has not started"), "{}", ended.err);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let is_left = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.contains("unique-hang\0musterctl"))
    };
    assert!(!everyone().keys().any(is_left));
}

#[test]
fn only_one_way_can_be_named() {
    for words in [
        &["-s", "/x", "--via", "docker", "status"][..],
        &["--via", "docker", "-x", "shop", "status"],
        &["--via", "'open", "status"],
        &["--via", "", "status"],
        &["--via", "docker", "--token-file", "/x", "status"],
    ] {
        assert_eq!(ended(elsewhere().args(words)).code, Some(2), "{words:?}");
    }
    let both = ended(elsewhere().env("MUSTER_SOCKET", "/x").env("MUSTER_VIA", "docker").arg("status"));
    assert_eq!(both.code, Some(2));
    assert!(both.err.contains("$MUSTER_SOCKET and $MUSTER_VIA"), "{}", both.err);
    // An option comes before a variable.
    let ended = ended(elsewhere().env("MUSTER_VIA", "docker").args(["-s", "/nonexistent/s", "status"]));
    assert!(ended.err.contains("/nonexistent/s"), "{}", ended.err);
}

/// A pipe to the socket, for any client.
#[test]
fn dial_stdio_carries_one_connection() {
    let far = Far::started(PROGRAMS);
    let mut command = far.daemon.ctl_command(&["dial-stdio"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("it was asked for").write_all(b"GET /v1/info HTTP/1.0\r\n\r\n").expect("it reads");
    let output = child.wait_with_output().expect("it is a child");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("HTTP/1.0 200 ") && text.contains("\"version\""), "{text}");
    assert_eq!(output.status.code(), Some(0));
    // A reader that leaves ends it, although the log is silent and the input stays open.
    let mut child = far.daemon.ctl_command(&["dial-stdio"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map(Running).expect("it starts");
    let mut input = child.stdin.take().expect("it was asked for");
    input.write_all(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it reads");
    drop(child.stdout.take());
    harness::wait_for("dial-stdio ends", || child.try_wait().expect("it is a child"));
    let missing = ended(elsewhere().args(["-s", "/nonexistent/s", "dial-stdio"]));
    assert_eq!((missing.code, missing.out.as_str()), (Some(7), ""), "{missing:?}");
}

/// The command may run on this machine and inherit the variable.
#[test]
fn the_far_end_does_not_go_through_the_command_again() {
    let far = Far::started(PROGRAMS);
    let ended = ended(elsewhere().env("MUSTER_VIA", far.via()).args(["version"]));
    assert_eq!((ended.code, far.starts()), (Some(0), 1), "{ended:?}");
    let mut dial = elsewhere();
    dial.env("MUSTER_VIA", "/no/such/command").env("MUSTER_SOCKET", far.daemon.socket()).arg("dial-stdio");
    assert_eq!(harness::ended(&mut dial).code, Some(0));
}
