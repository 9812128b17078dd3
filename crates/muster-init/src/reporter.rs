//! The messages of an init: events, and the reporters that print them.
//!
//! The loop in [`super::init`] is shared, but tini, dumb-init and musterd print different messages at different moments, and
//! scripts parse them. So the loop reports every event and each reporter prints those it has messages for. A reporter
//! that cannot write is silent: an init does not exit because its output is closed.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write as _;

use muster_spec::{Exit, Signal};
use muster_sys::foreground::{Onward, Step, write_stderr};
use muster_sys::signal::Pid;

use super::dumb_init::DumbInitReporter;
use super::own_reporter::OwnReporter;
use super::tini::TiniReporter;

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// Writes all of it, or as much as possible.
pub(super) fn print(stream: Stream, text: &str) {
    let _ = match stream {
        Stream::Stdout => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        }
        Stream::Stderr => std::io::stderr().write_all(text.as_bytes()),
    };
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    /// Orphaned descendants will become our children.
    BecameSubreaper,
    /// They will not: another process adopts them.
    IsNoReaper,
    /// We detached from our terminal.
    LeftTerminal {
        /// Whether we lead the session, and so will get SIGHUP and SIGCONT.
        leads_session: bool,
    },
    /// We could not, with this error number.
    StaysOnTerminal(i32),
    /// The command was started.
    Started {
        /// Its name.
        command: &'a OsStr,
        /// Its pid.
        pid: Pid,
    },
    /// Changing to `/` failed.
    StaysInDirectory(i32),
    /// A signal arrived.
    Received(Signal),
    /// It was caused by detaching from the terminal, and is not forwarded.
    IgnoredHandOff(Signal),
    /// It is rewritten; `None`: dropped.
    Rewritten {
        /// The original.
        from: Signal,
        /// The replacement.
        to: Option<Signal>,
    },
    /// It is about to be forwarded.
    Passing(Signal),
    /// Forwarding failed, with this error number.
    NotPassed {
        /// The signal.
        signal: Signal,
        /// The error number.
        errno: i32,
    },
    /// It was forwarded, or could not be.
    Passed(Signal),
    /// A signal of the terminal stops us too.
    Suspending,
    /// A child exited.
    Reaped {
        /// Its pid.
        pid: Pid,
        /// How it exited.
        exit: Exit,
        /// Whether it was the command.
        is_command: bool,
        /// Whether to warn about an orphan.
        warns: bool,
    },
    /// No child is ready to be reaped.
    NothingToReap {
        /// Whether there are children.
        has_children: bool,
    },
    /// Remaining processes get SIGTERM.
    AskingLeftovers,
    /// The deadline has passed: remaining processes are killed.
    KillingLeftovers,
    /// They are still alive.
    GivingUpOnLeftovers,
    /// We exit, with this code.
    Leaving(u8),
}

/// A fatal failure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    /// Setting the parent-death signal failed.
    ParentDeath(i32),
    /// Becoming subreaper failed.
    Subreaper(i32),
    /// Creating the command's process failed.
    Fork(i32),
}

/// Prints events.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reporter {
    Own(OwnReporter),
    Tini(TiniReporter),
    DumbInit(DumbInitReporter),
}

impl Reporter {
    pub(super) fn say(&self, event: &Event<'_>) {
        match self {
            Reporter::Own(reporter) => reporter.say(event),
            Reporter::Tini(reporter) => reporter.say(event),
            Reporter::DumbInit(reporter) => reporter.say(event),
        }
    }

    /// Reports a fatal failure, and returns the exit code.
    pub(super) fn fail(&self, failure: Failure) -> u8 {
        match self {
            Reporter::Own(reporter) => reporter.fail(failure),
            Reporter::Tini(reporter) => reporter.fail(failure),
            Reporter::DumbInit(reporter) => reporter.fail(failure),
        }
    }

    /// Handles a step between fork and exec. Must not allocate.
    pub(super) fn judge(&self, command: &OsStr, step: Step, errno: i32) -> Onward {
        match self {
            Reporter::Own(reporter) => reporter.judge(command, step, errno),
            Reporter::Tini(reporter) => reporter.judge(command, step, errno),
            Reporter::DumbInit(reporter) => reporter.judge(command, step, errno),
        }
    }
}

/// Prints a message on standard error between fork and exec: formatted on the stack, written at once, truncated if it is
/// too long.
pub(super) fn say_before_exec(words: fmt::Arguments<'_>) {
    let mut text = StackText { bytes: [0; 1024], length: 0 };
    // The only possible error is truncation.
    let _ = fmt::Write::write_fmt(&mut text, words);
    write_stderr(&text.bytes[..text.length]);
}

struct StackText {
    bytes: [u8; 1024],
    length: usize,
}

impl fmt::Write for StackText {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        let fits = room.len().min(piece.len());
        room[..fits].copy_from_slice(&piece.as_bytes()[..fits]);
        self.length += fits;
        if fits == piece.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
