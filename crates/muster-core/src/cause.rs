//! Why the supervisor ended a run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use muster_spec::{InstanceId, Signal, Span};

/// The origin of a requested stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A command: stop or restart.
    Command,
    /// A reload that removed or changed the program.
    Reload,
    /// The restart of a program that this one restarts with.
    RestartWith,
}

/// Why the supervisor ended a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// A stop was requested.
    Asked(Asker),
    /// The daemon is shutting down.
    Shutdown,
    /// A probe reached its failure threshold.
    Probe {
        /// Name of the probe.
        name: Arc<str>,
        /// The result of the last check, in words.
        detail: Arc<str>,
    },
    /// It sent no watchdog notification in time, or triggered the watchdog.
    Watchdog {
        /// Time without a notification; `None` if it triggered the watchdog itself.
        silent: Option<Duration>,
    },
    /// It did not become ready in time.
    StartTimeout,
    /// Its process did not execute the program in time.
    ExecTimeout,
}

impl StopCause {
    /// Whether the run counts as failed, however its process exits.
    pub const fn is_failure(&self) -> bool {
        !matches!(self, StopCause::Asked(_) | StopCause::Shutdown)
    }
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopCause::Asked(Asker::Command) => f.write_str("stopped by a command"),
            StopCause::Asked(Asker::Reload) => f.write_str("the configuration changed"),
            StopCause::Asked(Asker::RestartWith) => f.write_str("a program it restarts with was restarted"),
            StopCause::Shutdown => f.write_str("the daemon is shutting down"),
            StopCause::Probe { name, detail } => write!(f, "probe {name:?} failed: {detail}"),
            StopCause::Watchdog { silent: Some(silent) } => {
                write!(f, "watchdog: no sign of life for {}", Span(*silent))
            }
            StopCause::Watchdog { silent: None } => f.write_str("watchdog: triggered by the program"),
            StopCause::StartTimeout => f.write_str("it did not become ready in time"),
            StopCause::ExecTimeout => f.write_str("its program was not executed in time"),
        }
    }
}

/// Why the daemon is shutting down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// The daemon got this signal.
    Signal(Signal),
    /// `musterctl shutdown`.
    Command,
    /// An essential instance exited and will not be restarted.
    Essential(InstanceId),
    /// A probe of this instance failed, with `on_failure = "shutdown"`.
    Probe(InstanceId),
    /// Every autostarted program has exited and will not be restarted.
    Done,
}
