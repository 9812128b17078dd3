//! Reaps exited children, known or not, without ever losing an exit status.
//!
//! waitid(2) is called directly: wrappers that convert the signal into an enum of the classic ones fail on a child
//! killed by a real-time signal, after the kernel has already discarded its status. Nothing else in the process may wait for
//! children. The caller, in `musterd`, maps pids to runs.

use std::io;

use muster_spec::{Exit, Signal};

use crate::signal::Pid;

/// A reaped child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// Its pid. From now on the number may be reused.
    pub pid: Pid,
    /// How it ended.
    pub exit: Exit,
}

/// Something that happened to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It exited and was reaped.
    Exited(Reaped),
    /// A signal stopped it: SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU.
    Stopped {
        /// Its pid.
        pid: Pid,
        /// The signal.
        signal: Signal,
    },
    /// SIGCONT continued it.
    Continued {
        /// Its pid.
        pid: Pid,
    },
}

/// The result of a look at the children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A change, of which there may be more.
    Changed(Change),
    /// No child has changed.
    Unchanged,
    /// There are no children, so there is no process below this one.
    Childless,
}

/// Reaps one exited child. `None` if no more have exited, or there are no children at all.
///
/// Call it until `None` after each SIGCHLD: several exits may be reported by one signal.
pub fn reap_next() -> io::Result<Option<Reaped>> {
    Ok(match look_for(libc::WEXITED)? {
        Look::Changed(Change::Exited(reaped)) => Some(reaped),
        Look::Changed(Change::Stopped { .. } | Change::Continued { .. }) | Look::Unchanged | Look::Childless => None,
    })
}

/// Like [`reap_next`], and also reports that a child was stopped or continued: each once, and only the last of both, so that
/// a child that is stopped and continued all the time causes no queue. Stops never take the place of an exit.
pub fn next_change() -> io::Result<Look> {
    look_for(libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED)
}

fn look_for(changes: libc::c_int) -> io::Result<Look> {
    loop {
        // SAFETY: all-zero bytes are a valid siginfo_t; si_pid stays 0 when no child has exited.
        let mut about: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = changes | libc::WNOHANG | libc::__WALL;
        // SAFETY: `about` has room for the one record that waitid writes.
        if unsafe { libc::waitid(libc::P_ALL, 0, &mut about, flags) } == 0 {
            return Ok(change(&about).map_or(Look::Unchanged, Look::Changed));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::ECHILD) => return Ok(Look::Childless),
            _ => return Err(error),
        }
    }
}

fn change(about: &libc::siginfo_t) -> Option<Change> {
    // SAFETY: waitid has filled the fields of a child's record, or left them zero.
    let (pid, status) = unsafe { (Pid(about.si_pid()), about.si_status()) };
    (pid.0 != 0).then(|| match about.si_code {
        libc::CLD_STOPPED => Change::Stopped { pid, signal: Signal::from_number(status).unwrap_or(Signal::STOP) },
        libc::CLD_CONTINUED => Change::Continued { pid },
        code => Change::Exited(Reaped { pid, exit: exit(code, status) }),
    })
}

fn exit(code: libc::c_int, status: libc::c_int) -> Exit {
    if code == libc::CLD_EXITED {
        return Exit::Code(status as u8);
    }
    // The kernel only kills with 1 to 64. For any other value SIGKILL is the closest.
    let signal = Signal::from_number(status).unwrap_or(Signal::KILL);
    Exit::Signal { signal, core_dumped: code == libc::CLD_DUMPED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_end_is_told_apart() {
        let killed = |number, core_dumped| Exit::Signal { signal: Signal::from_number(number).unwrap(), core_dumped };
        for (code, status, expected) in [
            (libc::CLD_EXITED, 0, Exit::Code(0)),
            (libc::CLD_EXITED, 255, Exit::Code(255)),
            (libc::CLD_KILLED, 9, killed(9, false)),
            (libc::CLD_KILLED, 40, killed(40, false)),
            (libc::CLD_KILLED, 64, killed(64, false)),
            (libc::CLD_DUMPED, 11, killed(11, true)),
        ] {
            assert_eq!(exit(code, status), expected);
        }
    }
}
