//! Signals to processes that are not our own children, without hitting a recycled pid.
//!
//! A process that is not our child can be reaped by its parent at any moment, and its pid be reused. A pidfd
//! holds the process itself: it is opened first, then the start time is compared, then the signal is sent through it.
//! Our own children need none of this, since their pid is not reused until we reap them. If the kernel has no pidfds
//! (before 5.3) or a filter refuses them, the comparison right before kill(2) leaves a window of microseconds.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use muster_spec::Signal;

use super::proc::Proc;
use crate::fd::check;
use crate::signal::{Pid, send};

/// Whether pidfds are available.
pub(crate) fn works() -> bool {
    open(Pid::this().0).is_ok_and(|this| {
        // SAFETY: signal 0 is never delivered, and a null siginfo is allowed.
        let sent = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, this.as_raw_fd(), 0, std::ptr::null::<libc::siginfo_t>(), 0)
        };
        sent == 0
    })
}

/// Sends to the process that had this pid and start time, if it still exists; returns whether it did.
pub(crate) fn send_to(proc: &mut Proc, with_pidfd: bool, pid: i32, start: u64, signal: Signal) -> io::Result<bool> {
    let held = match with_pidfd.then(|| open(pid)).transpose() {
        Ok(held) => held,
        Err(error) if is_gone(&error) => return Ok(false),
        // For example, no descriptor is left: the comparison below is still much better than not signalling at all.
        Err(_) => None,
    };
    if proc.stat(pid).is_none_or(|stat| stat.start != start) {
        return Ok(false);
    }
    match held {
        Some(held) => send_through(&held, signal),
        None => was_there(send(Pid(pid), signal)),
    }
}

/// Sends to the process that is held; returns whether it still existed.
pub(crate) fn send_through(process: &OwnedFd, signal: Signal) -> io::Result<bool> {
    let nothing: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null siginfo asks for the one that kill(2) would send.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal.number(), nothing, 0) };
    was_there(check(sent as libc::c_int).map(drop))
}

fn was_there(sent: io::Result<()>) -> io::Result<bool> {
    match sent {
        Ok(()) => Ok(true),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the process that is held has exited, reaped or not.
pub(crate) fn has_ended(process: &OwnedFd) -> bool {
    let mut about = libc::pollfd { fd: process.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one record, which lives through the call; with no time to wait it only asks.
    unsafe { libc::poll(&mut about, 1, 0) == 1 }
}

/// Whether the error means that the process no longer exists.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}

pub(crate) fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two numbers.
    let descriptor = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as libc::c_int)?;
    // SAFETY: the descriptor was just created and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_another_start_time_gets_nothing() {
        for with_pidfd in [works(), false] {
            let mut proc = Proc::new();
            let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
            let pid = child.id() as i32;
            let start = proc.stat(pid).unwrap().start;
            for wrong in [start - 1, start + 1, 0] {
                assert!(!send_to(&mut proc, with_pidfd, pid, wrong, Signal::KILL).unwrap());
            }
            assert!(child.try_wait().unwrap().is_none(), "it lives");
            assert!(send_to(&mut proc, with_pidfd, pid, start, Signal::KILL).unwrap());
            child.wait().unwrap();
            assert!(!send_to(&mut proc, with_pidfd, pid, start, Signal::KILL).unwrap());
        }
    }
}
