//! Collecting ended children, known or not, without ever losing how one ended.
//!
//! waitid(2) is called directly: wrappers that turn the signal into an enum of the classical ones fail on a child
//! that died of a real-time signal, after the kernel has already forgotten it. Nobody else in the process may wait for
//! children. Who a pid was is known to the caller, in `musterd`.

use std::io;

use muster_spec::{Exit, Signal};

use crate::signal::Pid;

/// A child that has ended and is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// Who it was. From now on the number may be given to another process.
    pub pid: Pid,
    /// How it ended.
    pub exit: Exit,
}

/// Collects one ended child. `None` when none is left for now, or there are no children at all.
///
/// Call it until `None` whenever SIGCHLD came: several ends may come as one signal.
pub fn reap_next() -> io::Result<Option<Reaped>> {
    loop {
        // SAFETY: all-zero bytes are a valid siginfo_t; si_pid stays 0 when nobody has ended.
        let mut about: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG | libc::__WALL;
        // SAFETY: `about` has room for the one record that waitid writes.
        if unsafe { libc::waitid(libc::P_ALL, 0, &mut about, flags) } == 0 {
            return Ok(reaped(&about));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::ECHILD) => return Ok(None),
            _ => return Err(error),
        }
    }
}

fn reaped(about: &libc::siginfo_t) -> Option<Reaped> {
    // SAFETY: waitid has filled the fields of a child's record, or left them zero.
    let (pid, status) = unsafe { (about.si_pid(), about.si_status()) };
    (pid != 0).then(|| Reaped { pid: Pid(pid), exit: exit(about.si_code, status) })
}

fn exit(code: libc::c_int, status: libc::c_int) -> Exit {
    if code == libc::CLD_EXITED {
        return Exit::Code(status as u8);
    }
    // The kernel kills with 1 to 64 only. Should it ever say something else, a kill is the nearest word.
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
