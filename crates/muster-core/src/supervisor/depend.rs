//! Dependencies: which instances are started because another needs them, which may start now, and which are restarted
//! together.
//!
//! [`crate::graph`] counts; this module acts on it. Conditions are checked at every start, also at an automatic
//! restart: a run after a crash waits until its dependencies hold again. Running instances are not affected when a
//! condition ceases to hold.
//!
//! Starting an instance, by command or at boot, also starts its dependencies that are down, as `systemctl start` and
//! `docker compose up` do. Dependencies that are starting are waited on; one whose condition is met (a oneshot that has
//! completed) is not started again. Stopping an instance stops only the instances named.

use std::collections::{BTreeSet, HashSet};

use muster_spec::{DependencyCondition, Goal, InstanceId, Kind, Span, State};

use super::Supervisor;
use crate::batch::Purpose;
use crate::cause::{Asker, StopCause};
use crate::effect::Effect;
use crate::event::Event;
use crate::graph::Met;
use crate::health::{Health, Readiness};
use crate::program::{Instance, PastRun};
use crate::request::{Change, Failure};
use crate::restart::{DelayRule, Verdict};
use crate::time::Time;

impl Supervisor {
    /// All instances that must be started so that these can start.
    pub(super) fn needed_by(&self, ids: &[InstanceId]) -> Vec<InstanceId> {
        if !self.graph.has_needs() {
            return Vec::new();
        }
        let mut seen = vec![false; self.instances.len()];
        let mut to_visit: Vec<usize> = ids.iter().map(|&id| self.place(id)).collect();
        to_visit.iter().for_each(|&place| seen[place] = true);
        let mut needed = Vec::new();
        while let Some(place) = to_visit.pop() {
            for (need, _) in self.graph.missing(place) {
                if std::mem::replace(&mut seen[need], true) {
                    continue;
                }
                let instance = &self.instances[need];
                // One that is armed runs again at its time.
                let is_down = instance.goal() == Goal::Down || instance.state().is_final() && !instance.is_armed();
                if is_down {
                    needed.push(instance.id());
                }
                // Whatever is still up can continue.
                let is_up = matches!(instance.state(), State::Starting | State::Running);
                if is_down && !is_up || instance.state() == State::Waiting {
                    to_visit.push(need);
                }
            }
        }
        needed
    }

    /// Keeps the dependencies of these running that are still up although their goal is down.
    pub(super) fn keep_what_is_needed(&mut self, now: Time, ids: &[InstanceId]) {
        let mut needed = self.needed_by(ids);
        needed.retain(|&id| matches!(self.instance(id).state(), State::Starting | State::Running));
        self.start_these(now, needed);
    }

    /// Starts the instances whose dependencies hold now.
    pub(super) fn start_unblocked(&mut self, now: Time) {
        while self.graph.has_unblocked() {
            let places = self.graph.take_unblocked();
            let waiting = places.into_iter().map(|place| &self.instances[place]);
            let waiting = waiting.filter(|instance| instance.state() == State::Waiting).map(Instance::id);
            for id in self.in_start_order(waiting.collect::<Vec<_>>()) {
                self.tell(now, id, |instance, turn| instance.unblock(turn));
            }
        }
    }

    /// Fails requests whose dependency, after this change, cannot be met without intervention.
    pub(super) fn tell_of_vain_waits(&mut self, now: Time, change: &Change) {
        if !self.graph.has_needs() || change.is_live || self.is_shutting_down() {
            return;
        }
        let place = self.place(change.instance);
        let state = self.instances[place].state();
        let mut concerned: Vec<usize> = match state {
            State::Waiting => vec![place],
            _ if state.is_final() => self.graph.dependents(place).collect(),
            _ => return,
        };
        let mut seen: HashSet<usize> = concerned.iter().copied().collect();
        let mut next = 0;
        while let Some(&place) = concerned.get(next) {
            next += 1;
            if self.instances[place].state() != State::Waiting {
                continue;
            }
            let instance = self.instances[place].id();
            let is_down = |(need, _): (usize, DependencyCondition)| is_down_by(&self.instances[need], State::is_final);
            if self.graph.missing(place).any(is_down) {
                let on = self.waiting_for(instance, now);
                self.effects.push_back(Effect::Publish(Event::Waiting { instance, on }));
            }
            if self.requests.is_empty() {
                continue;
            }
            let Some(on) = self.vain(place, State::is_final) else { continue };
            let mut finished = self.requests.fail_start(instance, &Failure::InVain(on));
            if let Some(on) = self.vain(place, has_ended) {
                finished.extend(self.requests.fail_watch(instance, &Failure::InVain(on)));
            }
            self.reply_all(finished);
            // Dependents that wait for an instance that waits in vain do so too.
            concerned.extend(self.graph.dependents(place).filter(|&other| seen.insert(other)));
        }
    }

