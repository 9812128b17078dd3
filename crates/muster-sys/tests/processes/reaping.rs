//! No exit is lost, however many happen at once and for whatever reason.

use std::collections::HashMap;
use std::time::Instant;

use muster_spec::{Exit, Resource, Rlimit, Signal};
use muster_sys::reap::{Change, Look, Reaped, next_change, reap_next};
use muster_sys::signal::{self, Pid, Signals};
use muster_sys::spawn::{Mechanism, Spawner, Spawning};

use crate::Test;
use crate::scene::*;

pub(crate) const TESTS: &[Test] = &[
    ("twenty_thousand_instant_exits_are_all_counted", twenty_thousand),
    ("many_ends_may_come_as_one_signal", coalesced),
    ("every_signal_that_ends_a_process_is_told", every_signal),
    ("a_core_dump_is_told", core_dump),
    ("exit_statuses_are_told", statuses),
    ("stops_are_told_and_take_no_exits_place", stops),
];

fn twenty_thousand() {
    for (mechanism, count) in [(Mechanism::Copied, 5_000), (Mechanism::Shared, 15_000)] {
        many_instant_exits(mechanism, count);
    }
}

/// Sixteen spawns are in progress at any time, while other threads allocate as fast as they can: a child that touched
/// the daemon's allocator or thread-local storage would be noticed.
fn many_instant_exits(mechanism: Mechanism, count: usize) {
    let directory = directory();
    let process = program(&[instant(directory.path()).to_str().unwrap()]);
    let mut spawner = spawner();
    spawner.force_mechanism(mechanism);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let strings: Vec<String> = (0..64).map(|number| "x".repeat(number)).collect();
                assert_eq!(strings.iter().map(String::len).sum::<usize>(), 63 * 32);
                std::thread::yield_now();
            }
        });
        let begin = Instant::now();
        let mut flying: HashMap<Pid, Spawning> = HashMap::new();
        let (mut started, mut ended) = (0, 0);
        while ended < count {
            while started < count && flying.len() < 16 {
                let spawning = start(&mut spawner, &process).unwrap();
                assert!(flying.insert(spawning.pid, spawning).is_none(), "a pid was returned twice");
                started += 1;
            }
            while let Some(reaped) = reap_next().unwrap() {
                let mut spawning = flying.remove(&reaped.pid).expect("only what was started ends");
                assert_eq!(spawning.outcome_after_exit(), Ok(()), "a reaped process has an outcome");
                assert_eq!(reaped.exit, Exit::Code(42));
                ended += 1;
            }
            assert!(begin.elapsed() < PATIENCE * 6, "{ended} of {count} after {:?}", begin.elapsed());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

fn coalesced() {
    let directory = directory();
    let process = program(&[instant(directory.path()).to_str().unwrap()]);
    let (mut spawner, signals) = (spawner(), Signals::new().unwrap());
    while signals.next().unwrap().is_some() {}
    let flying: Vec<Spawning> = (0..100).map(|_| start(&mut spawner, &process).unwrap()).collect();
    // Wait until all are zombies without reaping one.
    until("all have ended", || flying.iter().all(|spawning| state(spawning.pid) == Some('Z')).then_some(()));
    let mut signal_count = 0;
    while let Some(received) = signals.next().unwrap() {
        assert_eq!(received.signal, Signal::CHLD);
        signal_count += 1;
    }
    assert_eq!(signal_count, 1);
    let mut reaped = 0;
    while reap_next().unwrap().is_some() {
        reaped += 1;
    }
    assert_eq!(reaped, 100);
}

/// As /proc shows it: R, S, D, T, Z …
pub(crate) fn state(pid: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

fn sleeping(spawner: &mut Spawner) -> Spawning {
    let mut process = program(&["/bin/sleep", "1000"]);
    process.rlimits = vec![Rlimit { resource: Resource::Core, soft: Some(0), hard: Some(0) }];
    let mut spawning = start(spawner, &process).unwrap();
    until("it is executed", || spawning.outcome()).unwrap();
    spawning
}

fn every_signal() {
    // Signals that do not end a process: CHLD, CONT, URG, WINCH are ignored, four stop.
    let survived = [17, 18, 19, 20, 21, 22, 23, 28];
    let mut spawner = spawner();
    for number in (1..=64).filter(|number| !survived.contains(number)) {
        let signal = Signal::from_number(number).unwrap();
        let spawning = sleeping(&mut spawner);
        signal::send(spawning.pid, signal).unwrap();
        let exit = wait_for(spawning.pid);
        assert_eq!(exit, Exit::Signal { signal, core_dumped: false }, "signal {number}");
    }
    // The group of a child is its own.
    let spawning = sleeping(&mut spawner);
    signal::send_group(spawning.pid, Signal::TERM).unwrap();
    assert_eq!(wait_for(spawning.pid), Exit::Signal { signal: Signal::TERM, core_dumped: false });
}

fn stops() {
    let mut spawner = spawner();
    let sleepers: Vec<Pid> = (0..20).map(|_| sleeping(&mut spawner).pid).collect();
    let (killed, continued) = sleepers.split_at(10);
    let tell = |pids: &[Pid], signal| pids.iter().for_each(|&pid| signal::send(pid, signal).unwrap());
    let mut told = Vec::new();
    let mut collect = |count: usize| {
        told.clear();
        until("all have changed", || {
            while let Look::Changed(change) = next_change().unwrap() {
                told.push(change);
            }
            (told.len() >= count).then_some(())
        });
        told.clone()
    };
    tell(&sleepers, Signal::STOP);
    let stopped = collect(20);
    let is_stop =
        |change: &Change| matches!(change, Change::Stopped { signal: Signal::STOP, pid } if sleepers.contains(pid));
    assert!(stopped.len() == 20 && stopped.iter().all(is_stop), "{stopped:?}");
    // Continued and stopped again before anyone looks: the last of both is reported, once.
    tell(continued, Signal::CONT);
    tell(continued, Signal::STOP);
    until("all are stopped", || continued.iter().all(|&pid| state(pid) == Some('T')).then_some(()));
    let again = collect(10);
    assert!(
        again.len() == 10 && again.iter().all(|change| matches!(change, Change::Stopped { signal: Signal::STOP, .. }))
    );
    tell(killed, Signal::KILL);
    tell(continued, Signal::CONT);
    let changes = collect(20);
    for &pid in killed {
        let exit = Exit::Signal { signal: Signal::KILL, core_dumped: false };
        assert!(changes.contains(&Change::Exited(Reaped { pid, exit })), "{changes:?}");
    }
    for &pid in continued {
        assert!(changes.contains(&Change::Continued { pid }), "{changes:?}");
        // The plain form reports no stop, and leaves none behind for an exit to wait for.
        signal::send(pid, Signal::STOP).unwrap();
        until("it is stopped", || (state(pid) == Some('T')).then_some(()));
        assert_eq!(reap_next().unwrap(), None);
        signal::send(pid, Signal::KILL).unwrap();
        wait_for(pid);
    }
    assert_eq!(next_change().unwrap(), Look::Childless);
}

fn core_dump() {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.starts_with(['|', '@', '/']) || pattern.trim().is_empty() {
        return skipped("the core flag", "core dumps go elsewhere on this machine");
    }
    let directory = directory();
    let mut process = program(&["/bin/sleep", "1000"]);
    process.directory = Some(directory.path().to_owned());
    process.rlimits = vec![Rlimit { resource: Resource::Core, soft: Some(1 << 30), hard: Some(1 << 30) }];
    let mut spawner = spawner();
    let mut spawning = start(&mut spawner, &process).unwrap();
    match until("it is executed", || spawning.outcome()) {
        Err(error) if error.errno == libc::EPERM => {
            wait_for(spawning.pid);
            skipped("the core flag", "the hard limit forbids core dumps")
        }
        outcome => {
            outcome.unwrap();
            signal::send(spawning.pid, Signal::QUIT).unwrap();
            assert_eq!(wait_for(spawning.pid), Exit::Signal { signal: Signal::QUIT, core_dumped: true });
        }
    }
}

fn statuses() {
    let mut spawner = spawner();
    for status in [0, 1, 127, 128, 200, 255] {
        let (_, exit) = run(&mut spawner, &program(&["/bin/sh", "-c", &format!("exit {status}")])).unwrap();
        assert_eq!(exit, Exit::Code(status));
    }
}
