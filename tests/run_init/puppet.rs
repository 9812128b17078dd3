//! Commands for the inits: the test binary itself, with a part to play in its environment.

use std::io::Write;
use std::process::Command;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::SignalFd;

const PART: &str = "MUSTER_RUN_TEST_PART";

/// Lets the init run a process that says `signal N` for each signal it gets, once it has said `ready PID`.
pub(crate) fn telling_signals(init: &mut Command) -> &mut Command {
    play(init, "signals")
}

fn play<'a>(init: &'a mut Command, part: &str) -> &'a mut Command {
    let this = std::env::current_exe().expect("/proc/self/exe can be read");
    init.arg(this).args(["--exact", "puppet::a_part_is_played", "--test-threads=1", "--nocapture"]).env(PART, part)
}

#[test]
fn a_part_is_played() {
    if std::env::var(PART).is_ok() {
        tell_signals();
    }
}

fn tell_signals() -> ! {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).expect("blocking signals cannot fail");
    let signals = SignalFd::new(&SigSet::all()).expect("a descriptor is left");
    say(&format!("\nready {}", std::process::id()));
    loop {
        if let Ok(Some(signal)) = signals.read_signal() {
            say(&format!("signal {}", signal.ssi_signo));
        }
    }
}

fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("somebody reads");
}
