//! The event stream: complete, without duplicates, in order; and what happens to clients that cannot keep up.

mod harness;

use harness::{Daemon, End, Listener, Setting, wait_until};
use serde_json::Value;

const WEB: &str = "[program.web]\ncommand = \"sleep 1000\"\nautostart = false\nstartsecs = 0\n";

/// Enough programs for each command to cause some hundred events.
const BUSY: &str = "[program.busy]\ncommand = \"sleep 1000\"\nnumprocs = 100\nautostart = false\nstartsecs = 0\n";

/// Causes at least that many events.
fn cause_events(daemon: &Daemon, count: usize) {
    (0..count.div_ceil(500)).for_each(|_| drop(daemon.ctl_well(&["restart", "busy", "--timeout", "60s"])));
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

/// `web STOPPED STARTING`, or only the kind if it is no change of state.
fn words(event: &Value) -> String {
    match text(event, "kind") {
        "state" => format!("{} {} {}", text(event, "name"), text(event, "from"), text(event, "to")),
        kind => kind.to_owned(),
    }
}

fn is_state(event: &Value, state: &str) -> bool {
    text(event, "kind") == "state" && text(event, "to") == state
}

fn ids(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["id"].as_u64().expect("every event has a number")).collect()
}

#[test]
fn a_snapshot_comes_first_and_then_every_change_in_order() {
    let daemon = Setting::supervising(WEB).start();
    let mut listener = Listener::of(&daemon, None);
    assert_eq!(listener.status, 200);
    assert!(listener.head.contains("content-type: text/event-stream\r\n"), "{}", listener.head);
    let snapshot = listener.next();
    assert_eq!((text(&snapshot, "kind"), &snapshot["programs"][0]["state"]), ("snapshot", &Value::from("STOPPED")));
    daemon.ctl_well(&["start", "web"]);
    daemon.ctl_well(&["stop", "web"]);
    let events = listener.until(|event| is_state(event, "STOPPED"));
    let expected =
        ["web STOPPED STARTING", "web STARTING RUNNING", "web RUNNING STOPPING", "ended", "web STOPPING STOPPED"];
    assert_eq!(events.iter().map(words).collect::<Vec<_>>(), expected);
    let first = snapshot["id"].as_u64().expect("every event has a number");
    assert_eq!(ids(&events), (first + 1..=first + 5).collect::<Vec<_>>());
    let run = daemon.program("web")["run"].clone();
    for event in &events {
        assert_eq!(event["run"], run, "{event}");
        assert!(event["pid"].is_number(), "{event}");
    }
    assert_eq!(events[3]["exit"]["signal"], "SIGTERM");
}

#[test]
fn every_kind_of_failure_has_its_event() {
    let programs = "[program.bad]\ncommand = \"false\"\nstartretries = 1\nbackoff = { delay = 0.2 }\nautostart = false\n\
                    [program.none]\ncommand = \"/no/such\"\nstartretries = 0\nautostart = false\n\
                    [program.deaf]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; : > {here}/is-deaf; while :; do sleep 1; done\"]\n\
                    startsecs = 0\nstopwaitsecs = 0.1\nautostart = false\n";
    let daemon = Setting::supervising(programs).start();
    let mut listener = Listener::of(&daemon, None);
    daemon.ctl(&["start", "bad"]);
    let bad = listener.until(|event| is_state(event, "FATAL"));
    let retry = bad.iter().find(|event| text(event, "kind") == "retry").expect("it is retried once");
    assert_eq!((&retry["attempt"], &retry["limit"], &retry["delay"]), (&1.into(), &1.into(), &0.2.into()));
    let ended: Vec<&Value> = bad.iter().filter(|event| text(event, "kind") == "ended").collect();
    assert_eq!(ended.len(), 2);
    assert_eq!((&ended[0]["exit"]["code"], &ended[0]["exit"]["success"]), (&1.into(), &false.into()));
    daemon.ctl(&["start", "none"]);
    let none = listener.until(|event| is_state(event, "FATAL"));
    let ended = none.iter().find(|event| text(event, "kind") == "ended").expect("a failed spawn is an end");
    assert_eq!(ended["exit"]["reason"], "spawn error: /no/such: no such file");
    daemon.ctl_well(&["start", "deaf"]);
    wait_until("it ignores TERM", || daemon.path("is-deaf").exists());
    daemon.ctl_well(&["stop", "deaf"]);
    let deaf = listener.until(|event| is_state(event, "STOPPED"));
    let killed = deaf.iter().find(|event| text(event, "kind") == "killed").expect("it does not stop by itself");
    assert_eq!((text(killed, "name"), &killed["cut_short"]), ("deaf", &false.into()));
}

#[test]
fn a_listener_that_reconnects_resumes_where_it_left_off() {
    let daemon = Setting::supervising(WEB).start();
    let mut stays = Listener::of(&daemon, None);
    let mut leaves = Listener::of(&daemon, None);
    assert_eq!(stays.next()["id"], leaves.next()["id"]);
    daemon.ctl_well(&["start", "web"]);
    let last = leaves.until(|event| is_state(event, "STARTING")).pop().expect("there is one at least");
    drop(leaves);
    daemon.ctl_well(&["restart", "web"]);
    daemon.ctl_well(&["stop", "web"]);
    let all = stays.until(|event| is_state(event, "STOPPED") && text(event, "from") == "STOPPING");
    let all = [all, stays.until(|event| is_state(event, "STOPPED"))].concat();
    let missed: Vec<&Value> = all.iter().filter(|event| event["id"].as_u64() > last["id"].as_u64()).collect();
    let mut again = Listener::of(&daemon, Some(&last["id"].to_string()));
    let resumed: Vec<Value> = missed.iter().map(|_| again.next()).collect();
    assert_eq!(resumed.iter().collect::<Vec<_>>(), missed);
}

