//! Commands: what is asked of instances, what that must come to, and what it does.

use std::collections::BTreeMap;

use super::Supervisor;
use crate::batch::Purpose;
use crate::effect::Effect;
use crate::name::{InstanceId, RunId, Selector};
use crate::program::Instance;
use crate::request::{Awaited, Condition, Done, Failure, Outcome, RequestId, Verb};
use crate::state::{Goal, State};
use crate::time::Time;

impl Supervisor {
    pub(super) fn command(&mut self, now: Time, request: RequestId, select: &Selector, verb: Verb, wait: bool) {
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
    pub(super) fn wanted(&self, id: InstanceId, verb: Verb) -> Result<Condition, Result<Done, Failure>> {
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

    pub(super) fn carry_out(&mut self, now: Time, ids: &[InstanceId], verb: Verb) {
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

    pub(super) fn start(&mut self, now: Time, ids: &[InstanceId]) {
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

    pub(super) fn lower_goals(&mut self, now: Time, ids: &[InstanceId]) {
        for &id in ids {
            self.tell(now, id, |instance, turn| instance.lower_goal(turn));
        }
    }

    /// Several that are restarted together start when all of them are down; a single one need not wait for anybody.
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

impl Awaited {
    /// Every one of them with its name on the wire.
    pub const ALL: [(&str, Awaited); 3] =
        [("running", Awaited::Running), ("exited", Awaited::Exited), ("stopped", Awaited::Stopped)];
}
