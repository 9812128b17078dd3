//! How long a spawn takes, from the call to the reaping of a tiny program, with all of musterd's steps: a session,
//! default signals, limits, a status pipe. `compare.sh` beside this file compares it with a bare loop in C.
//!
//! `spawn copied|shared|waiting COUNT BALLAST_MB PROGRAM` prints microseconds per process: elapsed time, processor time
//! including the children's, and time in the call alone.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use muster_spec::{Exit, ProcessSpec};
use muster_sys::limits::OriginalLimits;
use muster_sys::reap::reap_next;
use muster_sys::signal::Pid;
use muster_sys::spawn::{Launch, Mechanism, Spawner, Stdio};

fn main() {
    muster_sys::boot::take_signals();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [mode, count, ballast, program] = arguments.as_slice() else {
        println!("usage: spawn copied|shared|waiting COUNT BALLAST_MB PROGRAM; better: benches/compare.sh");
        return;
    };
    let mechanism = match mode.as_str() {
        "copied" => Mechanism::Copied,
        "shared" => Mechanism::Shared,
        _ => Mechanism::SharedWaiting,
    };
    let ballast = vec![1_u8; ballast.parse::<usize>().unwrap() << 20];
    let count = count.parse().unwrap();
    let (total, calls) = measure(mechanism, count, program);
    println!("{total:.1} {:.1} {calls:.1}", cpu() / f64::from(count));
    std::hint::black_box(ballast);
}

fn measure(mechanism: Mechanism, count: u32, program: &str) -> (f64, f64) {
    let environment = std::env::vars_os().collect();
    let mut spawner = Spawner::new(environment, OriginalLimits::current().unwrap(), 0o022).unwrap();
    spawner.force_mechanism(mechanism);
    let process = instant(program);
    let markers = [("MUSTER_PROGRAM", "web"), ("MUSTER_INSTANCE", "0"), ("MUSTER_RUN", "1")];
    let launch = Launch {
        process: &process,
        secrets: &[],
        markers: &markers,
        own_pid: [None; 2],
        tag: None,
        stdout: Stdio::Null,
        stderr: Stdio::Null,
        passed: &[],
    };
    let (begin, mut calls) = (Instant::now(), Duration::ZERO);
    for _ in 0..count {
        let call = Instant::now();
        let mut spawning = spawner.spawn(&launch).unwrap();
        calls += call.elapsed();
        wait_for_end(spawning.pid);
        let reaped = reap_next().unwrap().unwrap();
        assert_eq!((reaped.pid, reaped.exit), (spawning.pid, Exit::Code(42)));
        spawning.outcome().unwrap().unwrap();
    }
    let each = |span: Duration| span.as_secs_f64() * 1e6 / f64::from(count);
    (each(begin.elapsed()), each(calls))
}

/// The processor time of this process and of all children it has reaped, in microseconds.
fn cpu() -> f64 {
    let of = |who| {
        // SAFETY: all-zero bytes are a valid rusage, and getrusage fills one.
        let used = unsafe {
            let mut used: libc::rusage = std::mem::zeroed();
            assert_eq!(libc::getrusage(who, &mut used), 0);
            used
        };
        [used.ru_utime, used.ru_stime].map(|time| time.tv_sec as f64 * 1e6 + time.tv_usec as f64).iter().sum::<f64>()
    };
    of(libc::RUSAGE_SELF) + of(libc::RUSAGE_CHILDREN)
}

/// Sleeps until the child has exited, and leaves reaping to the daemon's code.
fn wait_for_end(pid: Pid) {
    // SAFETY: all-zero bytes are a valid siginfo_t, and waitid writes one.
    let ended = unsafe {
        let mut about: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid.0 as libc::id_t, &mut about, libc::WEXITED | libc::WNOWAIT)
    };
    assert_eq!(ended, 0);
}

fn instant(program: &str) -> ProcessSpec {
    ProcessSpec { environment: vec![("PORT".into(), "8080".into())], ..ProcessSpec::of(vec![program.to_owned()]) }
}
