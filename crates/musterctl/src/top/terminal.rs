//! The terminal in raw mode, and back again however this ends.
//!
//! While it is raw, signals that would end this process are taken from a descriptor, so that there is no way out that leaves
//! the terminal as it is: an end, an error and a panic drop [`Terminal`], and a signal is sent once more after that.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// The other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// What ends a process that does not ask otherwise, and what tells of another size.
const SIGNALS: [Signal; 5] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGWINCH];

/// A terminal in raw mode.
pub(crate) struct Terminal {
    saved: Termios,
    mask: SigSet,
    signals: SignalFd,
    /// The signal that ended it.
    ended_by: Option<Signal>,
}

/// What came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Keys.
    pub(crate) keys: bool,
    /// Something on the other descriptor.
    pub(crate) other: bool,
    /// A signal that ends it.
    pub(crate) is_over: bool,
}

impl Terminal {
    /// Makes standard input raw. To be called before any thread is made: signals must reach nobody else.
    pub(crate) fn enter() -> io::Result<Terminal> {
        let saved = tcgetattr(io::stdin())?;
        let set: SigSet = SIGNALS.into_iter().collect();
        let mut mask = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut mask))?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        // From here on dropping it undoes everything.
        let terminal = Terminal { saved, mask, signals, ended_by: None };
        let mut raw = terminal.saved.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &raw)?;
        terminal.write(ENTER)?;
        Ok(terminal)
    }

    /// Columns and rows.
    pub(crate) fn size() -> (usize, usize) {
        let size = terminal_size::terminal_size_of(io::stdout());
        size.map_or((80, 24), |(width, height)| (usize::from(width.0.max(1)), usize::from(height.0.max(1))))
    }

    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Waits until there is something: keys, something on `other`, a signal, or the time is over.
    pub(crate) fn wait(&mut self, other: BorrowedFd<'_>, patience: Duration) -> io::Result<Ready> {
        let stdin = io::stdin();
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let mut fds = [stdin.as_fd(), other, self.signals.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let (keys, other, signalled) = (is_ready(&fds[0]), is_ready(&fds[1]), is_ready(&fds[2]));
        if signalled {
            self.take_signals()?;
        }
        Ok(Ready { keys, other, is_over: self.ended_by.is_some() })
    }

    fn take_signals(&mut self) -> io::Result<()> {
        while let Some(info) = self.signals.read_signal()? {
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
            // Another size is drawn with the next picture.
            self.ended_by = self.ended_by.or(signal.filter(|signal| *signal != Signal::SIGWINCH));
        }
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to restore.
        let _ = self.write(LEAVE);
        let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.saved);
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None);
        if let Some(signal) = self.ended_by {
            let _ = raise(signal);
        }
    }
}
