//! What an init says of what happens: the events, and who puts them into words.
//!
//! The loop in [`super::init`] is one, but tini, dumb-init and musterd say different things at different moments, and
//! scripts read what they say. So the loop reports every event and each voice picks the ones it has words for. A voice
//! that cannot write is silent: an init does not end because its output is gone.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write as _;

use muster_spec::{Exit, Signal};
use muster_sys::foreground::{Onward, Step, write_stderr};
use muster_sys::signal::Pid;

use super::dumb_init::DumbInitVoice;
use super::own_reporter::OwnVoice;
use super::tini::TiniVoice;

/// One of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// Writes all of it, or what can be written.
pub(super) fn print(stream: Stream, text: &str) {
    let _ = match stream {
        Stream::Stdout => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        }
        Stream::Stderr => std::io::stderr().write_all(text.as_bytes()),
    };
}

/// Something happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    /// Orphans below us will become our children.
    BecameSubreaper,
    /// They will not: some other process gets them.
    IsNoReaper,
    /// We let go of our terminal.
    LeftTerminal {
        /// Whether we lead the session, and so are about to be told about it with SIGHUP and SIGCONT.
        leads_session: bool,
    },
    /// We could not, for this error number.
    StaysOnTerminal(i32),
    /// The command has a process.
    Started {
        /// Its name.
        command: &'a OsStr,
        /// Its process.
        pid: Pid,
    },
    /// `/` could not become our directory.
    StaysInDirectory(i32),
    /// A signal came.
    Received(Signal),
    /// It only told us of the terminal we let go, and is not passed on.
    IgnoredHandOff(Signal),
    /// It is passed on as another; `None`: not at all.
    Rewritten {
        /// The one that came.
        from: Signal,
        /// What became of it.
        to: Option<Signal>,
    },
    /// It is about to be passed on.
    Passing(Signal),
    /// It could not be, for this error number.
    NotPassed {
        /// The signal.
        signal: Signal,
        /// Why not.
        errno: i32,
    },
    /// It was, or could not be.
    Passed(Signal),
    /// A signal of the terminal stops us too.
    Suspending,
    /// A child ended.
    Reaped {
        /// Which process.
        pid: Pid,
        /// How.
        exit: Exit,
        /// Whether it was the command.
        is_command: bool,
        /// Whether an orphan is worth a warning.
        warns: bool,
    },
    /// No child waits to be reaped.
    NothingToReap {
        /// Whether there are children.
        has_children: bool,
    },
    /// What the command left behind is asked to end.
    AskingLeftovers,
    /// Time is up: what is left is killed.
    KillingLeftovers,
    /// Even that did not help.
    GivingUpOnLeftovers,
    /// We end, with this code.
    Leaving(u8),
}

/// Something could not be done, and that is the end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    /// No signal at the parent's death.
    ParentDeath(i32),
    /// Orphans below us do not become our children.
    Subreaper(i32),
    /// No process for the command.
    Fork(i32),
}

/// Who puts events into words.
#[derive(Clone, Copy, Debug)]
pub(super) enum Voice {
    Own(OwnVoice),
    Tini(TiniVoice),
    DumbInit(DumbInitVoice),
}

impl Voice {
    pub(super) fn say(&self, event: &Event<'_>) {
        match self {
            Voice::Own(voice) => voice.say(event),
            Voice::Tini(voice) => voice.say(event),
            Voice::DumbInit(voice) => voice.say(event),
        }
    }

    /// Says why we cannot go on, and returns the exit code.
    pub(super) fn fail(&self, failure: Failure) -> u8 {
        match self {
            Voice::Own(voice) => voice.fail(failure),
            Voice::Tini(voice) => voice.fail(failure),
            Voice::DumbInit(voice) => voice.fail(failure),
        }
    }

    /// Judges a step between fork and exec. Must not allocate.
    pub(super) fn judge(&self, command: &OsStr, step: Step, errno: i32) -> Onward {
        match self {
            Voice::Own(voice) => voice.judge(command, step, errno),
            Voice::Tini(voice) => voice.judge(command, step, errno),
            Voice::DumbInit(voice) => voice.judge(command, step, errno),
        }
    }
}

/// Says something on standard error between fork and exec: put together on the stack, written at once, cut off if it is
/// longer than anybody would read.
pub(super) fn say_before_exec(words: fmt::Arguments<'_>) {
    let mut text = StackText { bytes: [0; 1024], length: 0 };
    // The only error is that it was cut off.
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
