//! The signals that were blocked and ignored when the process started, and the earliest moment to block them.
//!
//! A Rust program cannot determine this in `main`. By then the runtime has ignored SIGPIPE, and the first statement of
//! an init's `main` blocks every signal. So it is recorded before `main`, by a function in the list that
//! the C library runs at start (`.init_array`). It makes six system calls and, except in PID 1, changes nothing.
//!
//! The kernel discards signals to PID 1 until it blocks them (pid_namespaces(7)), and Rust's runtime takes a while to reach
//! `main`. So PID 1 blocks them here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::boot::TAKEN;
use crate::signal::{SignalSet, blocked, set_blocked};

/// Signals whose disposition is changed before the command is started: Rust's runtime ignores SIGPIPE, an init
/// needs SIGCHLD at its default, and tini ignores SIGTTIN and SIGTTOU.
pub(super) const TOUCHED: [i32; 4] = [libc::SIGPIPE, libc::SIGCHLD, libc::SIGTTIN, libc::SIGTTOU];

/// The inherited signal state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// Those that were blocked.
    pub(crate) blocked: SignalSet,
    /// Those of [`TOUCHED`] that were ignored.
    pub(super) ignored: SignalSet,
}

static RECORDED: AtomicBool = AtomicBool::new(false);
static BLOCKED: AtomicU64 = AtomicU64::new(0);
static IGNORED: AtomicU64 = AtomicU64::new(0);

#[used]
// SAFETY: the C library calls every function pointer in .init_array once, before main and with a single thread. `record`
// has the C calling convention, takes none of the arguments that glibc passes, does not unwind and needs no runtime.
#[unsafe(link_section = ".init_array")]
static RECORD_BEFORE_MAIN: extern "C" fn() = record;

extern "C" fn record() {
    // Neither call fails with arguments that are right.
    // SAFETY: asks only.
    let blocked = if unsafe { libc::getpid() } == 1 { set_blocked(TAKEN) } else { blocked() };
    BLOCKED.store(blocked.unwrap_or(SignalSet::NONE).0, Ordering::Relaxed);
    let ignored: u64 = TOUCHED.iter().filter(|&&number| is_ignored(number)).map(|number| 1 << (number - 1)).sum();
    IGNORED.store(ignored, Ordering::Relaxed);
    RECORDED.store(true, Ordering::Release);
}

/// Whether the signal is ignored now.
pub(super) fn is_ignored(number: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action asks only; the old one is written to memory of the right size, and all zeroes (what
    // it stays if the call fails) is a valid value of it.
    let action = unsafe {
        libc::sigaction(number, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// The signal state at process start, whatever has been changed since.
pub(crate) fn inherited() -> Inherited {
    if !RECORDED.load(Ordering::Acquire) {
        // Only if a linker dropped the list: then SIGPIPE's disposition is Rust's, the rest may still be correct.
        record();
    }
    Inherited {
        blocked: SignalSet(BLOCKED.load(Ordering::Relaxed)),
        ignored: SignalSet(IGNORED.load(Ordering::Relaxed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_was_written_down_before_main() {
        assert!(RECORDED.load(Ordering::Acquire), "no test calls inherited() before");
    }
}
