//! The words between the core and its shell: what happened, what to do, and what onlookers may want to know.
//!
//! Inputs are in the past tense, effects are orders, events are facts. The contract: hand over one input, then carry out
//! every effect in order, then wait; never wait in between.

use std::rc::Rc;
use std::time::Duration;

use crate::exit::{Exit, RunEnd, SpawnError};
use crate::name::{InstanceId, RunId, Selector};
use crate::request::{Outcome, RequestId, Verb};
use crate::signal::Signal;
use crate::spec::InstanceSpec;
use crate::state::State;

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
    /// The main process has ended and nothing of the tree is left.
    TreeGone {
        /// Which run.
        run: RunId,
    },
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
    /// Every autostarted program has ended for good.
    Done,
}

/// Who is signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The main process.
    Main,
    /// Every process group of the tree.
    Group,
    /// Every process of the tree.
    Tree,
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
        spec: Rc<InstanceSpec>,
    },
    /// Signal a run whose main process lives.
    Signal {
        /// Which run.
        run: RunId,
        /// Which signal.
        signal: Signal,
        /// To whom of it.
        scope: Scope,
    },
    /// Continue those of a run that are stopped (SIGSTOP), so that they can act on the stop signal that went before.
    Wake {
        /// Which run.
        run: RunId,
        /// Who of it.
        scope: Scope,
    },
    /// Signal every process of the tree, whether its main process lives or not, and continue those that are stopped; answer
    /// with `TreeGone` as soon as the main process has ended and nothing is left, which may be at once.
    Sweep {
        /// Which run.
        run: RunId,
        /// Which signal.
        signal: Signal,
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
    },
    /// A run ended, or never began.
    Ended {
        /// Of which instance.
        instance: InstanceId,
        /// Which run.
        run: RunId,
        /// How.
        end: RunEnd,
        /// After how long.
        uptime: Duration,
        /// Whether the operator or the core itself brought it about.
        expected: bool,
    },
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
    },
    /// SIGKILL has been sent before and there are still processes.
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
        /// The budget for all of it.
        timeout: Duration,
    },
    /// A second signal: SIGKILL to everything.
    ShutdownHurried,
    /// Everything has stopped, or time was up.
    ShutdownEnded {
        /// Why it was asked.
        reason: ShutdownReason,
        /// The container's exit code.
        code: u8,
        /// Who had to be killed.
        killed: Vec<InstanceId>,
        /// Who could not be stopped at all.
        left: Vec<InstanceId>,
        /// The one that took longest to stop, and how long, where there was anything to stop.
        slowest: Option<(InstanceId, Duration)>,
    },
}
