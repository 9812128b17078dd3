//! All programs together: which instances a command selects, when each of them acts, and when the daemon exits.
//!
//! [`Supervisor`] takes one [`Input`] at a time and is then drained of its [`Effect`]s. It passes inputs to the
//! instances they concern ([`crate::program`]) and follows up on the resulting changes: a batch that can start its next
//! wave ([`crate::batch`]), a request that has been met ([`crate::request`]), a program whose end shuts the container
//! down.

pub(crate) mod checkpoint;
mod commands;
mod depend;
mod ending;
mod files;
mod memory;
mod on_exit;
mod queue;
mod reload;
mod rolling;
mod schedule;
mod select;
mod turns;
mod waves;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{ByRun, InstanceId, OnFailure, ProgramSpec, RunId, State};

pub use self::checkpoint::Checkpoint;
use crate::batch::{Batches, Purpose};
use crate::cause::Asker;
use crate::cause::ShutdownReason;
use crate::effect::{Effect, Input};
use crate::graph::Graph;
use crate::health::{Health, ProbeOutcome, Readiness};
use crate::memory::Memory;
use crate::order::start_order;
use crate::program::{Instance, Turn};
use crate::random::Random;
use crate::request::{Change, Failure, Outcome, RequestId, Requests};
use crate::rolling::Rolls;
use crate::settings::Settings;
use crate::shutdown::Shutdown;
use crate::time::Time;

/// Exit code when a probe with `on_failure = "shutdown"` has failed.
const PROBE_SHUTDOWN_CODE: u8 = 1;

/// The place of an instance that has been removed.
const NOWHERE: u32 = u32::MAX;

/// Capacity kept for effects and changes while idle.
const AT_REST: usize = 16;

/// The rules of all programs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Supervisor {
    settings: Settings,
    #[serde(skip)]
    programs: Vec<Arc<ProgramSpec>>,
    instances: Vec<Instance>,
    /// Index into the table by instance; [`NOWHERE`] once an instance has been removed. Four bytes for every instance
    /// ever created, so that a late message about a removed one is never applied to another.
    places: Vec<u32>,
    graph: Graph,
    /// Number of instances that are no longer configured and are kept until their last process is gone.
    leaving: usize,
    names: HashMap<String, InstanceId>,
    runs: ByRun<InstanceId>,
    deadlines: BTreeSet<(Time, InstanceId)>,
    armed: Vec<Option<Time>>,
    live: usize,
    /// Number of instances that are STARTING, and of those that wait for their turn to start.
    starting: usize,
    queued: usize,
    unsettled: usize,
    #[serde(skip)]
    effects: VecDeque<Effect>,
    #[serde(skip)]
    changes: VecDeque<Change>,
    /// Instances whose run has just started, if other instances may depend on that.
    begun: VecDeque<InstanceId>,
    /// The memory of instances of an earlier life that are not there yet.
    remembered: Vec<Memory>,
    batches: Batches,
    requests: Requests,
    rolls: Rolls,
    shutdown: Option<Shutdown>,
    has_exited: bool,
    next_run: u64,
    /// When a rule of `on_exit` restarted all programs last.
    all_restarted: Option<Time>,
    random: Random,
}

/// The interface for the shell.
impl Supervisor {
    /// Creates a supervisor of these programs, all of them down. `seed` only affects jitter.
    pub fn new(settings: Settings, programs: &[Arc<ProgramSpec>], seed: u64) -> Supervisor {
        let members = programs.iter().flat_map(|program| program.instances.iter().map(move |spec| (program, spec)));
        let instances: Vec<Instance> = (0..)
            .zip(members)
            .map(|(id, (program, spec))| Instance::new(InstanceId(id), Arc::clone(program), Arc::clone(spec)))
            .collect();
        Supervisor {
            settings,
            programs: programs.to_vec(),
            names: instances.iter().map(|instance| (instance.name().to_owned(), instance.id())).collect(),
            armed: vec![None; instances.len()],
            places: instances.iter().map(|instance| instance.id().0).collect(),
            graph: Graph::new(programs, []),
            leaving: 0,
            batches: Batches::default(),
            instances,
            runs: ByRun::default(),
            deadlines: BTreeSet::new(),
            live: 0,
            starting: 0,
            queued: 0,
            unsettled: 0,
            effects: VecDeque::new(),
            changes: VecDeque::new(),
            begun: VecDeque::new(),
            remembered: Vec::new(),
            requests: Requests::default(),
            rolls: Rolls::default(),
            shutdown: None,
            has_exited: false,
            next_run: 0,
            all_restarted: None,
            random: Random::seeded(seed),
        }
    }

