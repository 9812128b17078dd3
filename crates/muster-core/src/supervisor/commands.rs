//! Commands: what they require of each instance, and how they are carried out.

use std::collections::{BTreeMap, HashSet};

use muster_spec::{Goal, InstanceId, RunId, Selector, Signal, SignalScope, State};

use super::Supervisor;
use super::rolling::Sorted;
use crate::batch::Purpose;
use crate::cause::{Asker, Principal};
use crate::effect::Effect;
use crate::program::{Instance, Start};
use crate::request::{Awaited, Condition, Done, Failure, Outcome, RequestId, Verb};
use crate::time::Time;

impl Supervisor {
    pub(super) fn command(
        &mut self,
        now: Time,
        (request, by): (RequestId, Principal),
        select: &Selector,
        verb: Verb,
        wait: bool,
    ) {
        let ids = match self.select(select) {
            Ok(ids) => ids,
            Err(pattern) => {
                let outcome = Outcome::NoSuchProgram(pattern.to_owned());
                return self.reply_all([(request, outcome)]);
            }
        };
        // The condition for each instance is determined before acting, and checked against every change that follows.
        let (mut pending, mut results) = (BTreeMap::new(), BTreeMap::new());
        let (spared, ids): (Vec<InstanceId>, Vec<InstanceId>) =
            ids.into_iter().partition(|&id| self.is_spared(id, select, verb));
        results.extend(spared.into_iter().map(|id| (id, Ok(Done::Armed))));
        let sorted = self.sort_restart(&self.restarted_by(&ids, verb), verb);
        for &id in &ids {
            match sorted.wanted(id).unwrap_or_else(|| self.wanted(id, verb)) {
                Ok(condition) => drop(pending.insert(id, condition)),
                Err(known) => drop(results.insert(id, known)),
            }
        }
        let finished = self.requests.begin(request, pending, results);
        self.reply_all(finished);
        self.carry_out(now, &ids, verb, (request, by));
        if !wait {
            self.settle(now);
            self.expire(now, request);
        }
    }

    /// The condition that completes a verb for this instance, or the result if it is known already.
    pub(super) fn wanted(&self, id: InstanceId, verb: Verb) -> Result<Condition, Result<Done, Failure>> {
        let instance = self.instance(id);
        let after = instance.last_run();
        // A run that is just starting satisfies this; one that has ended or is ending does not.
        let before_current = match instance.state() {
            State::Starting => after.map(|run| RunId(run.0 - 1)),
            _ => after,
        };
        match verb {
            Verb::Start | Verb::StartLater | Verb::Restart | Verb::Roll { .. } if self.is_shutting_down() => {
                Err(Err(Failure::ShuttingDown))
            }
            Verb::StartLater if instance.program().schedule.is_some() => Err(Ok(Done::Armed)),
            Verb::StartLater => Err(Err(Failure::NotScheduled)),
            Verb::Start if instance.state() == State::Running => Err(Ok(Done::AlreadyRunning)),
            Verb::Start | Verb::Restart if instance.awaits_contact() => Err(Ok(Done::AwaitsContact)),
            Verb::Start => Ok(Condition::Up { after: before_current, done: Done::Started }),
            Verb::Restart if instance.is_live() => Ok(Condition::Up { after, done: Done::Restarted }),
            // Those that take turns have another condition.
            Verb::Roll { .. } if instance.is_live() => Ok(Condition::Up { after, done: Done::RestartedAtOnce }),
            Verb::Restart | Verb::Roll { .. } => Ok(Condition::Up { after, done: Done::Started }),
            // It is disarmed.
            Verb::Stop if instance.is_idle_job() => Err(Ok(Done::Stopped)),
            Verb::Stop if instance.state().is_final() && !instance.is_live() => Err(Ok(Done::NotRunning)),
            Verb::Stop => Ok(Condition::Down),
            Verb::Signal { .. } if instance.run_began().is_some() => Err(Ok(Done::Signalled)),
            Verb::Signal { .. } => Err(Err(Failure::NotRunning)),
            Verb::Reload if !reads_configuration(instance) => Err(Err(Failure::NotRunning)),
            Verb::Reload if instance.program().reload_signal.is_some() => Err(Ok(Done::Signalled)),
            Verb::Reload => self.wanted(id, Verb::Restart),
            Verb::Await(awaited) => {
                let condition = Condition::Awaited(awaited);
                let known = condition.judge(&instance.change());
                let in_vain = || self.watched_in_vain(id).filter(|_| awaited.is_up()).map(Err);
                known.or_else(in_vain).map_or(Ok(condition), Err)
            }
        }
    }

