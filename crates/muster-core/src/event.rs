//! Events: facts for observers, of one type from the core to the API.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use muster_spec::{Exit, Hook, InstanceId, RunEnd, RunId, ShutdownBudget, SpawnError, State};

use crate::cause::{ShutdownReason, StopCause};
use crate::health::Health;
use crate::leftover::LeftBehind;
use crate::plan::ReloadPlan;
use crate::restart::Verdict;

/// A fact that observers may want to know.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// An instance changed its state.
    State {
        /// The instance.
        instance: InstanceId,
        /// Previous state.
        from: State,
        /// New state.
        to: State,
        /// Its run, current or last.
        run: Option<RunId>,
    },
    /// A run ended, or could not be started.
    Ended(Box<EndedRun>),
    /// The restart policy decided to restart.
    Retry {
        /// The instance.
        instance: InstanceId,
        /// Delay before the restart.
        delay: Duration,
        /// Number of this restart in a row, from 1.
        attempt: u32,
        /// Maximum number of restarts; `None` if unlimited or counted differently.
        limit: Option<u32>,
        /// The rule applied.
        verdict: Box<Verdict>,
    },
    /// The restart policy decided that an end is final.
    Final {
        /// The instance.
        instance: InstanceId,
        /// The run that ended.
        run: RunId,
        /// The rule applied.
        verdict: Box<Verdict>,
    },
    /// A run became ready, or is no longer.
    Ready {
        /// The instance.
        instance: InstanceId,
        /// The run.
        run: RunId,
        /// Whether it is ready now.
        is_ready: bool,
    },
    /// A run became healthy or unhealthy.
    Health {
        /// The instance.
        instance: InstanceId,
        /// The run.
        run: RunId,
        /// Its health now.
        health: Health,
        /// The probe that decided.
        probe: usize,
        /// The result of its last check, in words.
        detail: String,
    },
    /// A check failed, which alone may not reach the threshold.
    ProbeFailed {
        /// The instance.
        instance: InstanceId,
        /// The run.
        run: RunId,
        /// The check.
        probe: usize,
        /// Consecutive failures, including this one.
        failures: u32,
        /// The result of the check, in words.
        detail: String,
    },
    /// The supervisor considers a run failed and is stopping it.
    Failing {
        /// The instance.
        instance: InstanceId,
        /// The run.
        run: RunId,
        /// The reason.
        cause: StopCause,
    },
    /// A hook has ended.
    Hook(Box<EndedHook>),
    /// A rolling restart begins with an instance or is done with it, or has ended early.
    Rolling(Box<RollingStep>),
    /// An instance waits for a dependency that cannot be met without intervention.
    Waiting {
        /// The instance.
        instance: InstanceId,
        /// The unmet conditions, in words.
        on: Vec<String>,
    },
    /// A time of the schedule of an instance started nothing.
    Skipped {
        /// The instance.
        instance: InstanceId,
        /// The reason.
        why: Skipped,
    },
    /// A new configuration is active.
    Configured {
        /// The changes.
        plan: Arc<ReloadPlan>,
    },
    /// A run did not stop in time and gets SIGKILL.
    Killed {
        /// The instance.
        instance: InstanceId,
        /// The run.
        run: RunId,
        /// How long it had been given.
        waited: Duration,
        /// Whether the shutdown budget or a second signal cut its configured time short.
        cut_short: bool,
        /// Whether its main process had ended before, and only processes left behind are killed.
        left_behind: bool,
    },
    /// Processes left behind by a run were found, and get the stop signal or SIGKILL.
    LeftBehind {
        /// The instance.
        instance: InstanceId,
        /// The run.
        run: RunId,
        /// The processes.
        left: Box<LeftBehind>,
    },
    /// Processes are left although SIGKILL was sent. Published after one, two, four, eight seconds and so on.
    Stuck {
        /// The instance.
        instance: InstanceId,
        /// The run.
        run: RunId,
        /// How long it has been stopping.
        since: Duration,
    },
    /// The daemon is shutting down.
    ShutdownBegan {
        /// The reason.
        reason: ShutdownReason,
        /// The reason in words.
        why: Box<str>,
        /// The budget for the whole shutdown.
        timeout: ShutdownBudget,
    },
    /// These instances have used up their share of the budget and are still stopping while the next ones get their stop
    /// signal.
    ShutdownOverlaps {
        /// The instances.
        living: Vec<InstanceId>,
    },
    /// A second signal: SIGKILL to all programs.
    ShutdownHurried,
    /// Everything has stopped, or the budget is used up.
    ShutdownEnded(Box<Account>),
}

/// A step of a rolling restart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RollingStep {
    /// The instance whose turn it was.
    pub instance: InstanceId,
    /// Its number among the instances of its program that are restarted, from 1.
    pub step: u32,
    /// The number of them.
    pub of: u32,
    /// How it went.
    pub outcome: StepOutcome,
}

