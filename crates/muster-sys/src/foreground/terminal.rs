//! The controlling terminal: its foreground group, and detaching from it.
//!
//! A terminal sends Ctrl-C to its foreground process group, and stops any other process that reads from it. So an init
//! makes its command's group the foreground group. A call from the background would stop the caller (SIGTTOU) unless that signal is
//! blocked or ignored; callers ensure that.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::fd::check;
use crate::signal::Pid;

/// The controlling terminal, open.
#[derive(Debug)]
pub struct Terminal(File);

impl Terminal {
    /// The terminal that controls this process, if there is one: by its own name, or if an image has no `/dev/tty`, through
    /// standard input.
    pub fn controlling() -> Option<Terminal> {
        let by_name = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open("/dev/tty");
        let file = match by_name {
            Ok(file) => file,
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return None,
            Err(_) => File::from(io::stdin().as_fd().try_clone_to_owned().ok()?),
        };
        let terminal = Terminal(file);
        terminal.front().ok()?;
        Some(terminal)
    }

    /// Whether the group of this process is in the foreground.
    pub fn is_ours(&self) -> bool {
        // SAFETY: asks only.
        self.front().is_ok_and(|group| group == unsafe { libc::getpgrp() })
    }

    /// Whether the group that `leader` leads is in the foreground.
    pub fn is_with(&self, leader: Pid) -> bool {
        self.front().is_ok_and(|group| group == leader.0)
    }

    /// Moves the group that `leader` leads to the foreground.
    pub fn give_to(&self, leader: Pid) -> io::Result<()> {
        put_in_front(self.descriptor(), leader.0)
    }

    /// Moves the group of this process to the foreground.
    pub fn take_back(&self) -> io::Result<()> {
        // SAFETY: asks only.
        put_in_front(self.descriptor(), unsafe { libc::getpgrp() })
    }

    /// The descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// The id of the foreground group: 0 if it belongs to another pid namespace.
    fn front(&self) -> io::Result<libc::pid_t> {
        // SAFETY: asks only.
        check(unsafe { libc::tcgetpgrp(self.descriptor()) })
    }
}

pub(super) fn put_in_front(descriptor: RawFd, group: libc::pid_t) -> io::Result<()> {
    // SAFETY: memory is not touched.
    check(unsafe { libc::tcsetpgrp(descriptor, group) }).map(drop)
}

/// Detaches from the controlling terminal if it is standard input.
///
/// If this process leads its session, all processes in it lose the terminal, and the foreground group, which may include this
/// process, gets SIGHUP and SIGCONT (ioctl_tty(2)).
pub fn leave_terminal() -> io::Result<()> {
    // SAFETY: this request takes no argument.
    check(unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCNOTTY) }).map(drop)
}

/// Whether this process leads its session.
pub fn leads_session() -> bool {
    // SAFETY: asks only.
    unsafe { libc::getsid(0) == libc::getpid() }
}
