//! Why we ended a run ourselves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use muster_spec::{InstanceId, Signal, Span};

/// A client that asks the daemon for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Principal {
    /// Its user id, as the kernel reports it.
    pub uid: u32,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user id {}", self.uid)
    }
}

/// What was asked for, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A command to stop it.
    Stop(Principal),
    /// A command to restart it.
    Restart(Principal),
    /// A reload that removed or changed the program; a client's, or the daemon's own when files change or a signal comes.
    Reload(Option<Principal>),
    /// A probe whose failure stops the program.
    Probe,
    /// A program with which this one restarts was started anew.
    RestartWith,
}

/// Why we ended a run ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// Somebody asked for it.
    Asked(Asker),
    /// Everything is being stopped.
    Shutdown,
    /// A probe failed too often.
    Probe {
        /// Its name.
        name: Arc<str>,
        /// What the last check found.
        detail: Arc<str>,
    },
    /// It did not say in time that it lives, or said that it does not.
    Watchdog {
        /// After how long without a word; `None` when it said so itself.
        silent: Option<Duration>,
    },
    /// It did not become ready in time.
    StartTimeout,
    /// Its program was not executed in time.
    ExecTimeout,
}

impl StopCause {
    /// Whether the run counts as failed, however it then ends.
    pub const fn is_failure(&self) -> bool {
        !matches!(self, StopCause::Asked(_) | StopCause::Shutdown)
    }
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopCause::Asked(Asker::Stop(_) | Asker::Restart(_)) => f.write_str("stopped by a command"),
            StopCause::Asked(Asker::Probe) => f.write_str("a probe failed"),
            StopCause::Asked(Asker::Reload(_)) => f.write_str("the configuration changed"),
            StopCause::Asked(Asker::RestartWith) => f.write_str("a program with which it restarts was started anew"),
            StopCause::Shutdown => f.write_str("everything is being stopped"),
            StopCause::Probe { name, detail } => write!(f, "probe {name:?} failed: {detail}"),
            StopCause::Watchdog { silent: Some(silent) } => {
                write!(f, "watchdog: no sign of life for {}", Span(*silent))
            }
            StopCause::Watchdog { silent: None } => f.write_str("watchdog: it asked for its end"),
            StopCause::StartTimeout => f.write_str("it did not become ready in time"),
            StopCause::ExecTimeout => f.write_str("its program was not executed in time"),
        }
    }
}

/// Why everything must stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// The daemon got this signal.
    Signal(Signal),
    /// A client asked for it: `musterctl shutdown`.
    Command(Principal),
    /// An essential instance ended for good.
    Essential(InstanceId),
    /// A probe of this instance failed, and that is to end everything.
    Probe(InstanceId),
    /// Every autostarted program has ended for good.
    Done,
}
