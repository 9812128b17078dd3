//! The terminal in raw mode, restored in every case.
//!
//! While it is raw, signals that would end this process are read from a descriptor, so that no exit leaves
//! the terminal raw: an exit, an error and a panic drop [`Terminal`], and a signal is raised again after that.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// Switches to the alternate screen without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// The signals that end the process by default, and the one for a resize.
const SIGNALS: [Signal; 5] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGWINCH];

/// A terminal in raw mode.
pub(crate) struct Terminal {
    saved: Termios,
    mask: SigSet,
    signals: SignalFd,
    /// The signal that ended the program.
    ended_by: Option<Signal>,
}

/// The sources that are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Keys.
    pub(crate) keys: bool,
    /// The other descriptor.
    pub(crate) other: bool,
    /// A signal that ends the program.
    pub(crate) is_over: bool,
}

impl Terminal {
    /// Makes standard input raw. Call it before any thread is created: no other thread may receive the signals.
    pub(crate) fn enter() -> io::Result<Terminal> {
        let saved = tcgetattr(io::stdin())?;
        let set: SigSet = SIGNALS.into_iter().collect();
        let mut mask = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut mask))?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        // From here on, dropping it restores everything.
        let terminal = Terminal { saved, mask, signals, ended_by: None };
        let mut raw = terminal.saved.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &raw)?;
        terminal.write(ENTER)?;
        Ok(terminal)
    }

    /// The number of columns and rows.
    pub(crate) fn size() -> (usize, usize) {
        let size = terminal_size::terminal_size_of(io::stdout());
        size.map_or((80, 24), |(width, height)| (usize::from(width.0.max(1)), usize::from(height.0.max(1))))
    }

    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Waits for keys, input on `other`, a signal, or the timeout.
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
            // A new size applies to the next redraw.
            self.ended_by = self.ended_by.or(signal.filter(|signal| *signal != Signal::SIGWINCH));
        }
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // If the terminal is closed, there is nothing to restore.
        let _ = self.write(LEAVE);
        let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.saved);
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None);
        if let Some(signal) = self.ended_by {
            let _ = raise(signal);
        }
    }
}