/// How a step of a rolling restart went.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// The instance is being restarted.
    Began,
    /// It has been restarted, or needed no restart.
    Done,
    /// Its new run failed, or another instance is down for good, as these words say; the rest keeps its processes.
    Failed(String),
    /// An instance was stopped or removed, or the daemon is shutting down; the rest keeps its processes.
    Cancelled,
}

impl StepOutcome {
    /// One word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            StepOutcome::Began => "began",
            StepOutcome::Done => "done",
            StepOutcome::Failed(_) => "failed",
            StepOutcome::Cancelled => "cancelled",
        }
    }
}

/// Why a scheduled time started nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipped {
    /// It was running.
    Running,
    /// Another run follows already.
    Queued,
    /// A dependency did not hold, or it was about to be started anyway.
    Waiting,
    /// The clock was set past these times, or the daemon did not run then.
    Missed {
        /// Their number.
        times: u32,
    },
}

impl Skipped {
    /// One word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Skipped::Running => "running",
            Skipped::Queued => "queued",
            Skipped::Waiting => "waiting",
            Skipped::Missed { .. } => "missed",
        }
    }

    /// The number of times that started nothing.
    pub const fn times(self) -> u32 {
        match self {
            Skipped::Missed { times } => times,
            Skipped::Running | Skipped::Queued | Skipped::Waiting => 1,
        }
    }
}

/// How a hook ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndedHook {
    /// The instance.
    pub instance: InstanceId,
    /// The run.
    pub run: RunId,
    /// The hook.
    pub hook: Hook,
    /// Its exit, or why it could not be executed.
    pub end: Result<Exit, SpawnError>,
    /// How long it took.
    pub took: Duration,
    /// Its failure in words, with the last line of its output; `None` if it succeeded, or was ended because the run is
    /// being stopped.
    pub failure: Option<Box<str>>,
    /// Whether it was ended because the run is being stopped.
    pub was_called_off: bool,
    /// Whether its failure counts as one of the run.
    pub counts: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndedRun {
    /// The instance.
    pub instance: InstanceId,
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub end: RunEnd,
    /// How long it lasted.
    pub uptime: Duration,
    /// Whether the end was expected: a success, or a requested stop.
    pub expected: bool,
    /// Why the supervisor ended it, if it did.
    pub cause: Option<StopCause>,
}

/// The summary of a shutdown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    /// The reason for it.
    pub reason: ShutdownReason,
    /// The reason in words: the daemon's last log line.
    pub why: Box<str>,
    /// The container's exit code.
    pub code: u8,
    /// The instances that had to be killed.
    pub killed: Vec<InstanceId>,
    /// The instances that still had processes.
    pub left: Vec<InstanceId>,
    /// The instance that took longest to stop, and how long, if any had to be stopped.
    pub slowest: Option<(InstanceId, Duration)>,
}

impl Event {
    /// The instance it concerns; `None` for events of the daemon itself.
    pub fn instance(&self) -> Option<InstanceId> {
        match self {
            Event::Ended(ended) => Some(ended.instance),
            Event::Hook(ended) => Some(ended.instance),
            Event::Rolling(step) => Some(step.instance),
            Event::State { instance, .. }
            | Event::Retry { instance, .. }
            | Event::Final { instance, .. }
            | Event::Ready { instance, .. }
            | Event::Health { instance, .. }
            | Event::ProbeFailed { instance, .. }
            | Event::Failing { instance, .. }
            | Event::Waiting { instance, .. }
            | Event::Skipped { instance, .. }
            | Event::Killed { instance, .. }
            | Event::LeftBehind { instance, .. }
            | Event::Stuck { instance, .. } => Some(*instance),
            Event::Configured { .. }
            | Event::ShutdownBegan { .. }
            | Event::ShutdownOverlaps { .. }
            | Event::ShutdownHurried
            | Event::ShutdownEnded(_) => None,
        }
    }

    /// The run it concerns.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Event::State { run, .. } => *run,
            Event::Ended(ended) => Some(ended.run),
            Event::Hook(ended) => Some(ended.run),
            Event::Final { run, .. }
            | Event::Ready { run, .. }
            | Event::Health { run, .. }
            | Event::ProbeFailed { run, .. }
            | Event::Failing { run, .. }
            | Event::Killed { run, .. }
            | Event::LeftBehind { run, .. }
            | Event::Stuck { run, .. } => Some(*run),
            Event::Retry { .. }
            | Event::Rolling(_)
            | Event::Waiting { .. }
            | Event::Skipped { .. }
            | Event::Configured { .. }
            | Event::ShutdownBegan { .. }
            | Event::ShutdownOverlaps { .. }
            | Event::ShutdownHurried
            | Event::ShutdownEnded(_) => None,
        }
    }
}
