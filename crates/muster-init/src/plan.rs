//! What a command line and the environment ask of the init, whichever dialect they were written in.

use std::ffi::OsString;
use std::time::Duration;

use muster_spec::Signal;

use super::exit_codes::ExitCodes;
use super::quirks::Character;
use super::reporter::{Stream, Voice};
use super::rewrites::Rewrites;

/// What came of a command line.
pub(super) enum Parsed {
    /// A command to run.
    Run(Box<Plan>),
    /// Words, and the end: help, a version, a complaint.
    Say {
        /// Where they go.
        stream: Stream,
        /// The words, newlines included.
        text: String,
        /// The exit code.
        code: u8,
    },
}

/// A command, and how to be its init.
pub(super) struct Plan {
    /// The command and its arguments: at least one.
    pub(super) command: Vec<OsString>,
    /// Whose habits to have.
    pub(super) character: Character,
    /// Who speaks.
    pub(super) voice: Voice,
    /// Where the command lives.
    pub(super) home: Home,
    /// Who gets the signals.
    pub(super) scope: Scope,
    /// What signals are passed on as.
    pub(super) rewrites: Rewrites,
    /// The exit codes that become 0.
    pub(super) successes: ExitCodes,
    /// What the kernel sends us when our parent ends.
    pub(super) parent_death: Option<Signal>,
    /// Whether orphans below us become our children even if we are not PID 1.
    pub(super) is_subreaper: bool,
    /// Whether reaping an orphan is worth a warning.
    pub(super) warns_on_reap: bool,
    /// How long what is left may take to end, before it is killed.
    pub(super) grace: Option<Duration>,
}

/// Where the command lives, and what the terminal has to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// In the init's own process group: dumb-init's single-child mode.
    Here,
    /// In a process group of its own, which takes the foreground of the terminal.
    Group,
    /// In a session of its own, with the terminal as its own if that can be had.
    Session,
}

/// Who gets the signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The command's process.
    Process,
    /// Its process group.
    Group,
}
