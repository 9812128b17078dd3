//! Descriptors: the command inherits all of them, the init keeps three.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::harness::wait_until;
use crate::inits::{Init, Running, outcome};

#[test]
fn a_pipe_that_the_command_closes_is_closed() {
    for init in [Init::Own, Init::Tini, Init::Dumb] {
        // The command closes descriptors 8 and 9 and keeps running; this shell passes them on, and reads one until it
        // is closed.
        let words = init.with(&["--"]);
        let line = crate::inits::line(&words);
        let script = format!("{line} sh -c 'echo through >&9; exec 8>&- 9>&-; exec sleep 1000' 9>&1 8>&9 >/dev/null");
        let mut shell = Command::new("sh").args(["-c", &format!("exec {script}")]).stdout(Stdio::piped()).spawn();
        let shell = shell.as_mut().expect("sh is installed");
        let mut text = String::new();
        shell.stdout.take().expect("piped").read_to_string(&mut text).expect("UTF-8");
        assert_eq!(text, "through\n", "{init:?}");
        assert!(shell.try_wait().expect("it is a child of this process").is_none(), "the init is still running");
        crate::inits::kill(
            crate::harness::everyone().values().filter(|one| one.ppid == shell.id() as i32).map(|one| one.pid),
        );
        shell.wait().expect("it is a child of this process");
    }
}

#[test]
fn the_init_keeps_the_three_standard_streams() {
    for init in [Init::Own, Init::Tini, Init::Dumb] {
        let words = init.with(&["--"]);
        // In a new session it has no terminal, whatever the tests have; with one it keeps a descriptor for it.
        let mut command = Command::new("setsid");
        command.arg(words.get_program()).args(words.get_args());
        command.envs(words.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let running = Running::start(command.args(["sh", "-c", "echo up; sleep 1000"]));
        running.line("up");
        let pid = running.pid();
        wait_until(&format!("{init:?} has closed what is the command's"), || {
            let process = crate::harness::find(pid).expect("it runs");
            process.descriptors().keys().copied().collect::<Vec<_>>() == [0, 1, 2]
        });
    }
}

#[test]
fn closed_standard_streams_do_no_harm() {
    for init in [Init::Own, Init::Tini, Init::Dumb] {
        let words = init.with(&["--"]);
        let line = crate::inits::line(&words);
        for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
            let script = format!("exec {line} sh -c 'exit 5' {closed}");
            assert_eq!(outcome(Command::new("sh").args(["-c", &script])).end, "exit 5", "{init:?} {closed}");
            let script = format!("exec {line} /does/not/exist {closed}");
            let expected = if init == Init::Dumb { "exit 2" } else { "exit 127" };
            assert_eq!(outcome(Command::new("sh").args(["-c", &script])).end, expected, "{init:?} {closed}");
        }
    }
}

#[test]
fn unwritable_output_does_not_end_the_init() {
    for (init, options) in [(Init::Own, "-vvvv"), (Init::Tini, "-vvvv"), (Init::Dumb, "-v")] {
        let words = init.with(&[options, "--"]);
        let line = crate::inits::line(&words);
        let script = format!("exec {line} sh -c 'exit 5' >/dev/full 2>&1");
        assert_eq!(outcome(Command::new("sh").args(["-c", &script])).end, "exit 5", "{init:?}");
    }
}
