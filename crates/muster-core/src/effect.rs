//! The words between the core and its shell: what happened, what to do, and what onlookers may want to know.
//!
//! Inputs are in the past tense, effects are orders, events are facts. The contract: hand over one input, then carry out
//! every effect in order, then wait; never wait in between.

use std::sync::Arc;
use std::time::Duration;

use muster_spec::{
    Exit, InstanceId, InstanceSpec, ProgramSpec, RunEnd, RunId, Selector, Signal, SignalScope, SpawnError, State,
};

use crate::cause::{Principal, ShutdownReason, StopCause};
use crate::health::{Health, ProbeOutcome};
use crate::leftover::LeftBehind;
use crate::plan::Plan;
use crate::request::{Outcome, RequestId, Verb};
use crate::restart::Verdict;
use crate::settings::Settings;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The daemon is up: start what starts by itself.
    Booted,
    /// Somebody asks for something.
    Commanded {
        /// Under which number the reply is wanted.
        request: RequestId,
        /// Of which instances.
        select: Selector,
        /// What to do with them.
        verb: Verb,
        /// Whether the reply comes when it is done, or when it is accepted.
        wait: bool,
        /// Who asks.
        by: Principal,
    },
    /// Who asked waits no longer: reply with how far it came.
    RequestExpired {
        /// Which request. One that is unknown has had its reply.
        request: RequestId,
    },
    /// Everything must stop. The second time: at once.
    ShutdownAsked {
        /// Why.
        reason: ShutdownReason,
        /// Another budget than the configured one.
        timeout: Option<Duration>,
    },
    /// The program of this run has been executed.
    Spawned {
        /// Which run.
        run: RunId,
    },
    /// The run never began, and no process of it is left.
    SpawnFailed {
        /// Which run.
        run: RunId,
        /// Why.
        error: SpawnError,
    },
    /// The main process of this run ended.
    Exited {
        /// Which run.
        run: RunId,
        /// How.
        exit: Exit,
    },
    /// The process that was recorded as this run's main one is not its own any more, and nothing else stands for the run.
    MainLost {
        /// Which run.
        run: RunId,
    },
    /// The main process has ended and nothing of the tree is left.
    TreeGone {
        /// Which run.
        run: RunId,
    },
    /// The answer to [`Effect::NameLeftovers`], where there were any.
    LeftBehind {
        /// By which run.
        run: RunId,
        /// Which.
        left: LeftBehind,
    },
    /// The run says that it is ready.
    Ready {
        /// Which run.
        run: RunId,
    },
    /// The run needs longer for what it is about: to become ready, or to stop.
    Extended {
        /// Which run.
        run: RunId,
        /// How long from now.
        by: Duration,
    },
    /// A check that was asked for has its answer.
    ProbeFinished {
        /// Of which run.
        run: RunId,
        /// Which check: see [`InstanceSpec::check`].
        probe: usize,
        /// The answer.
        outcome: ProbeOutcome,
    },
    /// A check that was asked for could not be made, by no fault of the run: it counts for nothing and is made again.
    ProbeNotMade {
        /// Of which run.
        run: RunId,
        /// Which check.
        probe: usize,
    },
    /// The daemon was not running for so long (stopped, frozen, suspended, starved): every deadline moves by that.
    TimeLost {
        /// How long.
        by: Duration,
    },
    /// The run says that it lives.
    WatchdogPinged {
        /// Which run.
        run: RunId,
    },
    /// The run says that it must be ended.
    WatchdogTripped {
        /// Which run.
        run: RunId,
    },
    /// The run chooses how often it will say that it lives.
    WatchdogChanged {
        /// Which run.
        run: RunId,
        /// At least so often; zero is never.
        interval: Duration,
    },
    /// The configuration was read anew.
    Reloaded {
        /// Under which number the reply is wanted, if anybody waits for it.
        request: Option<RequestId>,
        /// The client that asked for it, if one did.
        by: Option<Principal>,
        /// All programs, as they are to be.
        programs: Vec<Arc<ProgramSpec>>,
        /// What else the core must know.
        settings: Settings,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start a process; answer with `Spawned` or `SpawnFailed`.
    Spawn {
        /// The new run.
        run: RunId,
        /// Whose run it is.
        instance: InstanceId,
        /// What to execute.
        spec: Arc<InstanceSpec>,
    },
    /// Signal a run whose main process lives.
    Signal {
        /// Which run.
        run: RunId,
        /// Which signal.
        signal: Signal,
        /// To whom of it.
        scope: SignalScope,
    },
    /// Continue those of a run that are stopped (SIGSTOP), so that they can act on the stop signal that went before.
    Wake {
        /// Which run.
        run: RunId,
        /// Who of it.
        scope: SignalScope,
    },
    /// Signal every process of the tree, whether its main process lives or not, and continue those that are stopped; answer
    /// with `TreeGone` as soon as the main process has ended or is lost and nothing is left, which may be at once.
    Sweep {
        /// Which run.
        run: RunId,
        /// Which signal.
        signal: Signal,
    },
    /// The main process has ended, and a [`Effect::Sweep`] follows that is to be told: answer with `LeftBehind`, unless nothing
    /// is left of the tree.
    NameLeftovers {
        /// Which run.
        run: RunId,
        /// Whether they are killed now, or asked.
        killed: bool,
    },
    /// Carry out a check; answer with `ProbeFinished` or `ProbeNotMade`, exactly once unless the run ends or `StopProbes` comes before.
    StartProbe {
        /// Of which run.
        run: RunId,
        /// Whose run it is.
        instance: InstanceId,
        /// Which check: see [`InstanceSpec::check`].
        probe: usize,
        /// Where the checks are described.
        spec: Arc<InstanceSpec>,
    },
    /// Nobody wants to know any more how this run does: give up its checks, and end what they execute.
    StopProbes {
        /// Which run.
        run: RunId,
    },
    /// Signal the processes that belong to no program. Only while shutting down.
    SignalStrays {
        /// Which signal.
        signal: Signal,
    },
    /// Answer a request; each gets exactly one.
    Reply {
        /// Which request.
        request: RequestId,
        /// The answer.
        outcome: Outcome,
    },
    /// Tell onlookers.
    Publish(Event),
    /// End the daemon. The last effect of all.
    Exit {
        /// The container's exit code.
        code: u8,
    },
}

