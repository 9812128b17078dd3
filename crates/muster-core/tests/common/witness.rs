//! An observer, independent of the core, that checks every guarantee.
//!
//! It receives each input, each effect and the resulting state. It tracks which programs are wanted, which processes
//! are alive and when each got its stop signal, so a violation is found at the step that causes it, in any story.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_core::{
    Effect, Event, Health, Input, Instance, RequestId, Settings, Supervisor, Time, Verb, program::EXEC_DEADLINE,
    stop::KILL_RETRY,
};
use muster_spec::{
    DependencyCondition, Goal, InstanceId, InstanceSpec, Judged, Kind, Leftovers, Limit, OnFailure, ProbeSpec,
    ProgramSpec, RestartWhen, RunId, ShutdownOrder, Signal, SignalScope, StartOn, State, StopKill, StopStep,
    WatchAction,
};

use crate::common::kinship::Kinship;

/// Tolerance for rounding of shortened timeouts.
const SLACK: Duration = Duration::from_micros(1);

/// The part of a shutdown's budget that is reserved for the kernel to end killed processes; and how much of it even the
/// shortest budget leaves for that.
const MOMENT: Duration = Duration::from_millis(100);

/// The signal that operators send; no stop plan of the stories uses it.
pub const OPERATORS_SIGNAL: Signal = Signal::USR1;

/// A violated guarantee.
pub type Broken = String;

macro_rules! promise {
    ($holds:expr, $($told:tt)*) => {
        if !$holds {
            return Err(format!($($told)*));
        }
    };
}

mod effects;
mod inputs;
mod reload;
mod rolling;
mod serial;

#[derive(Clone, Debug)]
struct Run {
    id: RunId,
    spec: Arc<InstanceSpec>,
    born: Time,
    is_executed: bool,
    has_main: bool,
    asked: Vec<Time>,
    killed: Option<Time>,
    /// The stop plan for its leftovers if it ended without a request, with a timeout of its own.
    shortened: Option<Arc<[StopStep]>>,
    /// Whether the core has judged it failed.
    is_failing: bool,
    is_ready: bool,
    is_healthy: bool,
    /// The unanswered probes.
    under_way: BTreeSet<usize>,
    is_checked: bool,
    /// The processes that a stop ends.
    ends: StopKill,
}

#[derive(Clone, Debug)]
struct Watched {
    program: Arc<ProgramSpec>,
    spec: Arc<InstanceSpec>,
    steps: Arc<[StopStep]>,
    is_wanted: bool,
    was_stopped_by_hand: bool,
    is_leaving: bool,
    /// Whether its last run was a success, and whether it ended on request.
    last_success: bool,
    was_asked: Option<bool>,
    state: State,
    /// Whether it waits for a client and for nothing else.
    awaits_contact: bool,
    run: Option<Run>,
    batch: Option<usize>,
    /// Its own rank in the configuration that orders its stop.
    stops_at: i64,
}

impl Watched {
    fn new(program: &Arc<ProgramSpec>, spec: &Arc<InstanceSpec>) -> Watched {
        Watched {
            program: Arc::clone(program),
            spec: Arc::clone(spec),
            steps: program.stop.steps.clone().into(),
            is_wanted: false,
            was_stopped_by_hand: false,
            is_leaving: false,
            last_success: false,
            was_asked: None,
            state: State::Stopped,
            awaits_contact: false,
            run: None,
            batch: None,
            stops_at: program.rank(),
        }
    }

    /// The stop plan of its run.
    fn plan(&self) -> Arc<[StopStep]> {
        let shortened = self.run.as_ref().and_then(|run| run.shortened.clone());
        shortened.unwrap_or_else(|| Arc::clone(&self.steps))
    }

    /// Whether there are events about its readiness. A run has the readiness rule that its process was made for.
    fn has_to_say(&self) -> bool {
        self.run.as_ref().map_or(&self.spec, |run| &run.spec).ready.is_some() || !self.spec.probes.is_empty()
    }

