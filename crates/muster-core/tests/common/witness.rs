//! An onlooker who knows nothing of the rules and holds every promise against what happens.
//!
//! It hears each input, sees each effect and looks at the result. It keeps its own account of who is wanted, what lives
//! and who was asked to stop when, so a broken promise is noticed at the step that breaks it, whatever the story.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use muster_core::program::EXEC_DEADLINE;
use muster_core::spec::{ProgramSpec, StopStep};
use muster_core::stop::KILL_RETRY;
use muster_core::{
    Effect, Event, Goal, Input, InstanceId, RequestId, RunId, Settings, Signal, State, Supervisor, Time, Verb,
};

/// Rounding of shortened patiences.
const SLACK: Duration = Duration::from_micros(1);

/// What operators send with `signal`; no stop plan of the stories uses it.
pub const OPERATORS_SIGNAL: Signal = Signal::USR1;

/// A broken promise.
pub type Broken = String;

macro_rules! promise {
    ($holds:expr, $($told:tt)*) => {
        if !$holds {
            return Err(format!($($told)*));
        }
    };
}

#[derive(Clone, Debug)]
struct Run {
    id: RunId,
    born: Time,
    is_executed: bool,
    has_main: bool,
    asked: Vec<Time>,
    killed: Option<Time>,
}

#[derive(Clone, Debug)]
struct Watched {
    steps: Rc<[StopStep]>,
    priority: i64,
    autostart: bool,
    is_wanted: bool,
    state: State,
    run: Option<Run>,
    batch: Option<usize>,
}

#[derive(Clone, Debug)]
struct Batch {
    members: BTreeSet<usize>,
    is_restart: bool,
    is_released: bool,
}

#[derive(Clone, Debug)]
pub struct Witness {
    watched: Vec<Watched>,
    batches: Vec<Batch>,
    timeout: Duration,
    closing: Option<Time>,
    signals: u32,
    is_hurried: bool,
    must_be_answered: Vec<RequestId>,
    open: BTreeSet<RequestId>,
    latest_run: RunId,
    /// Whether time has been let pass without telling the core in time.
    pub is_late: bool,
    pub has_exited: Option<u8>,
}

impl Witness {
    pub fn new(settings: Settings, programs: &[Rc<ProgramSpec>]) -> Witness {
        let members = programs.iter().flat_map(|program| program.instances.iter().map(move |_| program));
        let watched = members.map(|program| Watched {
            steps: program.stop.steps.clone().into(),
            priority: program.priority,
            autostart: program.autostart,
            is_wanted: false,
            state: State::Stopped,
            run: None,
            batch: None,
        });
        Witness {
            watched: watched.collect(),
            batches: Vec::new(),
            timeout: settings.shutdown_timeout,
            closing: None,
            signals: 0,
            is_hurried: false,
            must_be_answered: Vec::new(),
            open: BTreeSet::new(),
            latest_run: RunId(0),
            is_late: false,
            has_exited: None,
        }
    }

    /// When a shutdown under way must have come to its end.
    pub fn end(&self) -> Option<Time> {
        self.closing
    }

    /// The requests that have had no answer.
    pub fn open(&self) -> impl Iterator<Item = RequestId> {
        self.open.iter().copied()
    }

    pub fn run_of(&self, id: InstanceId) -> Option<RunId> {
        self.watched[id.0 as usize].run.as_ref().map(|run| run.id)
    }

    pub fn was_killed(&self, id: InstanceId) -> bool {
        self.watched[id.0 as usize].run.as_ref().is_some_and(|run| run.killed.is_some())
    }

    pub fn is_anything_alive(&self) -> bool {
        self.watched.iter().any(|one| one.run.is_some())
    }

    fn of_run(&mut self, run: RunId) -> Option<&mut Watched> {
        self.watched.iter_mut().find(|one| one.run.as_ref().is_some_and(|it| it.id == run))
    }
}

/// What goes in.
impl Witness {
    pub fn hears(&mut self, input: &Input, core: &Supervisor) {
        if self.has_exited.is_some() {
            return;
        }
        match input {
            Input::Booted if self.closing.is_none() => {
                for one in self.watched.iter_mut().filter(|one| one.autostart) {
                    one.is_wanted = true;
                }
            }
            Input::Booted => {}
            Input::Commanded { request, select, verb, wait } => {
                self.open.insert(*request);
                if !wait {
                    self.must_be_answered.push(*request);
                }
                let ids: Vec<usize> = core.select(select).into_iter().flatten().map(|id| id.0 as usize).collect();
                if self.closing.is_none() {
                    self.hears_verb(*verb, &ids);
                }
            }
            Input::RequestExpired { request } => self.must_be_answered.push(*request),
            Input::ShutdownAsked { reason, .. } => {
                self.signals += u32::from(matches!(reason, muster_core::ShutdownReason::Signal(_)));
                self.is_hurried = self.is_hurried || self.signals > 1;
            }
            Input::Spawned { run } => {
                let run = self.of_run(*run).and_then(|one| one.run.as_mut());
                run.into_iter().for_each(|run| run.is_executed = true);
            }
            Input::SpawnFailed { run, .. } => self.of_run(*run).into_iter().for_each(|one| one.run = None),
            Input::Exited { run, .. } => {
                let run = self.of_run(*run).and_then(|one| one.run.as_mut());
                run.into_iter().for_each(|run| run.has_main = false);
            }
            Input::TreeGone { run } => {
                let one = self.of_run(*run).filter(|one| one.run.as_ref().is_some_and(|run| !run.has_main));
                one.into_iter().for_each(|one| one.run = None);
            }
        }
    }