#[test]
fn a_listener_that_was_away_too_long_gets_a_gap() {
    let daemon = Setting::supervising(BUSY).start();
    let before = Listener::of(&daemon, None).next();
    let first = before["id"].as_u64().expect("every event has a number");
    cause_events(&daemon, 3000);
    daemon.ctl_well(&["stop", "busy"]);
    let mut late = Listener::of(&daemon, Some(&first.to_string()));
    let (gap, snapshot) = (late.next(), late.next());
    assert_eq!((text(&gap, "kind"), text(&snapshot, "kind")), ("gap", "snapshot"));
    assert!(gap["missed"].as_u64() > Some(1900), "{gap}");
    assert_eq!(gap["id"], snapshot["id"]);
    assert_eq!(snapshot["programs"][0]["state"], "STOPPED");
}

#[test]
fn numbers_of_another_daemon_are_a_gap_and_no_numbers_are_a_beginning() {
    let mut daemon = Setting::supervising(WEB).start();
    let old = Listener::of(&daemon, None).next()["id"].clone();
    daemon.kill_and_start_again();
    for last in [old.to_string(), "1".to_owned(), u64::MAX.to_string()] {
        let mut listener = Listener::of(&daemon, Some(&last));
        let (gap, snapshot) = (listener.next(), listener.next());
        assert_eq!((text(&gap, "kind"), &gap["missed"]), ("gap", &Value::Null), "{last}");
        assert_eq!(text(&snapshot, "kind"), "snapshot");
        assert!(snapshot["id"].as_u64() > old.as_u64(), "numbers keep ascending across restarts");
    }
    assert_eq!(text(&Listener::of(&daemon, Some("no number")).next(), "kind"), "snapshot");
}

#[test]
fn a_listener_that_does_not_read_delays_no_client_and_gets_a_gap() {
    let daemon = Setting::supervising(BUSY).start();
    let mut deaf = Listener::of(&daemon, None);
    let first = Listener::of(&daemon, None).next()["id"].as_u64().expect("every event has a number");
    // The kernel and the connection buffer some hundred kilobytes of a stream: a thousand events.
    cause_events(&daemon, 8000);
    daemon.ctl_well(&["stop", "busy"]);
    let (mut last, mut gaps) = (0, 0);
    loop {
        let event = deaf.next();
        let id = event["id"].as_u64().expect("every event has a number");
        match text(&event, "kind") {
            "gap" => {
                gaps += 1;
                assert!(id > last + 1, "a gap is reported where there is none: {event} after {last}");
                assert_eq!(text(&deaf.next(), "kind"), "snapshot", "a snapshot follows a gap");
            }
            "snapshot" => {}
            _ => assert_eq!(id, last + 1, "events are missing without a gap"),
        }
        last = id;
        if gaps > 0 && last >= first + 8000 {
            break;
        }
    }
    assert!(gaps > 0, "it cannot have received all of them");
}

#[test]
fn the_stream_ends_with_the_daemon_and_says_why() {
    let mut daemon = Setting::supervising(WEB).start();
    let mut listener = Listener::of(&daemon, None);
    daemon.ctl_well(&["start", "web"]);
    daemon.terminate();
    assert_eq!(daemon.wait(), End::Code(0));
    let mut events = Vec::new();
    while let Some(event) = listener.try_next() {
        events.push(event);
    }
    let shutdown = events.iter().find(|event| text(event, "kind") == "shutdown").expect("a shutdown event exists");
    assert_eq!(text(shutdown, "reason"), "stopped by SIGTERM");
    let last = events.last().expect("there are some");
    assert_eq!((text(last, "kind"), &last["code"]), ("exiting", &0.into()));
}

#[test]
fn listeners_are_bounded_and_one_that_leaves_makes_room() {
    let daemon = Setting::supervising(WEB).start();
    let all: Vec<Listener> = (0..64).map(|_| Listener::of(&daemon, None)).collect();
    assert!(all.iter().all(|listener| listener.status == 200));
    let refused = daemon.client.get("/v1/events");
    assert_eq!((refused.status, refused.json()["type"].clone()), (503, "urn:muster:busy".into()));
    assert_eq!(daemon.client.get("/v1/programs").status, 200, "reading does not count as following");
    drop(all);
    wait_until("closed connections are noticed without events", || {
        let one = Listener::of(&daemon, None);
        one.status == 200
    });
}

#[test]
fn a_listener_that_reads_has_no_gap_when_hundreds_start_and_stop_at_once() {
    let programs = "[program.many]\ncommand = \"sleep 1000\"\nnumprocs = 300\nautostart = false\nstartsecs = 0\n";
    let daemon = Setting::supervising(programs).start();
    let mut listener = Listener::of(&daemon, None);
    listener.next();
    daemon.ctl_well(&["start", "many", "--timeout", "60s"]);
    daemon.ctl_well(&["stop", "many", "--timeout", "60s"]);
    let mut stopped = 0;
    let events = std::iter::from_fn(|| {
        (stopped < 300).then(|| listener.next()).inspect(|event| {
            assert_ne!(text(event, "kind"), "gap", "a client that reads misses nothing");
            stopped += usize::from(is_state(event, "STOPPED"));
        })
    });
    assert!(events.count() >= 5 * 300);
}
