//! `stdin = "events"`: a program reads what happens, one JSON object a line, and one that does not read changes nothing.

mod harness;

use std::fs;

use harness::{Daemon, Listener, Setting, wait_until};
use serde_json::Value;

const OTHER: &str = "[program.other]\ncommand = \"sleep 1000\"\nautostart = false\nstartsecs = 0\nnumprocs = 50\n";

fn reader(script: &str, more: &str) -> String {
    format!(
        "{OTHER}[program.reader]\ncommand = [\"sh\", \"-c\", \"{script}\"]\nstdin = \"events\"\nstartsecs = 0\n{more}\n"
    )
}

fn got(daemon: &Daemon) -> Vec<Value> {
    let text = fs::read_to_string(daemon.path("got")).unwrap_or_default();
    // The last line may be incomplete.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

#[test]
fn each_event_of_these_kinds_is_a_line_as_the_api_tells_it() {
    let programs = reader("exec cat > {here}/got", "events = [\"state\", \"ended\"]");
    let mut daemon = Setting::supervising(programs).start();
    daemon.wait_for_running("reader");
    let mut events = Listener::of(&daemon, None);
    events.next();
    daemon.ctl_well(&["start", "other:7"]);
    daemon.ctl_well(&["stop", "other:7"]);
    let told = events.until(|event| event["to"] == "STOPPED");
    let of_other = |events: Vec<Value>| events.into_iter().filter(|it| it["name"] == "other:7").collect::<Vec<_>>();
    let told = of_other(told);
    assert_eq!(told.len(), 5);
    wait_until("it has read them", || of_other(got(&daemon)).len() == told.len());
    assert_eq!(of_other(got(&daemon)), told);
    let config = daemon.client.get("/v1/config").json();
    assert_eq!(config["programs"]["reader"]["events"], serde_json::json!(["state", "ended"]));
    let answer = daemon.client.request("POST", "/v1/programs/reader/stdin", "x");
    assert!(answer.body.contains("reads events only"), "{}", answer.body);
    daemon.finish();
}

#[test]
fn one_that_does_not_read_changes_nothing_and_learns_how_much_it_missed() {
    let programs = reader("while [ ! -e {here}/read ]; do sleep 0.05; done; exec cat > {here}/got", "");
    let mut daemon = Setting::supervising(programs).start();
    daemon.wait_for_running("reader");
    let before = daemon.memory("RssAnon");
    // Some 250 events each, of about 150 bytes: more than the pipe and the ring have room for.
    for _ in 0..12 {
        daemon.ctl_well(&["restart", "other", "--timeout", "60s"]);
    }
    let after = daemon.memory("RssAnon");
    assert!(after < before + 8192, "{before} kB, then {after} kB");
    fs::write(daemon.path("read"), "").expect("it is ours");
    daemon.ctl_well(&["stop", "other", "--timeout", "60s"]);
    wait_until("it has read the last", || got(&daemon).last().is_some_and(|last| last["to"] == "STOPPED"));
    let read = got(&daemon);
    let gaps: Vec<&Value> = read.iter().filter(|event| event["kind"] == "gap").collect();
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap["missed"].as_u64() > Some(0)), "{gaps:?}");
    let ids: Vec<u64> = read.iter().map(|event| event["id"].as_u64().expect("each has a number")).collect();
    assert!(ids.is_sorted(), "in order");
    daemon.finish();
}

#[test]
fn one_that_closes_its_input_or_restarts_is_fed_again() {
    let mut daemon = Setting::supervising(reader("exec 0<&-; exec sleep 1000", "")).start();
    let pid = daemon.wait_for_running("reader");
    daemon.ctl_well(&["start", "other:1"]);
    assert_eq!(daemon.wait_for_running("reader"), pid);
    let descriptors = daemon.descriptors();
    for _ in 0..5 {
        daemon.ctl_well(&["restart", "reader"]);
        daemon.ctl_well(&["restart", "other:1"]);
    }
    wait_until("no pipe is left open", || daemon.descriptors() <= descriptors + 1);
    daemon.finish();
}