    fn hears_verb(&mut self, verb: Verb, ids: &[usize]) {
        match verb {
            Verb::Start => {
                for &id in ids {
                    let one = &mut self.watched[id];
                    let is_up = matches!(one.state, State::Starting | State::Running);
                    // What is up and wanted needs no start, and a restart that it waits for still comes.
                    if !(is_up && one.is_wanted) {
                        one.batch = None;
                    }
                    one.is_wanted = true;
                }
            }
            Verb::Stop => self.begin_batch(ids, false),
            Verb::Restart => self.begin_batch(ids, true),
            Verb::Signal { .. } | Verb::Await(_) => {}
        }
    }

    fn begin_batch(&mut self, ids: &[usize], is_restart: bool) {
        let place = self.batches.len();
        for &id in ids {
            self.watched[id].batch = Some(place);
            self.watched[id].is_wanted = is_restart;
        }
        self.batches.push(Batch { members: ids.iter().copied().collect(), is_restart, is_released: false });
    }

    fn members(&self, batch: usize) -> impl Iterator<Item = &Watched> {
        let members = self.batches[batch].members.iter().map(|&id| &self.watched[id]);
        members.filter(move |one| one.batch == Some(batch))
    }
}

/// What comes out.
impl Witness {
    pub fn sees(&mut self, now: Time, effect: &Effect) -> Result<(), Broken> {
        promise!(self.has_exited.is_none(), "Exit is the last effect of all, but after it comes {effect:?}");
        match effect {
            Effect::Spawn { run, instance, .. } => self.sees_spawn(now, *run, instance.0 as usize),
            Effect::Signal { run, signal, .. } => self.sees_signal(now, *run, *signal),
            Effect::Wake { run, .. } => self.sees_main(*run, "waking").map(drop),
            Effect::Sweep { run, signal: Signal::KILL } => self.sees_kill(now, *run),
            Effect::Sweep { run, signal } => self.sees_sweep(now, *run, *signal),
            Effect::SignalStrays { .. } => {
                promise!(self.closing.is_some(), "strays are left alone until the shutdown");
                Ok(())
            }
            Effect::Reply { request, .. } => {
                promise!(self.open.remove(request), "{request:?} is answered twice, or was never asked");
                Ok(())
            }
            Effect::Publish(event) => self.sees_event(now, event),
            Effect::Exit { code } => {
                self.has_exited = Some(*code);
                promise!(self.open.is_empty(), "the daemon ends and {:?} have no answer", self.open);
                promise!(self.closing.is_some(), "the daemon ends without a shutdown");
                let unkilled = self.watched.iter().find(|one| one.run.as_ref().is_some_and(|run| run.killed.is_none()));
                promise!(unkilled.is_none(), "the daemon ends and leaves behind {unkilled:?}");
                Ok(())
            }
        }
    }

    fn sees_spawn(&mut self, now: Time, run: RunId, id: usize) -> Result<(), Broken> {
        let one = &self.watched[id];
        promise!(one.run.is_none(), "instance {id} is spawned while {:?} is not gone", one.run);
        promise!(one.is_wanted, "instance {id} is spawned and nobody wants it");
        promise!(self.closing.is_none(), "instance {id} is spawned while everything is being stopped");
        promise!(run > self.latest_run, "{run:?} is not a new run");
        if let Some(batch) = one.batch.filter(|&batch| self.batches[batch].is_restart) {
            let is_alone = self.batches[batch].members.len() == 1;
            let all_down = self.members(batch).all(|member| member.run.is_none());
            promise!(
                is_alone || all_down || self.batches[batch].is_released,
                "instance {id} is restarted with others and spawned before they are down"
            );
            self.batches[batch].is_released = true;
            self.watched[id].batch = None;
        }
        self.latest_run = run;
        self.watched[id].run =
            Some(Run { id: run, born: now, is_executed: false, has_main: true, asked: Vec::new(), killed: None });
        Ok(())
    }

