//! Why the supervisor ended a run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{Hook, InstanceId, Signal, Span};

pub use muster_spec::Principal;

/// The origin of a requested stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asker {
    /// A command to stop it.
    Stop(Principal),
    /// A command to restart it.
    Restart(Principal),
    /// A reload that removed or changed the program; a client's, or the daemon's own when files change or a signal comes.
    Reload(Option<Principal>),
    /// A probe whose failure stops the program.
    Probe,
    /// Too much memory, whose consequence is a stop.
    Memory,
    /// The restart of a program that this one restarts with.
    RestartWith,
    /// The end of this instance, with a rule of `on_exit` that restarts all programs.
    RestartAll(InstanceId),
    /// `recycle_after`: the run has lasted long enough.
    Recycle,
    /// A scheduled time with `overlap = "replace"`.
    Schedule,
    /// A change of a file that the program watches; its name, in words.
    Files(Arc<str>),
}

/// Why the supervisor ended a run, or judges it as failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Its processes had more memory than they may.
    Memory {
        /// How much, in words.
        detail: Arc<str>,
    },
    /// A hook of the run failed.
    Hook {
        /// The hook.
        hook: Hook,
        /// How it failed, in words.
        detail: Arc<str>,
    },
    /// It exited at once and left the client for which it was started.
    Unserved,
    /// It did not become ready in time.
    StartTimeout,
    /// Its process did not execute the program in time.
    ExecTimeout,
    /// It has lasted as long as it may.
    MaxRuntime {
        /// How long that is.
        max: Duration,
    },
}

impl StopCause {
    /// Whether the run counts as failed, however its process exits.
    pub const fn is_failure(&self) -> bool {
        !matches!(self, StopCause::Asked(_) | StopCause::Shutdown)
    }

    /// One word for it, as `post_stop` gets it in MUSTER_EXIT_CAUSE.
    pub const fn word(&self) -> &'static str {
        match self {
            StopCause::Asked(Asker::Stop(_)) => "stop",
            StopCause::Asked(Asker::Restart(_) | Asker::RestartWith | Asker::RestartAll(_)) => "restart",
            StopCause::Asked(Asker::Reload(_)) => "reload",
            StopCause::Asked(Asker::Recycle) => "recycle",
            StopCause::Asked(Asker::Probe) | StopCause::Probe { .. } => "probe",
            StopCause::Asked(Asker::Schedule) => "schedule",
            StopCause::Asked(Asker::Files(_)) => "watch",
            StopCause::Shutdown => "shutdown",
            StopCause::Watchdog { .. } => "watchdog",
            StopCause::Asked(Asker::Memory) | StopCause::Memory { .. } => "memory",
            StopCause::Hook { .. } => "hook",
            StopCause::Unserved => "unserved",
            StopCause::StartTimeout => "start_timeout",
            StopCause::ExecTimeout => "exec_timeout",
            StopCause::MaxRuntime { .. } => "max_runtime",
        }
    }
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopCause::Asked(Asker::Stop(_) | Asker::Restart(_)) => f.write_str("stopped by a command"),
            StopCause::Asked(Asker::Probe) => f.write_str("a probe failed"),
            StopCause::Asked(Asker::Memory) => f.write_str("it had too much memory"),
            StopCause::Asked(Asker::Reload(_)) => f.write_str("the configuration changed"),
            StopCause::Asked(Asker::Recycle) => f.write_str("it has run for as long as recycle_after says"),
            StopCause::Asked(Asker::RestartWith) => f.write_str("a program it restarts with was restarted"),
            StopCause::Asked(Asker::RestartAll(_)) => f.write_str("on_exit of a program restarted all"),
            StopCause::Asked(Asker::Schedule) => f.write_str("its next run was due"),
            StopCause::Asked(Asker::Files(file)) => write!(f, "{file} changed"),
            StopCause::Shutdown => f.write_str("the daemon is shutting down"),
            StopCause::Probe { name, detail } => write!(f, "probe {name:?} failed: {detail}"),
            StopCause::Watchdog { silent: Some(silent) } => {
                write!(f, "watchdog: no sign of life for {}", Span(*silent))
            }
            StopCause::Watchdog { silent: None } => f.write_str("watchdog: triggered by the program"),
            StopCause::Hook { hook, detail } => write!(f, "{}: {detail}", hook.name()),
            StopCause::Memory { detail } => write!(f, "memory: {detail}"),
            StopCause::Unserved => f.write_str("it exited without taking the client that it was started for"),
            StopCause::StartTimeout => f.write_str("it did not become ready in time"),
            StopCause::ExecTimeout => f.write_str("its program was not executed in time"),
            StopCause::MaxRuntime { max } => write!(f, "it was still running after max_runtime = {}", Span(*max)),
        }
    }
}

/// Why the daemon is shutting down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShutdownReason {
    /// The daemon got this signal.
    Signal(Signal),
    /// A process of one of the daemon's own trees sent it this signal, or requested it as a client of supervisord.
    Program {
        /// The signal; `None` for a request.
        signal: Option<Signal>,
        /// The instance that the process belongs to; `None` if it was a probe's command.
        sender: Option<InstanceId>,
    },
    /// A client sent `musterctl shutdown`.
    Command(Principal),
    /// An essential instance exited and will not be restarted.
    Essential(InstanceId),
    /// A rule of `on_exit` about the end of this instance says so.
    OnExit(InstanceId),
    /// A probe of this instance failed, with `on_failure = "shutdown"`.
    Probe(InstanceId),
    /// This instance had too much memory, with `action = "shutdown"`.
    Memory(InstanceId),
    /// Every autostarted program has exited and will not be restarted.
    Done,
}

impl ShutdownReason {
    /// The signal that asked for the shutdown, if one did.
    pub const fn signal(&self) -> Option<Signal> {
        match self {
            ShutdownReason::Signal(signal) => Some(*signal),
            ShutdownReason::Program { signal, .. } => *signal,
            ShutdownReason::Command(_)
            | ShutdownReason::Essential(_)
            | ShutdownReason::OnExit(_)
            | ShutdownReason::Probe(_)
            | ShutdownReason::Memory(_)
            | ShutdownReason::Done => None,
        }
    }
}
