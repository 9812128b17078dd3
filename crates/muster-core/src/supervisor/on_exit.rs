//! Ends of one program that concern all: the container exits with it, or every program is restarted.

use muster_spec::{Goal, InstanceId};

use super::Supervisor;
use super::rolling::Sorted;
use crate::batch::Purpose;
use crate::cause::{Asker, ShutdownReason};
use crate::program::{FinalEnd, Instance};
use crate::request::Verb;
use crate::time::Time;

impl Supervisor {
    /// Shuts the daemon down if the instance that changed is essential and has exited for good.
    pub(super) fn follow_essential_end(&mut self, now: Time, id: InstanceId) {
        let instance = self.instance(id);
        // One that was done in an earlier life has not ended now.
        let has_run = instance.past().next_back().is_some();
        let is_its_own = has_run && (instance.goal() == Goal::Up || instance.was_stopped_for_failure());
        let ends_all = |end: &FinalEnd| end.ends_all || instance.program().essential.ends_with(end.success);
        if let Some(end) = instance.final_end().filter(|end| is_its_own && self.shutdown.is_none() && ends_all(end)) {
            let reason = if end.ends_all { ShutdownReason::OnExit(id) } else { ShutdownReason::Essential(id) };
            self.begin_shutdown(now, reason, None, end.code);
        }
    }

    /// Restarts every instance whose goal is up if a rule of the one that changed says so, as a command for all would. It has
    /// ended and is not delayed.
    pub(super) fn follow_restart_of_all(&mut self, now: Time, id: InstanceId) {
        if !self.instance_mut(id).take_restart_of_all() || self.is_shutting_down() {
            return;
        }
        self.all_restarted = Some(now);
        let is_meant = |one: &&Instance| one.goal() == Goal::Up && !one.is_leaving() && !one.is_idle_job();
        let ids: Vec<InstanceId> = self.instances.iter().filter(is_meant).map(Instance::id).collect();
        let Sorted { mut parts, mut together, .. } = self.sort_restart(&ids, Verb::Restart);
        // It is down already, so there is no turn to wait for.
        parts.iter_mut().for_each(|part| part.take_out(id));
        if !together.contains(&id) {
            together.push(id);
        }
        let asker = Asker::RestartAll(id);
        match &*together {
            [_] if parts.is_empty() => self.tell(now, id, |instance, turn| instance.release(turn)),
            // Those that take turns begin once it is up.
            [_] => self.tell(now, id, |instance, turn| {
                instance.wait_for_others(turn);
                instance.release(turn);
            }),
            _ => self.restart_with_one_that_ended(now, id, &together, asker.clone()),
        }
        self.begin_roll(asker, None, parts, together);
    }

    fn restart_with_one_that_ended(&mut self, now: Time, id: InstanceId, together: &[InstanceId], asker: Asker) {
        for &other in together {
            self.tell(now, other, |instance, turn| {
                if other == id {
                    instance.wait_for_others(turn);
                } else {
                    instance.hold();
                    instance.restart(turn);
                }
            });
        }
        self.begin_batch(now, together, Purpose::Restart(asker));
    }
}
