//! Restarts: when the next run starts, when there is none, and that two never run at once.

mod harness;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use harness::{Daemon, Setting};

/// A pause between two runs, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// From the log line for the end of a run to that for the start of the next. The first is written shortly after the
    /// pause has begun, much later on a busy machine, so this may be shorter than the pause was.
    told: u128,
    /// The pause together with the run before it, which cannot have ended before its start was logged. Never shorter
    /// than the pause.
    with_run: u128,
}

/// Runs without a pause are logged one by one only at this level.
const EVERY_RUN: &str = "loglevel = \"debug\"";

fn pauses(daemon: &Daemon, program: &str) -> Vec<Pause> {
    let lines = daemon.settled_log();
    let times =
        |what: &str| lines.iter().filter(|line| line.says(program, what)).map(|line| line.at).collect::<Vec<_>>();
    let (ends, starts) = (times("ended unexpectedly"), times("starting"));
    let pause = |((end, start), next): ((&Duration, &Duration), &Duration)| Pause {
        told: next.saturating_sub(*end).as_millis(),
        with_run: next.saturating_sub(*start).as_millis(),
    };
    ends.iter().zip(&starts).zip(starts.iter().skip(1)).map(pause).collect()
}

/// Rounds of pauses: none may be too short, and the shortest of each must be right. A pause that is occasionally longer
/// is due to the machine's load; up to ten rounds allow for that.
fn check_pauses(expected: &[u128], round: impl Fn() -> Vec<Pause>) {
    let mut shortest = vec![u128::MAX; expected.len()];
    let is_right = |(found, expected): (&u128, &u128)| *found <= expected + 20;
    for _ in 0..10 {
        let found = round();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        let is_long = |(found, expected): (&Pause, &u128)| found.with_run >= *expected;
        assert!(found.iter().zip(expected).all(is_long), "{found:?} for {expected:?}");
        shortest.iter_mut().zip(found).for_each(|(shortest, found)| *shortest = found.told.min(*shortest));
        if shortest.iter().zip(expected).all(is_right) {
            return;
        }
    }
    panic!("pauses of {shortest:?} instead of {expected:?}");
}

#[test]
fn the_delay_grows_up_to_its_bound_and_then_the_program_is_fatal() {
    check_pauses(&[50, 100, 200, 400, 400, 400], || {
        let program = "[program.bad]\ncommand = \"false\"\nstartretries = 6\n\
                       backoff = { delay = \"50ms\", factor = 2, max = \"400ms\" }\n";
        let daemon = Setting::supervising(program).start();
        let bad = daemon.wait_for_state("bad", "FATAL");
        assert_eq!(bad["failures"], 6);
        assert_eq!(bad["description"], "exit status 1; gave up after 6 restarts");
        assert_eq!(daemon.log.wait_for_program("bad", "gave up").level, "ERROR");
        pauses(&daemon, "bad")
    });
}

#[test]
fn the_docker_preset_waits_as_docker_does() {
    check_pauses(&[100, 200, 400, 800], || {
        let daemon = Setting::supervising("[program.bad]\ncommand = \"false\"\nbackoff = \"docker\"\n").start();
        daemon.log.wait_for_many(5, "bad", "starting");
        pauses(&daemon, "bad")[..4].to_vec()
    });
}

#[test]
fn one_limit_counts_failed_spawns_early_ends_and_crashes_alike() {
    for (name, lines) in [
        ("spawn", "command = \"/no/such/file\""),
        ("early", "command = \"false\""),
        ("crash", "command = \"false\"\nstartsecs = 0"),
    ] {
        for restart in ["on-failure:2", "always:2"] {
            let program = format!("[program.{name}]\n{lines}\nrestart = {restart:?}\nbackoff = {{ delay = 0 }}\n");
            let daemon = Setting::supervising(program).start();
            daemon.wait_for_state(name, "FATAL");
            let runs = daemon.program(name)["runs"].as_array().map_or(0, Vec::len);
            assert_eq!(runs, 3, "{name} {restart}: a run and two restarts");
        }
    }
}

