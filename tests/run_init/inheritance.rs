//! The command's environment: the same as without an init.

use std::process::Command;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use crate::harness::skip;
use crate::inits::{Init, Outcome, outcome};

/// The words of a shell that ignores these signals and executes the command that follows.
const IGNORING: [&str; 3] = ["sh", "-c", "trap '' CHLD PIPE INT TTOU; exec \"$@\""];

/// Runs `init` (or nothing) with `cat /proc/self/status` as its command, from a process that ignores and blocks some
/// signals.
fn signals_found(init: Option<Command>) -> Vec<String> {
    let mut command = Command::new(IGNORING[0]);
    command.args(&IGNORING[1..]).arg("sh");
    if let Some(init) = &init {
        command.arg(init.get_program()).args(init.get_args());
    }
    command.args(["cat", "/proc/self/status"]);
    let blocked: SigSet = [Signal::SIGTTIN, Signal::SIGILL, Signal::SIGTERM, Signal::SIGUSR1].into_iter().collect();
    let mut before = SigSet::empty();
    // A child inherits the signal mask of the thread that creates it.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&blocked), Some(&mut before)).expect("blocking cannot fail");
    let outcome = outcome(&mut command);
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None).expect("blocking cannot fail");
    assert_eq!(outcome.end, "exit 0", "{outcome:?}");
    let is_about_signals = |line: &&str| line.starts_with("SigBlk") || line.starts_with("SigIgn");
    outcome.stdout.lines().filter(is_about_signals).map(str::to_owned).collect()
}

#[test]
fn ignored_and_blocked_signals_are_exactly_those_that_were() {
    let without = signals_found(None);
    assert_eq!(without[0], "SigBlk:\t0000000000104208");
    assert!(without[1].starts_with("SigIgn:\t"));
    for init in [Init::Own.with(&[]), Init::Own.with(&["--session"]), Init::Tini.with(&["-s"])] {
        assert_eq!(signals_found(Some(init)), without);
    }
}

#[test]
fn dumb_init_takes_all_of_it_away() {
    for options in [&[][..], &["-c"]] {
        let found = signals_found(Some(Init::Dumb.with(options)));
        assert_eq!(found[0], "SigBlk:\t0000000000000000");
        // dumb-init does not handle signals from 32 on, and glibc ignores two of them when it starts processes.
        let ignored = found[1].strip_prefix("SigIgn:\t").and_then(|mask| u64::from_str_radix(mask, 16).ok());
        assert_eq!(ignored.map(|mask| mask & 0x7fff_ffff), Some(0), "{}", found[1]);
    }
}

/// Both originals hang or worse here: without SIGCHLD there is no exit status.
#[test]
fn children_that_are_ignored_at_the_start_are_reaped_all_the_same() {
    for init in [Init::Own.with(&["--"]), Init::Tini.with(&["-s", "--"]), Init::Dumb.with(&["--"])] {
        let mut command = Command::new(IGNORING[0]);
        command.args(&IGNORING[1..]).arg("sh").arg(init.get_program()).args(init.get_args());
        assert_eq!(outcome(command.args(["sh", "-c", "exit 9"])).end, "exit 9");
    }
}

fn shell(init: Init, options: &[&str], script: &str) -> Outcome {
    let mut command = init.with(options);
    outcome(command.args(["--", "sh", "-c", script]))
}

#[test]
fn the_environment_passes_through_untouched() {
    for init in [Init::Own, Init::Tini, Init::Dumb] {
        let mut command = init.with(&["--", "sh", "-c", "printf '%s|%s' \"$ODD\" \"$TINI_VERBOSITY\""]);
        command.env("ODD", "a=b\nc ").env("TINI_VERBOSITY", "0");
        assert_eq!(outcome(&mut command).stdout, "a=b\nc |0", "{init:?}");
    }
}

#[test]
fn sockets_meant_for_the_init_are_the_commands() {
    let script = "echo \"$$\"; exec printf '%s' \"$LISTEN_PID\"";
    // The shell becomes the init, so the number is the init's.
    let become_init = format!("LISTEN_PID=$$ exec '{}' run -- sh -c '{script}'", crate::harness::musterd());
    let told = outcome(Command::new("sh").args(["-c", &become_init])).stdout;
    let (own, listener) = told.split_once('\n').expect("two lines");
    assert_eq!(own, listener);
    let others = outcome(Command::new("sh").args(["-c", &become_init.replacen("$$", "1", 1)])).stdout;
    assert!(others.ends_with("\n1"), "the sockets of other processes keep their owner: {others}");
}

#[test]
fn the_command_stays_where_it_was_started_and_the_init_does_not() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let expected = directory.path().canonicalize().expect("it exists");
    for (init, inits) in [(Init::Own, "/"), (Init::Dumb, "/"), (Init::Tini, expected.to_str().expect("UTF-8"))] {
        // The init changes directory right after the fork, so it gets the time that a command needs.
        let script = "pwd; n=0; while [ \"$(readlink /proc/$PPID/cwd)\" != \"$0\" ] && [ $n -lt 2000 ]; do n=$((n+1)); \
                      done; readlink /proc/$PPID/cwd";
        let mut command = init.with(&["--", "sh", "-c", script, inits]);
        let told = outcome(command.current_dir(&expected)).stdout;
        assert_eq!(told, format!("{}\n{inits}\n", expected.display()), "{init:?}");
    }
}

#[test]
fn the_command_gets_the_requested_session_and_group() {
    // Own pid, group and session of the command, and those of its parent, the init.
    let script = "set -- $(cat /proc/$$/stat) $(cat /proc/$PPID/stat); echo $1 $5 $6; shift 52; echo $1 $5 $6";
    if shell(Init::Own, &[], script).stdout.lines().count() != 2 {
        return skip("/proc/PID/stat has not the 52 fields that this test counts");
    }
    let places = |init: Init, options: &[&str]| {
        let told = shell(init, options, script).stdout;
        let numbers: Vec<Vec<i32>> = told
            .lines()
            .map(|line| line.split(' ').map(|number| number.parse().expect("a number")).collect())
            .collect();
        let (command, init) = (&numbers[0], &numbers[1]);
        (command[1] == command[0], command[1] == init[1], command[2] == command[0], command[2] == init[2])
    };
    let (group, session, same) = ((true, false, false, true), (true, false, true, false), (false, true, false, true));
    for (init, options, expected) in [
        (Init::Own, &[][..], group),
        (Init::Own, &["-g"], group),
        (Init::Own, &["-c"], group),
        (Init::Own, &["--session"], session),
        (Init::Tini, &[], group),
        (Init::Dumb, &[], session),
        (Init::Dumb, &["-c"], same),
    ] {
        assert_eq!(places(init, options), expected, "{init:?} {options:?}");
    }
}
