//! Programs that a signal has stopped: status, JSON and `why` say so, and no exit is lost by it.

mod harness;

use std::time::Duration;

use harness::{Daemon, Setting, both_places, wait_until};
use serde_json::Value;

const STOP: i32 = 19;
const CONT: i32 = 18;
const KILL: i32 = 9;

fn sleepers(count: usize) -> String {
    let one = |number| format!("[program.p{number}]\ncommand = \"sleep 1000\"\nstartsecs = 0\nrestart = \"no\"\n");
    (0..count).map(one).collect()
}

/// Waits until this is what the API says of the signal that has stopped a program.
fn wait_for_stop(daemon: &Daemon, name: &str, signal: &Value) {
    wait_until(&format!("{name} is stopped by {signal}\n{}", daemon.log.text()), || {
        daemon.program(name)["stopped_by"] == *signal
    });
}

#[test]
fn a_stopped_program_is_shown_until_it_is_continued() {
    for place in both_places() {
        let daemon = Setting::supervising(sleepers(1)).at(place).start();
        daemon.wait_for_state("p0", "RUNNING");
        wait_for_stop(&daemon, "p0", &Value::Null);
        for _ in 0..2 {
            harness::send(daemon.pid_of("p0"), STOP);
            wait_for_stop(&daemon, "p0", &"SIGSTOP".into());
            let status = daemon.ctl_well(&["status"]);
            assert!(status.contains("RUNNING") && status.contains("stopped by SIGSTOP"), "{status}");
            let why = daemon.ctl_well(&["why", "p0"]);
            assert!(why.contains("its main process is stopped by SIGSTOP"), "{why}");
            assert!(why.contains("musterctl signal CONT p0"), "{why}");
            let line = daemon.log.wait_for_program("p0", "stopped by a signal");
            assert!(line.field("signal").is_some_and(|field| field.contains("SIGSTOP")), "{line:?}");
            daemon.ctl_well(&["signal", "CONT", "p0"]);
            wait_for_stop(&daemon, "p0", &Value::Null);
        }
        assert_eq!(daemon.program("p0")["state"], "RUNNING");
    }
}

#[test]
fn a_stopped_program_can_be_stopped_and_killed() {
    let daemon = Setting::supervising(sleepers(2)).start();
    for name in ["p0", "p1"] {
        daemon.wait_for_state(name, "RUNNING");
        harness::send(daemon.pid_of(name), STOP);
        wait_for_stop(&daemon, name, &"SIGSTOP".into());
    }
    daemon.ctl_well(&["stop", "p0"]);
    assert_eq!(daemon.program("p0")["stopped_by"], Value::Null, "it has no process");
    harness::send(daemon.pid_of("p1"), KILL);
    daemon.wait_for_state("p1", "EXITED");
    assert_eq!(daemon.program("p1")["exit"]["signal"], "SIGKILL");
    assert_eq!(daemon.program("p1")["stopped_by"], Value::Null);
}

/// As PID 1, with orphans that stop and exit as well: every exit arrives, and nothing is left to reap.
#[test]
fn no_exit_is_lost_among_stops() {
    // It is continued until it has exited: it may not have stopped yet.
    let restless = "for i in 1 2 3 4 5; do sh -c 'kill -STOP $$$$; exit 0' & p=$$!; \
                    (while kill -CONT $$p; do sleep 0.02; done) 2>/dev/null & wait $$p; done; wait; exit 3";
    let stray = "(sh -c 'kill -STOP $$$$; exit 0' & for i in 1 2 3 4 5; do sleep 0.05; kill -CONT $$!; done) & exit 0";
    let one = |number: usize| {
        let script = if number.is_multiple_of(2) { restless } else { stray };
        format!(
            "[program.r{number}]\ncommand = [\"sh\", \"-c\", {script:?}]\nstartsecs = 0\nrestart = \"no\"\nleftovers = \"keep\"\n"
        )
    };
    let programs: String = (0..20).map(one).collect();
    for place in both_places() {
        let daemon = Setting::supervising(format!("{programs}{}", sleepers(1))).at(place).start();
        daemon.wait_for_state("p0", "RUNNING");
        let sleeper = daemon.pid_of("p0");
        for number in 0..20_usize {
            for signal in [STOP, CONT] {
                harness::send(sleeper, signal);
            }
            let (name, code) = (format!("r{number}"), if number.is_multiple_of(2) { 3 } else { 0 });
            daemon.wait_for_state(&name, "EXITED");
            assert_eq!(daemon.program(&name)["exit"]["code"], code, "{name}");
        }
        harness::send(sleeper, CONT);
        wait_for_stop(&daemon, "p0", &Value::Null);
        wait_until("no zombie is left", || {
            !daemon.processes().iter().any(|process| process.is_zombie() && process.ppid == daemon.pid())
        });
    }
}

/// A program that is stopped and continued without end costs the signals and nothing else.
#[test]
fn restless_programs_keep_nothing_waiting() {
    let script = "sleep 1000 & p=$$!; while kill -STOP $$p; do kill -CONT $$p; done";
    let restless = format!("[program.r]\ncommand = [\"sh\", \"-c\", {script:?}]\nstartsecs = 0\n");
    let daemon = Setting::supervising(format!("{restless}{}", sleepers(1))).start();
    daemon.wait_for_state("r", "RUNNING");
    let begin = std::time::Instant::now();
    for _ in 0..10 {
        daemon.ctl_well(&["restart", "p0"]);
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}
