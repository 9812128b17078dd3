//! All programs together: who is meant by a command, whose turn it is, and when the whole has come to its end.
//!
//! [`Supervisor`] takes one [`Input`] at a time and is then drained of its [`Effect`]s. It hands inputs to the instances
//! they concern ([`crate::program`]) and follows the changes that come of them: a batch that may go on with its next wave
//! ([`crate::batch`]), a request that has been met ([`crate::request`]), a program whose end is the container's end.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::batch::{BatchId, Batches, Purpose};
use crate::budget::Wants;
use crate::effect::{Effect, Event, Input, ShutdownReason};
use crate::name::{InstanceId, RunId, Selector, pattern_matches};
use crate::order::start_order;
use crate::program::{FinalEnd, Instance, Turn};
use crate::random::Random;
use crate::request::{Awaited, Change, Condition, Done, Failure, Outcome, RequestId, Requests, Verb};
use crate::shutdown::Shutdown;
use crate::signal::Signal;
use crate::spec::ProgramSpec;
use crate::state::{Goal, State};
use crate::time::Time;

/// What the core must know of the daemon's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The one budget for stopping everything.
    pub shutdown_timeout: Duration,
    /// Whether to exit when every autostarted program has ended for good by itself.
    pub exit_when_done: bool,
}

/// The rules of all programs.
#[derive(Clone, Debug)]
pub struct Supervisor {
    settings: Settings,
    instances: Vec<Instance>,
    names: HashMap<String, InstanceId>,
    runs: HashMap<RunId, InstanceId>,
    deadlines: BTreeSet<(Time, InstanceId)>,
    armed: Vec<Option<Time>>,
    live: usize,
    unsettled: usize,
    effects: VecDeque<Effect>,
    changes: VecDeque<Change>,
    batches: Batches,
    requests: Requests,
    shutdown: Option<Shutdown>,
    has_exited: bool,
    next_run: u64,
    random: Random,
}

/// What the shell calls.
impl Supervisor {
    /// A supervisor of these programs; everything is down. `seed` only moves jitter.
    pub fn new(settings: Settings, programs: &[Rc<ProgramSpec>], seed: u64) -> Supervisor {
        let members = programs.iter().flat_map(|program| program.instances.iter().map(move |spec| (program, spec)));
        let instances: Vec<Instance> = (0..)
            .zip(members)
            .map(|(id, (program, spec))| Instance::new(InstanceId(id), Rc::clone(program), Rc::clone(spec)))
            .collect();
        Supervisor {
            settings,
            names: instances.iter().map(|instance| (instance.name().to_owned(), instance.id())).collect(),
            armed: vec![None; instances.len()],
            batches: Batches::new(instances.len()),
            instances,
            runs: HashMap::new(),
            deadlines: BTreeSet::new(),
            live: 0,
            unsettled: 0,
            effects: VecDeque::new(),
            changes: VecDeque::new(),
            requests: Requests::default(),
            shutdown: None,
            has_exited: false,
            next_run: 0,
            random: Random::seeded(seed),
        }
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Time, input: Input) {
        if self.has_exited {
            return;
        }
        match input {
            Input::Booted => self.boot(now),
            Input::Commanded { request, select, verb, wait } => self.command(now, request, &select, verb, wait),
            Input::RequestExpired { request } => {
                let finished = self.requests.expire(request);
                self.reply_all(finished);
            }
            Input::ShutdownAsked { reason, timeout } => self.ask_shutdown(now, reason, timeout),
            Input::Spawned { run } => self.tell_run(now, run, |instance, turn| instance.executed(turn)),
            Input::SpawnFailed { run, error } => {
                self.tell_run(now, run, |instance, turn| instance.not_spawned(turn, error));
            }
            Input::Exited { run, exit } => self.tell_run(now, run, |instance, turn| instance.exited(turn, exit)),
            Input::TreeGone { run } => self.tell_run(now, run, |instance, turn| instance.tree_gone(turn)),
        }
        self.settle(now);
    }

