//! The cost of trees: the check after an exit, the scan before a stop, signals, the end of a whole tree.
//!
//! `cargo run --release -p muster-sys --example trees_cost`. Figures are medians of the daemon's own cpu time, so that a
//! busy machine does not blur them; single operations are also shown in elapsed time.

use std::time::Duration;

use muster_spec::{RunId, Signal, SignalScope};
use muster_sys::reap::reap_next;
use muster_sys::signal::Pid;
use muster_sys::tree::Trees;

fn main() {
    muster_sys::boot::become_subreaper().expect("every process may adopt its orphans");
    for others in [10, 100, 1000] {
        with_others(others);
    }
    batch(1000);
    for (tree, script) in [
        (1, "exec sleep 1000"),
        (3, "sleep 1000 & setsid sleep 1000 & wait"),
        (201, "i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; wait"),
        (202, "i=0; while [ $i -lt 201 ]; do setsid sleep 1000 & i=$((i+1)); done; wait"),
    ] {
        end_of_a_tree(tree, script);
    }
}

/// One program ends while that many others are running.
fn with_others(others: u64) {
    let mut trees = Trees::new();
    let runs: Vec<RunId> = (0..others).map(|number| begin(&mut trees, number, "exec sleep 1000", true)).collect();
    let untagged = begin(&mut trees, others, "exec sleep 1000", false);
    let ended = begin(&mut trees, others + 1, "exit 0", true);
    wait_for_end(&mut trees);
    let row = |what: &str, took: Duration| println!("{others:>5} programs  {what:<44} {:>9.2} us", microseconds(took));
    row("gone: one ended, nothing left", median(|| assert_eq!(trees.gone(&[ended]), [ended])));
    row("look: no new orphan", median(|| trees.look()));
    row("observe: a program with its tag", median(|| trees.observe(runs[0])));
    row("observe: a program without", median(|| trees.observe(untagged)));
    row("stop: a signal to the main process", median(|| drop(trees.stop(runs[0], Signal::CONT, SignalScope::Main))));
    row("signal: CONT to the groups", median(|| drop(trees.signal(runs[0], Signal::CONT, SignalScope::Group))));
    row("signal: CONT to the tree", median(|| drop(trees.signal(runs[0], Signal::CONT, SignalScope::Tree))));
    let all = runs.iter().copied().chain([untagged]).collect::<Vec<_>>();
    let (elapsed, started) = (std::time::Instant::now(), cpu_time());
    trees.signal_all(&all, Signal::KILL, SignalScope::Tree).expect("the test owns them");
    row("signal_all: KILL to all trees, in all", cpu_time() - started);
    row("  the same, elapsed", elapsed.elapsed());
    reap_all(&mut trees);
    assert_eq!(trees.gone(&all).len(), all.len());
}

/// This many programs end in the same wake-up.
fn batch(count: u64) {
    let mut trees = Trees::new();
    let runs: Vec<RunId> = (0..count).map(|number| begin(&mut trees, number, "exit 0", true)).collect();
    reap_all(&mut trees);
    let took = median(|| assert_eq!(trees.gone(&runs).len(), runs.len()));
    println!("{count:>5} programs  {:<44} {:>9.2} us", "gone: all ended in one batch, in all", microseconds(took));
}

fn end_of_a_tree(size: usize, script: &str) {
    let mut trees = Trees::new();
    let run = begin(&mut trees, 1, script, true);
    let is_ready = |trees: &mut Trees| {
        let processes = trees.processes(run);
        processes.len() == size
            && processes.iter().filter(|process| process.command == "sleep 1000").count() + 1 >= size
    };
    while !is_ready(&mut trees) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let (elapsed, started) = (std::time::Instant::now(), cpu_time());
    let sent = trees.signal(run, Signal::KILL, SignalScope::Tree).expect("the test owns them");
    let (took, elapsed_then) = (cpu_time() - started, elapsed.elapsed());
    assert_eq!(sent.count, size, "all in one call");
    reap_all(&mut trees);
    assert_eq!(trees.gone(&[run]), [run]);
    let (cpu, wall, all) = (microseconds(took), microseconds(elapsed_then), microseconds(elapsed.elapsed()));
    println!(
        "{size:>5} processes KILL to their tree: {cpu:.2} us of cpu, {wall:.2} us elapsed, {all:.2} us until all were reaped"
    );
}

fn begin(trees: &mut Trees, number: u64, script: &str, tagged: bool) -> RunId {
    let run = RunId(number);
    let tag = trees.tag(run).and_then(|tag| tag.hard).filter(|_| tagged);
    let script = std::ffi::CString::new(script).expect("there is no NUL in it");
    // SAFETY: one thread; every pointer is to something that lives through its call; the child ends in exec or _exit.
    let leader = unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::setsid();
            if let Some(tag) = tag {
                libc::setrlimit64(libc::RLIMIT_LOCKS, &libc::rlimit64 { rlim_cur: tag, rlim_max: tag });
            }
            let arguments = [c"sh".as_ptr(), c"-c".as_ptr(), script.as_ptr(), std::ptr::null()];
            libc::execv(c"/bin/sh".as_ptr(), arguments.as_ptr());
            libc::_exit(127);
        }
        pid
    };
    trees.begin(run, Pid(leader), format!("cost-{run}"));
    run
}

fn wait_for_end(trees: &mut Trees) {
    loop {
        if let Some(reaped) = reap_next().expect("this is the only waiter") {
            return trees.reaped(reaped.pid);
        }
        std::thread::yield_now();
    }
}

/// Waits until there is no child left.
fn reap_all(trees: &mut Trees) {
    // SAFETY: a null pointer is allowed, and WNOWAIT leaves the child to the reaper.
    while unsafe { libc::waitid(libc::P_ALL, 0, std::ptr::null_mut(), libc::WEXITED | libc::WNOWAIT) } == 0 {
        while let Some(reaped) = reap_next().expect("this is the only waiter") {
            trees.reaped(reaped.pid);
        }
    }
}

fn median(mut what: impl FnMut()) -> Duration {
    let mut took: Vec<Duration> = (0..51)
        .map(|_| {
            let started = cpu_time();
            what();
            cpu_time() - started
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}

fn cpu_time() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` has room for what is written.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
