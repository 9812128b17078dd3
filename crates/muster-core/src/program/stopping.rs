//! Stopping an instance: beginning with its turn in the batch, step by step, up to the processes its main process
//! leaves behind.
//!
//! The [`StopPlan`] decides what is sent when; this module turns its steps into effects. An instance enters STOPPING
//! through [`Instance::enter`], like every state.

use std::time::Duration;

use muster_spec::{Hook, Leftovers, RunId, Signal, SignalScope, State, StopKill};

use super::hooks::ENDING;
use super::{Instance, Stage, Turn};
use crate::cause::{Principal, StopCause};
use crate::effect::Effect;
use crate::event::Event;
use crate::leftover::LeftBehind;
use crate::stop::{Step, StopPlan};
use crate::time::Time;
use crate::timers::Slot;

impl Instance {
    /// When stopping its run began.
    pub(crate) fn stop_began(&self) -> Option<Time> {
        self.run.as_ref().and_then(|run| run.stop.as_deref()).map(StopPlan::began)
    }

    /// How long stopping its run may take before SIGKILL, and its hooks; once begun, how much longer.
    pub(crate) fn patience(&self, now: Time) -> Duration {
        let hooks = &self.spec.hooks;
        let after = hooks.timeout(Hook::PostStop);
        let Some(run) = &self.run else { return self.program.patience().saturating_add(hooks.stop_timeout()) };
        let hook_left = || run.hook.as_ref().and_then(|hook| hook.deadline).map_or(Duration::ZERO, |at| at.since(now));
        match (run.stage, &run.stop) {
            (Stage::Preparing, _) => ENDING.saturating_add(after),
            (Stage::Gone, _) => hook_left(),
            (_, Some(plan)) => plan.patience_left(now).saturating_add(after),
            (_, None) => {
                let before = run.hook_times(hooks).before.unwrap_or_default();
                self.program.patience().saturating_add(before).saturating_add(after)
            }
        }
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.run.as_ref().and_then(|run| run.stop.as_deref()).is_some_and(StopPlan::is_killing)
    }

    /// Begins to stop the run. With a budget, SIGKILL comes at the latest when that is used up.
    pub(crate) fn stop_run(&mut self, turn: &mut Turn<'_>, budget: Option<Duration>, cause: StopCause) {
        let Some(run) = &mut self.run else { return };
        if run.stage != Stage::Gone {
            run.cause.get_or_insert(cause);
        }
        run.limit(budget.map(|budget| turn.now + budget));
        if matches!(run.stage, Stage::Preparing | Stage::Gone) {
            // Only a hook of it is running.
            self.enter_stopping(turn);
            return self.call_off_hook(turn);
        }
        let is_asked_already = run.stop.is_some();
        match &mut run.stop {
            Some(plan) => budget.into_iter().for_each(|budget| plan.limit(turn.now, turn.now + budget)),
            None => {
                let hooks = run.hook_times(&self.spec.hooks);
                run.stop = Some(Box::new(StopPlan::begin(&self.program.stop, hooks, turn.now, budget)));
            }
        }
        self.enter_stopping(turn);
        self.call_off_hook(turn);
        if is_asked_already {
            self.rearm_stop();
        } else {
            self.take_stop_step(turn);
        }
    }

    /// Records the client that sends a signal to the run. Returns the run, if it has begun.
    pub(crate) fn note_signal(&mut self, signal: Signal, by: Principal) -> Option<RunId> {
        self.run_began()?;
        let run = self.run.as_mut()?;
        run.signalled = Some(Box::new((signal, by)));
        Some(run.id)
    }

    /// Sends SIGKILL now to the processes that a stop ends.
    pub(crate) fn kill_run(&mut self, turn: &mut Turn<'_>) {
        self.kill_hook(turn);
        let Some(run) = &mut self.run else { return };
        run.is_hurried = true;
        if matches!(run.stage, Stage::Preparing | Stage::Gone) {
            return self.enter_stopping(turn);
        }
        match &mut run.stop {
            Some(plan) if plan.is_killing() => return,
            Some(plan) if plan.is_before_signals() => {
                run.stop = Some(Box::new(StopPlan::kill(&self.program.stop, plan.began(), true)));
            }
            Some(plan) => plan.hurry(turn.now),
            None => run.stop = Some(Box::new(StopPlan::kill(&self.program.stop, turn.now, true))),
        }
        run.cause.get_or_insert(StopCause::Shutdown);
        self.enter_stopping(turn);
        self.take_stop_step(turn);
    }

    /// Processes left behind cannot ask for more time.
    pub(super) fn extend_stop(&mut self, until: Time) {
        if let Some(plan) = self.run.as_mut().filter(|run| run.main_lives()).and_then(|run| run.stop.as_mut()) {
            plan.extend(until);
            self.rearm_stop();
        }
    }

