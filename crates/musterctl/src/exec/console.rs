//! The terminal of `exec`, raw while a command has one of its own, and the signals that are passed on.
//!
//! The signals are read from a descriptor, so whatever ends the command line, the terminal is restored first.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// The signals that are passed on, and those that end this process after the terminal was restored.
const SIGNALS: [Signal; 5] = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGWINCH];

/// The terminal and the signals.
pub(crate) struct Console {
    /// The settings to restore, if the terminal is raw.
    saved: Option<Termios>,
    mask: SigSet,
    signals: SignalFd,
}

impl Console {
    /// Takes the signals, and makes standard input raw if asked to.
    pub(crate) fn enter(is_raw: bool) -> io::Result<Console> {
        let set: SigSet = SIGNALS.into_iter().collect();
        let mut mask = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut mask))?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        // From here on, dropping it restores everything.
        let mut console = Console { saved: None, mask, signals };
        if is_raw {
            let saved = tcgetattr(io::stdin())?;
            let mut raw = saved.clone();
            cfmakeraw(&mut raw);
            console.saved = Some(saved);
            tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)?;
        }
        Ok(console)
    }

    pub(super) fn signals(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    pub(super) fn next_signal(&self) -> Option<Signal> {
        let info = self.signals.read_signal().ok().flatten()?;
        i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok())
    }

    /// Whether the terminal is raw.
    pub(super) fn is_raw(&self) -> bool {
        self.saved.is_some()
    }

    /// The size of the terminal, if it is raw.
    pub(super) fn size_if_raw(&self) -> Option<(u16, u16)> {
        self.saved.as_ref().and_then(|_| size())
    }

    /// Restores everything, and ends this process with this signal.
    pub(crate) fn end_by(self, signal: Signal) {
        drop(self);
        let _ = raise(signal);
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            // If the terminal is closed, there is nothing to restore.
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, saved);
        }
        // Signals that are pending were meant for the command, which has ended.
        while self.next_signal().is_some() {}
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None);
    }
}

/// Rows and columns of the terminal on standard input or output.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = terminal_size::terminal_size_of(io::stdin()).or_else(|| terminal_size::terminal_size_of(io::stdout()));
    size.map(|(width, height)| (height.0, width.0))
}
