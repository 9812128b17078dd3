//! Times of schedules: the shell says which have come.

use std::time::Duration;

use muster_spec::InstanceId;

use super::Supervisor;
use crate::batch::Purpose;
use crate::cause::Asker;
use crate::program::{Instance, Turn};
use crate::time::Time;

impl Supervisor {
    /// A time of a schedule has come.
    pub(super) fn come_due(&mut self, now: Time, id: InstanceId, next_in: Option<Duration>) {
        self.tell_job(now, id, |instance, turn| instance.was_due(turn, next_in));
    }

    /// Times of a schedule passed without being due.
    pub(super) fn miss(&mut self, now: Time, id: InstanceId, times: u32) {
        self.tell_job(now, id, |instance, turn| instance.missed_times(turn, times));
    }

    fn tell_job(&mut self, now: Time, id: InstanceId, act: impl FnOnce(&mut Instance, &mut Turn<'_>)) {
        if self.get(id).is_some_and(Instance::is_armed) && !self.is_shutting_down() {
            self.tell(now, id, act);
            self.replace_run(now, id);
        }
    }

    /// Stops a run whose program is due with `overlap = "replace"`, for another one.
    pub(super) fn replace_run(&mut self, now: Time, id: InstanceId) {
        if self.instance_mut(id).take_replaced() && !self.is_shutting_down() {
            let ids = self.with_those_that_restart_with(&[id]);
            self.hold_for_restart(now, &ids);
            self.keep_what_is_needed(now, &ids);
            self.begin_batch(now, &ids, Purpose::Restart(Asker::Schedule));
        }
    }
}