    /// Only a main process that lives is signalled or woken.
    fn sees_main(&mut self, run: RunId, what: &str) -> Result<&Watched, Broken> {
        let Some(one) = self.of_run(run) else { return Err(format!("{what} to {run:?}, of which nothing is left")) };
        let has_main = one.run.as_ref().is_some_and(|run| run.has_main);
        promise!(has_main, "{what} to {run:?}, whose main process has ended");
        Ok(one)
    }

    fn sees_signal(&mut self, now: Time, run: RunId, signal: Signal) -> Result<(), Broken> {
        let one = self.sees_main(run, &signal.to_string())?;
        let (batch, priority) = (one.batch, one.priority);
        let is_first = one.run.as_ref().is_some_and(|run| run.asked.is_empty());
        if signal == OPERATORS_SIGNAL {
            return Ok(());
        }
        if is_first {
            self.sees_first_signal(run, batch, priority)?;
        }
        self.sees_step(now, run, signal)
    }

    fn sees_first_signal(&self, run: RunId, batch: Option<usize>, priority: i64) -> Result<(), Broken> {
        let Some(batch) = batch else { return Err(format!("nobody asked to stop {run:?}")) };
        let is_given_up = |run: &Run| self.closing.is_some() && run.killed.is_some();
        let mut above = self.members(batch).filter(|member| member.priority > priority);
        let is_early = above.any(|member| member.run.as_ref().is_some_and(|run| !is_given_up(run)));
        promise!(!is_early, "{run:?} is stopped before what has a higher priority is down");
        Ok(())
    }

    /// A signal of the stop plan: the next one, when the patience with the one before is over.
    fn sees_step(&mut self, now: Time, run: RunId, signal: Signal) -> Result<(), Broken> {
        let is_closing = self.closing.is_some();
        let Some(one) = self.of_run(run) else { return Err(format!("{signal} to {run:?}, of which nothing is left")) };
        let steps = Rc::clone(&one.steps);
        let Some(run) = &mut one.run else { return Ok(()) };
        let done = run.asked.len();
        promise!(steps.get(done).is_some_and(|step| step.signal == signal), "{signal} is not step {done} of {run:?}");
        if let Some(&last) = run.asked.last() {
            let is_due = now + SLACK >= last + steps[done - 1].patience;
            promise!(is_due || is_closing, "{signal} to {run:?} comes too early");
        }
        run.asked.push(now);
        Ok(())
    }

    fn sees_sweep(&mut self, now: Time, run: RunId, signal: Signal) -> Result<(), Broken> {
        let Some(one) = self.of_run(run) else { return Err(format!("{signal} to {run:?}, of which nothing is left")) };
        let Some(current) = &one.run else { return Ok(()) };
        promise!(!current.has_main, "{run:?} is swept with {signal} while its main process lives");
        let last = current.asked.len().checked_sub(1).map(|last| one.steps[last].signal);
        // The main process ended during this step: the others get its signal too.
        if last == Some(signal) { Ok(()) } else { self.sees_step(now, run, signal) }
    }

    fn sees_kill(&mut self, now: Time, run: RunId) -> Result<(), Broken> {
        let (is_closing, is_hurried, is_over) =
            (self.closing.is_some(), self.is_hurried, self.closing.is_some_and(|end| end <= now));
        let is_ample = self.is_budget_ample();
        let Some(one) = self.of_run(run) else { return Err(format!("SIGKILL to {run:?}, of which nothing is left")) };
        let total = patience(&one.steps);
        let steps = one.steps.len();
        let Some(run) = &mut one.run else { return Ok(()) };
        let is_asked_in_vain =
            run.asked.len() == steps && run.asked.first().is_some_and(|&first| now + SLACK >= first + total);
        let is_hung = !run.is_executed && run.asked.is_empty() && now >= run.born + EXEC_DEADLINE;
        let is_cut_short = is_closing && !run.asked.is_empty() && !is_ample;
        let is_again = run.killed.is_some_and(|killed| !run.has_main || now >= killed + KILL_RETRY);
        promise!(
            is_again || is_asked_in_vain || is_hung || is_cut_short || is_hurried || is_over,
            "SIGKILL to {run:?} comes too early"
        );
        run.killed = Some(now);
        Ok(())
    }

    /// Whether the shutdown leaves everyone all their patience, even where all have to wait for one another.
    fn is_budget_ample(&self) -> bool {
        let priorities: BTreeSet<i64> = self.watched.iter().map(|one| one.priority).collect();
        let wave = |priority: &i64| {
            let members = self.watched.iter().filter(|one| one.priority == *priority);
            members.map(|one| patience(&one.steps)).max()
        };
        let total = priorities.iter().filter_map(wave).fold(Duration::ZERO, Duration::saturating_add);
        // What is killed after its whole patience takes a moment to go, and a reserve is kept back.
        let moments = (Duration::from_millis(100)).min(self.timeout / 10) * (priorities.len() as u32 + 1);
        !self.is_late && total.saturating_add(moments) <= self.timeout
    }

