//! How an instance is stopped: when its turn has come, step by step, and what its main process leaves behind.
//!
//! What is sent when is the [`StopPlan`]'s to say; here its steps become effects. What is being stopped enters STOPPING
//! through [`Instance::enter`], as every state.

use std::time::Duration;

use muster_spec::{RunId, Signal, SignalScope, State, StopScope};

use super::{Instance, Turn};
use crate::cause::{Principal, StopCause};
use crate::effect::{Effect, Event};
use crate::leftover::LeftBehind;
use crate::stop::{Step, StopPlan};
use crate::time::Time;
use crate::timers::Slot;

impl Instance {
    /// When its run began to be stopped.
    pub(crate) fn stop_began(&self) -> Option<Time> {
        self.run.as_ref().and_then(|run| run.stop.as_ref()).map(StopPlan::began)
    }

    /// How long stopping its run may take before SIGKILL, or may still take.
    pub(crate) fn patience(&self, now: Time) -> Duration {
        let plan = self.run.as_ref().and_then(|run| run.stop.as_ref());
        plan.map_or_else(|| self.program.patience(), |plan| plan.patience_left(now))
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.run.as_ref().and_then(|run| run.stop.as_ref()).is_some_and(StopPlan::is_killing)
    }

    /// Its turn to be stopped has come. With a budget, SIGKILL comes no later than that.
    pub(crate) fn stop_run(&mut self, turn: &mut Turn<'_>, budget: Option<Duration>, cause: StopCause) {
        let Some(run) = &mut self.run else { return };
        run.cause.get_or_insert(cause);
        let is_asked_already = run.stop.is_some();
        match &mut run.stop {
            Some(plan) => budget.into_iter().for_each(|budget| plan.hurry(turn.now + budget)),
            None => run.stop = Some(StopPlan::begin(&self.program.stop, turn.now, budget)),
        }
        self.enter_stopping(turn);
        if is_asked_already {
            self.rearm_stop();
        } else {
            self.take_stop_step(turn);
        }
    }

    /// Notes who has a signal sent to its run. Gives the run, where it has begun.
    pub(crate) fn note_signal(&mut self, signal: Signal, by: Principal) -> Option<RunId> {
        self.run_began()?;
        let run = self.run.as_mut()?;
        run.signalled = Some((signal, by));
        Some(run.id)
    }

    /// SIGKILL to everything of it, now.
    pub(crate) fn kill_run(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = &mut self.run else { return };
        match &mut run.stop {
            Some(plan) if plan.is_killing() => return,
            Some(plan) => plan.hurry(turn.now),
            None => run.stop = Some(StopPlan::kill(turn.now, true)),
        }
        run.cause.get_or_insert(StopCause::Shutdown);
        self.enter_stopping(turn);
        self.take_stop_step(turn);
    }

    /// What a run leaves behind has nothing to ask for.
    pub(super) fn extend_stop(&mut self, until: Time) {
        if let Some(plan) = self.run.as_mut().filter(|run| run.main_lives).and_then(|run| run.stop.as_mut()) {
            plan.extend(until);
            self.rearm_stop();
        }
    }

    fn enter_stopping(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.state, State::Starting | State::Running) {
            self.enter(turn, State::Stopping);
        }
    }

    /// The tree outlived its main process: its members get the signal of the step that is under way, or of the first.
    pub(super) fn sweep_leftovers(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = &mut self.run else { return };
        match run.stop.as_ref().map(StopPlan::asking) {
            Some(asking) => {
                let signal = asking.unwrap_or(Signal::KILL);
                turn.effects.push_back(Effect::Sweep { run: run.id, signal });
                self.rearm_stop();
            }
            None => {
                run.stop = Some(StopPlan::begin_for_leftovers(&self.program.stop, turn.now));
                turn.effects.push_back(Effect::NameLeftovers { run: run.id, killed: false });
                self.take_stop_step(turn);
            }
        }
    }

    pub(super) fn take_stop_step(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = &mut self.run else { return };
        let Some(plan) = &mut run.stop else { return };
        let (waited, was_killing) = (turn.now.since(plan.began()), plan.is_killing());
        match plan.advance(turn.now) {
            Step::Ask(signal) if run.main_lives => {
                let scope = match self.program.stop.scope {
                    StopScope::Main => SignalScope::Main,
                    StopScope::Group => SignalScope::Group,
                };
                turn.effects.push_back(Effect::Signal { run: run.id, signal, scope });
                turn.effects.push_back(Effect::Wake { run: run.id, scope });
            }
            Step::Ask(signal) => turn.effects.push_back(Effect::Sweep { run: run.id, signal }),
            Step::Kill => {
                let (instance, id, cut_short, left_behind) = (self.id, run.id, plan.is_cut_short(), !run.main_lives);
                if !was_killing {
                    let event = Event::Killed { instance, run: id, waited, cut_short, left_behind };
                    turn.effects.push_back(Effect::Publish(event));
                    if left_behind {
                        turn.effects.push_back(Effect::NameLeftovers { run: id, killed: true });
                    }
                } else if (plan.kills() - 1).is_power_of_two() {
                    // Ever more seldom: nobody learns anything new from it.
                    turn.effects.push_back(Effect::Publish(Event::Stuck { instance, run: id, since: waited }));
                }
                turn.effects.push_back(Effect::Sweep { run: id, signal: Signal::KILL });
            }
        }
        self.rearm_stop();
    }

    /// Entering a state emptied the slot; the plan of the run goes on.
    pub(super) fn rearm_stop(&mut self) {
        if let Some(plan) = self.run.as_ref().and_then(|run| run.stop.as_ref()) {
            self.timers.arm(Slot::Stop, plan.deadline());
        }
    }

    /// It is known what the run left behind.
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
