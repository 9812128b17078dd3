//! What has become of the children, one change at a time.
//!
//! waitid(2) directly: a child that a real-time signal ended is a child like any other here, while wrappers that know
//! signals by name lose its exit.

use muster_core::{Exit, Signal};

use super::errno;
use super::process::Pid;

/// A change in one child's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It ended, and is reaped.
    Ended {
        /// Which process it was.
        pid: Pid,
        /// How it ended.
        exit: Exit,
    },
    /// A signal stopped it.
    Stopped {
        /// Which process it is.
        pid: Pid,
        /// The signal.
        signal: Signal,
    },
}

/// The answer to "what next?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This.
    Change(Change),
    /// Nothing at the moment, but there are children.
    NothingYet,
    /// There is no child at all.
    NoChildren,
}

/// Takes the next change among all children, known or adopted, without waiting for one.
pub fn next_change() -> Next {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WSTOPPED | libc::WNOHANG | libc::__WALL;
    loop {
        // SAFETY: `info` has the size the call writes, and all zeroes is a valid value of it.
        let outcome = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) };
        if outcome == 0 {
            // SAFETY: zeroed above, or written by the call.
            return told(unsafe { info.assume_init_ref() });
        }
        if errno() != libc::EINTR {
            return Next::NoChildren;
        }
    }
}

fn told(info: &libc::siginfo_t) -> Next {
    // SAFETY: waitid fills in these two fields; where it had nothing to tell they are zero, as we left them.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    let Some(pid) = Pid::from_number(pid) else { return Next::NothingYet };
    let signal = Signal::from_number(status);
    Next::Change(match (info.si_code, signal) {
        (libc::CLD_STOPPED | libc::CLD_TRAPPED, Some(signal)) => Change::Stopped { pid, signal },
        (libc::CLD_KILLED, Some(signal)) => ended(pid, Exit::Signal { signal, core_dumped: false }),
        (libc::CLD_DUMPED, Some(signal)) => ended(pid, Exit::Signal { signal, core_dumped: true }),
        // The kernel keeps the low eight bits of an exit status only.
        _ => ended(pid, Exit::Code((status & 0xff) as u8)),
    })
}

fn ended(pid: Pid, exit: Exit) -> Change {
    Change::Ended { pid, exit }
}
