//! A program with a `schedule`: armed while its goal is up, and started at its times.
//!
//! The shell knows the wall clock and says when a time of it has come; intervals are counted here. Before its first run an
//! armed instance is WAITING for its time, afterwards EXITED or FATAL until the next one. [`Instance::come_due`] has the
//! effect of a time in each state; it never starts an instance whose goal is down.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{Goal, Overlap, ProgramSpec, State};

use super::start_delay::{StartDelay, Waits};
use super::{Instance, Turn};
use crate::effect::Effect;
use crate::event::{Event, Skipped};
use crate::restart::Tally;
use crate::time::Time;

/// How an instance is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Now, by command.
    Now,
    /// The same, by a restart of an instance that is down.
    Again,
    /// With the daemon, or by a reload: at its time if it has a schedule, and now if that has `run_on_start`.
    AtBoot,
    /// At its time if it has a schedule: by `start --later`, or because another program depends on it.
    Later,
}

impl Start {
    /// Its effect on `start_delay`.
    fn waits(self) -> Waits {
        match self {
            Start::Now => Waits::Anew,
            Start::Again => Waits::Never,
            Start::AtBoot | Start::Later => Waits::Once,
        }
    }
}

/// The memory of an instance with a schedule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Job {
    /// Whether the next run begins at its time and not as soon as it can.
    pub(super) awaits_time: bool,
    /// When each interval of the schedule is over, in their order.
    intervals: Vec<Time>,
    /// When the random delay after a time is over.
    delayed: Option<Time>,
    /// Whether another run follows this one.
    pub(super) is_queued: bool,
    /// Whether the run is to be stopped for another one.
    is_replaced: bool,
    /// Whether the last run that ended by itself was a success.
    pub(super) succeeded: Option<bool>,
    /// When the last successful one ended.
    pub(super) last_success: Option<Time>,
}

impl Job {
    /// The earliest deadline.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.intervals.iter().copied().chain(self.delayed).min()
    }
}

impl Instance {
    /// Whether it has a schedule and is to run by it.
    pub fn is_armed(&self) -> bool {
        self.program.schedule.is_some() && self.goal == Goal::Up && !self.is_leaving
    }

    /// Whether it waits for its time in WAITING.
    pub fn awaits_time(&self) -> bool {
        self.state == State::Waiting && self.job.awaits_time
    }

    /// When it is due next by an interval or after a random delay, if it is.
    pub fn next_due(&self) -> Option<Time> {
        self.job.deadline()
    }

    /// When its last successful run ended.
    pub fn last_success(&self) -> Option<Time> {
        self.job.last_success
    }

    /// Whether its last run that ended by itself was a success, if one has, also in an earlier life of the daemon.
    pub fn job_succeeded(&self) -> Option<bool> {
        self.job.succeeded
    }

    /// Notes how a run ended by itself.
    pub(super) fn note_result(&mut self, now: Time, success: bool) {
        self.job.succeeded = Some(success);
        self.job.last_success = Some(now).filter(|_| success).or(self.job.last_success);
        if success {
            self.note_done_once();
        }
    }

    /// When each interval of its schedule is over, in their order.
    pub fn intervals(&self) -> impl Iterator<Item = Time> {
        self.job.intervals.iter().copied()
    }

    /// Whether its last run that ended by itself was a success, if it is a program with a schedule.
    pub(crate) fn has_done_its_job(&self) -> Option<bool> {
        self.program.schedule.as_ref().map(|_| self.job.succeeded == Some(true))
    }

    /// Its goal is up now: its times count from now on.
    pub(super) fn arm(&mut self, turn: &mut Turn<'_>) {
        let Some(schedule) = &self.program.schedule else { return };
        self.job.intervals = schedule.intervals().map(|interval| turn.now + interval).collect();
        turn.effects.push_back(Effect::Arm { instance: self.id, schedule: schedule.clone() });
    }

    /// Its goal is down now: no time of it counts.
    pub(super) fn disarm(&mut self, turn: &mut Turn<'_>) {
        if self.program.schedule.is_some() {
            let Job { succeeded, last_success, .. } = self.job;
            self.job = Job { succeeded, last_success, ..Job::default() };
            turn.effects.push_back(Effect::Disarm { instance: self.id });
        }
    }

    /// Follows a reload that may have changed, added or removed the schedule. A run continues.
    pub(super) fn rearm(&mut self, turn: &mut Turn<'_>, was: &ProgramSpec) {
        if was.schedule == self.program.schedule || self.goal == Goal::Down {
            return;
        }
        if self.program.schedule.is_some() {
            self.job.delayed = None;
            return self.arm(turn);
        }
        let awaited = self.awaits_time();
        self.job = Job::default();
        turn.effects.push_back(Effect::Disarm { instance: self.id });
        if awaited {
            self.begin_run_or_wait(turn);
        }
    }

    /// Starts it in this way.
    pub(crate) fn start_as(&mut self, turn: &mut Turn<'_>, how: Start) {
        if self.settles_as_done(turn, how) {
            return;
        }
        if self.runs_now(how, self.goal == Goal::Down) {
            self.start(turn, how.waits());
        } else {
            self.arm_only(turn, false);
        }
    }

    /// Stops and starts it in this way.
    pub(crate) fn restart_as(&mut self, turn: &mut Turn<'_>, how: Start) {
        if self.settles_as_done(turn, how) {
            return;
        }
        if self.runs_now(how, true) {
            self.renew(turn, how.waits());
        } else {
            self.arm_only(turn, true);
        }
    }

