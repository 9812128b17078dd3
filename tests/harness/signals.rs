//! Signals by number, including real-time signals.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends a signal. It is no error if the process is gone: the caller will notice when waiting for it.
pub fn send(pid: i32, number: i32) {
    match Signal::try_from(number) {
        Ok(signal) => drop(kill(Pid::from_raw(pid), signal)),
        // nix does not support real-time signals; every shell does.
        Err(_) => {
            let script = format!("kill -{number} {pid}");
            let status = Command::new("sh").args(["-c", &script]).status().expect("sh is installed");
            assert!(status.success(), "{script}: {status}");
        }
    }
}

/// Sends a signal without that fallback, for cases where timing matters. Returns whether the process existed.
pub fn send_fast(pid: i32, signal: Signal) -> bool {
    kill(Pid::from_raw(pid), signal).is_ok()
}

/// The number of a signal.
pub fn number_of(signal: Signal) -> i32 {
    signal as i32
}

/// Runs the command as if started at a terminal. If the tests are started with nohup(1) or in the background of a
/// script, child processes inherit that these signals are ignored.
pub fn heeding_all_signals(command: &Command) -> Command {
    let mut whole = Command::new("env");
    whole.arg("--default-signal=HUP,INT,QUIT").arg(command.get_program()).args(command.get_args());
    take_environment(&mut whole, command);
    whole
}

/// Sets and removes the variables that the other command sets and removes.
pub fn take_environment(command: &mut Command, of: &Command) {
    for (name, value) in of.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}
