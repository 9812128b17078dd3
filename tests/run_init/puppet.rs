//! Commands for the inits: the test binary itself, with its part in an environment variable.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::SignalFd;

use crate::inits::wait_for_state;

const PART: &str = "MUSTER_RUN_TEST_PART";
const WORDS: &str = "MUSTER_RUN_TEST_WORDS";

/// Makes the init run a process that prints `ready PID`, and then `signal N` for each signal it gets.
pub(crate) fn telling_signals(init: &mut Command) -> &mut Command {
    play(init.arg("--"), "signals")
}

/// A process that executes this command while it has a zombie child.
pub(crate) fn with_a_zombie(command: &Command) -> Command {
    let words: Vec<&str> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_str().expect("the tests' words are UTF-8"))
        .collect();
    let mut outer = Command::new("env");
    play(&mut outer, "zombie").env(WORDS, words.join("\n"));
    outer
}

fn play<'a>(init: &'a mut Command, part: &str) -> &'a mut Command {
    let this = std::env::current_exe().expect("/proc/self/exe can be read");
    init.arg(this).args(["--exact", "puppet::a_part_is_played", "--test-threads=1", "--nocapture"]).env(PART, part)
}

#[test]
fn a_part_is_played() {
    match std::env::var(PART).as_deref() {
        Err(_) => {}
        Ok("signals") => block_signals(),
        Ok("blocked-signals") => tell_signals(),
        Ok("zombie") => leave_a_zombie(),
        Ok(part) => panic!("there is no such part: {part}"),
    }
}

#[expect(clippy::zombie_processes, reason = "a zombie is what the test is about")]
fn leave_a_zombie() -> ! {
    let child = Command::new("true").spawn().expect("there is true");
    wait_for_state(child.id() as i32, 'Z');
    let words = std::env::var(WORDS).expect("they come with the part");
    let mut words = words.split('\n');
    let mut command = Command::new(words.next().expect("a program"));
    panic!("{}", command.args(words).exec());
}

/// Executes itself again with every signal blocked: a signal for the process goes to any thread that does not block it,
/// and the test runner has already created one.
fn block_signals() -> ! {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).expect("blocking signals cannot fail");
    let mut arguments = std::env::args_os();
    let mut again = Command::new(arguments.next().expect("the program's name"));
    panic!("{}", again.args(arguments).env(PART, "blocked-signals").exec());
}

fn tell_signals() -> ! {
    let signals = SignalFd::new(&SigSet::all()).expect("a descriptor is available");
    say(&format!("\nready {}", std::process::id()));
    loop {
        if let Ok(Some(signal)) = signals.read_signal() {
            say(&format!("signal {}", signal.ssi_signo));
        }
    }
}

fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("the reader is open");
}