    /// Time has passed: acts on every deadline up to `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        while !self.has_exited && (self.take_deadline(now) || self.pass_over_wave(now)) {
            self.settle(now);
        }
        if self.shutdown.as_ref().is_some_and(|shutdown| shutdown.end() <= now) {
            self.finish(now);
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Supervisor::handle_timeout`] must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.has_exited {
            return None;
        }
        let deadline = self.deadlines.first().map(|&(at, _)| at);
        deadline.into_iter().chain(self.shutdown.as_ref().map(Shutdown::deadline)).min()
    }

    /// Every instance as it is now, in the order of the configuration.
    pub fn snapshot(&self) -> &[Instance] {
        &self.instances
    }

    /// One instance.
    pub fn instance(&self, id: InstanceId) -> &Instance {
        &self.instances[id.0 as usize]
    }

    /// The instance of this name.
    pub fn find(&self, name: &str) -> Option<&Instance> {
        self.names.get(name).map(|&id| self.instance(id))
    }

    /// Whose run this is, as long as anything of it is left.
    pub fn instance_of(&self, run: RunId) -> Option<&Instance> {
        self.runs.get(&run).map(|&id| self.instance(id))
    }

    /// The instances that a selection chooses, or the part of it that chooses none.
    pub fn select<'a>(&self, selector: &'a Selector) -> Result<Vec<InstanceId>, &'a str> {
        let mut chosen = BTreeSet::new();
        for pattern in selector.patterns() {
            let matching = self.instances.iter().filter(|instance| is_chosen(pattern, instance));
            let mut matching = matching.map(Instance::id).peekable();
            // "all" is everybody even where there is nobody.
            if matching.peek().is_none() && pattern != "all" {
                return Err(pattern);
            }
            chosen.extend(matching);
        }
        Ok(chosen.into_iter().collect())
    }

    /// Whether everything is being stopped.
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown.is_some()
    }

    /// Whether every autostarted program is RUNNING or has ended well.
    pub fn is_ready(&self) -> bool {
        self.shutdown.is_none() && self.instances.iter().all(is_ready)
    }
}

/// Whether an instance is where its autostart means it to be.
pub fn is_ready(instance: &Instance) -> bool {
    let ended_well = || instance.past().next_back().is_some_and(|past| past.success);
    match instance.state() {
        _ if !instance.program().autostart => true,
        State::Running => true,
        State::Exited => ended_well(),
        _ => false,
    }
}

fn is_chosen(pattern: &str, instance: &Instance) -> bool {
    let groups = instance.program().groups.iter().map(String::as_str);
    pattern_matches(pattern, &instance.program().name, instance.name(), groups)
}

/// Handing inputs to instances.
impl Supervisor {
    /// Lets one instance act, and keeps what is derived from it: its place among the deadlines, runs and the living.
    fn tell(&mut self, now: Time, id: InstanceId, act: impl FnOnce(&mut Instance, &mut Turn<'_>)) {
        let instance = &mut self.instances[id.0 as usize];
        let (run_before, was_settled) = (instance.run(), instance.state().is_final());
        let mut turn = Turn {
            now,
            effects: &mut self.effects,
            changes: &mut self.changes,
            next_run: &mut self.next_run,
            random: &mut self.random,
        };
        act(instance, &mut turn);
        let run_after = instance.run();
        if run_before != run_after {
            run_before.map(|run| self.runs.remove(&run));
            run_after.map(|run| self.runs.insert(run, id));
            self.live = self.live + usize::from(run_after.is_some()) - usize::from(run_before.is_some());
            if let Some(shutdown) = self.shutdown.as_mut().filter(|_| run_after.is_none()) {
                shutdown.note_gone(instance.program().priority, instance.program().patience());
            }
        }
        self.unsettled = self.unsettled + usize::from(was_settled) - usize::from(instance.state().is_final());
        if let Some(shutdown) = self.shutdown.as_mut().filter(|_| instance.was_killed()) {
            shutdown.note_killed(id);
        }
        let deadline = instance.earliest_deadline();
        let armed = &mut self.armed[id.0 as usize];
        if *armed != deadline {
            armed.map(|at| self.deadlines.remove(&(at, id)));
            deadline.map(|at| self.deadlines.insert((at, id)));
            *armed = deadline;
        }
    }

    /// A message about a run that is over touches nothing.
    fn tell_run(&mut self, now: Time, run: RunId, act: impl FnOnce(&mut Instance, &mut Turn<'_>)) {
        if let Some(&id) = self.runs.get(&run) {
            self.tell(now, id, act);
        }
    }

    /// Lets the instance act whose deadline is the earliest. False when none is due.
    fn take_deadline(&mut self, now: Time) -> bool {
        let Some(&(_, id)) = self.deadlines.first().filter(|(at, _)| *at <= now) else { return false };
        self.tell(now, id, |instance, turn| while instance.handle_deadline(turn) {});
        true
    }

    fn in_start_order(&self, ids: impl IntoIterator<Item = InstanceId>) -> Vec<InstanceId> {
        start_order(ids.into_iter().map(|id| (id, self.instance(id).program().priority)))
    }

    fn boot(&mut self, now: Time) {
        if self.is_shutting_down() {
            return;
        }
        let wanted = self.instances.iter().filter(|instance| instance.program().autostart).map(Instance::id);
        for id in self.in_start_order(wanted) {
            self.tell(now, id, |instance, turn| instance.start(turn));
        }
    }
}

/// Commands.
impl Supervisor {
    fn command(&mut self, now: Time, request: RequestId, select: &Selector, verb: Verb, wait: bool) {
        let ids = match self.select(select) {
            Ok(ids) => ids,
            Err(pattern) => {
                let outcome = Outcome::NoSuchProgram(pattern.to_owned());
                return self.reply_all([(request, outcome)]);
            }
        };
        // What must come of each is fixed before anything is done, and held against every change that follows.
        let (mut pending, mut results) = (BTreeMap::new(), BTreeMap::new());
        for &id in &ids {
            match self.wanted(id, verb) {
                Ok(condition) => drop(pending.insert(id, condition)),
                Err(known) => drop(results.insert(id, known)),
            }
        }
        let finished = self.requests.begin(request, pending, results);
        self.reply_all(finished);
        self.carry_out(now, &ids, verb);
        if !wait {
            self.settle(now);
            let finished = self.requests.expire(request);
            self.reply_all(finished);
        }
    }

    /// What a verb must bring this instance to, or what is known of it already.
    fn wanted(&self, id: InstanceId, verb: Verb) -> Result<Condition, Result<Done, Failure>> {
        let instance = self.instance(id);
        let after = instance.last_run();
        // A run that is just starting will do; one that has ended or is ending will not.
        let before_current = match instance.state() {
            State::Starting => after.map(|run| RunId(run.0 - 1)),
            _ => after,
        };
        match verb {
            Verb::Start | Verb::Restart if self.is_shutting_down() => Err(Err(Failure::ShuttingDown)),
            Verb::Start if instance.state() == State::Running => Err(Ok(Done::AlreadyRunning)),
            Verb::Start => Ok(Condition::Up { after: before_current, done: Done::Started }),
            Verb::Restart if instance.is_live() => Ok(Condition::Up { after, done: Done::Restarted }),
            Verb::Restart => Ok(Condition::Up { after, done: Done::Started }),
            Verb::Stop if instance.state().is_final() && !instance.is_live() => Err(Ok(Done::NotRunning)),
            Verb::Stop => Ok(Condition::Down),
            Verb::Signal { .. } if instance.run_began().is_some() => Err(Ok(Done::Signalled)),
            Verb::Signal { .. } => Err(Err(Failure::NotRunning)),
            Verb::Await(awaited) => {
                let condition = Condition::Awaited(awaited);
                condition.judge(&instance.change()).map_or(Ok(condition), Err)
            }
        }
    }

    fn carry_out(&mut self, now: Time, ids: &[InstanceId], verb: Verb) {
        match verb {
            Verb::Start | Verb::Restart if self.is_shutting_down() => {}
            Verb::Start => self.start(now, ids),
            Verb::Stop => {
                for &id in ids {
                    self.instances[id.0 as usize].mark_stopped_by_hand();
                }
                if self.is_shutting_down() {
                    return;
                }
                self.lower_goals(now, ids);
                self.begin_batch(now, ids, Purpose::Stop);
            }
            Verb::Restart => match *ids {
                [id] if !self.instance(id).is_live() => self.start(now, ids),
                _ => {
                    self.hold_for_restart(now, ids);
                    self.begin_batch(now, ids, Purpose::Restart);
                }
            },
            Verb::Signal { signal, scope } => {
                let running = ids.iter().map(|id| &self.instances[id.0 as usize]).filter(|it| it.run_began().is_some());
                let runs = running.filter_map(Instance::run);
                self.effects.extend(runs.map(|run| Effect::Signal { run, signal, scope }));
            }
            Verb::Await(_) => {}
        }
    }

    fn start(&mut self, now: Time, ids: &[InstanceId]) {
        for id in self.in_start_order(ids.iter().copied()) {
            let instance = self.instance(id);
            let is_up = matches!(instance.state(), State::Starting | State::Running) && instance.goal() == Goal::Up;
            // What is up and wanted needs no start; where it is about to be restarted with others, it still is.
            if !is_up {
                self.leave_batches(now, &[id]);
                self.tell(now, id, |instance, turn| {
                    instance.release(turn);
                    instance.start(turn);
                });
            }
        }
    }

    fn lower_goals(&mut self, now: Time, ids: &[InstanceId]) {
        for &id in ids {
            self.tell(now, id, |instance, turn| instance.lower_goal(turn));
        }
    }

    /// Several that are restarted together start when all of them are down; a single one need not wait for anybody.
    fn hold_for_restart(&mut self, now: Time, ids: &[InstanceId]) {
        for &id in ids {
            self.tell(now, id, |instance, turn| {
                if ids.len() > 1 {
                    instance.hold();
                }
                instance.restart(turn);
            });
        }
    }
}

/// Batches: stopping in waves, and starting again where that was asked.
impl Supervisor {
    fn begin_batch(&mut self, now: Time, ids: &[InstanceId], purpose: Purpose) {
        let members: Vec<_> = ids.iter().map(|&id| (id, self.instance(id).program().priority)).collect();
        self.leave_batches(now, ids);
        let batch = self.batches.begin(&members, purpose);
        self.advance_batch(now, batch);
    }

    /// All of them leave before any batch goes on: what it does next must not touch who is leaving.
    fn leave_batches(&mut self, now: Time, ids: &[InstanceId]) {
        let left: BTreeSet<BatchId> = ids.iter().filter_map(|&id| self.batches.leave(id)).collect();
        for batch in left {
            self.advance_batch(now, batch);
        }
    }

    /// Begins waves until one has something to wait for, or none is left.
    fn advance_batch(&mut self, now: Time, batch: BatchId) {
        while self.batches.is_between_waves(batch) {
            let instances = &self.instances;
            let is_live = |id: InstanceId| instances[id.0 as usize].is_live();
            let Some(wave) = self.batches.begin_wave(batch, is_live) else {
                return self.end_batch(now, batch);
            };
            let budget = self.begin_shutdown_wave(now, batch, &wave);
            for id in wave {
                self.tell(now, id, |instance, turn| instance.stop_run(turn, budget));
            }
        }
    }

    /// What goes with a wave where it is one of a shutdown, and how long it may take.
    fn begin_shutdown_wave(&mut self, now: Time, batch: BatchId, wave: &[InstanceId]) -> Option<Duration> {
        let is_last = self.batches.is_last_wave(batch);
        let shutdown = self.shutdown.as_mut().filter(|_| self.batches.purpose(batch) == Some(Purpose::Shutdown))?;
        if is_last {
            self.effects.push_back(Effect::SignalStrays { signal: Signal::TERM });
        }
        let priority = self.instances[wave.first()?.0 as usize].program().priority;
        let budget = shutdown.take_share(now, priority);
        if !is_last {
            shutdown.note_wave(now, batch, budget);
        }
        Some(budget)
    }

    /// The share of a shutdown's wave is over and not all of it is gone: the next one must not wait for that. False when
    /// there is no such wave.
    fn pass_over_wave(&mut self, now: Time) -> bool {
        let Some(batch) = self.shutdown.as_mut().and_then(|shutdown| shutdown.take_overdue(now)) else { return false };
        let living = self.batches.current(batch).map(|id| self.instance(id)).filter(|instance| !instance.was_killed());
        let last_kill = living.filter_map(Instance::earliest_deadline).max();
        match (last_kill, &mut self.shutdown) {
            // The daemon was late, and gave everyone their patience all the same.
            (Some(at), Some(shutdown)) => shutdown.note_wave(at, batch, Duration::ZERO),
            _ => {
                self.batches.pass_over(batch);
                self.advance_batch(now, batch);
            }
        }
        true
    }

    fn end_batch(&mut self, now: Time, batch: BatchId) {
        let members = self.batches.end(batch);
        for id in self.in_start_order(members) {
            self.tell(now, id, |instance, turn| instance.release(turn));
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
        while let Some(change) = self.changes.pop_front() {
            let finished = self.requests.observe(&change);
            self.reply_all(finished);
            if !change.is_live {
                if let Some(shutdown) = &mut self.shutdown {
                    shutdown.note_down(now, change.instance);
                }
                if let Some(batch) = self.batches.is_down(change.instance) {
                    self.advance_batch(now, batch);
                }
            }
            self.follow_essential_end(now, change.instance);
        }
    }

    fn reply_all(&mut self, finished: impl IntoIterator<Item = (RequestId, Outcome)>) {
        let replies = finished.into_iter().map(|(request, outcome)| Effect::Reply { request, outcome });
        self.effects.extend(replies);
    }

    /// An instance changed: perhaps it has ended for good, and its end is the container's end.
    fn follow_essential_end(&mut self, now: Time, id: InstanceId) {
        let instance = self.instance(id);
        let is_essential = instance.program().essential && instance.goal() == Goal::Up && self.shutdown.is_none();
        if let Some(end) = instance.final_end().filter(|_| is_essential) {
            self.begin_shutdown(now, ShutdownReason::Essential(id), None, end.code);
        }
    }

    /// The container's exit code if nothing is left to do: every autostarted program, of which there is one at least, has
    /// ended for good by itself, and nothing else runs or is about to. The first failure's code, or 0.
    fn done_code(&self) -> Option<u8> {
        if !self.settings.exit_when_done || self.shutdown.is_some() || self.live > 0 || self.unsettled > 0 {
            return None;
        }
        let autostarted = self.instances.iter().filter(|instance| instance.program().autostart);
        // What was stopped by hand has no such end: it is there to be started again.
        let ends: Vec<FinalEnd> = autostarted.map(Instance::final_end).collect::<Option<_>>()?;
        let first_failure = ends.iter().filter(|end| !end.success).min_by_key(|end| (end.at, end.run));
        (!ends.is_empty()).then(|| first_failure.map_or(0, |end| end.code))
    }
}

/// Shutdown.
impl Supervisor {
    fn ask_shutdown(&mut self, now: Time, reason: ShutdownReason, timeout: Option<Duration>) {
        match &mut self.shutdown {
            None => self.begin_shutdown(now, reason, timeout, 0),
            Some(shutdown) => {
                if matches!(reason, ShutdownReason::Signal(_)) && shutdown.is_signalled_again() {
                    self.hurry_shutdown(now);
                }
            }
        }
    }

    fn begin_shutdown(&mut self, now: Time, reason: ShutdownReason, timeout: Option<Duration>, code: u8) {
        let timeout = timeout.unwrap_or(self.settings.shutdown_timeout);
        self.effects.push_back(Effect::Publish(Event::ShutdownBegan { reason: reason.clone(), timeout }));
        let mut wants = Wants::default();
        for instance in self.instances.iter().filter(|instance| instance.is_live()) {
            wants.add(instance.program().priority, instance.program().patience());
        }
        self.shutdown = Some(Shutdown::begin(now, timeout, reason, code, wants));
        let all: Vec<InstanceId> = self.instances.iter().map(Instance::id).collect();
        self.lower_goals(now, &all);
        self.begin_batch(now, &all, Purpose::Shutdown);
    }

    /// A second signal: everything gets SIGKILL now.
    fn hurry_shutdown(&mut self, now: Time) {
        self.effects.push_back(Effect::Publish(Event::ShutdownHurried));
        self.kill_all(now);
    }

    fn kill_all(&mut self, now: Time) -> Vec<InstanceId> {
        let live = self.instances.iter().filter(|instance| instance.is_live()).map(Instance::id);
        let live: Vec<InstanceId> = live.collect();
        for &id in &live {
            self.tell(now, id, |instance, turn| instance.kill_run(turn));
        }
        live
    }

    /// Everything has stopped, or time is up. The last words.
    fn finish(&mut self, now: Time) {
        // Whom the budget did not reach, the kernel must not let outlive the daemon.
        let left = self.kill_all(now);
        let Some(shutdown) = self.shutdown.take().filter(|_| !self.has_exited) else { return };
        self.has_exited = true;
        let finished = self.requests.end_all();
        self.reply_all(finished);
        self.effects.push_back(Effect::SignalStrays { signal: Signal::KILL });
        let (event, code) = shutdown.into_account(left);
        self.effects.push_back(Effect::Publish(event));
        self.effects.push_back(Effect::Exit { code });
    }
}

impl Awaited {
    /// Every one of them with its name on the wire.
    pub const ALL: [(&str, Awaited); 3] =
        [("running", Awaited::Running), ("exited", Awaited::Exited), ("stopped", Awaited::Stopped)];
}