    /// Why waiting for an instance to come up would be futile. An instance stopped by command may be started by
    /// another.
    pub(super) fn watched_in_vain(&self, id: InstanceId) -> Option<Failure> {
        self.vain(self.place(id), has_ended).map(Failure::InVain)
    }

    /// Whether an instance waits for a dependency that cannot be met without intervention.
    pub fn waits_in_vain(&self, id: InstanceId) -> bool {
        self.get(id)
            .is_some_and(|it| it.state() == State::Waiting && self.vain(self.place(id), State::is_final).is_some())
    }

    /// The dependencies of a WAITING instance that cannot be met without intervention, because an instance in the chain
    /// of dependencies is down by this criterion.
    fn vain(&self, place: usize, is_down: fn(State) -> bool) -> Option<Vec<String>> {
        if !self.graph.has_needs()
            || self.instances[place].state() != State::Waiting
            || self.instances[place].awaits_time()
        {
            return None;
        }
        let mut vain = Vec::new();
        for (need, condition) in self.graph.missing(place) {
            let described = self.describe_need(need, condition);
            if is_down_by(&self.instances[need], is_down) {
                vain.push(described);
            } else if let Some(root) = self.root_of_vain_wait(need, is_down) {
                vain.push(format!("{described}, which waits for {root}"));
            }
        }
        Some(vain).filter(|vain| !vain.is_empty())
    }

    /// An instance that is down in the chain of dependencies of a WAITING instance.
    fn root_of_vain_wait(&self, place: usize, is_down: fn(State) -> bool) -> Option<String> {
        let (mut to_visit, mut seen) = (vec![place], HashSet::new());
        while let Some(place) = to_visit.pop() {
            let one = &self.instances[place];
            if one.state() != State::Waiting || one.awaits_time() || !seen.insert(place) {
                continue;
            }
            for (need, condition) in self.graph.missing(place) {
                if is_down_by(&self.instances[need], is_down) {
                    return Some(self.describe_need(need, condition));
                }
                to_visit.push(need);
            }
        }
        None
    }

    /// The conditions a WAITING instance waits for, in words.
    pub fn waiting_for(&self, id: InstanceId, now: Time) -> Vec<String> {
        let Some(instance) = self.get(id).filter(|instance| instance.state() == State::Waiting) else {
            return Vec::new();
        };
        if instance.awaits_time() {
            return vec!["its time".to_owned()];
        }
        let leftovers = instance.has_leftovers().then(|| "the processes that its last run left behind".to_owned());
        let hook = instance.phase().map(|hook| format!("its {}", hook.name()));
        let others = instance.is_held().then(|| "the programs that are restarted with it".to_owned());
        let needs = self.graph.missing(self.place(id)).map(|(need, condition)| self.describe_need(need, condition));
        let client = instance.awaits_contact().then(|| a_client(instance));
        let rest = instance.start_delay_until().map(|until| Span::about(until.since(now)));
        let delay = rest.map(|rest| format!("its start delay, {rest}"));
        let turn = instance.awaits_turn().then(|| "its turn to start".to_owned());
        let own = delay.into_iter().chain(turn).chain(client);
        leftovers.into_iter().chain(hook).chain(others).chain(needs).chain(own).collect()
    }

    fn describe_need(&self, need: usize, condition: DependencyCondition) -> String {
        let need = &self.instances[need];
        let wanted = match condition {
            DependencyCondition::Started => "to run",
            DependencyCondition::Ready => "to be ready",
            DependencyCondition::Healthy => "to be healthy",
            DependencyCondition::Completed => "to complete",
            DependencyCondition::Exited => "to end",
        };
        match (need.state(), need.past().next_back()) {
            (State::Exited, Some(past)) => format!("{} {wanted}, which has ended: {}", need.name(), past.end),
            (State::Fatal, _) => format!("{} {wanted}, which is FATAL", need.name()),
            (State::Stopped, _) => format!("{} {wanted}, which is STOPPED", need.name()),
            _ => format!("{} {wanted}", need.name()),
        }
    }

    /// These instances and, if they are running, all that are restarted with them.
    pub(super) fn with_those_that_restart_with(&self, ids: &[InstanceId]) -> Vec<InstanceId> {
        self.with_followers(ids, |other| other.is_live() && other.goal() == Goal::Up)
    }

