//! `--grace`: processes that are left get TERM, then KILL, and none outlives the init.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::harness::{can_enclose, enclosed, skip, wait_until};
use crate::inits::{Init, Running, is_alive};

/// A script that ignores TERM, prints a line, and keeps running for a long time.
const DEAF: &str = "trap '' TERM; echo deaf; while :; do sleep 1; done";

#[test]
fn processes_that_outlive_the_command_get_term_and_the_grace_time() {
    let script = "(trap 'sleep 0.2; echo bye; exit' TERM; echo up; while :; do sleep 0.02; done) & \
                  read line; exit 3";
    let (reader, mut writer) = std::io::pipe().expect("a pipe can be created");
    let mut command = Init::Own.with(&["--grace", "1000s", "sh", "-c", script]);
    let mut running = Running::start_reading(&mut command, reader.into());
    running.line("up");
    writer.write_all(b"go\n").expect("the reader is open");
    assert_eq!(running.wait(), "exit 3");
    assert_eq!(running.line(""), "bye");
}

#[test]
fn processes_that_remain_are_killed_after_the_grace_time() {
    // One ignores TERM, one does so in a session of its own, one is stopped.
    let script = format!("sh -c \"{DEAF}\" & setsid sh -c \"{DEAF}\" & sleep 1000 & kill -STOP $!; echo all; wait");
    let mut running = Running::start(&mut Init::Own.with(&["--grace", "300ms", "sh", "-c", &script]));
    (0..3).for_each(|_| drop(running.line("")));
    let below: Vec<i32> = running.below().iter().map(|process| process.pid).collect();
    assert!(below.len() >= 4, "{below:?}");
    let began = Instant::now();
    running.send(15);
    assert_eq!(running.wait(), "exit 143");
    assert!(began.elapsed() >= Duration::from_millis(300));
    let left: Vec<i32> = below.into_iter().filter(|&pid| is_alive(pid)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_command_that_ignores_term_is_killed_when_time_is_up() {
    let mut running = Running::start(&mut Init::Own.with(&["--grace=200ms", "sh", "-c", DEAF]));
    running.line("deaf");
    let began = Instant::now();
    running.send(15);
    assert_eq!(running.wait(), "exit 137");
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_command_without_leftovers_needs_no_grace_time() {
    let began = Instant::now();
    let mut running = Running::start(&mut Init::Own.with(&["--grace", "1000s", "true"]));
    assert_eq!(running.wait(), "exit 0");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn as_pid_1_the_whole_namespace_is_signalled() {
    if !can_enclose() {
        return skip("no pid namespace can be made here");
    }
    let script =
        "setsid sh -c 'trap \"echo bye; exit\" TERM; echo up; while :; do sleep 0.02; done' & read line; exit 5";
    let words = Init::Own.with(&["--grace", "1000s", "sh", "-c", script]);
    let (reader, mut writer) = std::io::pipe().expect("a pipe can be created");
    let mut running = Running::start_reading(enclosed(words.get_program()).args(words.get_args()), reader.into());
    running.line("up");
    writer
        .write_all(
            b"go
",
        )
        .expect("the reader is open");
    assert_eq!(running.wait(), "exit 5");
    assert_eq!(running.line(""), "bye");
}

#[test]
fn processes_outside_are_not_touched() {
    let mut witness = std::process::Command::new("sleep").arg("1000").spawn().expect("there is sleep");
    let mut running = Running::start(&mut Init::Own.with(&["--grace", "0", "sh", "-c", "sleep 1000 & echo $!"]));
    let child: i32 = running.line("").parse().expect("a pid");
    assert_eq!(running.wait(), "exit 0");
    wait_until("what was left is gone", || !is_alive(child));
    assert!(witness.try_wait().expect("it is a child of this process").is_none());
    witness.kill().and_then(|()| witness.wait()).expect("it is a child of this process");
}
