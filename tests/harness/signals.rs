//! Signals by number, real-time ones too.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends a signal. A process that is gone is no error: whoever waits for it will see that.
pub fn send(pid: i32, number: i32) {
    match Signal::try_from(number) {
        Ok(signal) => drop(kill(Pid::from_raw(pid), signal)),
        // nix knows no real-time signals; every shell does.
        Err(_) => {
            let script = format!("kill -{number} {pid}");
            let status = Command::new("sh").args(["-c", &script]).status().expect("there is a shell");
            assert!(status.success(), "{script}: {status}");
        }
    }
}

/// The same without any detour, for signals of which the moment counts. Whether there was such a process.
pub fn send_fast(pid: i32, signal: Signal) -> bool {
    kill(Pid::from_raw(pid), signal).is_ok()
}

/// The number of a signal.
pub fn number_of(signal: Signal) -> i32 {
    signal as i32
}

/// The command as a person at a terminal starts it. Who starts the tests with nohup(1), or in the background of a script, has
/// everybody ignore these signals.
pub fn heeding_all_signals(command: &Command) -> Command {
    let mut whole = Command::new("env");
    whole.arg("--default-signal=HUP,INT,QUIT").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    whole
}
