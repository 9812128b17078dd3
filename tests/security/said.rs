//! Messages that programs can provoke repeatedly: each kind is rate-limited, in the log and for followers of events.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{Daemon, Line, Listener, Setting, in_time, puppet, wait_until};

/// The burst of each kind of message, and that of runs.
const BURST: usize = 5;
const RUNS: usize = 20;

/// Programs that fail, flap and write as fast as they can.
const FLOODS: &str = r#"
[program.ends]
command = "true"
restart = "always"
startsecs = 0
startretries = "unlimited"
backoff = { delay = 0 }

[program.none]
command = "/no/such/file"
startretries = "unlimited"
backoff = { delay = 0 }

[program.flaps]
command = "sleep 1000"
startsecs = 0
[program.flaps.probes.ready]
kind = "readiness"
exec = ["sh", "-c", "FLIP", "ready"]
period = "10ms"
timeout = "20s"
failure_threshold = 1

[program.flaps.probes.alive]
kind = "liveness"
exec = ["sh", "-c", "FLIP", "alive"]
period = "10ms"
timeout = "20s"
failure_threshold = 1
on_failure = "none"

[program.signals]
command = ["sh", "-c", 'n=0; while :; do kill -HUP $$PPID; kill -USR1 $$PPID; kill -USR2 $$PPID; n=$$((n+1)); test $$n -lt 2000 || : > {here}/signalled; done']
startsecs = 0

[program.witness]
command = "sleep 1000"
startsecs = 0
"#;

/// A command that alternates between success and failure, and counts its runs.
const FLIP: &str =
    "echo >> {here}/$0.count; if [ -e {here}/$0.on ]; then rm {here}/$0.on; exit 1; else : > {here}/$0.on; fi";

fn lines(daemon: &Daemon, path: &str) -> usize {
    std::fs::read_to_string(daemon.path(path)).map_or(0, |text| text.lines().count())
}

/// The number of lines with the same message about the same program.
fn said(daemon: &Daemon) -> BTreeMap<(String, String), usize> {
    let mut said = BTreeMap::new();
    // The findings of a reload are logged with the reload, all of them.
    for line in daemon.settled_log().into_iter().filter(|line| line.field("place").is_none()) {
        let program = line.field("program").unwrap_or_default();
        // The failure is part of the message.
        let message = line.message.split(": ").next().unwrap_or_default().to_owned();
        *said.entry((program, message)).or_insert(0) += 1;
    }
    said
}

#[test]
fn no_program_can_fill_the_log_or_the_events() {
    let began = Instant::now();
    let daemon = Setting::supervising(FLOODS.replace("FLIP", FLIP)).musterd("exit_when_done = false").start();
    daemon.wait_for_running("witness");
    let first = Listener::of(&daemon, Some("no number")).next()["id"].to_string();
    wait_until("all of them have done it very often", || {
        let runs = daemon.program("ends")["run"].as_u64() > Some(500);
        let is_failure =
            |line: &&Line| line.message.starts_with("cannot spawn") && line.field("program").as_deref() == Some("none");
        let has_failed = daemon.log.lines().iter().filter(is_failure).count() >= RUNS;
        let is_signalled = daemon.path("signalled").exists();
        runs && has_failed && is_signalled && lines(&daemon, "ready.count") > 100 && lines(&daemon, "alive.count") > 100
    });
    daemon.ctl_well(&["stop", "all"]);
    // One more per minute, including the current one.
    let more = began.elapsed().as_secs() as usize / 60 + 1;

    let said = said(&daemon);
    let programs = 5;
    for ((program, message), &count) in &said {
        let most = match message.as_str() {
            "status" => programs * RUNS,
            _ => RUNS,
        };
        assert!(count <= most + more, "{program}: {message:?} was logged {count} times: {said:#?}");
    }
    let count = |program: &str, message: &str| said.get(&(program.to_owned(), message.to_owned())).copied();
    for (program, message) in [("ends", "starting"), ("ends", "ended"), ("none", "cannot spawn")] {
        assert!(count(program, message) >= Some(RUNS), "{program}: the first are logged: {said:#?}");
    }
    assert!(count("flaps", "unhealthy") >= Some(RUNS / 2), "{said:#?}");
    for message in ["asked to reload", "reopened log files", "the configuration is unchanged"] {
        // One that did not come from a program makes the log complete.
        assert!(count("", message) <= Some(BURST + more + 1), "{message}: {said:#?}");
    }
    assert_eq!(
        count("ends", "stopped").or(count("ends", "stopping")),
        Some(1),
        "a requested change is logged: {said:#?}"
    );

    let mut listener = Listener::of(&daemon, Some(&first));
    let is_stopped = |event: &Value| event["name"] == "witness" && event["to"] == "STOPPED";
    let mut events = BTreeMap::new();
    for event in listener.until(is_stopped) {
        assert_ne!(event["kind"], "gap", "no event was dropped");
        *events.entry((event["name"].to_string(), event["kind"].to_string())).or_insert(0) += 1;
    }
    for ((name, kind), &count) in &events {
        // A run goes through a few states.
        let most = if kind.contains("state") { 5 * (RUNS + more) } else { RUNS + more + 1 };
        assert!(count <= most, "{name} had {count} events {kind}: {events:#?}");
    }
    // The first runs may have ended before there was a follower; the requested change has one.
    assert!(events.contains_key(&("\"ends\"".to_owned(), "\"state\"".to_owned())), "{events:#?}");
}

/// A server that upgrades itself continuously: each successor declares itself the main process and outlives its
/// predecessor, which exits once the daemon knows of it.
#[test]
fn a_program_that_is_upgraded_without_pause_is_not_reported_without_pause() {
    let mut words = vec!["READY=1\nSTATUS=all is said".to_owned()];
    for _ in 0..8 {
        let next = serde_json::to_string(&words).expect("it is a list of texts");
        words = vec![
            "MAINPID=%PID".to_owned(),
            format!("child {next}"),
            "MAINPID=%CHILD".to_owned(),
            "barrier".to_owned(),
            "exit 0".to_owned(),
        ];
    }
    let words = serde_json::to_string(&words).expect("it is a list of texts");
    let more = "ready = \"notify\"\nstartsecs = 0\nrestart = \"no\"\n";
    in_time(|| {
        let daemon = Setting::supervising(puppet::program("web", &format!("teller {words}"), more)).start();
        let is_all_said = || daemon.program("web")["status"] == "all is said";
        // On an overloaded machine a process may exit before the daemon has looked at its successor.
        let has_ended = || daemon.log.saying("ended").len() == 1;
        wait_until("all messages were sent", || is_all_said() || has_ended());
        for (_, count) in said(&daemon) {
            assert!(count <= BURST + 1, "{}", daemon.story());
        }
        if is_all_said() { Ok(()) } else { Err(daemon.story()) }
    });
}
