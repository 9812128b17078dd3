//! An instance of which something is known from an earlier life of the daemon, and `once`.
//!
//! A program with `once` that is known to be done is EXITED, as after a run that succeeded, where it would be started by the
//! daemon, a reload or another program's need. A command starts it anyway.

use muster_spec::{Exit, Goal, InstanceSpec, RestartWhen, RunEnd, RunId, State};

use super::schedule::Start;
use super::{FinalEnd, Instance, Turn};
use crate::memory::Memory;

impl Instance {
    /// Takes over what is known of it. It has never been started.
    pub(crate) fn recall(&mut self, memory: &Memory) {
        let is_new = self.state == State::Stopped && self.goal == Goal::Down && self.last_run.is_none();
        if !is_new || self.is_leaving {
            return;
        }
        self.was_stopped_by_hand = memory.was_stopped && self.program.restart.when == RestartWhen::UnlessStopped;
        self.is_done_once = memory.is_done && self.program.once;
        if self.program.schedule.is_some() {
            self.job.succeeded = memory.succeeded;
        }
    }

    /// Whether it is down because an operator stopped it, until another command.
    pub fn stays_down(&self) -> bool {
        let is_kept = self.was_stopped_by_hand && self.program.restart.when == RestartWhen::UnlessStopped;
        self.goal == Goal::Down && is_kept && !self.is_leaving
    }

    /// Whether it has done its work and is not started again by itself: `once`.
    pub fn is_done_once(&self) -> bool {
        self.is_done_once && self.program.once
    }

    /// Notes a success of a run that ended by itself.
    pub(super) fn note_done_once(&mut self) {
        self.is_done_once |= self.program.once;
    }

    /// Another command has yet to do its work.
    pub(super) fn forget_other_command(&mut self, was: &InstanceSpec) {
        self.is_done_once &= was.process.command == self.spec.process.command;
    }

    /// Whether a new configuration leaves it done.
    pub(crate) fn stays_done(&self, spec: &InstanceSpec) -> bool {
        self.is_done_once() && self.spec.process.command == spec.process.command
    }

    /// Whether this start leaves it EXITED, since it has been done.
    pub(super) fn settles_as_done(&mut self, turn: &mut Turn<'_>, how: Start) -> bool {
        let is_idle = matches!(self.state, State::Stopped | State::Exited | State::Fatal) && self.run.is_none();
        if matches!(how, Start::Now | Start::Again) || !self.is_done_once() || !is_idle {
            return false;
        }
        self.goal = Goal::Up;
        let run = self.last_run.unwrap_or(RunId(0));
        self.final_end = Some(FinalEnd { at: turn.now, run, code: 0, success: true, ends_all: false });
        self.enter(turn, State::Exited);
        true
    }

    /// How its latest run ended and whether that was a success; one that was done in an earlier life has succeeded.
    pub(super) fn last_end(&self) -> Option<(RunEnd, bool)> {
        let earlier = || self.is_done_once().then_some((RunEnd::Exited(Exit::Code(0)), true));
        self.past.back().map(|past| (past.end.clone(), past.success)).or_else(earlier)
    }

    /// Whether its latest run was a success, also one of an earlier life.
    pub(crate) fn has_ended_well(&self) -> bool {
        self.past.back().map_or(self.is_done_once(), |past| past.success)
    }
}
