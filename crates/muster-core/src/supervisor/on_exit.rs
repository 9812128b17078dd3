//! Ends of one program that concern all: the container exits with it, or every program is restarted.

use muster_spec::{Goal, InstanceId};

use super::Supervisor;
use crate::batch::Purpose;
use crate::cause::{Asker, ShutdownReason};
use crate::program::{FinalEnd, Instance};
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

    /// Restarts every instance whose goal is up if a rule of the one that changed says so. It has ended and is not delayed.
    pub(super) fn follow_restart_of_all(&mut self, now: Time, id: InstanceId) {
        if !self.instance_mut(id).take_restart_of_all() || self.is_shutting_down() {
            return;
        }
        self.all_restarted = Some(now);
        let is_meant = |one: &&Instance| one.goal() == Goal::Up && !one.is_leaving();
        let ids: Vec<InstanceId> = self.instances.iter().filter(is_meant).map(Instance::id).collect();
        if ids.len() < 2 {
            return self.tell(now, id, |instance, turn| instance.release(turn));
        }
        for &other in &ids {
            self.tell(now, other, |instance, turn| {
                if other == id {
                    instance.wait_for_others(turn);
                } else {
                    instance.hold();
                    instance.restart(turn);
                }
            });
        }
        self.begin_batch(now, &ids, Purpose::Restart(Asker::RestartAll(id)));
    }
}
