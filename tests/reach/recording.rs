//! A recording of a real daemon, played by `musterd simulate --replay`: the same decisions. And the trace of a daemon.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;

use serde_json::Value;

use crate::harness::{self, Daemon, Ended, Listener, Setting, ended};

/// Programs that crash, ignore their stop signal, cannot be started, wait for others and are checked.
const PROGRAMS: &str = r#"
[program.crash]
command = ["sh", "-c", "sleep 0.05; exit 3"]
autostart = false
startretries = 4
startsecs = "20ms"
backoff = { delay = "30ms", factor = 1.7, max = "200ms", jitter = 0.5 }
[program.missing]
command = "/nonexistent/program"
autostart = false
startretries = 2
backoff = { delay = "20ms", jitter = "full" }
[program.stubborn]
command = ["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"]
autostart = false
startsecs = "10ms"
stopwaitsecs = "150ms"
[program.web]
command = "sleep 1000"
autostart = false
startsecs = "10ms"
environment = { TOKEN = "the-value-of-the-token" }
probes.live = { exec = ["test", "!", "-e", "@/sick"], period = "100ms", failure_threshold = 2 }
[program.needs]
command = "sleep 1000"
autostart = false
startsecs = 0
depends_on = ["web"]
"#;

struct Stage {
    daemon: Daemon,
    events: Listener,
    place: tempfile::TempDir,
}

fn setting(place: &tempfile::TempDir, more: &str) -> Setting {
    let programs = PROGRAMS.replace('@', &place.path().display().to_string());
    Setting::supervising(programs + more).musterd("exit_when_done = false").http("debug = true")
}

fn stage() -> Stage {
    let place = tempfile::tempdir().expect("a temporary directory can be created");
    let daemon = setting(&place, "").start();
    daemon.wait_until_it_answers();
    let mut events = Listener::of(&daemon, None);
    assert_eq!(events.next()["kind"], "snapshot");
    Stage { daemon, events, place }
}

impl Stage {
    fn until(&mut self, name: &str, state: &str) -> Vec<Value> {
        self.events.until(|event| event["kind"] == "state" && event["name"] == name && event["to"] == state)
    }

    /// Everything that programs may go through; returns the events.
    fn live(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        for start in ["crash", "missing", "stubborn", "needs"] {
            self.daemon.client.post(&format!("/v1/programs/{start}/start"));
        }
        events.extend(self.until("crash", "FATAL"));
        self.daemon.wait_for_state("missing", "FATAL");
        self.daemon.wait_for_running("needs");
        self.daemon.client.post("/v1/programs/crash/start");
        fs::write(self.place.path().join("sick"), "").expect("it is ours");
        events.extend(self.until("web", "BACKOFF"));
        fs::remove_file(self.place.path().join("sick")).expect("it exists");
        self.daemon.wait_for_running("stubborn");
        self.daemon.client.post("/v1/programs/stubborn/restart?wait=10");
        self.daemon.client.post("/v1/programs/all/stop?wait=10");
        self.daemon.client.post("/v1/programs/missing/start?wait=10");
        events.extend(self.until("missing", "FATAL"));
        events
    }

