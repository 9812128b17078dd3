//! The wall clock of the simulation: it begins at a time of the plan, and is never set.

use std::time::Duration;

use muster_core::{Input, Time};
use muster_spec::{InstanceId, ScheduleSpec};

use super::{Coming, World};

impl World<'_> {
    pub(super) fn arm(&mut self, now: Time, instance: InstanceId, schedule: &ScheduleSpec) {
        // It was checked when the configuration was read, moments ago.
        let _ = self.agenda.arm(instance, schedule, self.wall_seconds(now));
        self.expect_wall_clock();
    }

    /// Queues what is due.
    pub(super) fn look_at_wall_clock(&mut self, now: Time) {
        let mut all = self.agenda.look(self.wall_seconds(now), false);
        while self.agenda.has_more() {
            all.extend(self.agenda.look(self.wall_seconds(now), false));
        }
        for due in all {
            let instance = due.job;
            if due.missed > 0 {
                self.inputs.push_back(Input::DueMissed { instance, times: due.missed });
            }
            if due.is_due {
                self.inputs.push_back(Input::Due { instance, next_in: due.next_in });
            }
        }
        self.expect_wall_clock();
    }

    /// Looks again at the earliest time; once more than necessary does no harm.
    pub(super) fn expect_wall_clock(&mut self) {
        if let Some(at) = self.agenda.earliest() {
            let after = u64::try_from(at - self.plan.from).unwrap_or_default();
            self.expect(Time::from_origin(Duration::from_secs(after)), Coming::WallClock);
        }
    }

    fn wall_seconds(&self, now: Time) -> i64 {
        let seconds = i64::try_from(now.since_origin().as_secs()).unwrap_or(i64::MAX);
        self.plan.from.saturating_add(seconds)
    }
}