    fn enter_stopping(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.state, State::Starting | State::Running) {
            self.enter(turn, State::Stopping);
        }
    }

    /// Signals the processes that outlived the main process, with the signal of the current step, or of the first. Where
    /// they are to be kept, the run is over.
    pub(super) fn sweep_leftovers(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = &mut self.run else { return };
        match &run.stop {
            None if self.program.stop.leftovers == Leftovers::Keep => self.disown(turn),
            // The hook goes on, since it may have ended the main process. They have their turn after it.
            Some(plan) if plan.is_before_signals() => self.rearm_stop(),
            Some(plan) if plan.ends() == StopKill::Main => self.disown(turn),
            Some(plan) => {
                turn.effects.push_back(match (plan.ends(), plan.asks(), plan.asking()) {
                    // They had that signal together with the main process.
                    (StopKill::Group, SignalScope::MainGroup, Some(_)) => {
                        Effect::SweepGroup { run: run.id, signal: None }
                    }
                    (_, _, asking) => sweep(run.id, plan, asking.unwrap_or(Signal::KILL)),
                });
                self.rearm_stop();
            }
            None => {
                run.stop = Some(Box::new(StopPlan::begin_for_leftovers(&self.program.stop, turn.now)));
                turn.effects.push_back(Effect::NameLeftovers { run: run.id, killed: false });
                self.take_stop_step(turn);
            }
        }
    }

    /// Ends the run although processes of its tree may be left.
    fn disown(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = &self.run else { return };
        turn.effects.push_back(Effect::Disown { run: run.id });
        self.tree_gone(turn);
    }

    pub(super) fn take_stop_step(&mut self, turn: &mut Turn<'_>) {
        self.end_late_pre_stop(turn);
        let Some(run) = &mut self.run else { return };
        let main_lives = run.main_lives();
        let Some(plan) = &mut run.stop else { return };
        let (waited, was_killing) = (turn.now.since(plan.began()), plan.is_killing());
        match plan.advance(turn.now) {
            Step::Hook => self.run_pre_stop(turn),
            Step::Ask(_) if !main_lives && plan.ends() == StopKill::Main => return self.disown(turn),
            Step::Ask(signal) if main_lives => {
                let scope = plan.asks();
                turn.effects.push_back(Effect::Signal { run: run.id, signal, scope });
                turn.effects.push_back(Effect::Wake { run: run.id, scope });
            }
            Step::Ask(signal) => turn.effects.push_back(sweep(run.id, plan, signal)),
            Step::Kill => {
                let (instance, id, cut_short, left_behind) = (self.id, run.id, plan.is_cut_short(), !main_lives);
                if !was_killing {
                    let event = Event::Killed { instance, run: id, waited, cut_short, left_behind };
                    turn.effects.push_back(Effect::Publish(event));
                    if left_behind && plan.ends() == StopKill::Tree {
                        turn.effects.push_back(Effect::NameLeftovers { run: id, killed: true });
                    }
                } else if (plan.kills() - 1).is_power_of_two() {
                    // At growing intervals: repeating it sooner would say nothing new.
                    turn.effects.push_back(Effect::Publish(Event::Stuck { instance, run: id, since: waited }));
                }
                let to_main = |scope| Effect::Signal { run: id, signal: Signal::KILL, scope };
                turn.effects.push_back(match plan.ends() {
                    StopKill::Main => to_main(SignalScope::Main),
                    StopKill::Group if main_lives => to_main(SignalScope::MainGroup),
                    StopKill::Group | StopKill::Tree => sweep(id, plan, Signal::KILL),
                });
            }
        }
        self.rearm_stop();
    }

    /// Arms the stop timer again after a change of state; the plan of the run continues.
    pub(super) fn rearm_stop(&mut self) {
        let run = self.run.as_ref().filter(|run| run.stage != Stage::Gone);
        if let Some(plan) = run.and_then(|run| run.stop.as_ref()) {
            self.timers.arm(Slot::Stop, plan.deadline());
        }
    }

    /// Records which processes the run left behind.
    pub(crate) fn note_left_behind(&mut self, turn: &mut Turn<'_>, run: RunId, left: LeftBehind) {
        let Some(past) = self.past.iter_mut().rev().find(|past| past.run == run) else { return };
        let left = LeftBehind { by_itself: !past.was_stopping && past.cause.is_none(), ..left };
        past.left_behind = Some(Box::new(left.clone()));
        let event = Event::LeftBehind { instance: self.id, run, left: Box::new(left) };
        turn.effects.push_back(Effect::Publish(event));
    }

    pub(super) fn disarm_stop(&mut self) {
        self.timers.disarm(Slot::Stop);
    }
}

/// A signal to what is left of a run after its main process has ended.
fn sweep(run: RunId, plan: &StopPlan, signal: Signal) -> Effect {
    match plan.ends() {
        StopKill::Group => Effect::SweepGroup { run, signal: Some(signal) },
        StopKill::Main | StopKill::Tree => Effect::Sweep { run, signal },
    }
}