/// The reason describes what happened, not what a later configuration would have allowed.
#[test]
fn the_restarts_before_it_was_given_up_are_counted_and_not_configured() {
    let program = |retries: u32| {
        Setting::supervising(format!(
            "[program.bad]\ncommand = \"false\"\nbackoff = {{ delay = 0 }}\nstartretries = {retries}\n"
        ))
    };
    let daemon = program(2).start();
    let told = "exit status 1; gave up after 2 restarts";
    assert_eq!(daemon.wait_for_state("bad", "FATAL")["description"], told);
    for retries in [5, 1, 0] {
        daemon.rewrite(&program(retries));
        daemon.ctl_well(&["update"]);
        assert_eq!(daemon.program("bad")["startretries"], retries);
        assert_eq!(daemon.program("bad")["description"], told, "startretries = {retries}");
    }
}

/// A worker that exits with 0 after each batch of work.
#[test]
fn successes_are_followed_by_another_run_without_growth_or_limit() {
    let program = "[program.worker]\ncommand = \"true\"\nrestart = \"always:1\"\nbackoff = { delay = \"20ms\" }\n";
    let daemon = Setting::supervising(program).start();
    daemon.log.wait_for_many(20, "worker", "starting");
    let worker = daemon.program("worker");
    assert_eq!(worker["failures"], 0, "{worker}");
    assert_ne!(worker["state"], "FATAL");
    let words = "restarted, next delay 20ms: a success is not counted, and restart = \"always\" restarts it";
    assert_eq!(worker["runs"][1]["verdict"], words);
}

#[test]
fn without_a_limit_restarts_continue() {
    let daemon = Setting::supervising(
        "[program.bad]\ncommand = \"false\"\nstartretries = \"unlimited\"\nbackoff = { delay = \"1ms\", max = \"1ms\" }\n",
    )
    .musterd(EVERY_RUN)
    .start();
    daemon.log.wait_for_many(100, "bad", "ended unexpectedly");
    let bad = daemon.program("bad");
    assert_eq!(bad["startretries"], serde_json::Value::Null);
    assert_eq!(bad["runs"].as_array().map_or(0, |runs| runs.len().min(20)), 20, "the last 20 are remembered");
    daemon.ctl_well(&["stop", "bad"]);
}

#[test]
fn a_run_that_was_up_long_enough_resets_the_count() {
    let program = "[program.web]\ncommand = [\"sh\", \"-c\", \"sleep 0.3; exit 1\"]\nstartsecs = 0\nstartretries = 1\n\
                   backoff = { delay = 0, reset_after = \"100ms\" }\n";
    let daemon = Setting::supervising(program).start();
    daemon.log.wait_for_many(4, "web", "starting");
    assert_ne!(daemon.state("web"), "FATAL");
}

#[test]
fn a_manual_start_resets_the_count() {
    let daemon = Setting::supervising(
        "[program.bad]\ncommand = \"false\"\nrestart = \"on-failure:1\"\nbackoff = { delay = 0 }\n",
    )
    .start();
    daemon.wait_for_state("bad", "FATAL");
    assert_eq!(daemon.ctl(&["start", "bad"]).out, "bad: ERROR (exit status 1)\n");
    daemon.log.wait_for_many(4, "bad", "starting");
    daemon.wait_for_state("bad", "FATAL");
}

#[test]
fn a_restart_under_load_leaves_no_descriptor_behind() {
    // Each run leaves a child that holds the pipes, so end of file on them is not the run's end.
    let program = "[program.web]\ncommand = [\"sh\", \"-c\", \"sleep 1000 & exit 1\"]\nstartsecs = 0\n\
                   startretries = \"unlimited\"\nbackoff = { delay = 0 }\n\
                   [program.still]\ncommand = \"sleep 1000\"\nstartsecs = 0\n";
    let daemon = Setting::supervising(program).musterd(EVERY_RUN).start();
    daemon.log.wait_for_many(20, "web", "starting");
    let descriptors = || harness::find(daemon.pid()).map_or(0, |process| process.descriptors().len());
    let before = (0..20).map(|_| descriptors()).max().unwrap_or_default();
    daemon.log.wait_for_many(220, "web", "starting");
    daemon.ctl_well(&["stop", "web"]);
    harness::wait_until("no descriptor is left over", || descriptors() <= before);
    assert_eq!(daemon.processes().len(), 1, "only the other program's process is left");
}

