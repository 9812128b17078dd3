//! The first milliseconds: no signal may be lost, at whatever stage the command's start is.

use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{PATIENCE, can_enclose, enclosed, send_fast, skip, wait_until};
use crate::inits::{Init, end, is_alive};

const ROUNDS: u32 = 250;

/// Delays that cover the first three milliseconds, in an order without a pattern.
fn delay(round: u32) -> Duration {
    Duration::from_micros(u64::from(round * 1_103 % 3_001))
}

/// Waits for a moment, as precisely as this process can.
fn spin(duration: Duration) {
    let began = Instant::now();
    while began.elapsed() < duration {
        std::hint::spin_loop();
    }
}

/// Starts the init, sends TERM after this delay, and returns how it ended.
fn term_after(init: Init, options: &[&str], delay: Duration) -> String {
    let mut command = init.with(options);
    command.args(["--", "sleep", "1000"]).stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("it can be executed");
    spin(delay);
    assert!(send_fast(child.id() as i32, Signal::SIGTERM));
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is a child of this process") {
            return end(status);
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return "lost".to_owned();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Before it has executed or blocked signals, TERM kills the init as it does any process; afterwards it kills the
/// command.
fn check(init: Init, options: &[&str]) {
    for round in 0..ROUNDS {
        let end = term_after(init, options, delay(round));
        assert!(["signal 15", "exit 143"].contains(&end.as_str()), "{init:?} {options:?}, {:?}: {end}", delay(round));
    }
}

#[test]
fn no_term_is_lost_by_run() {
    check(Init::Own, &[]);
}

#[test]
fn no_term_is_lost_by_run_with_a_group() {
    check(Init::Own, &["-g"]);
}

#[test]
fn no_term_is_lost_by_run_with_a_session() {
    check(Init::Own, &["--session"]);
}

#[test]
fn no_term_is_lost_by_tini() {
    check(Init::Tini, &["-s", "-g"]);
}

#[test]
fn no_term_is_lost_by_dumb_init() {
    check(Init::Dumb, &[]);
    check(Init::Dumb, &["-c"]);
}

/// The kernel discards signals to PID 1 before it has blocked them, so the clock starts then: no later signal may be
/// lost, whether or not the command exists yet.
#[test]
fn as_pid_1_no_term_is_lost_from_the_moment_signals_are_held_back() {
    if !can_enclose() {
        return skip("no pid namespace can be made here");
    }
    for round in (0..ROUNDS).step_by(5) {
        for (init, options) in [(Init::Own, &["-g"][..]), (Init::Tini, &["-g"]), (Init::Dumb, &[])] {
            let words = init.with(options);
            let mut command = enclosed(words.get_program());
            command.args(words.get_args()).args(["--", "sleep", "1000"]).stdin(Stdio::null()).stderr(Stdio::null());
            let mut outer = command.spawn().expect("unshare can be executed");
            let pid = holding_child(outer.id() as i32);
            spin(delay(round));
            send_fast(pid, Signal::SIGTERM);
            wait_until(&format!("{init:?} {:?}: the init has ended", delay(round)), || !is_alive(pid));
            let _ = outer.kill();
            outer.wait().expect("it is a child of this process");
        }
    }
}

/// The child of this process, as soon as it blocks TERM or has a child of its own: while it waits for a signal, the
/// kernel shows none as blocked. Polls without a pause, since milliseconds count.
fn holding_child(parent: i32) -> i32 {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        // Until it executes the init, it is another unshare, which blocks TERM for a while, too.
        if let Some(&pid) = children(parent).first()
            && crate::harness::find(pid).is_some_and(|child| child.comm != "unshare")
            && (blocks_term(pid) || !children(pid).is_empty())
        {
            return pid;
        }
    }
    panic!("the init never blocked a signal");
}

fn children(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn blocks_term(pid: i32) -> bool {
    let blocked = crate::harness::find(pid).and_then(|process| process.status("SigBlk")).unwrap_or_default();
    u64::from_str_radix(&blocked, 16).is_ok_and(|blocked| blocked & (1 << 14) != 0)
}
