//! Signals: which process gets which signal.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::harness::{wait_for, wait_until};
use crate::inits::{Init, Running, is_alive, kill, wait_for_state};
use crate::puppet::telling_signals;

/// The first two cannot be caught; SIGCHLD is handled differently; and the puppet's C library reserves 32 and 33.
const NEVER: [i32; 5] = [9, 17, 19, 32, 33];
/// These stop a process attached to a terminal, an init included.
const STOPS: [i32; 3] = [20, 21, 22];
/// Signals raised by a faulty instruction. tini is killed by them.
const FAULTS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];

fn telling(init: Init, options: &[&str]) -> (Running, i32) {
    let mut command = init.with(options);
    // A terminal's stop signal does not stop an init in an orphaned process group, so its parent is outside the group.
    let running = Running::start(telling_signals(command.process_group(0)));
    let pid = running.line("ready ").parse().expect("a pid");
    (running, pid)
}

/// Sends each signal, and checks which one arrives.
fn check(init: Init, options: &[&str], sent: impl IntoIterator<Item = (i32, i32)>) {
    let (running, _) = telling(init, options);
    for (sent, expected) in sent {
        running.send(sent);
        assert_eq!(running.line("signal "), expected.to_string(), "{init:?} {options:?}, signal {sent}");
    }
}

fn ordinary() -> impl Iterator<Item = i32> {
    (1..=64).filter(|signal| !NEVER.contains(signal) && !STOPS.contains(signal))
}

#[test]
fn every_signal_reaches_the_command() {
    for options in [&[][..], &["-g"], &["--session"], &["-c"]] {
        check(Init::Own, options, ordinary().map(|signal| (signal, signal)));
    }
    for options in [&[][..], &["-c"]] {
        check(Init::Dumb, options, ordinary().map(|signal| (signal, signal)));
    }
    for options in [&["-s"][..], &["-g"]] {
        check(Init::Tini, options, ordinary().filter(|signal| !FAULTS.contains(signal)).map(|signal| (signal, signal)));
    }
}

#[test]
fn tini_is_killed_by_a_fault_and_keeps_terminal_signals_from_the_background() {
    for signal in FAULTS {
        let (mut running, pid) = telling(Init::Tini, &["-s"]);
        running.send(signal);
        assert_eq!(running.wait(), format!("signal {signal}"));
        assert!(is_alive(pid));
        kill([pid]);
    }
    check(Init::Tini, &["-s"], [(20, 20)]);
    let (running, _) = telling(Init::Tini, &["-s"]);
    running.send(21);
    running.send(22);
    running.send(1);
    assert_eq!(running.line("signal "), "1");
}

#[test]
fn signals_are_rewritten() {
    for (rewrites, sent) in [
        (&["-r", "15:2", "-r", "2:15", "-r", "3:3"][..], [(15, 2), (3, 3), (18, 18), (2, 15)]),
        (&["--rewrite=1:31", "--rewr", "31:1"], [(1, 31), (31, 1), (15, 15), (18, 18)]),
    ] {
        for mode in ["-v", "-c"] {
            let options: Vec<&str> = rewrites.iter().copied().chain([mode]).collect();
            check(Init::Dumb, &options, sent);
            check(Init::Own, &options, sent);
        }
    }
    check(Init::Own, &["-r", "TERM:QUIT", "-r", "SIGUSR1:RTMIN+3", "-r", "RTMAX:1"], [(15, 3), (10, 37), (64, 1)]);
}

#[test]
fn dropped_signals_do_not_arrive() {
    for (init, options) in [
        (Init::Dumb, &["-r", "28:0", "-r", "2:0"][..]),
        (Init::Dumb, &["-c", "-r", "28:0", "-r", "2:0"]),
        (Init::Own, &["-r", "WINCH:0", "-r", "2:0"]),
    ] {
        let (running, _) = telling(init, options);
        for signal in [28, 2, 1] {
            running.send(signal);
        }
        assert_eq!(running.line("signal "), "1", "{init:?} {options:?}");
    }
}

#[test]
fn terminal_stops_stop_the_init_too_and_in_a_session_the_command() {
    for (init, options, stops_command) in [
        (Init::Dumb, &[][..], true),
        (Init::Dumb, &["-c"], false),
        (Init::Own, &["--session"], true),
        (Init::Own, &[], false),
    ] {
        let (running, pid) = telling(init, options);
        for signal in STOPS {
            running.send(signal);
            wait_for_state(running.pid(), 'T');
            if stops_command {
                wait_for_state(pid, 'T');
            } else {
                assert_eq!(running.line("signal "), signal.to_string());
            }
            running.send(18);
            assert_eq!(running.line("signal "), "18", "{init:?} {options:?}");
            wait_for_state(running.pid(), 'S');
        }
    }
}