    /// Handles one input.
    pub fn handle_input(&mut self, now: Time, input: Input) {
        if self.has_exited {
            return;
        }
        self.forget_those_that_left();
        match input {
            Input::Remembered { instances } => self.remember(now, instances),
            Input::Booted => self.boot(now),
            Input::Commanded { request, select, verb, wait, by } => {
                self.command(now, (request, by), &select, verb, wait);
            }
            Input::RequestExpired { request } => self.expire(now, request),
            Input::ShutdownAsked { reason, timeout } => self.ask_shutdown(now, reason, timeout),
            Input::Spawned { run } => self.tell_run(now, run, |instance, turn| instance.executed(turn)),
            Input::SpawnFailed { run, error } => {
                self.tell_run(now, run, |instance, turn| instance.not_spawned(turn, error));
            }
            Input::Contacted { instance } if self.get(instance).is_some() => {
                self.tell(now, instance, |instance, turn| instance.contacted(turn));
            }
            Input::Contacted { .. } => {}
            Input::LeftContact { run } => self.tell_run(now, run, |instance, turn| instance.left_contact(turn)),
            Input::Exited { run, exit } => self.tell_run(now, run, |instance, turn| instance.exited(turn, exit)),
            Input::OutOfMemory { run } => self.tell_run(now, run, |instance, _| instance.out_of_memory()),
            Input::MainLost { run } => self.tell_run(now, run, |instance, turn| instance.main_lost(turn)),
            Input::TreeGone { run } => self.tell_run(now, run, |instance, turn| instance.tree_gone(turn)),
            Input::LeftBehind { run, left } => {
                self.tell_run(now, run, |instance, turn| instance.note_left_behind(turn, run, left));
            }
            Input::HookFinished { run, hook, end, said } => {
                self.tell_run(now, run, |instance, turn| instance.hook_finished(turn, hook, end, &said));
            }
            Input::Ready { run } => self.tell_run(now, run, |instance, turn| instance.became_ready(turn)),
            Input::Extended { run, by } => self.tell_run(now, run, |instance, turn| instance.extended(turn, by)),
            Input::ProbeFinished { run, probe, outcome } => self.take_answer(now, run, probe, outcome),
            Input::ProbeNotMade { run, probe } => {
                self.tell_run(now, run, |instance, turn| instance.check_not_made(turn, probe));
            }
            Input::TimeLost { by } => self.lose(now, by),
            Input::WatchdogPinged { run } => {
                self.tell_run(now, run, |instance, turn| instance.watchdog_pinged(turn));
            }
            Input::WatchdogTripped { run } => {
                self.tell_run(now, run, |instance, turn| instance.watchdog_tripped(turn));
            }
            Input::MemoryExceeded { run, detail } => self.exceed_memory(now, run, &detail),
            Input::WatchdogChanged { run, interval } => {
                self.tell_run(now, run, |instance, turn| instance.watchdog_changed(turn, interval));
            }
            Input::Due { instance, next_in } => self.come_due(now, instance, next_in),
            Input::DueMissed { instance, times } => self.miss(now, instance, times),
            Input::FilesChanged { program, file, at } => self.follow_files(now, &program, file.into(), at),
            Input::Reloaded { request, by, programs, settings, restarts_all } => {
                self.reload(now, (request, by), programs, (settings, restarts_all))
            }
        }
        self.settle(now);
    }