    fn meets(&self, condition: DependencyCondition) -> bool {
        let is_failing = self.run.as_ref().is_some_and(|run| run.is_failing);
        let is_up = self.state == State::Running && self.is_wanted && !is_failing;
        let is_done = self.state == State::Exited && self.last_success;
        let has_to_say = self.has_to_say();
        // A client of one that waits for clients is taken.
        let is_up = is_up || self.awaits_contact && self.is_wanted;
        match condition {
            DependencyCondition::Started => is_up || is_done,
            DependencyCondition::Ready => {
                let is_ready = !has_to_say || self.run.as_ref().is_some_and(|run| run.is_ready);
                let is_ready = is_ready || self.awaits_contact;
                is_up && is_ready || is_done && self.program.kind == Kind::Oneshot
            }
            DependencyCondition::Healthy => {
                is_up && (self.awaits_contact || self.run.as_ref().is_some_and(|run| run.is_healthy))
            }
            DependencyCondition::Completed => is_done,
            DependencyCondition::Exited => matches!(self.state, State::Exited | State::Fatal),
        }
    }
}

#[derive(Clone, Debug)]
struct Batch {
    members: BTreeSet<usize>,
    is_restart: bool,
    is_released: bool,
    /// The configuration that orders its members.
    order: Arc<Kinship>,
    /// The step in which each program stops, in a serial shutdown.
    turns: Option<BTreeMap<String, usize>>,
}

#[derive(Clone, Debug)]
pub struct Witness {
    watched: Vec<Watched>,
    kinship: Arc<Kinship>,
    coming: Option<Vec<Arc<ProgramSpec>>>,
    /// Whether the last reload restarts everything.
    boots_again: bool,
    batches: Vec<Batch>,
    timeout: Duration,
    /// Whether programs stop one after another at a shutdown.
    is_serial: bool,
    closing: Option<Time>,
    signals: u32,
    is_hurried: bool,
    must_be_answered: Vec<RequestId>,
    open: BTreeSet<RequestId>,
    latest_run: RunId,
    /// The instances that rolling restarts are restarting, and those that they have restarted.
    rolling: BTreeSet<usize>,
    rolled: BTreeSet<usize>,
    /// How many instances of a program may take their turn at a time.
    most_at_a_time: usize,
    /// The most instances that may be STARTING at a time.
    most_starting: usize,
    /// Whether the core was called later than its deadline.
    pub is_late: bool,
    pub has_exited: Option<u8>,
}

impl Witness {
    pub fn new(settings: Settings, programs: &[Arc<ProgramSpec>]) -> Witness {
        let members = programs.iter().flat_map(|program| program.instances.iter().map(move |spec| (program, spec)));
        let watched = members.map(|(program, spec)| Watched::new(program, spec));
        Witness {
            watched: watched.collect(),
            kinship: Arc::new(Kinship::of(programs)),
            coming: None,
            boots_again: false,
            batches: Vec::new(),
            timeout: settings.shutdown_timeout.limit().unwrap_or(Duration::MAX),
            is_serial: settings.shutdown_order == ShutdownOrder::Serial,
            closing: None,
            signals: 0,
            is_hurried: false,
            must_be_answered: Vec::new(),
            open: BTreeSet::new(),
            latest_run: RunId(0),
            rolling: BTreeSet::new(),
            rolled: BTreeSet::new(),
            most_at_a_time: 1,
            most_starting: match settings.max_parallel_starts {
                0 => usize::MAX,
                most => most as usize,
            },
            is_late: false,
            has_exited: None,
        }
    }

    /// The deadline of a shutdown in progress.
    pub fn end(&self) -> Option<Time> {
        self.closing
    }

    /// The requests without a reply.
    pub fn open(&self) -> impl Iterator<Item = RequestId> {
        self.open.iter().copied()
    }

