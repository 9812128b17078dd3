//! The beginning of a run: its hook, and its spawn.

use std::sync::Arc;

use muster_spec::{Hook, RunId, State};

use super::run::{Run, Stage};
use super::start_delay::StartDelay;
use super::{EXEC_DEADLINE, Instance, Turn};
use crate::cause::StopCause;
use crate::effect::Effect;
use crate::restart;
use crate::stop::StopPlan;
use crate::timers::Slot;

impl Instance {
    pub(super) fn begin_run_or_wait(&mut self, turn: &mut Turn<'_>) {
        let may_begin = self.may_begin(turn) && !self.waits_to_start(turn.now);
        let awaits_contact = self.queued.is_none() && self.starts_on_contact();
        if may_begin && !awaits_contact && turn.has_room {
            return self.begin_run(turn);
        }
        let place = self.queued;
        if self.state != State::Waiting {
            self.enter(turn, State::Waiting);
            self.rearm_stop();
        }
        self.queued = None;
        match may_begin {
            true if awaits_contact => self.await_contact(turn),
            true => self.queued = Some(place.unwrap_or(self.place_in_queue(turn.now))),
            false => {}
        }
    }

    /// Whether no command, dependency, time or earlier run keeps it from starting.
    pub(super) fn may_begin(&self, turn: &Turn<'_>) -> bool {
        self.run.is_none() && !self.is_held && !turn.is_blocked && !self.job.awaits_time
    }

    pub(super) fn begin_run(&mut self, turn: &mut Turn<'_>) {
        if let Some(verdict) = restart::refuse_start(&self.program.restart, &self.tally, turn.now) {
            return self.refuse(turn, verdict);
        }
        *turn.next_run += 1;
        let run = RunId(*turn.next_run);
        self.run = Some(Run::begin(run, Arc::clone(&self.spec), turn.now));
        self.last_run = Some(run);
        self.job.is_queued = false;
        self.start_delay = StartDelay::Over;
        self.tally.count_start(self.program.restart.limit, turn.now);
        self.enter(turn, State::Starting);
        match self.spec.hooks.pre_start.clone().filter(|hook| !(hook.once && self.was_prepared)) {
            Some(hook) => self.run_hook(turn, Hook::PreStart, &hook),
            None => self.spawn(turn),
        }
    }

    /// Orders the main process, with the configuration of now.
    pub(super) fn spawn(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = &mut self.run else { return };
        (run.stage, run.began, run.spec) = (Stage::Main, turn.now, Arc::clone(&self.spec));
        let (run, spec) = (run.id, Arc::clone(&self.spec));
        self.timers.arm(Slot::Start, turn.now + EXEC_DEADLINE);
        turn.effects.push_back(Effect::Spawn { run, instance: self.id, spec });
    }

    /// Either it has been up for `startsecs`, or its process never executed the program.
    pub(super) fn start_deadline(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = &mut self.run else { return };
        if run.is_executed {
            self.come_up(turn);
        } else {
            run.stop = Some(Box::new(StopPlan::kill(&self.program.stop, run.began, false)));
            run.cause = Some(StopCause::ExecTimeout);
            self.take_stop_step(turn);
        }
    }
}