    /// Handles every deadline up to `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        self.handle_deadlines(now, usize::MAX);
    }

    /// Handles at most this number of deadlines up to `now`, the earliest first. The remaining ones are due at once, as
    /// [`Supervisor::poll_timeout`] reports; drain the effects before, as always.
    pub fn handle_deadlines(&mut self, now: Time, most: usize) {
        for _ in 0..most {
            if self.has_exited || !(self.take_deadline(now) || self.take_roll_deadline(now) || self.pass_over(now)) {
                break;
            }
            self.settle(now);
        }
        if self.deadlines.first().is_some_and(|&(at, _)| at <= now) {
            return;
        }
        if self.shutdown.as_ref().and_then(Shutdown::end).is_some_and(|end| end <= now) {
            self.finish(now);
        }
    }

    /// The next effect, or `None` once all are drained.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if self.effects.is_empty() {
            // All effects that may refer to these instances have been carried out.
            self.forget_those_that_left();
        }
        let effect = self.effects.pop_front();
        if effect.is_none() {
            // Free the memory that a burst needed.
            self.effects.shrink_to(AT_REST);
            self.changes.shrink_to(AT_REST);
        }
        effect
    }

    /// The latest time at which [`Supervisor::handle_timeout`] must be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.has_exited {
            return None;
        }
        let deadline = self.deadlines.first().map(|&(at, _)| at).into_iter().chain(self.rolls.deadline());
        deadline.chain(self.shutdown.as_ref().and_then(Shutdown::deadline)).min()
    }

    /// The programs of the active configuration.
    pub fn programs(&self) -> &[Arc<ProgramSpec>] {
        &self.programs
    }

    /// All instances in their current state, in the order of the configuration.
    pub fn snapshot(&self) -> &[Instance] {
        &self.instances
    }

    /// An instance that is known to exist.
    pub fn instance(&self, id: InstanceId) -> &Instance {
        &self.instances[self.place(id)]
    }

    fn instance_mut(&mut self, id: InstanceId) -> &mut Instance {
        let place = self.place(id);
        &mut self.instances[place]
    }

    fn place(&self, id: InstanceId) -> usize {
        self.places[id.0 as usize] as usize
    }

    /// An instance, unless it has been removed.
    pub fn get(&self, id: InstanceId) -> Option<&Instance> {
        self.instances.get(*self.places.get(id.0 as usize)? as usize)
    }

    /// The instance this run belongs to, as long as a process of the run is left.
    pub fn instance_of(&self, run: RunId) -> Option<&Instance> {
        self.runs.get(&run).map(|&id| self.instance(id))
    }

    /// Whether the daemon is shutting down.
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown.is_some()
    }

    /// Whether every autostarted program is ready or has succeeded, and no program is unhealthy.
    pub fn is_ready(&self) -> bool {
        self.shutdown.is_none() && self.unready().next().is_none()
    }

    /// The instances that are not ready.
    pub fn unready(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| !is_ready(instance))
    }
}

/// Whether an autostarted instance is ready, has succeeded or waits for a client, and any run of an instance is healthy.
pub fn is_ready(instance: &Instance) -> bool {
    match instance.state() {
        _ if instance.is_leaving() || instance.program().schedule.is_some() => true,
        _ if instance.health() == Health::Unhealthy => false,
        _ if !instance.program().autostart => true,
        State::Running => instance.ready() == Readiness::Ready,
        State::Exited => instance.has_ended_well(),
        State::Waiting => instance.awaits_contact(),
        _ => false,
    }
}

