//! How a run ends: what is recorded, what the restart policy decides, and which ends are final.

use serde::{Deserialize, Serialize};

use muster_spec::{ExitAction, ExitRule, Goal, RunEnd, RunId, State};

use super::{HISTORY, Instance, PastRun, Run, Stage, Turn};
use crate::cause::StopCause;
use crate::effect::Effect;
use crate::event::{EndedRun, Event};
use crate::restart::{self, Decision, DelayRule, Ended, Verdict};
use crate::time::Time;
use crate::timers::Slot;

/// An end after which the policy does not restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FinalEnd {
    pub(crate) at: Time,
    pub(crate) run: RunId,
    pub(crate) code: u8,
    pub(crate) success: bool,
    /// Whether the container exits with it, by a rule of `on_exit`.
    pub(crate) ends_all: bool,
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
        // Only ends that were neither requested nor forced have rules.
        let is_its_own = cause.is_none() && !was_stopping;
        let rule = self.program.exit_rule(&end, run.is_out_of_memory).filter(|_| is_its_own);
        let past = PastRun {
            run: run.id,
            began: run.began,
            ended: turn.now,
            success: !has_failed && (was_stopping || self.program.succeeds(&end, rule)),
            was_stopping,
            cause,
            signalled: run.signalled.as_deref().copied(),
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
            (State::Starting | State::Running, Goal::Up)
                if self.is_idle_after(&past) && rule.is_none_or(|rule| rule.then == ExitAction::Success) =>
            {
                self.wait_again(turn, past)
            }
            (State::Starting | State::Running, Goal::Up) => self.follow_policy(turn, past, rule),
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

    fn follow_policy(&mut self, turn: &mut Turn<'_>, past: PastRun, rule: Option<ExitRule>) {
        let ended = Ended {
            at: turn.now,
            uptime: past.ended.since(past.began),
            was_spawned: !matches!(past.end, RunEnd::NotSpawned(_)),
            was_running: self.state == State::Running,
            success: past.success,
        };
        let (policy, random) = (&self.program.restart, turn.random.next_unit());
        let tally = &mut self.tally;
        let verdict = match (&past.end, rule) {
            (RunEnd::NotSpawned(error), _) if error.is_shortage() => restart::judge_shortage(policy, tally),
            (_, Some(rule)) => restart::judge_by_rule(policy, tally, ended, (rule, turn.all_restarted), random),
            (RunEnd::NotSpawned(_), None) => restart::judge_failed_start(policy, tally, ended, random),
            (RunEnd::Exited(_) | RunEnd::MainLost, None) => restart::judge(policy, tally, ended, random),
        };
        let (run, success, code) = (past.run, past.success, past.end.shell_code());
        let then = rule.map(|rule| rule.then);
        let may_exit = !matches!(past.end, RunEnd::NotSpawned(_)) || then == Some(ExitAction::Stop);
        self.note_result(turn.now, success);
        self.remember(PastRun { verdict, ..past });
        match verdict {
            Verdict::Again(again) => {
                let (delay, attempt, limit) = (again.delay, again.attempt, self.program.restart.retries());
                self.enter(turn, State::Backoff);
                self.timers.arm(Slot::Delay, turn.now + delay);
                self.wants_all_restarted = again.rule == DelayRule::RestartAll;
                // It may be gone within this turn, and must not start before the supervisor knows.
                self.is_held |= self.wants_all_restarted;
                let verdict = Box::new(verdict);
                let event = Event::Retry { instance: self.id, delay, attempt, limit, verdict };
                turn.effects.push_back(Effect::Publish(event));
            }
            _ if may_exit && verdict.decision() == Decision::Stay => {
                let ends_all = then == Some(ExitAction::Exit);
                // The rule says that it has failed, so 0 is no answer.
                let code = if then == Some(ExitAction::Failure) { code.max(1) } else { code };
                self.final_end = Some(FinalEnd { at: turn.now, run, code, success, ends_all });
                self.enter(turn, State::Exited);
                turn.effects.push_back(Effect::Publish(Event::Final {
                    instance: self.id,
                    run,
                    verdict: Box::new(verdict),
                }));
            }
            _ => self.give_up(turn, run, code, verdict),
        }
        self.follow_queue(turn);
    }

    /// The policy would restart, but its limit does not allow the next run to start.
    pub(super) fn refuse(&mut self, turn: &mut Turn<'_>, verdict: Verdict) {
        let Some(past) = self.past.back_mut() else { return };
        past.verdict = verdict;
        let (run, code) = (past.run, past.end.shell_code());
        self.give_up(turn, run, code, verdict);
    }

    fn give_up(&mut self, turn: &mut Turn<'_>, run: RunId, code: u8, verdict: Verdict) {
        let ends_all = matches!(verdict, Verdict::Ruled { rule, .. } if rule.then == ExitAction::Exit);
        self.final_end = Some(FinalEnd { ends_all, ..FinalEnd::failure(turn.now, run, code) });
        self.last_failure = self.final_end;
        self.enter(turn, State::Fatal);
        turn.effects.push_back(Effect::Publish(Event::Final { instance: self.id, run, verdict: Box::new(verdict) }));
    }
}

impl FinalEnd {
    /// The end of an instance that has failed for good is never reported as a success, however its last run ended.
    pub(super) fn failure(at: Time, run: RunId, code: u8) -> FinalEnd {
        FinalEnd { at, run, code: if code == 0 { 1 } else { code }, success: false, ends_all: false }
    }
}