    /// Whether a restart of many leaves it as it is: a job that waits for its time, and is not named.
    fn is_spared(&self, id: InstanceId, select: &Selector, verb: Verb) -> bool {
        let instance = self.instance(id);
        matches!(verb, Verb::Restart | Verb::Roll { .. })
            && !self.is_shutting_down()
            && instance.is_idle_job()
            && !select.is_name_of(&instance.program().name, instance.name())
    }

    /// The instances that a command restarts.
    fn restarted_by(&self, ids: &[InstanceId], verb: Verb) -> Vec<InstanceId> {
        let needs_restart = |id: &InstanceId| {
            let instance = self.instance(*id);
            reads_configuration(instance) && instance.program().reload_signal.is_none()
        };
        match verb {
            _ if self.is_shutting_down() => Vec::new(),
            Verb::Restart | Verb::Roll { .. } => ids.to_vec(),
            Verb::Reload => ids.iter().copied().filter(needs_restart).collect(),
            Verb::Start | Verb::StartLater | Verb::Stop | Verb::Signal { .. } | Verb::Await(_) => Vec::new(),
        }
    }

    fn carry_out(&mut self, now: Time, ids: &[InstanceId], verb: Verb, (request, by): (RequestId, Principal)) {
        match verb {
            Verb::Start | Verb::StartLater if self.is_shutting_down() => {}
            Verb::Start => self.start(now, ids, Start::Now),
            Verb::StartLater => self.start_later(now, ids),
            Verb::Stop => {
                for &id in ids {
                    self.instance_mut(id).mark_stopped_by_hand();
                }
                if self.is_shutting_down() {
                    return;
                }
                self.lower_goals(now, ids);
                self.begin_batch(now, ids, Purpose::Stop(Asker::Stop(by)));
            }
            Verb::Restart | Verb::Roll { .. } => self.restart(now, ids, verb, (request, by)),
            Verb::Signal { signal, scope } => {
                ids.iter().for_each(|&id| self.signal(id, signal, scope, by));
            }
            Verb::Reload => {
                self.have_read_configuration(ids, by);
                self.restart(now, ids, verb, (request, by));
            }
            Verb::Await(_) => {}
        }
    }

    fn restart(&mut self, now: Time, ids: &[InstanceId], verb: Verb, (request, by): (RequestId, Principal)) {
        let Sorted { parts, together, .. } = self.sort_restart(&self.restarted_by(ids, verb), verb);
        let together = match *together {
            [] => Vec::new(),
            [id] if !self.instance(id).is_live() => {
                self.start(now, &together, Start::Again);
                together
            }
            _ => self.restart_together(now, &together, Asker::Restart(by)),
        };
        self.begin_roll(Asker::Restart(by), Some(request), parts, together);
    }

    /// Restarts instances, with those that restart with them, and returns all of them.
    pub(super) fn restart_together(&mut self, now: Time, ids: &[InstanceId], asker: Asker) -> Vec<InstanceId> {
        let ids = self.with_those_that_restart_with(ids);
        self.hold_for_restart(now, &ids);
        self.keep_what_is_needed(now, &ids);
        self.begin_batch(now, &ids, Purpose::Restart(asker));
        let needed = self.needed_by(&ids);
        self.start_these(now, needed);
        ids
    }