    fn with_followers(&self, ids: &[InstanceId], concerns: impl Fn(&Instance) -> bool) -> Vec<InstanceId> {
        let mut all = ids.to_vec();
        let mut next = 0;
        while let Some(&id) = all.get(next) {
            next += 1;
            for place in self.graph.restarts(self.place(id)) {
                let other = &self.instances[place];
                if concerns(other) && !all.contains(&other.id()) {
                    all.push(other.id());
                }
            }
        }
        all
    }

    /// Restarts the instances that restart with this one's program and have been running since before its automatic
    /// restart. A command or a reload has stopped them together already.
    pub(super) fn restart_with(&mut self, now: Time, id: InstanceId) {
        let instance = self.instance(id);
        // A rolling restart restarts them after its last step.
        let is_rolled = self.rolls.is_current(id);
        let is_again =
            !is_rolled && instance.state() == State::Starting && instance.past().next_back().is_some_and(is_automatic);
        let Some(began) = instance.run_began().filter(|_| is_again && !self.is_shutting_down()) else { return };
        self.restart_older(now, &[id], began);
    }

    /// Restarts the instances that restart with one of these, and have been running since before this time.
    pub(super) fn restart_older(&mut self, now: Time, leaders: &[InstanceId], began: Time) {
        let is_older = |other: &Instance| {
            let is_up = matches!(other.state(), State::Starting | State::Running) && other.goal() == Goal::Up;
            let is_leader = leaders.contains(&other.id());
            is_up && !is_leader && !other.is_held() && other.run_began().is_some_and(|it| it < began)
        };
        let others = leaders.iter().flat_map(|&id| self.graph.restarts(self.place(id)));
        let others: BTreeSet<InstanceId> =
            others.map(|place| &self.instances[place]).filter(|other| is_older(other)).map(Instance::id).collect();
        let others: Vec<InstanceId> = others.into_iter().collect();
        if others.is_empty() {
            return;
        }
        let others = self.with_followers(&others, is_older);
        if others.len() > 1 {
            for &other in &others {
                self.tell(now, other, |instance, _| instance.hold());
            }
        }
        self.begin_batch(now, &others, Purpose::Restart(Asker::RestartWith));
    }
}

/// Whether it is down by this criterion and does not start at a time of its schedule.
fn is_down_by(instance: &Instance, is_down: fn(State) -> bool) -> bool {
    is_down(instance.state()) && !instance.is_armed()
}

/// Whether the run that follows this one is an automatic restart of its own, and neither requested, nor one of all, nor a
/// client's.
fn is_automatic(past: &PastRun) -> bool {
    let is_of_all = matches!(past.verdict, Verdict::Again(again) if again.rule == DelayRule::RestartAll);
    !matches!(past.cause, Some(StopCause::Asked(_))) && past.verdict != Verdict::Idle && !is_of_all
}

/// The client that an instance waits for.
fn a_client(instance: &Instance) -> String {
    let sockets = instance.spec().process.sockets.iter();
    let each = sockets.map(|spec| format!("{} on {}", spec.address.contact(), spec.address));
    each.collect::<Vec<_>>().join(" or ")
}

/// Whether it has ended by itself, and not by a command that another one may follow.
fn has_ended(state: State) -> bool {
    matches!(state, State::Exited | State::Fatal)
}

/// The conditions that an instance meets in its current state.
pub(super) fn conditions_met(instance: &Instance) -> Met {
    let is_to_go = instance.goal() == Goal::Down || instance.is_held() || instance.is_failing();
    let is_up = instance.state() == State::Running && !is_to_go;
    let has_ended = matches!(instance.state(), State::Exited | State::Fatal);
    let is_done = instance
        .has_done_its_job()
        .unwrap_or_else(|| instance.state() == State::Exited && instance.final_end().is_some_and(|end| end.success));
    let is_finished_job = is_done && instance.program().kind == Kind::Oneshot;
    let awaits_contact = instance.awaits_contact() && !is_to_go;
    Met::where_holds(|condition| match condition {
        // A client of one that waits for clients is taken.
        DependencyCondition::Started => is_up || is_done || awaits_contact,
        DependencyCondition::Ready => {
            is_finished_job || is_up && instance.ready() == Readiness::Ready || awaits_contact
        }
        DependencyCondition::Healthy => is_up && instance.health() == Health::Healthy || awaits_contact,
        DependencyCondition::Completed => is_done,
        DependencyCondition::Exited => has_ended,
    })
}
