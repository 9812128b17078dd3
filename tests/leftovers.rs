//! Processes that a run leaves behind: how long the next run waits for them, and that the log names them.

mod harness;

use harness::{Daemon, Listener, Setting};
use serde_json::Value;

/// A program whose shell leaves that many `sleep` processes behind when it exits with this status. `deaf` ones ignore
/// TERM.
fn leaving(count: usize, is_deaf: bool, status: u8) -> String {
    let trap = if is_deaf { "trap '' TERM; " } else { "" };
    let sleeps = "sleep 1000 & ".repeat(count);
    format!("command = [\"sh\", \"-c\", \"{trap}{sleeps}exit {status}\"]\n")
}

fn web(keys: &str) -> Daemon {
    Setting::supervising(format!("[program.web]\nautostart = false\nstartsecs = 0\nstopwaitsecs = 60\n{keys}")).start()
}

/// The events about leftovers up to now.
fn told(listener: &mut Listener, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
    let events = listener.until(|event| event["kind"] == "left_behind" && is_last(event));
    events.into_iter().filter(|event| event["kind"] == "left_behind").collect()
}

/// A single child that ignores TERM must not delay its program's restart by the whole stop timeout.
#[test]
fn after_a_crash_the_next_run_starts_within_leftover_wait_despite_a_deaf_child() {
    for (keys, least) in [("", 1.9), ("leftover_wait = \"500ms\"\n", 0.4)] {
        let daemon = web(&format!("{}{keys}startretries = 1\nbackoff = {{ delay = 0 }}\n", leaving(1, true, 3)));
        daemon.ctl(&["start", "--no-wait", "web"]);
        let runs = daemon.log.wait_for_many(2, "web", "starting");
        let between = (runs[1].at - runs[0].at).as_secs_f64();
        assert!((least..20.0).contains(&between), "{between} s\n{}", daemon.story());
        let late = daemon.log.wait_for_program("web", "its leftover processes did not stop in time");
        assert_eq!(late.field("signal").as_deref(), Some("SIGKILL"));
    }
}

#[test]
fn killed_leftovers_are_named_in_the_log_in_why_and_in_events() {
    let daemon = web(&format!("{}restart = \"no\"\nleftover_wait = \"300ms\"\n", leaving(1, true, 3)));
    let mut listener = Listener::of(&daemon, None);
    daemon.ctl(&["start", "--no-wait", "web"]);
    let events = told(&mut listener, |event| event["left"]["killed"] == true);
    assert_eq!(events.len(), 2, "stop signal, then SIGKILL: {events:?}");
    let left = &events[1]["left"];
    let pid = &left["processes"][0]["pid"];
    let of_it = format!("1 process that run 1 left behind: \"sleep\" (pid {pid}); does it daemonize?");
    // It may not have executed its program yet when it got the signal.
    let asked = events[0]["left"]["words"].as_str().unwrap_or_default().replace("\"sh\"", "\"sleep\"");
    assert_eq!(asked, format!("sent the stop signal to {of_it}"));
    assert_eq!(left["words"], format!("killed {of_it}"));
    for words in [&events[0]["left"]["words"], &left["words"]] {
        let words = words.as_str().unwrap_or_default();
        let line = daemon.log.wait_for_program("web", words);
        assert_eq!((line.level.as_str(), line.field("run").as_deref()), ("WARN", Some("1")));
    }
    let why = daemon.client.get("/v1/programs/web/why").json();
    assert_eq!(&why["run"]["left_behind"], left, "{why:#}");
    assert!(daemon.ctl_well(&["why", "web"]).contains(&format!("killed {of_it}")), "{why:#}");
}

#[test]
fn many_that_were_left_behind_are_counted() {
    let daemon = web(&format!("{}restart = \"no\"\n", leaving(7, false, 0)));
    let mut listener = Listener::of(&daemon, None);
    daemon.ctl(&["start", "--no-wait", "web"]);
    let events = told(&mut listener, |_| true);
    let left = &events[0]["left"];
    assert_eq!((&left["count"], left["processes"].as_array().map(Vec::len)), (&Value::from(7), Some(5)));
    let words = left["words"].as_str().unwrap_or_default();
    assert!(words.starts_with("sent the stop signal to 7 processes that run 1 left behind: \"s"), "{words}");
    assert!(words.ends_with(") and 2 more; does it daemonize?"), "{words}");
    // They obey, so none is killed: the program is at rest, and nothing else is logged.
    daemon.ctl_well(&["start", "--no-wait", "web"]);
    let events = told(&mut listener, |_| true);
    assert_eq!((&events[0]["run"], &events[0]["left"]["killed"]), (&Value::from(2), &Value::from(false)));
}

/// A stop ends every process of a program; only those that must be killed are reported.
#[test]
fn processes_that_outlive_a_stop_are_named_if_they_must_be_killed() {
    let deaf = "trap '' TERM; echo deaf; while :; do sleep 1000; done";
    let program = format!(
        "[program.web]\nautostart = false\nstopwaitsecs = \"500ms\"\nready = {{ log = \"deaf\" }}\n\
         command = [\"sh\", \"-c\", '''trap \"exit 0\" TERM; sh -c \"{deaf}\" & wait''']\n"
    );
    let daemon = Setting::supervising(program).start();
    let mut listener = Listener::of(&daemon, None);
    daemon.ctl_well(&["start", "web"]);
    daemon.ctl_well(&["stop", "web"]);
    let events = told(&mut listener, |_| true);
    assert_eq!(events[0]["left"]["killed"], true, "{events:?}");
    let words = events[0]["left"]["words"].as_str().unwrap_or_default();
    assert!(words.starts_with("killed 2 processes that run 1 left behind: \"sh\" (pid "), "{words}");
    assert!(words.ends_with(')'), "it was stopped on request, so there is no hint about daemonizing: {words}");
}

/// Nothing is left behind, so nothing is reported.
#[test]
fn a_program_without_children_leaves_nothing_behind() {
    let daemon = web("command = \"false\"\nrestart = \"no\"\n");
    daemon.ctl(&["start", "--no-wait", "web"]);
    daemon.wait_for_state("web", "EXITED");
    let why = daemon.client.get("/v1/programs/web/why").json();
    assert_eq!(why["run"]["left_behind"], Value::Null, "{why:#}");
    let told = daemon.settled_log().into_iter().filter(|line| line.message.contains("left behind")).count();
    assert_eq!(told, 0, "{}", daemon.story());
}
