//! Schedules by the wall clock: one timer for the earliest time of all programs, which also fires when the clock is set.
//!
//! [`Agenda`](muster_schedule::Agenda) decides which times are due. Without an armed program there is no timer, and
//! between two times nothing wakes the daemon.

use std::io;

use muster_core::{Input, Instance};
use muster_spec::{InstanceId, Missed, ScheduleSpec};
use muster_sys::async_fd::Watched;
use muster_sys::wall_timer::WallTimer;
use tracing::error;

use super::EventLoop;

/// The timer, once there was an armed program.
#[derive(Default)]
pub(super) struct WallClock {
    timer: Option<Watched<WallTimer>>,
    /// The time it is set to.
    at: Option<i64>,
    /// Whether the times may have changed since.
    is_stale: bool,
}

impl WallClock {
    pub(super) fn timer(&self) -> Option<&Watched<WallTimer>> {
        self.timer.as_ref().filter(|_| self.at.is_some())
    }

    fn set(&mut self, at: Option<i64>) -> io::Result<()> {
        if self.timer.is_none() && at.is_some() {
            self.timer = Some(Watched::for_reading(WallTimer::new()?)?);
        }
        if let Some(timer) = &self.timer {
            timer.get_ref().set(at)?;
        }
        self.at = at;
        Ok(())
    }
}

impl EventLoop {
    /// A program is to be started at the times of its schedule from now on.
    pub(super) fn arm(&mut self, instance: InstanceId, schedule: &ScheduleSpec) {
        let now = self.shared.clock.wall_seconds();
        self.wall_clock.is_stale = true;
        let supervisor = self.shared.supervisor.borrow();
        let Some(program) = supervisor.get(instance).map(Instance::name) else { return };
        let mut agenda = self.shared.agenda.borrow_mut();
        if let Err(mistake) = agenda.arm(instance, schedule, now) {
            error!(program, "cannot follow its schedule, it is not started: {}", mistake.message);
        }
        let unseen = self.shared.state.armed(program, now).filter(|_| schedule.missed == Missed::Once);
        if let Some(since) = unseen {
            agenda.recall(instance, since);
        }
    }

    /// The times of this program no longer count.
    pub(super) fn disarm(&mut self, instance: InstanceId) {
        self.wall_clock.is_stale = true;
        self.shared.agenda.borrow_mut().disarm(instance);
        let supervisor = self.shared.supervisor.borrow();
        if let Some(one) = supervisor.get(instance) {
            self.shared.state.disarmed(one.name());
        }
    }

    /// Sets the timer, if the times have changed. Called before the loop waits.
    pub(super) fn set_wall_timer(&mut self) {
        if !std::mem::take(&mut self.wall_clock.is_stale) {
            return;
        }
        let at = self.shared.agenda.borrow().earliest();
        if at == self.wall_clock.at {
            return;
        }
        if let Err(error) = self.wall_clock.set(at) {
            error!(%error, "cannot follow the clock, programs with a schedule are not started");
        }
    }

    /// A time has come, or the clock was set: queues what is due.
    pub(super) fn look_at_wall_clock(&mut self, fired: io::Result<()>) {
        if let Err(error) = fired {
            error!(%error, "cannot follow the clock, programs with a schedule are not started");
            self.wall_clock = WallClock::default();
            return;
        }
        let now = self.shared.clock.wall_seconds();
        for due in self.shared.agenda.borrow_mut().look(now) {
            let instance = due.job;
            if let Some(one) = self.shared.supervisor.borrow().get(instance) {
                self.shared.state.saw(one.name(), now);
            }
            if due.missed > 0 {
                self.inputs.of_programs.push_back(Input::DueMissed { instance, times: due.missed });
            }
            if due.is_due {
                self.inputs.of_programs.push_back(Input::Due { instance, next_in: due.next_in });
            }
        }
        // It has fired, and has to be set again even for the same time.
        (self.wall_clock.at, self.wall_clock.is_stale) = (None, true);
    }
}
