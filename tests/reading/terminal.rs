//! `foreground`: a program's output on this terminal, and typed input to the program.

use std::io::{Read, Write};
use std::process::{Child, Stdio};

use super::harness::{Daemon, Setting, ended, heeding_all_signals, send, wait_until};
use super::log::script;

/// A program that answers what it reads.
const ECHO: &str = "startsecs = 0\nstdin = \"pipe\"";
const ANSWER: &str = "printf \"name? \"; while read line; do echo \"hello $line\"; done; echo end of input";

fn post(daemon: &Daemon, name: &str, body: &str) -> (u16, serde_json::Value) {
    let answer = daemon.client.request("POST", &format!("/v1/programs/{name}/stdin"), body);
    (answer.status, answer.json())
}

fn foreground(daemon: &Daemon, name: &str) -> Child {
    let mut command = heeding_all_signals(&daemon.ctl_command(&["fg", name]));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be executed")
}

fn wait_for_text(source: &mut impl Read, wanted: &str) -> String {
    let mut text = Vec::new();
    wait_until(wanted, || {
        let mut piece = [0; 256];
        let count = source.read(&mut piece).expect("the stream continues");
        assert!(count > 0, "it ended with {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&piece[..count]);
        String::from_utf8_lossy(&text).contains(wanted)
    });
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn typed_input_reaches_the_program_and_ctrl_c_leaves_it_running() {
    let daemon = Setting::supervising(script("repl", ANSWER, ECHO)).start();
    let pid = daemon.wait_for_running("repl");
    let mut child = foreground(&daemon, "repl");
    let (mut typing, mut shown) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    wait_for_text(&mut shown, "name? ");
    typing.write_all(b"world\n").expect("it reads");
    wait_for_text(&mut shown, "hello world\n");
    // The end of typed input ends neither the program's input nor its output.
    drop(typing);
    assert_eq!(post(&daemon, "repl", "again\n"), (200, serde_json::json!({"written": 6})));
    wait_for_text(&mut shown, "hello again\n");
    send(child.id() as i32, 2);
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(child.wait().expect("it is a child of this process").signal(), Some(2));
    assert_eq!(daemon.pid_of("repl"), pid);
}

#[test]
fn a_program_without_a_pipe_is_shown_with_a_note_that_input_is_not_sent() {
    let daemon = Setting::supervising(script("web", "echo up; sleep 1000", "startsecs = 0")).start();
    daemon.wait_for_running("web");
    let mut child = foreground(&daemon, "web");
    wait_for_text(child.stdout.as_mut().expect("piped"), "up\n");
    wait_for_text(child.stderr.as_mut().expect("piped"), "is not sent: web has no `stdin = \"pipe\"`");
    child.kill().expect("the test owns it");
    child.wait().expect("it is a child of this process");
    let (status, problem) = post(&daemon, "web", "hello\n");
    assert_eq!((status, &problem["type"]), (409, &"urn:muster:no-stdin".into()));
    assert_eq!(post(&daemon, "wbe", "hello\n").0, 404);
}

#[test]
fn writing_to_a_program_that_does_not_read_times_out() {
    let programs = script("deaf", "sleep 1000", ECHO) + &script("shut", "exec <&-; sleep 1000", ECHO);
    let daemon = Setting::supervising(programs).start();
    daemon.wait_for_running("deaf");
    let body = "x".repeat(200_000);
    let (status, problem) = post(&daemon, "deaf", &body);
    assert_eq!((status, &problem["type"]), (503, &"urn:muster:not-reading".into()), "{problem}");
    let written = problem["written"].as_u64().expect("the problem has the count");
    assert!(written > 0 && written < 200_000, "{written}");
    assert_eq!(daemon.client.post("/v1/programs/deaf/stdin").status, 200, "an empty write always fits");
    let refused = post(&daemon, "shut", &body);
    assert_eq!((refused.0, &refused.1["type"]), (409, &"urn:muster:no-stdin".into()), "{refused:?}");
    assert_eq!(post(&daemon, "deaf", &"x".repeat((1 << 20) + 1)).0, 413);
}

#[test]
fn every_run_has_a_pipe_of_its_own() {
    let mut daemon = Setting::supervising(script("repl", ANSWER, ECHO)).start();
    daemon.wait_for_running("repl");
    assert_eq!(post(&daemon, "repl", "first\n").0, 200);
    wait_until("it answers", || daemon.ctl_well(&["logs", "repl"]).contains("hello first"));
    daemon.ctl_well(&["restart", "repl"]);
    assert_eq!(post(&daemon, "repl", "second\n").0, 200);
    wait_until("it answers", || daemon.ctl_well(&["logs", "repl"]).contains("hello second"));
    daemon.ctl_well(&["stop", "repl"]);
    let (status, problem) = post(&daemon, "repl", "third\n");
    assert_eq!((status, &problem["detail"]), (409, &"repl is not running".into()));
    daemon.finish();
}

#[test]
fn a_program_that_is_not_running_cannot_be_in_the_foreground() {
    let daemon = Setting::supervising(script("web", "true", "autostart = false")).start();
    let ended = ended(&mut daemon.ctl_command(&["fg", "web"]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("web is not running"), "{}", ended.err);
}
