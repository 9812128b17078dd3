//! How a run ends: what is recorded, what the restart policy decides, and which ends are final.

use serde::{Deserialize, Serialize};

use muster_spec::{Goal, RunEnd, RunId, State};

use super::{HISTORY, Instance, PastRun, Run, Stage, Turn};
use crate::cause::StopCause;
use crate::effect::Effect;
use crate::event::{EndedRun, Event};
use crate::restart::{self, Decision, Ended, Verdict};
use crate::time::Time;
use crate::timers::Slot;

/// An end after which the policy does not restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FinalEnd {
    pub(crate) at: Time,
    pub(crate) run: RunId,
    pub(crate) code: u8,
    pub(crate) success: bool,
}

impl Instance {
    /// Handles the end of the main process: records how it ended, and decides what follows.
    pub(super) fn end_run(&mut self, turn: &mut Turn<'_>, end: RunEnd) {
        let is_over = |run: &Run| matches!(run.stage, Stage::Leftovers | Stage::Gone);
        let Some(run) = self.run.as_mut().filter(|run| !is_over(run)) else { return };
        run.stage = Stage::Leftovers;
        let was_stopping = self.state == State::Stopping;
        let cause = run.cause.take();
        let has_failed = cause.as_ref().is_some_and(StopCause::is_failure);
        let past = PastRun {
            run: run.id,
            began: run.began,
            ended: turn.now,
            success: !has_failed && (was_stopping || self.program.counts_as_success(&end)),
            was_stopping,
            cause,
            signalled: run.signalled,
            end,
            verdict: Verdict::Stopped,
            left_behind: None,
            failed_hooks: std::mem::take(&mut run.failed_hooks),
        };
        turn.effects.push_back(Effect::Publish(Event::Ended(Box::new(EndedRun {
            instance: self.id,
            run: past.run,
            end: past.end.clone(),
            uptime: past.ended.since(past.began),
            expected: was_stopping || past.success,
            cause: past.cause.clone(),
        }))));
        // A run that was to be stopped anyway has not failed.
        if !past.success && self.goal == Goal::Up {
            self.last_failure = Some(FinalEnd::failure(turn.now, past.run, past.end.shell_code()));
        }
        match (self.state, self.goal) {
            (State::Starting | State::Running, Goal::Down) => {
                self.remember(past);
                self.enter(turn, State::Stopping);
            }
            (State::Starting | State::Running, Goal::Up) if self.is_held => {
                self.remember(PastRun { verdict: Verdict::Held, ..past });
                self.enter(turn, State::Waiting);
            }
            (State::Starting | State::Running, Goal::Up) if self.is_idle_after(&past) => self.wait_again(turn, past),
            (State::Starting | State::Running, Goal::Up) => self.follow_policy(turn, past),
            _ => {
                if self.fails_for_good {
                    self.final_end = Some(FinalEnd::failure(turn.now, past.run, past.end.shell_code()));
                    self.last_failure = self.final_end;
                }
                self.remember(past);
            }
        }
        self.call_off_hook(turn);
    }

    pub(super) fn remember(&mut self, past: PastRun) {
        if self.past.len() == HISTORY {
            self.past.pop_front();
        }
        self.past.push_back(past);
    }

    fn follow_policy(&mut self, turn: &mut Turn<'_>, past: PastRun) {
        let ended = Ended {
            at: turn.now,
            uptime: past.ended.since(past.began),
            was_spawned: !matches!(past.end, RunEnd::NotSpawned(_)),
            was_running: self.state == State::Running,
            success: past.success,
        };
        let (policy, random) = (&self.program.restart, turn.random.next_unit());
        let verdict = match &past.end {
            RunEnd::NotSpawned(error) if error.is_shortage() => restart::judge_shortage(policy, &mut self.tally),
            RunEnd::NotSpawned(_) => restart::judge_failed_start(policy, &mut self.tally, ended, random),
            RunEnd::Exited(_) | RunEnd::MainLost => restart::judge(policy, &mut self.tally, ended, random),
        };
        let (run, success, code) = (past.run, past.success, past.end.shell_code());
        let has_exited = !matches!(past.end, RunEnd::NotSpawned(_));
        self.remember(PastRun { verdict, ..past });
        match verdict {
            Verdict::Again(again) => {
                let (delay, attempt, limit) = (again.delay, again.attempt, self.program.restart.retries());
                self.enter(turn, State::Backoff);
                self.timers.arm(Slot::Delay, turn.now + delay);
                let verdict = Box::new(verdict);
                let event = Event::Retry { instance: self.id, delay, attempt, limit, verdict };
                turn.effects.push_back(Effect::Publish(event));
            }
            _ if has_exited && verdict.decision() == Decision::Stay => {
                self.final_end = Some(FinalEnd { at: turn.now, run, code, success });
                self.enter(turn, State::Exited);
                turn.effects.push_back(Effect::Publish(Event::Final {
                    instance: self.id,
                    run,
                    verdict: Box::new(verdict),
                }));
            }
            _ => self.give_up(turn, run, code, verdict),
        }
    }

    /// The policy would restart, but its limit does not allow the next run to start.
    pub(super) fn refuse(&mut self, turn: &mut Turn<'_>, verdict: Verdict) {
        let Some(past) = self.past.back_mut() else { return };
        past.verdict = verdict;
        let (run, code) = (past.run, past.end.shell_code());
        self.give_up(turn, run, code, verdict);
    }

    fn give_up(&mut self, turn: &mut Turn<'_>, run: RunId, code: u8, verdict: Verdict) {
        self.final_end = Some(FinalEnd::failure(turn.now, run, code));
        self.last_failure = self.final_end;
        self.enter(turn, State::Fatal);
        turn.effects.push_back(Effect::Publish(Event::Final { instance: self.id, run, verdict: Box::new(verdict) }));
    }
}

impl FinalEnd {
    /// The end of an instance that has failed for good is never reported as a success, however its last run ended.
    pub(super) fn failure(at: Time, run: RunId, code: u8) -> FinalEnd {
        FinalEnd { at, run, code: if code == 0 { 1 } else { code }, success: false }
    }
}
