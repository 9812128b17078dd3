//! The result of parsing a command line and the environment, for all three inits.

use std::ffi::OsString;
use std::time::Duration;

use muster_spec::Signal;

use super::exit_codes::ExitCodes;
use super::quirks::Character;
use super::reporter::{Reporter, Stream};
use super::rewrites::Rewrites;

/// The result of a command line.
pub(super) enum Parsed {
    /// A command to run.
    Run(Box<InitPlan>),
    /// A text to print before exiting: help, a version, an error.
    Say {
        /// The output stream.
        stream: Stream,
        /// The text, including newlines.
        text: String,
        /// The exit code.
        code: u8,
    },
}

/// A command, and how to run it.
pub(super) struct InitPlan {
    /// The command and its arguments: at least one.
    pub(super) command: Vec<OsString>,
    /// The init whose behaviour to use.
    pub(super) character: Character,
    /// The init whose messages to print.
    pub(super) reporter: Reporter,
    /// The command's process group and session.
    pub(super) home: Home,
    /// The recipients of signals.
    pub(super) scope: SignalRecipients,
    /// How signals are rewritten.
    pub(super) rewrites: Rewrites,
    /// The exit codes that become 0.
    pub(super) successes: ExitCodes,
    /// The signal that the kernel sends us when our parent exits.
    pub(super) parent_death: Option<Signal>,
    /// Whether orphaned descendants become our children even if we are not PID 1.
    pub(super) is_subreaper: bool,
    /// Whether to warn about reaped orphans.
    pub(super) warns_on_reap: bool,
    /// How long remaining processes may take to exit before they are killed.
    pub(super) grace: Option<Duration>,
}

/// The command's process group and session, and its relation to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// In the init's own process group: dumb-init's single-child mode.
    Here,
    /// In its own process group, which takes the foreground of the terminal.
    Group,
    /// In its own session, with the terminal as its controlling terminal if possible.
    Session,
}

/// The recipients of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalRecipients {
    /// The command's process.
    Process,
    /// Its process group.
    Group,
}