/// What onlookers may want to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An instance changed its state.
    State {
        /// Which.
        instance: InstanceId,
        /// From.
        from: State,
        /// To.
        to: State,
        /// Its run, current or last.
        run: Option<RunId>,
    },
    /// A run ended, or never began.
    Ended(Box<EndedRun>),
    /// The policy decided to start again.
    Retry {
        /// Which instance.
        instance: InstanceId,
        /// After which delay.
        delay: Duration,
        /// Which restart in a row this is, from 1.
        attempt: u32,
        /// How many there may be; `None` is without limit or not counted so.
        limit: Option<u32>,
        /// The rule behind it.
        verdict: Box<Verdict>,
    },
    /// The policy decided that an end is final.
    Final {
        /// Which instance.
        instance: InstanceId,
        /// Which run it was.
        run: RunId,
        /// The rule behind it.
        verdict: Box<Verdict>,
    },
    /// A run became ready, or is no longer.
    Ready {
        /// Which instance.
        instance: InstanceId,
        /// Which run.
        run: RunId,
        /// What it is now.
        is_ready: bool,
    },
    /// A run turned out to be well, or not.
    Health {
        /// Which instance.
        instance: InstanceId,
        /// Which run.
        run: RunId,
        /// What it is now.
        health: Health,
        /// Which probe found it.
        probe: usize,
        /// What it found.
        detail: String,
    },
    /// A check failed; it may take more of them to mean anything.
    ProbeFailed {
        /// Which instance.
        instance: InstanceId,
        /// Which run.
        run: RunId,
        /// Which check.
        probe: usize,
        /// The how-manieth failure in a row.
        failures: u32,
        /// What it found.
        detail: String,
    },
    /// A run has failed by our own judgement, and is being stopped for it.
    Failing {
        /// Which instance.
        instance: InstanceId,
        /// Which run.
        run: RunId,
        /// Why.
        cause: StopCause,
    },
    /// An instance waits for what will not come by itself.
    Waiting {
        /// Which instance.
        instance: InstanceId,
        /// For what.
        on: Vec<String>,
    },
    /// Another configuration is in force.
    Configured {
        /// What that changed.
        plan: Arc<Plan>,
    },
    /// A run did not stop in time and gets SIGKILL.
    Killed {
        /// Which instance.
        instance: InstanceId,
        /// Which run.
        run: RunId,
        /// How long it had.
        waited: Duration,
        /// Whether the shutdown budget or a second signal left it less than it is configured to have.
        cut_short: bool,
        /// Whether its main process had ended before, and only what it left behind is killed.
        left_behind: bool,
    },
    /// What a run left behind has been found, and is asked to end or killed.
    LeftBehind {
        /// Of which instance.
        instance: InstanceId,
        /// Which run.
        run: RunId,
        /// What it left behind.
        left: Box<LeftBehind>,
    },
    /// SIGKILL has been sent before and there are still processes. Published after one, two, four, eight seconds and so on.
    Stuck {
        /// Which instance.
        instance: InstanceId,
        /// Which run.
        run: RunId,
        /// For how long it has been stopping.
        since: Duration,
    },
    /// Everything is being stopped.
    ShutdownBegan {
        /// Why.
        reason: ShutdownReason,
        /// The reason in words.
        why: Box<str>,
        /// The budget for all of it.
        timeout: Duration,
    },
    /// These have used up their share of the budget and go on, while the next ones get their stop signal.
    ShutdownOverlaps {
        /// Which.
        living: Vec<InstanceId>,
    },
    /// A second signal: SIGKILL to everything.
    ShutdownHurried,
    /// Everything has stopped, or time was up.
    ShutdownEnded(Box<Account>),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedRun {
    /// Of which instance.
    pub instance: InstanceId,
    /// Which run.
    pub run: RunId,
    /// How.
    pub end: RunEnd,
    /// After how long.
    pub uptime: Duration,
    /// Whether it was to be expected: a success, or a stop that was asked for.
    pub expected: bool,
    /// Why, if we ended it ourselves.
    pub cause: Option<StopCause>,
}

/// The account of a shutdown.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Why it was asked.
    pub reason: ShutdownReason,
    /// The reason in words: the daemon's last line.
    pub why: Box<str>,
    /// The container's exit code.
    pub code: u8,
    /// The instances that had to be killed.
    pub killed: Vec<InstanceId>,
    /// The instances with processes that were still there.
    pub left: Vec<InstanceId>,
    /// The one that took longest to stop, and how long, where there was anything to stop.
    pub slowest: Option<(InstanceId, Duration)>,
}

impl Event {
    /// The instance it is about; the daemon's own events have none.
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

    /// The run it is about.
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
