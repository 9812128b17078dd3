//! Why we ended a run ourselves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use muster_spec::{InstanceId, Signal, Span};

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A command: stop or restart.
    Command,
    /// A reload that removed or changed the program.
    Reload,
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
            StopCause::Asked(Asker::Command) => f.write_str("stopped by a command"),
            StopCause::Asked(Asker::Reload) => f.write_str("the configuration changed"),
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
    /// `musterctl shutdown`.
    Command,
    /// An essential instance ended for good.
    Essential(InstanceId),
    /// A probe of this instance failed, and that is to end everything.
    Probe(InstanceId),
    /// Every autostarted program has ended for good.
    Done,
}