#[test]
fn exits_while_the_daemon_itself_was_stopped_are_not_missed_and_come_once() {
    let program =
        |number| format!("[program.p{number}]\ncommand = \"sleep 1000\"\nstartsecs = 0\nbackoff = {{ delay = 0 }}\n");
    let daemon = Setting::supervising((0..5).map(program).collect::<String>()).start();
    let pids: Vec<i32> = (0..5).map(|number| daemon.wait_for_running(&format!("p{number}"))).collect();
    let musterd = daemon.pid();
    harness::send(musterd, 19);
    harness::wait_until("the daemon is stopped", || harness::find(musterd).is_some_and(|it| it.state == 'T'));
    pids.iter().for_each(|&pid| harness::send(pid, 9));
    harness::wait_until("they are dead", || pids.iter().all(|&pid| harness::find(pid).is_none_or(|it| it.is_zombie())));
    harness::send(musterd, 18);
    for (number, old) in pids.into_iter().enumerate() {
        let name = format!("p{number}");
        assert_eq!(daemon.log.wait_for_many(2, &name, "running").len(), 2);
        assert_ne!(daemon.wait_for_running(&name), old);
    }
    let started = daemon.settled_log().iter().filter(|line| line.message == "starting").count();
    assert_eq!(started, 10, "each was started and restarted once");
}

#[test]
fn random_commands_of_four_clients_never_make_two_runs_of_a_program() {
    const PROGRAMS: usize = 4;
    // The command line names the program, so that /proc alone suffices to tell them apart.
    let program = |number| {
        format!(
            "[program.p{number}]\ncommand = [\"sleep\", \"1000{number}\"]\nstartsecs = 0\nbackoff = {{ delay = 0 }}\n"
        )
    };
    let mut daemon = Setting::supervising((0..PROGRAMS).map(program).collect::<String>()).start();
    let (is_done, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4_u64)
            .map(|seed| {
                scope.spawn({
                    let (daemon, looks) = (&daemon, &looks);
                    move || ask_at_random(daemon, seed, looks)
                })
            })
            .collect();
        let watcher = scope.spawn(|| watch(&daemon, &is_done, &looks));
        for client in clients {
            client.join().expect("a client did not panic");
        }
        is_done.store(true, Ordering::Relaxed);
        watcher.join().expect("there was never more than one process of a program");
    });
    assert_eq!(daemon.ctl(&["start", "all"]).code, Some(0));
    assert_eq!(daemon.processes().len(), PROGRAMS);
    daemon.finish();
}

/// Sends requests until there were enough of them, and the watcher has checked often enough meanwhile.
fn ask_at_random(daemon: &Daemon, seed: u64, looks: &AtomicUsize) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut next = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    let mut asked = 0;
    while asked < 125 || looks.load(Ordering::Relaxed) < 20 {
        asked += 1;
        let verb = ["start", "stop", "restart", "stop", "restart"][next(5) as usize];
        let select = ["p0", "p1", "p2", "p3", "all", "p0,p3"][next(6) as usize];
        let wait = ["", "?wait=0.02", "?wait=10"][next(3) as usize];
        let answer = daemon.client.post(&format!("/v1/programs/{select}/{verb}{wait}"));
        assert!([200, 202, 504].contains(&answer.status), "seed {seed}: {verb} {select}{wait}: {answer:?}");
        if next(10) == 0 {
            let victims = daemon.processes();
            victims.first().into_iter().for_each(|victim| harness::send(victim.pid, 9));
        }
    }
}

/// Checks until told to stop. Between fork and exec a process still has the daemon's name.
fn watch(daemon: &Daemon, is_done: &AtomicBool, looks: &AtomicUsize) {
    while !is_done.load(Ordering::Relaxed) {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        for process in daemon.processes().into_iter().filter(|it| !it.is_zombie() && it.comm == "sleep") {
            *seen.entry(process.command).or_default() += 1;
        }
        let twice: Vec<_> = seen.iter().filter(|(command, count)| **count > 1 && !command.is_empty()).collect();
        assert!(twice.is_empty(), "several processes of one program: {twice:?}\n{}", daemon.story());
        looks.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(5));
    }
}