    fn sees_event(&mut self, now: Time, event: &Event) -> Result<(), Broken> {
        match event {
            Event::State { instance, from, to } => {
                let one = &mut self.watched[instance.0 as usize];
                promise!(one.state == *from, "{instance:?} goes from {from} to {to}, but it was {}", one.state);
                promise!(is_a_transition(*from, *to), "{instance:?} goes from {from} to {to}");
                one.state = *to;
            }
            Event::ShutdownBegan { timeout, .. } => {
                promise!(self.closing.is_none(), "a second shutdown begins");
                self.closing = Some(now + *timeout);
                self.timeout = *timeout;
                let all: Vec<usize> = (0..self.watched.len()).collect();
                self.begin_batch(&all, false);
            }
            Event::Killed { run, waited, cut_short, .. } => {
                let is_urgent = self.closing.is_some();
                let Some(one) = self.of_run(*run) else { return Err(format!("{run:?} is killed, and gone")) };
                let (total, was_asked) =
                    (patience(&one.steps), one.run.as_ref().is_some_and(|run| !run.asked.is_empty()));
                let is_short = was_asked && *waited + SLACK < total;
                promise!(*cut_short || !is_short, "{run:?} had {waited:?} of {total:?}, and that is not told");
                promise!(is_urgent || !*cut_short, "{run:?} is cut short without need");
            }
            _ => {}
        }
        Ok(())
    }
}

fn patience(steps: &[StopStep]) -> Duration {
    steps.iter().fold(Duration::ZERO, |sum, step| sum.saturating_add(step.patience))
}

/// The transition table, and what follows from leftovers: what is wanted again while they die is WAITING.
fn is_a_transition(from: State, to: State) -> bool {
    use State::{Backoff, Exited, Fatal, Running, Starting, Stopped, Stopping, Waiting};
    match from {
        Stopped | Exited | Fatal | Backoff if matches!(to, Waiting | Starting) => true,
        Backoff => matches!(to, Stopping | Stopped),
        Waiting => matches!(to, Starting | Stopping | Stopped),
        Starting => matches!(to, Running | Backoff | Exited | Fatal | Stopping | Waiting),
        Running => matches!(to, Backoff | Exited | Fatal | Stopping | Waiting),
        Stopping => to == Stopped,
        Stopped | Exited | Fatal => false,
    }
}

/// What is there when everything has been carried out.
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
            self.looks_at(id, one, core)?;
        }
        self.looks_at_waves()?;
        let deadlines = core.snapshot().iter().filter_map(|instance| instance.earliest_deadline());
        let earliest = deadlines.chain(self.closing).min();
        let is_told = match self.closing {
            None => core.poll_timeout() == earliest,
            Some(_) => core.poll_timeout() <= earliest,
        };
        promise!(is_told, "the earliest deadline is {earliest:?}, but told is {:?}", core.poll_timeout());
        Ok(())
    }

    fn looks_at(&self, id: usize, one: &Watched, core: &Supervisor) -> Result<(), Broken> {
        let instance = &core.snapshot()[id];
        let (state, run) = (instance.state(), one.run.as_ref());
        promise!(state == one.state, "instance {id} is {state} and was last told to be {}", one.state);
        promise!(instance.run() == run.map(|run| run.id), "instance {id} has {:?}, not {run:?}", instance.run());
        let is_up = instance.goal() == Goal::Up;
        promise!(is_up == one.is_wanted, "instance {id} has the goal {:?}", instance.goal());
        promise!(is_up || !instance.is_held(), "instance {id} waits for others, and nobody wants it");
        let has_main = run.is_some_and(|run| run.has_main);
        let fits = match state {
            State::Stopped => run.is_none(),
            State::Starting | State::Running => has_main,
            State::Stopping => run.is_some(),
            State::Waiting => is_up && !has_main,
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

    /// In every batch the highest of those that live are being stopped: nobody is forgotten.
    fn looks_at_waves(&self) -> Result<(), Broken> {
        let living = || self.watched.iter().filter(|one| one.run.is_some()).filter_map(|one| Some((one.batch?, one)));
        let mut highest = vec![i64::MIN; self.batches.len()];
        for (batch, one) in living() {
            highest[batch] = highest[batch].max(one.priority);
        }
        let is_up = |one: &Watched| matches!(one.state, State::Starting | State::Running);
        let forgotten = living().find(|&(batch, one)| one.priority == highest[batch] && is_up(one));
        promise!(forgotten.is_none(), "it is its turn to be stopped, and nobody does it: {forgotten:?}");
        Ok(())
    }
}