    pub(super) fn signal(&mut self, id: InstanceId, signal: Signal, scope: SignalScope, by: Principal) {
        let run = self.instance_mut(id).note_signal(signal, by);
        self.effects.extend(run.map(|run| Effect::Signal { run, signal, scope }));
    }

    /// Sends the reload signal to those that have one.
    fn have_read_configuration(&mut self, ids: &[InstanceId], by: Principal) {
        for &id in ids {
            let instance = self.instance(id);
            if let Some(signal) = instance.program().reload_signal.filter(|_| reads_configuration(instance)) {
                self.signal(id, signal, SignalScope::Main, by);
            }
        }
    }

    /// Starts instances in this way, together with the dependencies that are down.
    pub(super) fn start(&mut self, now: Time, ids: &[InstanceId], named_so: Start) {
        let named: HashSet<InstanceId> = ids.iter().copied().collect();
        let mut all = self.needed_by(ids);
        all.extend(ids);
        let how = |id| if named.contains(&id) { named_so } else { Start::Later };
        self.start_in_turn(now, self.in_start_order(all), how);
    }

    /// Arms instances with a schedule, and starts the dependencies of theirs that are down.
    fn start_later(&mut self, now: Time, ids: &[InstanceId]) {
        let has_schedule = |&id: &InstanceId| self.instance(id).program().schedule.is_some();
        let ids: Vec<InstanceId> = ids.iter().copied().filter(has_schedule).collect();
        let mut all = self.needed_by(&ids);
        all.extend(ids);
        self.start_these(now, all);
    }

    /// Starts instances that another one needs: one with a schedule at its time.
    pub(super) fn start_these(&mut self, now: Time, ids: Vec<InstanceId>) {
        self.start_in_turn(now, self.in_start_order(ids), |_| Start::Later);
    }

    /// Starts instances in this order, each in its way.
    pub(super) fn start_in_turn(&mut self, now: Time, ids: Vec<InstanceId>, how: impl Fn(InstanceId) -> Start) {
        // A running instance with goal up needs no start, unless it is about to be restarted with others.
        let is_up = |instance: &Instance| {
            matches!(instance.state(), State::Starting | State::Running) && instance.goal() == Goal::Up
        };
        let ids: Vec<InstanceId> = ids.into_iter().filter(|&id| !is_up(self.instance(id))).collect();
        self.leave_batches(now, &ids);
        for id in ids {
            self.tell(now, id, |instance, turn| {
                instance.release(turn);
                instance.start_as(turn, how(id));
            });
        }
    }

    /// Starts what starts with the daemon, and what that needs.
    pub(super) fn boot(&mut self, now: Time) {
        if self.is_shutting_down() {
            return;
        }
        let wanted = self.instances.iter().filter(|one| one.program().autostart && !one.stays_down());
        let wanted: Vec<InstanceId> = wanted.map(Instance::id).collect();
        let mut all = self.needed_by(&wanted);
        all.extend(wanted);
        all.retain(|&id| !self.instance(id).stays_down());
        self.start_in_turn(now, self.in_boot_order(all), |_| Start::AtBoot);
    }

    pub(super) fn lower_goals(&mut self, now: Time, ids: &[InstanceId]) {
        self.cancel_rolls(ids);
        for &id in ids {
            self.tell(now, id, |instance, turn| instance.lower_goal(turn));
        }
    }

    /// Holds several instances that are restarted together until all of them are down; a single one is not held.
    pub(super) fn hold_for_restart(&mut self, now: Time, ids: &[InstanceId]) {
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

/// Whether there is a run that is not being stopped and has a signal for reloading its configuration.
fn reads_configuration(instance: &Instance) -> bool {
    instance.goal() == Goal::Up && instance.run_began().is_some()
}

impl Awaited {
    /// All conditions.
    pub const ALL: [Awaited; 5] =
        [Awaited::Running, Awaited::Ready, Awaited::Healthy, Awaited::Exited, Awaited::Stopped];
}