/// Passing inputs to instances.
impl Supervisor {
    /// Runs an action on one instance, and updates what is derived from it: deadlines, runs, and the number of live
    /// instances.
    fn tell(&mut self, now: Time, id: InstanceId, act: impl FnOnce(&mut Instance, &mut Turn<'_>)) {
        let place = self.place(id);
        let has_room = self.has_room();
        let instance = &mut self.instances[place];
        let (was_starting, was_queued) = (instance.state() == State::Starting, instance.awaits_turn());
        let (run_before, was_settled) = (instance.run(), instance.state().is_final());
        let began_before = instance.run_began().and(run_before);
        let stop_began = instance.stop_began();
        let mut turn = Turn {
            now,
            effects: &mut self.effects,
            changes: &mut self.changes,
            next_run: &mut self.next_run,
            all_restarted: self.all_restarted,
            is_blocked: self.graph.is_blocked(place),
            has_room,
            random: &mut self.random,
        };
        act(instance, &mut turn);
        let run_after = instance.run();
        let began_after = instance.run_began().and(run_after);
        if began_after.is_some() && began_before != began_after && self.graph.has_restarts() {
            self.begun.push_back(id);
        }
        if run_before != run_after {
            run_before.map(|run| self.runs.remove(&run));
            run_after.map(|run| self.runs.insert(run, id));
            self.live = self.live + usize::from(run_after.is_some()) - usize::from(run_before.is_some());
            if let Some(shutdown) = self.shutdown.as_mut().filter(|_| run_after.is_none()) {
                shutdown.note_gone(place);
                shutdown.note_stop(id, stop_began.map(|began| now.since(began)));
            }
        }
        self.starting = self.starting + usize::from(instance.state() == State::Starting) - usize::from(was_starting);
        self.queued = self.queued + usize::from(instance.awaits_turn()) - usize::from(was_queued);
        self.unsettled = self.unsettled + usize::from(was_settled) - usize::from(instance.state().is_final());
        if let Some(shutdown) = self.shutdown.as_mut().filter(|_| instance.was_killed()) {
            shutdown.note_killed(id);
        }
        let deadline = instance.earliest_deadline();
        let armed = &mut self.armed[place];
        if *armed != deadline {
            armed.map(|at| self.deadlines.remove(&(at, id)));
            deadline.map(|at| self.deadlines.insert((at, id)));
            *armed = deadline;
        }
        if self.graph.has_needs() {
            self.graph.observe(place, depend::conditions_met(&self.instances[place]));
        }
    }

    /// Replies to a request with its progress: pending, or waiting for certain conditions.
    fn expire(&mut self, now: Time, request: RequestId) {
        let blocked = self.requests.pending(request).filter(|&id| self.graph.is_blocked(self.place(id)));
        let waiting: HashMap<InstanceId, Vec<String>> = blocked.map(|id| (id, self.waiting_for(id, now))).collect();
        let finished = self.requests.expire(request, |id| match waiting.get(&id) {
            Some(on) if !on.is_empty() => Failure::Waiting(on.clone()),
            _ => Failure::Pending,
        });
        self.reply_all(finished);
    }

    /// Runs an action on the instance of a run. A message about a run that is over has no effect.
    fn tell_run(&mut self, now: Time, run: RunId, act: impl FnOnce(&mut Instance, &mut Turn<'_>)) {
        if let Some(&id) = self.runs.get(&run) {
            self.tell(now, id, act);
        }
    }

    /// Handles the earliest deadline of all instances. Returns false if none is due.
    fn take_deadline(&mut self, now: Time) -> bool {
        let Some(&(_, id)) = self.deadlines.first().filter(|(at, _)| *at <= now) else { return false };
        self.tell(now, id, |instance, turn| while instance.handle_deadline(turn) {});
        if self.instance(id).is_due() {
            self.rolls.note_due(id);
        }
        self.replace_run(now, id);
        true
    }

    /// Postpones every deadline by the time during which the daemon was not running.
    fn lose(&mut self, now: Time, by: Duration) {
        let all: Vec<InstanceId> = self.instances.iter().map(Instance::id).collect();
        for id in all {
            self.tell(now, id, |instance, _| instance.lose(by));
        }
        self.rolls.lose(by);
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.lose(by);
        }
    }

    fn in_start_order(&self, ids: impl IntoIterator<Item = InstanceId>) -> Vec<InstanceId> {
        start_order(ids.into_iter().map(|id| (id, self.instance(id).program().start_order())))
    }

    fn in_boot_order(&self, ids: impl IntoIterator<Item = InstanceId>) -> Vec<InstanceId> {
        start_order(ids.into_iter().map(|id| (id, self.instance(id).program().boot_order())))
    }

    /// Handles the result of a check, which may stop the instance or shut the daemon down.
    fn take_answer(&mut self, now: Time, run: RunId, probe: usize, outcome: ProbeOutcome) {
        let mut reaction = None;
        self.tell_run(now, run, |instance, turn| reaction = instance.check_finished(turn, probe, outcome));
        self.follow_failure(now, run, reaction, (Asker::Probe, ShutdownReason::Probe));
    }

    /// A run had too much memory, which fails it, and may stop the instance or shut the daemon down.
    fn exceed_memory(&mut self, now: Time, run: RunId, detail: &str) {
        let mut reaction = None;
        self.tell_run(now, run, |instance, turn| reaction = instance.memory_exceeded(turn, detail));
        self.follow_failure(now, run, reaction, (Asker::Memory, ShutdownReason::Memory));
    }

    fn follow_failure(
        &mut self,
        now: Time,
        run: RunId,
        reaction: Option<OnFailure>,
        (asker, reason): (Asker, fn(InstanceId) -> ShutdownReason),
    ) {
        let Some(id) = self.runs.get(&run).copied().filter(|_| !self.is_shutting_down()) else { return };
        match reaction {
            Some(OnFailure::Stop) => {
                self.instance_mut(id).mark_failed_for_good();
                self.lower_goals(now, &[id]);
                self.begin_batch(now, &[id], Purpose::Stop(asker));
            }
            Some(OnFailure::Shutdown) => self.begin_shutdown(now, reason(id), None, PROBE_SHUTDOWN_CODE),
            Some(OnFailure::Restart | OnFailure::None) | None => {}
        }
    }
}

/// Following up on changes.
impl Supervisor {
    fn settle(&mut self, now: Time) {
        let has_changed = !self.changes.is_empty();
        self.follow_changes(now);
        if has_changed && let Some(code) = self.done_code() {
            self.begin_shutdown(now, ShutdownReason::Done, None, code);
            self.follow_changes(now);
        }
        if self.shutdown.is_some() && self.live == 0 {
            self.finish(now);
        }
    }