    pub fn run_of(&self, id: InstanceId) -> Option<RunId> {
        self.watched[id.0 as usize].run.as_ref().map(|run| run.id)
    }

    pub fn is_executed(&self, id: InstanceId) -> bool {
        self.watched[id.0 as usize].run.as_ref().is_some_and(|run| run.is_executed)
    }

    pub fn was_killed(&self, id: InstanceId) -> bool {
        let one = self.watched.get(id.0 as usize);
        one.and_then(|one| one.run.as_ref()).is_some_and(|run| run.killed.is_some())
    }

    pub fn is_anything_alive(&self) -> bool {
        self.watched.iter().any(|one| one.run.is_some())
    }

    fn of_run(&mut self, run: RunId) -> Option<&mut Watched> {
        self.watched.iter_mut().find(|one| one.run.as_ref().is_some_and(|it| it.id == run))
    }
}

fn patience(steps: &[StopStep]) -> Duration {
    steps.iter().fold(Duration::ZERO, |sum, step| sum.saturating_add(step.patience))
}

/// The same signals within this time.
fn within(steps: &[StopStep], wait: Duration) -> Arc<[StopStep]> {
    let total = patience(steps);
    if total <= wait {
        return steps.into();
    }
    let part = wait.as_secs_f64() / steps.iter().map(|step| step.patience.as_secs_f64()).sum::<f64>();
    steps.iter().map(|step| StopStep { patience: step.patience.mul_f64(part), ..*step }).collect()
}

/// The transition table, extended by leftovers: a program that is wanted again while they are dying is WAITING.
fn is_a_transition(from: State, to: State, program: &ProgramSpec) -> bool {
    use State::{Backoff, Exited, Fatal, Running, Starting, Stopped, Stopping, Waiting};
    match from {
        Stopped | Exited | Fatal | Backoff if matches!(to, Waiting | Starting) => true,
        // A limit that is checked when the next run is due.
        Backoff | Waiting if to == Fatal => {
            matches!(program.restart.limit, Limit::Rate { judged: Judged::AtStart, .. })
        }
        Backoff => matches!(to, Stopping | Stopped),
        Waiting => matches!(to, Starting | Stopping | Stopped),
        Starting => matches!(to, Running | Backoff | Exited | Fatal | Stopping | Waiting),
        Running => matches!(to, Backoff | Exited | Fatal | Stopping | Waiting),
        Stopping => to == Stopped,
        Stopped | Exited | Fatal => false,
    }
}

/// Checks of the state after all effects were carried out.
impl Witness {
    pub fn looks(&mut self, core: &Supervisor) -> Result<(), Broken> {
        for request in std::mem::take(&mut self.must_be_answered) {
            promise!(!self.open.contains(&request), "{request:?} must be answered by now");
        }
        if self.has_exited.is_some() {
            promise!(core.poll_timeout().is_none(), "it has ended and still waits for something");
            return Ok(());
        }
        for (id, one) in self.watched.iter().enumerate() {
            match core.get(InstanceId(id as u32)) {
                Some(instance) => self.looks_at(id, one, instance, core)?,
                None => promise!(self.is_forgotten(id), "instance {id} is gone, and should not be: {one:?}"),
            }
        }
        let starting = self.watched.iter().filter(|one| one.state == State::Starting).count();
        promise!(starting <= self.most_starting, "{starting} are STARTING, of {} that may be", self.most_starting);
        self.looks_at_waves()?;
        let deadlines = core.snapshot().iter().filter_map(|instance| instance.earliest_deadline());
        let earliest = deadlines.chain(self.closing).min();
        // A roll has deadlines of its own, also for an instance whose turn needs no restart and no event.
        let has_rolls = core.snapshot().iter().any(|one| core.rolling(one.id()).is_some());
        let is_told = match self.closing {
            None if has_rolls => core.poll_timeout() <= earliest.or(core.poll_timeout()),
            None => core.poll_timeout() == earliest,
            Some(_) => core.poll_timeout() <= earliest,
        };
        promise!(is_told, "the earliest deadline is {earliest:?}, but told is {:?}", core.poll_timeout());
        Ok(())
    }