#[test]
fn the_default_rewrites_of_a_session_can_be_overridden() {
    for (init, options) in [(Init::Dumb, &[][..]), (Init::Own, &["--session"])] {
        let options: Vec<&str> = options.iter().copied().chain(["-r", "21:15", "-r", "22:2", "-r", "20:1"]).collect();
        let (running, _) = telling(init, &options);
        for (sent, expected) in [(21, 15), (22, 2), (20, 1)] {
            running.send(sent);
            assert_eq!(running.line("signal "), expected.to_string());
            wait_for_state(running.pid(), 'T');
            running.send(18);
            assert_eq!(running.line("signal "), "18");
        }
    }
}

/// The pids of two sleeping processes, the second a child of the first, which is the command.
fn family(running: &Running) -> (i32, i32) {
    let child = wait_for("both sleep", || {
        let below = running.below();
        below.iter().find(|one| one.command.starts_with("sleep") && one.ppid != running.pid()).map(|one| one.pid)
    });
    (crate::harness::find(child).expect("it sleeps").ppid, child)
}

const FAMILY: [&str; 4] = ["--", "sh", "-c", "sleep 1000 & wait"];

#[test]
fn signals_go_to_the_whole_group_if_requested_and_otherwise_to_the_command() {
    for (init, options, environment, whole) in [
        (Init::Own, &[][..], None, false),
        (Init::Own, &["-g"], None, true),
        (Init::Own, &[], Some(("TINI_KILL_PROCESS_GROUP", "")), true),
        (Init::Own, &["-c"], Some(("TINI_KILL_PROCESS_GROUP", "")), false),
        (Init::Own, &[], Some(("DUMB_INIT_SETSID", "1")), true),
        (Init::Own, &["--session"], Some(("DUMB_INIT_SETSID", "0")), true),
        (Init::Tini, &[], None, false),
        (Init::Tini, &["-g"], None, true),
        (Init::Tini, &[], Some(("TINI_KILL_PROCESS_GROUP", "")), true),
        (Init::Dumb, &[], None, true),
        (Init::Dumb, &["-c"], None, false),
        (Init::Dumb, &["--single-child"], None, false),
        (Init::Dumb, &[], Some(("DUMB_INIT_SETSID", "0")), false),
        (Init::Dumb, &[], Some(("DUMB_INIT_SETSID", "1")), true),
    ] {
        let mut command = init.with(options);
        command.args(FAMILY).envs(environment);
        let mut running = Running::start(&mut command);
        let (_, child) = family(&running);
        running.send(15);
        assert_eq!(running.wait(), "exit 143");
        if whole {
            wait_until(&format!("{init:?} {options:?} {environment:?}: all are gone"), || !is_alive(child));
        } else {
            assert!(is_alive(child), "{init:?} {options:?} {environment:?}: the child was spared");
            kill([child]);
        }
    }
}

#[test]
fn processes_that_outlive_the_command_in_its_session_get_term() {
    let script = "sleep 1000 & echo $!";
    for (init, options, sent_away) in [
        (Init::Dumb, &[][..], true),
        (Init::Dumb, &["-c"], false),
        (Init::Dumb, &["-r", "15:0"], false),
        (Init::Own, &["--session"], true),
        (Init::Own, &["-g"], false),
        (Init::Tini, &["-g"], false),
    ] {
        let mut running = Running::start(init.with(options).args(["--", "sh", "-c", script]));
        let child = running.line("").parse().expect("a pid");
        assert_eq!(running.wait(), "exit 0");
        if sent_away {
            wait_until(&format!("{init:?} {options:?}: it is gone"), || !is_alive(child));
        } else {
            assert!(is_alive(child), "{init:?} {options:?}");
            kill([child]);
        }
    }
}

#[test]
fn the_parents_death_is_signalled_as_requested() {
    for (init, name, number) in [(Init::Own, "USR1", "10"), (Init::Own, "RTMIN+1", "35"), (Init::Tini, "SIGUSR1", "10")]
    {
        let mut words = init.with(&["-p", name]);
        telling_signals(&mut words);
        // The parent is a shell that exits when its standard input is closed.
        let mut parent = Command::new("sh");
        parent.args(["-c", "exec 3<&0; \"$@\" </dev/null & read line <&3", "sh"]);
        parent.arg(words.get_program()).args(words.get_args());
        parent.envs(words.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let (reader, writer) = std::io::pipe().expect("a pipe can be created");
        let mut running = Running::start_reading(&mut parent, reader.into());
        let pid: i32 = running.line("ready ").parse().expect("a pid");
        let init_pid = crate::harness::find(pid).expect("it is still running").ppid;
        drop(writer);
        running.wait();
        assert_eq!(running.line("signal "), number, "{init:?}");
        kill([init_pid, pid]);
    }
}
