//! The interface between the core and its shell: inputs, effects and events.
//!
//! Inputs are in the past tense, effects are orders, events are facts. The contract: pass one input, then carry out
//! every effect in order, then wait; never wait in between.

use std::sync::Arc;
use std::time::Duration;

use muster_spec::{
    Exit, InstanceId, InstanceSpec, ProgramSpec, RunEnd, RunId, Selector, ShutdownBudget, Signal, SignalScope,
    SpawnError, State,
};

use crate::cause::{Principal, ShutdownReason, StopCause};
use crate::health::{Health, ProbeOutcome};
use crate::leftover::LeftBehind;
use crate::plan::ReloadPlan;
use crate::request::{Outcome, RequestId, Verb};
use crate::restart::Verdict;
use crate::settings::Settings;

/// An event the shell reports to the core.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The daemon is up: start the autostarted programs.
    Booted,
    /// A client sent a command.
    Commanded {
        /// Identifies the reply.
        request: RequestId,
        /// The instances it concerns.
        select: Selector,
        /// The action to take on them.
        verb: Verb,
        /// Whether to reply when it is done, or as soon as it is accepted.
        wait: bool,
        /// The client that sent it.
        by: Principal,
    },
    /// The client no longer waits: reply with the progress so far.
    RequestExpired {
        /// The request. An unknown one has been replied to already.
        request: RequestId,
    },
    /// Shut down. The second time: at once.
    ShutdownAsked {
        /// The reason.
        reason: ShutdownReason,
        /// Replaces the configured budget.
        timeout: Option<ShutdownBudget>,
    },
    /// The program of this run has been executed.
    Spawned {
        /// The run.
        run: RunId,
    },
    /// The run could not be started, and no process of it is left.
    SpawnFailed {
        /// The run.
        run: RunId,
        /// The reason.
        error: SpawnError,
    },
    /// The main process of this run exited or was killed.
    Exited {
        /// The run.
        run: RunId,
        /// Its exit status or signal.
        exit: Exit,
    },
    /// The PID recorded as this run's main process no longer belongs to it, and no other process replaces it.
    MainLost {
        /// The run.
        run: RunId,
    },
    /// The main process has ended and no process of the tree is left, or of the group that is swept.
    TreeGone {
        /// The run.
        run: RunId,
    },
    /// The answer to [`Effect::NameLeftovers`], if there were any.
    LeftBehind {
        /// The run.
        run: RunId,
        /// The processes left behind.
        left: LeftBehind,
    },
    /// The run reported that it is ready.
    Ready {
        /// The run.
        run: RunId,
    },
    /// The run needs more time to become ready, or to stop.
    Extended {
        /// The run.
        run: RunId,
        /// Additional time, from now.
        by: Duration,
    },
    /// A check has finished.
    ProbeFinished {
        /// The run.
        run: RunId,
        /// The check: see [`InstanceSpec::check`].
        probe: usize,
        /// Its result.
        outcome: ProbeOutcome,
    },
    /// A check could not be made, through no fault of the run: it is not counted and is repeated.
    ProbeNotMade {
        /// The run.
        run: RunId,
        /// The check.
        probe: usize,
    },
    /// The daemon was not running for a while (stopped, frozen, suspended, starved): postpone every deadline.
    TimeLost {
        /// How long it was not running.
        by: Duration,
    },
    /// The run sent a watchdog notification.
    WatchdogPinged {
        /// The run.
        run: RunId,
    },
    /// The run triggered its watchdog.
    WatchdogTripped {
        /// The run.
        run: RunId,
    },
    /// The run set its watchdog interval.
    WatchdogChanged {
        /// The run.
        run: RunId,
        /// The new interval; zero disables the watchdog.
        interval: Duration,
    },
    /// The configuration was read again.
    Reloaded {
        /// Identifies the reply, if a client waits for it.
        request: Option<RequestId>,
        /// The client that asked for it, if one did.
        by: Option<Principal>,
        /// All programs of the new configuration.
        programs: Vec<Arc<ProgramSpec>>,
        /// The daemon settings that the core uses.
        settings: Settings,
        /// Whether everything is stopped first, and then started as at boot with nothing remembered.
        restarts_all: bool,
    },
}