    fn follow_changes(&mut self, now: Time) {
        loop {
            while let Some(change) = self.changes.pop_front() {
                let finished = self.requests.observe(&change);
                self.reply_all(finished);
                if !change.is_live
                    && let Some(batch) = self.instance(change.instance).batch
                    && self.batches.is_down(batch, change.instance)
                {
                    self.advance_batch(now, batch);
                }
                self.follow_essential_end(now, change.instance);
                self.follow_restart_of_all(now, change.instance);
                self.tell_of_vain_waits(now, &change);
                if !self.rolls.is_idle() {
                    self.rolls.stir();
                }
                if self.leaving > 0 {
                    self.give_up_requests_for(change.instance);
                }
            }
            if let Some(id) = self.begun.pop_front() {
                self.restart_with(now, id);
            } else if self.graph.has_unblocked() {
                self.start_unblocked(now);
            } else if let Some(id) = self.next_in_queue() {
                self.tell(now, id, |instance, turn| instance.take_turn(turn));
            } else if self.rolls.take_stirred() {
                self.advance_rolls(now);
            } else {
                return;
            }
        }
    }

    fn reply_all(&mut self, finished: impl IntoIterator<Item = (RequestId, Outcome)>) {
        let replies = finished.into_iter().map(|(request, outcome)| Effect::Reply { request, outcome });
        self.effects.extend(replies);
    }
}