    fn looks_at(&self, id: usize, one: &Watched, instance: &Instance, core: &Supervisor) -> Result<(), Broken> {
        let (state, run) = (instance.state(), one.run.as_ref());
        promise!(state == one.state, "instance {id} is {state} and was last told to be {}", one.state);
        promise!(instance.run() == run.map(|run| run.id), "instance {id} has {:?}, not {run:?}", instance.run());
        let is_up = instance.goal() == Goal::Up;
        promise!(is_up == one.is_wanted, "instance {id} has the goal {:?}", instance.goal());
        promise!(is_up || !instance.is_held(), "instance {id} waits for others, and its goal is down");
        let has_main = run.is_some_and(|run| run.has_main);
        let fits = match state {
            State::Stopped => run.is_none(),
            State::Starting | State::Running => has_main,
            State::Stopping => run.is_some(),
            State::Waiting => is_up && !has_main && self.has_reason_to_wait(id, instance),
            State::Backoff | State::Exited | State::Fatal => !has_main,
        };
        promise!(fits, "instance {id} is {state} with {run:?}");
        let needs_deadline = matches!(state, State::Starting | State::Backoff | State::Stopping);
        let has_deadline = instance.earliest_deadline().is_some();
        promise!(has_deadline || !needs_deadline, "instance {id} is {state} and waits for nothing");
        promise!(has_deadline || !instance.has_leftovers(), "instance {id} has leftovers and waits for nothing");
        promise!(instance.run().is_none_or(|run| core.instance_of(run).is_some()), "{run:?} is lost");
        Ok(())
    }

    /// Whether the instance cannot start yet: a WAITING instance must have a reason.
    fn has_reason_to_wait(&self, id: usize, instance: &Instance) -> bool {
        let one = &self.watched[id];
        let is_in_batch = one.batch.is_some_and(|batch| self.batches[batch].is_restart);
        let needs = self.kinship.needs(&one.program.name).flat_map(|(need, _)| self.ids_of(need));
        let is_to_restart = |need: usize| self.watched[need].batch.is_some_and(|batch| self.batches[batch].is_restart);
        let must_wait = needs.into_iter().any(is_to_restart) || !self.missing(id).is_empty();
        let is_crowded = || {
            let starting = self.watched.iter().filter(|one| one.state == State::Starting).count();
            instance.awaits_turn() && starting >= self.most_starting
        };
        let is_delayed =
            || instance.start_delay_until().is_some() && one.program.start_delay.of(one.spec.index) > Duration::ZERO;
        let is_held = one.awaits_contact || one.run.is_some() || is_in_batch || must_wait || self.may_follow_a_roll(id);
        is_held || is_crowded() || is_delayed()
    }

    /// In every batch, each member without a predecessor is being stopped: none is forgotten.
    fn looks_at_waves(&self) -> Result<(), Broken> {
        let is_up = |one: &Watched| matches!(one.state, State::Starting | State::Running);
        let living = || self.watched.iter().filter(|one| one.run.is_some() && one.batch.is_some());
        for one in living().filter(|one| is_up(one)) {
            let Some(batch) = one.batch else { continue };
            let must_wait = living().any(|first| first.batch == Some(batch) && self.goes_before(batch, first, one));
            promise!(must_wait, "it is next to be stopped, and is not being stopped: {one:?}");
        }
        for one in self.watched.iter().filter(|one| !is_up(one)) {
            let is_checked = one.run.as_ref().is_some_and(|run| run.is_checked);
            promise!(!is_checked, "it is no longer up, and is still probed: {one:?}");
        }
        Ok(())
    }
}
