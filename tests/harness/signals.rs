//! Signals by number, real-time ones too.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends a signal. A process that is gone is no error: whoever waits for it will see that.
pub fn send(pid: i32, number: i32) {
    match Signal::try_from(number) {
        Ok(signal) => drop(kill(Pid::from_raw(pid), signal)),
        // nix knows no real-time signals; every shell does.
        Err(_) => {
            let script = format!("kill -{number} {pid}");
            let status = std::process::Command::new("sh").args(["-c", &script]).status().expect("there is a shell");
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
