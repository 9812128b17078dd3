//! Signals that are blocked and taken one at a time.
//!
//! An init must not lose a signal, so it uses no handlers: all are blocked, from the first statement of `main`
//! on, and stay pending in the kernel until [`BlockedSignals::wait`] takes them.

use std::io;
use std::time::Duration;

use muster_spec::Signal;

use super::errno;
use super::inherited::is_ignored;
use crate::signal::{KERNEL_SET_BYTES, SignalSet, blocked, set_blocked};

/// The signals that are blocked in this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockedSignals(SignalSet);

impl BlockedSignals {
    /// Blocks every signal (the kernel never blocks KILL and STOP), and resets an inherited SIGCHLD disposition:
    /// if ignored, children would vanish without an exit status.
    ///
    /// Including those of faulty instructions: a real fault still kills (signal(7)), and one that a process sent is
    /// a message like any other.
    pub fn all() -> BlockedSignals {
        let held = BlockedSignals(SignalSet::ALL);
        held.apply();
        set_default(libc::SIGCHLD);
        held
    }

    /// Unblocks these again, with their default action unless they are ignored.
    #[must_use]
    pub fn but(self, signals: &[Signal]) -> BlockedSignals {
        if signals.is_empty() {
            return self;
        }
        let numbers: Vec<i32> = signals.iter().map(|signal| signal.number()).collect();
        // Rust's runtime handles two of the faults, to report a stack overflow, and would swallow one that was sent.
        numbers.iter().filter(|&&number| !is_ignored(number)).for_each(|&number| set_default(number));
        let held = BlockedSignals(self.0.without(&numbers));
        held.apply();
        held
    }

    fn apply(self) {
        // Fails only for arguments that are wrong for every process.
        set_blocked(self.0).expect("the kernel takes any set of 64 signals");
    }

    /// Takes a pending signal, the lowest number first, or waits for one. `None` when `patience` has passed, or possibly
    /// earlier: a caller with a deadline must check the clock.
    pub fn wait(self, patience: Option<Duration>) -> Option<Signal> {
        let timeout = patience.map(timespec);
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let nowhere: *mut libc::siginfo_t = std::ptr::null_mut();
        loop {
            // SAFETY: the set has the size that the last argument says, it and the timeout (null: none) live through
            // the call, and no siginfo is asked for.
            let taken = unsafe {
                libc::syscall(libc::SYS_rt_sigtimedwait, &raw const self.0.0, nowhere, timeout, KERNEL_SET_BYTES)
            };
            match i32::try_from(taken).ok().and_then(Signal::from_number) {
                Some(signal) => return Some(signal),
                // Being stopped and continued interrupts the wait: signal(7).
                None if errno() == libc::EINTR && patience.is_none() => {}
                None => return None,
            }
        }
    }

    /// Whether this signal is pending.
    pub fn has(self, signal: Signal) -> bool {
        let mut pending = SignalSet::NONE;
        // SAFETY: the kernel writes as many bytes as the second argument says.
        unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut pending.0, KERNEL_SET_BYTES) };
        pending.contains(signal.number())
    }
}

fn set_default(number: i32) {
    // SAFETY: the default action runs no code of ours.
    unsafe { libc::signal(number, libc::SIG_DFL) };
}

fn timespec(patience: Duration) -> libc::timespec {
    libc::timespec {
        // The type is called time_t, which is deprecated for musl; more seconds are effectively unlimited.
        tv_sec: patience.as_secs().min(i32::MAX as u64) as _,
        tv_nsec: patience.subsec_nanos().into(),
    }
}

/// Unblocks `signal` for a moment, so that a pending one takes effect.
pub(super) fn let_through(signal: Signal) -> io::Result<()> {
    let before = blocked()?;
    set_blocked(before.without(&[signal.number()]))?;
    set_blocked(before).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_waits_until_it_is_taken() {
        let before = blocked().unwrap();
        let held = BlockedSignals::all();
        for number in [15, 33, 64] {
            let signal = Signal::from_number(number).unwrap();
            assert!(!held.has(signal));
            // SAFETY: it goes to this thread alone, which holds it back.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), number) };
            assert!(held.has(signal));
            assert_eq!(held.wait(None), Some(signal));
            assert!(!held.has(signal));
        }
        assert_eq!(held.wait(Some(Duration::ZERO)), None);
        set_blocked(before).unwrap();
    }
}
