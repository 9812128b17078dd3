//! A daemon in the background: what its caller sees, and what it has.

use std::fs;
use std::process::{Command, ExitCode, Output};
use std::time::Duration;

use muster_spec::Signal;
use muster_sys::background;
use muster_sys::signal::{Pid, send};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("a_daemon_in_the_background_lets_its_caller_go_when_it_is_up", is_up),
    ("a_daemon_that_fails_before_it_is_up_passes_its_exit_code_on", fails),
    ("a_process_with_several_threads_does_not_go_into_the_background", has_threads),
];

fn started(how: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    // Returns once all its streams are closed.
    Command::new(program).args(["--inner", "background", how]).output().unwrap()
}

/// The other side: a process that goes into the background.
pub(crate) fn inner(how: &str) -> ExitCode {
    muster_sys::boot::take_signals();
    if how == "threads" {
        std::thread::spawn(|| std::thread::sleep(Duration::from_secs(60)));
        return if background::enter().is_err() { ExitCode::from(3) } else { ExitCode::SUCCESS };
    }
    let mut background = background::enter().unwrap();
    let streams = (0..3).map(|number| fs::read_link(format!("/proc/self/fd/{number}")).unwrap());
    let streams: Vec<String> = streams.map(|path| path.display().to_string()).collect();
    // SAFETY: asks only.
    let session = unsafe { libc::getsid(0) };
    background.complain(&format!("{} {session} {}", Pid::this(), streams.join(" ")));
    if how == "fails" {
        return ExitCode::from(7);
    }
    background.report_up();
    std::thread::sleep(Duration::from_secs(60));
    ExitCode::from(1)
}

fn is_up() {
    let output = started("up");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words[2..], ["/dev/null"; 3], "{said}");
    assert_eq!(words[0], words[1], "it leads its session: {said}");
    // It is alive, although nothing waits for it.
    send(Pid(words[0].parse().unwrap()), Signal::KILL).unwrap();
}

fn fails() {
    let output = started("fails");
    assert_eq!(output.status.code(), Some(7));
    assert!(String::from_utf8(output.stderr).unwrap().contains("/dev/null"));
}

fn has_threads() {
    assert_eq!(started("threads").status.code(), Some(3));
}