/// An order to the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start a process; answer with `Spawned` or `SpawnFailed`.
    Spawn {
        /// The new run.
        run: RunId,
        /// The instance it belongs to.
        instance: InstanceId,
        /// The process to execute.
        spec: Arc<InstanceSpec>,
    },
    /// Signal a run whose main process is alive.
    Signal {
        /// The run.
        run: RunId,
        /// The signal.
        signal: Signal,
        /// The processes to signal.
        scope: SignalScope,
    },
    /// Continue stopped (SIGSTOP) processes of a run, so that they can act on the stop signal sent before.
    Wake {
        /// The run.
        run: RunId,
        /// The processes to continue.
        scope: SignalScope,
    },
    /// Signal every process of the tree, whether or not its main process is alive, and continue those that are stopped;
    /// answer with `TreeGone` as soon as the main process has ended or is lost and no process is left, which may be at
    /// once.
    Sweep {
        /// The run.
        run: RunId,
        /// The signal.
        signal: Signal,
    },
    /// The main process has ended: signal what is left of its process group, and continue those processes that are
    /// stopped; answer with `TreeGone` as soon as no process of the group is left, which may be at once. The others of
    /// the tree are kept, as with [`Effect::Disown`]. Without a signal, the group had it already.
    SweepGroup {
        /// The run.
        run: RunId,
        /// The signal.
        signal: Option<Signal>,
    },
    /// The main process has ended or is lost, and so has the run, even if processes of its tree are left. They are kept:
    /// they belong to no run, and no answer follows.
    Disown {
        /// The run.
        run: RunId,
    },
    /// The main process has ended, and an [`Effect::Sweep`] follows that should be reported: answer with `LeftBehind`,
    /// unless no process of the tree is left.
    NameLeftovers {
        /// The run.
        run: RunId,
        /// Whether they are killed now, or get the stop signal.
        killed: bool,
    },
    /// Run a check; answer with `ProbeFinished` or `ProbeNotMade`, exactly once unless the run ends or `StopProbes`
    /// comes before.
    StartProbe {
        /// The run.
        run: RunId,
        /// The instance it belongs to.
        instance: InstanceId,
        /// The check: see [`InstanceSpec::check`].
        probe: usize,
        /// The configuration of the checks.
        spec: Arc<InstanceSpec>,
    },
    /// Abandon all checks of this run, and kill the commands they execute.
    StopProbes {
        /// The run.
        run: RunId,
    },
    /// Signal the processes that belong to no program. Only sent while shutting down.
    SignalStrays {
        /// The signal.
        signal: Signal,
    },
    /// Reply to a request; each gets exactly one reply.
    Reply {
        /// The request.
        request: RequestId,
        /// The reply.
        outcome: Outcome,
    },
    /// Publish an event.
    Publish(Event),
    /// Exit the daemon. Always the last effect.
    Exit {
        /// The container's exit code.
        code: u8,
    },
}

/// A fact that observers may want to know.
#[derive(Clone, Debug, PartialEq)]
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
    /// An instance waits for a dependency that cannot be met without intervention.
    Waiting {
        /// The instance.
        instance: InstanceId,
        /// The unmet conditions, in words.
        on: Vec<String>,
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

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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
            Event::State { instance, .. }
            | Event::Retry { instance, .. }
            | Event::Final { instance, .. }
            | Event::Ready { instance, .. }
            | Event::Health { instance, .. }
            | Event::ProbeFailed { instance, .. }
            | Event::Failing { instance, .. }
            | Event::Waiting { instance, .. }
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
            Event::Final { run, .. }
            | Event::Ready { run, .. }
            | Event::Health { run, .. }
            | Event::ProbeFailed { run, .. }
            | Event::Failing { run, .. }
            | Event::Killed { run, .. }
            | Event::LeftBehind { run, .. }
            | Event::Stuck { run, .. } => Some(*run),
            Event::Retry { .. }
            | Event::Waiting { .. }
            | Event::Configured { .. }
            | Event::ShutdownBegan { .. }
            | Event::ShutdownOverlaps { .. }
            | Event::ShutdownHurried
            | Event::ShutdownEnded(_) => None,
        }
    }
}