    fn runs_now(&self, how: Start, is_new: bool) -> bool {
        match (&self.program.schedule, how) {
            (None, _) | (_, Start::Now | Start::Again) => true,
            (Some(schedule), Start::AtBoot) => schedule.run_on_start && is_new,
            (Some(_), Start::Later) => false,
        }
    }

    /// Raises the goal without a new run before its time; `again` if its run is being stopped for that.
    fn arm_only(&mut self, turn: &mut Turn<'_>, again: bool) {
        let was_armed = std::mem::replace(&mut self.goal, Goal::Up) == Goal::Up;
        self.was_stopped_by_hand = false;
        self.fails_for_good = false;
        if !was_armed {
            self.arm(turn);
        }
        match self.state {
            State::Stopped => {
                self.job.awaits_time = true;
                self.enter(turn, State::Waiting);
            }
            State::Stopping if !was_armed || again => self.job.awaits_time = true,
            State::Starting | State::Running if again => self.job.awaits_time = true,
            _ if !was_armed => self.tell_change(turn),
            _ => {}
        }
    }

    /// A time of its schedule has come; the next one comes after this long. Jitter is never longer.
    pub(crate) fn was_due(&mut self, turn: &mut Turn<'_>, next_in: Option<Duration>) {
        let Some(schedule) = self.program.schedule.as_ref().filter(|_| self.goal == Goal::Up) else { return };
        let jitter = next_in.map_or(schedule.jitter, |next_in| schedule.jitter.min(next_in));
        if jitter.is_zero() {
            return self.come_due(turn);
        }
        if self.job.delayed.is_some() {
            return self.skip(turn, Skipped::Queued);
        }
        self.job.delayed = Some(turn.now + jitter.mul_f64(turn.random.next_unit()));
    }

    /// Times of its schedule passed without being due.
    pub(crate) fn missed_times(&mut self, turn: &mut Turn<'_>, times: u32) {
        if self.is_armed() {
            self.skip(turn, Skipped::Missed { times });
        }
    }

    /// Handles an interval or a random delay that is over. Returns false if there is none.
    pub(super) fn schedule_deadline(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.job.delayed.is_some_and(|at| at <= turn.now) {
            self.job.delayed = None;
            self.come_due(turn);
            return true;
        }
        let program = Arc::clone(&self.program);
        let schedule = program.schedule.iter().flat_map(|schedule| schedule.intervals());
        let over = self.job.intervals.iter_mut().zip(schedule).find(|(at, _)| **at <= turn.now);
        let Some((at, interval)) = over else { return false };
        let passed = turn.now.since(*at).as_nanos() / interval.as_nanos().max(1);
        let missed = u32::try_from(passed).unwrap_or(u32::MAX);
        *at = *at + interval.saturating_mul(missed.saturating_add(1));
        let next_in = at.since(turn.now);
        if missed > 0 {
            self.skip(turn, Skipped::Missed { times: missed });
        }
        self.was_due(turn, Some(next_in));
        true
    }

    /// Starts it, or does what `overlap` says.
    fn come_due(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            _ if self.goal == Goal::Down => {}
            State::Starting | State::Running | State::Stopping => self.overlap(turn),
            State::Waiting if !self.job.awaits_time => self.skip(turn, Skipped::Waiting),
            _ if turn.is_blocked || self.is_held => self.skip(turn, Skipped::Waiting),
            _ => self.begin_job(turn),
        }
    }

    fn begin_job(&mut self, turn: &mut Turn<'_>) {
        self.tally = Tally::default();
        self.final_end = None;
        self.job.awaits_time = false;
        self.start_delay = StartDelay::Over;
        self.begin_run_or_wait(turn);
    }

    fn overlap(&mut self, turn: &mut Turn<'_>) {
        let overlap = self.program.schedule.as_ref().map_or(Overlap::Skip, |schedule| schedule.overlap);
        match overlap {
            Overlap::Skip => self.skip(turn, Skipped::Running),
            // It starts again as soon as it is down.
            _ if self.state == State::Stopping && std::mem::take(&mut self.job.awaits_time) => {}
            _ if self.state == State::Stopping || self.job.is_queued => self.skip(turn, Skipped::Queued),
            Overlap::Queue => self.job.is_queued = true,
            Overlap::Replace if turn.is_blocked => self.skip(turn, Skipped::Waiting),
            // It is about to be restarted with others, in their order.
            Overlap::Replace if self.is_held => self.skip(turn, Skipped::Queued),
            Overlap::Replace => {
                self.tally = Tally::default();
                self.job.is_replaced = true;
            }
        }
    }

    /// Whether its run is to be stopped for another one. Says so once.
    pub(crate) fn take_replaced(&mut self) -> bool {
        std::mem::take(&mut self.job.is_replaced)
    }

    /// The run is over as far as the policy is concerned: the queued one supersedes a retry.
    pub(super) fn follow_queue(&mut self, turn: &mut Turn<'_>) {
        // A rule of `on_exit` that ends the container holds.
        let ends_all = self.final_end.is_some_and(|end| end.ends_all);
        if !std::mem::take(&mut self.job.is_queued) || self.goal == Goal::Down || ends_all {
            return;
        }
        if turn.is_blocked {
            self.skip(turn, Skipped::Waiting);
        } else {
            self.begin_job(turn);
        }
    }

    fn skip(&mut self, turn: &mut Turn<'_>, why: Skipped) {
        turn.effects.push_back(Effect::Publish(Event::Skipped { instance: self.id, why }));
    }
}