    fn recorded(&self) -> String {
        let answer = self.daemon.client.get("/v1/debug/recording");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    fn replayed(&self, recording: &str, words: &[&str]) -> Ended {
        let path = self.place.path().join("recording.json");
        fs::write(&path, recording).expect("it is ours");
        let mut command = Command::new(harness::musterd());
        ended(command.args(["simulate", "--replay"]).arg(path).args(words).env("NO_COLOR", "1"))
    }

    fn timeline(&self) -> Vec<Value> {
        let played = self.replayed(&self.recorded(), &["--json"]);
        assert_eq!((played.code, played.err.as_str()), (Some(0), ""), "{}", played.out);
        let mut document: Value = serde_json::from_str(&played.out).expect("--json writes JSON");
        let Value::Array(moments) = document["timeline"].take() else { panic!("{document}") };
        moments
    }
}

/// Each change of a state, and the delay that was drawn where there is one.
fn told(events: &[Value]) -> (Vec<String>, Vec<f64>) {
    let state = |event: &Value| format!("{}: {} to {}", event["name"], event["from"], event["to"]);
    let of = |kind: &'static str| events.iter().filter(move |event| event["kind"] == kind);
    (of("state").map(state).collect(), of("retry").filter_map(|event| event["delay"].as_f64()).collect())
}

fn played(moments: &[Value]) -> (Vec<String>, Vec<f64>) {
    let changes: Vec<&Value> = moments.iter().filter(|moment| moment["from"].is_string()).collect();
    let state = |moment: &&Value| format!("{}: {} to {}", moment["program"], moment["from"], moment["state"]);
    (changes.iter().map(state).collect(), changes.iter().filter_map(|moment| moment["delay"].as_f64()).collect())
}

#[test]
fn a_recording_is_played_with_the_same_states_restarts_and_delays() {
    let mut stage = stage();
    let events = stage.live();
    let (states, delays) = told(&events);
    assert!(states.len() > 30 && delays.len() > 8, "{states:?} {delays:?}");
    assert_eq!(played(&stage.timeline()), (states, delays));
    let shown = stage.replayed(&stage.recorded(), &[]);
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
    assert!(shown.out.contains("run 1: exit status 3 after"), "{}", shown.out);
    assert!(shown.out.contains("SIGKILL to its whole tree: stopwaitsecs is over"), "{}", shown.out);
}

#[test]
fn a_recording_that_begins_with_a_reload_is_played_as_well() {
    let mut stage = stage();
    stage.daemon.client.post("/v1/programs/crash/start");
    stage.until("crash", "BACKOFF");
    stage.daemon.client.post("/v1/programs/stubborn/start?wait=10");
    let more = "[program.new]\ncommand = \"sleep 1000\"\nnumprocs = 2\nstartsecs = \"50ms\"\n";
    stage.daemon.rewrite(&setting(&stage.place, more));
    assert_eq!(stage.daemon.client.post("/v1/config/reload").status, 200);
    stage.events.until(|event| event["kind"] == "configured");
    let before = stage.until("new:1", "RUNNING");
    let events = [before, stage.live()].concat();
    let ((all_states, all_delays), (states, delays)) = (told(&events), played(&stage.timeline()));
    assert!(states.len() > 30 && all_states.ends_with(&states), "{states:?}, not the end of {all_states:?}");
    assert!(delays.len() > 8 && all_delays.ends_with(&delays), "{delays:?}, not the end of {all_delays:?}");
}

#[test]
fn a_shutdown_is_played_as_far_as_it_was_recorded() {
    let mut stage = stage();
    stage.daemon.client.post("/v1/programs/stubborn/start?wait=10");
    stage.daemon.client.post("/v1/shutdown");
    stage.until("stubborn", "STOPPING");
    let moments = stage.timeline();
    assert_eq!(moments.last().expect("there are some")["state"], "STOPPING", "{moments:?}");
    stage.daemon.wait();
}

#[test]
fn a_recording_has_no_private_values() {
    let mut stage = stage();
    stage.live();
    let recording = stage.recorded();
    assert!(recording.contains("\"web\"") && !recording.contains("the-value-of-the-token"));
    // No command, no check and no path of a program either, but for those in the error of a start.
    for private in ["sleep 1000", "/sick", "while :"] {
        assert!(!recording.contains(private), "{private}");
    }
}

#[test]
fn looking_allowed_again_begins_a_new_recording() {
    let mut stage = stage();
    stage.live();
    for debug in ["false", "true"] {
        let off = setting(&stage.place, "").http(&format!("debug = {debug}"));
        stage.daemon.rewrite(&off);
        assert_eq!(stage.daemon.client.post("/v1/config/reload").status, 200);
    }
    let recording: Value = serde_json::from_str(&stage.recorded()).expect("it is JSON");
    assert_eq!(recording["recording"]["steps"].as_array().map(Vec::len), Some(0));
}

#[test]
fn files_that_cannot_be_played_are_errors() {
    let stage = stage();
    let good = stage.recorded();
    let cases = [
        ("{}", "it is no recording: missing field"),
        (
            &good.replacen("{\"musterd\":\"", "{\"musterd\":\"9", 1).replace("\"steps\"", "\"moves\""),
            "it is of musterd 9",
        ),
        (&good.replace("\"instances\":[{", "\"instances\":[{\"x\":0},{"), "it is no"),
    ];
    for (text, expected) in cases {
        let played = stage.replayed(text, &[]);
        assert!(played.code == Some(2) && played.err.contains(expected), "{expected}: {}", played.err);
    }
    let other = good.replace("[\"web\",\"stopped\"]", "[\"web\",\"running\"]");
    let played = stage.replayed(&other, &[]);
    assert_eq!(played.code, Some(1));
    assert!(
        played.err.contains("program \"web\" was RUNNING at the end, and is STOPPED in the replay"),
        "{}",
        played.err
    );
}

/// The lines of a trace, read until one satisfies the condition or the trace ends.
fn trace(daemon: &Daemon, seconds: &str, act: impl FnOnce(), is_last: impl Fn(&Value) -> bool) -> (Vec<Value>, bool) {
    let mut stream = daemon.client.connect().expect("the daemon listens");
    let request = format!("GET /v1/debug/trace?seconds={seconds} HTTP/1.0\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the daemon reads requests");
    let (mut lines, mut act) = (Vec::new(), Some(act));
    for line in BufReader::new(stream).lines().map_while(Result::ok).filter(|line| line.starts_with('{')) {
        let line: Value = serde_json::from_str(&line).expect("each line is an object");
        if let Some(act) = act.take() {
            assert!(line["seconds"].is_number(), "{line}");
            act();
            continue;
        }
        let is_over = is_last(&line);
        lines.push(line);
        if is_over {
            return (lines, true);
        }
    }
    (lines, false)
}

#[test]
fn a_trace_has_every_input_and_effect_in_order() {
    let stage = stage();
    let start = || drop(stage.daemon.client.post("/v1/programs/crash/start"));
    let (lines, is_found) = trace(&stage.daemon, "60", start, |line| line["input"]["exited"]["exit"]["code"] == 3);
    assert!(is_found, "{lines:?}");
    let place = |is_it: &dyn Fn(&Value) -> bool| lines.iter().position(is_it).unwrap_or_else(|| panic!("{lines:?}"));
    let commanded = place(&|line| line["input"]["commanded"]["verb"] == "start");
    let spawn = place(&|line| line["effect"]["spawn"].is_object());
    let state = place(&|line| line["effect"]["publish"]["state"]["to"] == "starting");
    let spawned = place(&|line| line["input"]["spawned"].is_object());
    assert!(commanded < spawn && spawn < spawned && state < spawned && commanded == 0, "{lines:?}");
    for place in [spawn, state, spawned] {
        assert_eq!(lines[place]["name"], "crash", "{}", lines[place]);
        assert!(lines[place]["time"].is_string() && lines[place]["at"].as_f64() > Some(0.0));
    }
    assert!(!lines.iter().any(|line| line.to_string().contains("sleep 0.05")));
}

#[test]
fn a_trace_ends_with_its_time_and_when_looking_is_no_longer_allowed() {
    let stage = stage();
    assert_eq!(trace(&stage.daemon, "0.3", || (), |_| false), (Vec::new(), false));
    let off = setting(&stage.place, "").http("debug = false");
    let forbid = || {
        stage.daemon.rewrite(&off);
        assert_eq!(stage.daemon.client.post("/v1/config/reload").status, 200);
    };
    assert!(!trace(&stage.daemon, "600", forbid, |_| false).1);
    assert_eq!(stage.daemon.client.get("/v1/debug/trace").status, 404);
    assert_eq!(stage.daemon.client.get("/v1/debug/recording").status, 404);
}

#[test]
fn a_trace_has_a_longest_time() {
    let stage = stage();
    let answer = stage.daemon.client.get("/v1/debug/trace?seconds=601");
    assert!(answer.status == 400 && answer.body.contains("must be at most 600"), "{}", answer.body);
}
