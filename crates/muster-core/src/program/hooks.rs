//! The hooks of a run: when each is run, how it is ended, and what follows from its end.
//!
//! At most one hook of an instance runs at a time. `pre_start` comes before the main process, and its failure is a failed
//! start. `post_start` delays RUNNING, and its failure fails the run. `pre_stop` is the zeroth step of the [`StopPlan`],
//! which has its timeout. `post_stop` follows when no process of the run is left: the run is over when it has ended.
//!
//! [`StopPlan`]: crate::stop::StopPlan

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{Exit, Goal, Hook, HookSpec, Hooks, RunEnd, Signal, Span, SpawnError, SpawnStep, State};

use super::{Instance, Run, Stage, Turn};
use crate::cause::StopCause;
use crate::effect::{AfterRun, Effect};
use crate::event::{EndedHook, Event};
use crate::stop::{HookTimes, KILL_RETRY};
use crate::time::Time;
use crate::timers::Slot;

/// How long the processes of a hook that is ended have between SIGTERM and SIGKILL.
pub(super) const ENDING: Duration = Duration::from_secs(1);

/// A hook that is running.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RunningHook {
    pub(super) kind: Hook,
    spec: Arc<HookSpec>,
    began: Time,
    /// When it gets SIGTERM, and once it had that, the next SIGKILL. `None` for a `pre_stop` within its time: the stop
    /// plan has that deadline.
    pub(super) deadline: Option<Time>,
    ended: Option<Ended>,
}

/// Why the processes of a hook got SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Ended {
    /// It took longer than it may.
    TimedOut { after: Duration },
    /// The run is being stopped, or has ended.
    CalledOff,
}

impl Run {
    /// How long the hooks around a stop that begins now may take.
    pub(super) fn hook_times(&self, hooks: &Hooks) -> HookTimes {
        let is_up = self.main_lives() && self.is_executed;
        let before = hooks.pre_stop.as_ref().filter(|_| is_up).map(|hook| hook.timeout);
        HookTimes { before, after: hooks.timeout(Hook::PostStop) }
    }

    /// Makes everything of it end by this time, if that is earlier than before.
    pub(super) fn limit(&mut self, end_by: Option<Time>) {
        self.end_by = self.end_by.into_iter().chain(end_by).min();
        if let (Some(end_by), Some(hook)) = (self.end_by, &mut self.hook) {
            hook.deadline = hook.deadline.map(|at| at.min(end_by));
        }
    }

    /// Postpones its hook by time during which the daemon was not running.
    pub(super) fn lose_time_of_hook(&mut self, by: Duration) {
        self.end_by = self.end_by.map(|at| at + by);
        if let Some(hook) = &mut self.hook {
            hook.deadline = hook.deadline.map(|at| at + by);
        }
    }
}

impl RunningHook {
    /// The time it has been given, even if the end of it is noticed late.
    fn taken(&self, now: Time) -> Duration {
        now.since(self.began).min(self.spec.timeout)
    }

    /// How it failed, in words, if it did.
    fn failure(&self, end: &Result<Exit, SpawnError>, said: &str) -> Option<Box<str>> {
        let how = match (self.ended, end) {
            (Some(Ended::CalledOff), _) => return None,
            (Some(Ended::TimedOut { after }), _) => format!("timed out after {}", Span(after)),
            (None, Ok(Exit::Code(0))) => return None,
            (None, Ok(exit)) => exit.to_string(),
            (None, Err(error)) => error.message.clone(),
        };
        Some(if said.is_empty() { how.into() } else { format!("{how}: {said}").into() })
    }
}

/// Running and ending hooks.
impl Instance {
    pub(super) fn run_hook(&mut self, turn: &mut Turn<'_>, kind: Hook, spec: &Arc<HookSpec>) {
        let after = (kind == Hook::PostStop).then(|| self.after_run()).flatten();
        let Some(run) = &mut self.run else { return };
        let is_timed_by_plan = kind == Hook::PreStop;
        let deadline = (!is_timed_by_plan).then(|| turn.now + spec.timeout);
        let spec = Arc::clone(spec);
        run.hook = Some(Box::new(RunningHook { kind, spec, began: turn.now, deadline, ended: None }));
        run.limit(None);
        let (run, spec) = (run.id, Arc::clone(&self.spec));
        turn.effects.push_back(Effect::RunHook { run, instance: self.id, hook: kind, spec, after });
        self.rearm_hook();
        self.tell_change(turn);
    }

    /// The run that has just ended, as its `post_stop` gets to know it.
    fn after_run(&self) -> Option<Box<AfterRun>> {
        let past = self.past.back()?;
        let is_final = match self.state {
            State::Backoff | State::Waiting => false,
            State::Stopping => self.goal == Goal::Down,
            _ => true,
        };
        let cause = past.cause.as_ref().map_or("itself", StopCause::word);
        let uptime = past.ended.since(past.began);
        Some(Box::new(AfterRun { end: past.end.clone(), cause, is_final, uptime }))
    }

    /// Arms the timer of the hook again after a change of state.
    pub(super) fn rearm_hook(&mut self) {
        match self.run.as_ref().and_then(|run| run.hook.as_ref()).and_then(|hook| hook.deadline) {
            Some(at) => self.timers.arm(Slot::Hook, at),
            None => self.timers.disarm(Slot::Hook),
        }
    }

    /// Its time is over, or its processes are left after SIGTERM.
    pub(super) fn hook_deadline(&mut self, turn: &mut Turn<'_>) {
        match self.run.as_ref().and_then(|run| run.hook.as_ref()) {
            Some(hook) if hook.ended.is_none() => {
                let after = hook.taken(turn.now);
                self.end_hook(turn, Ended::TimedOut { after });
            }
            Some(_) => self.kill_hook(turn),
            None => {}
        }
    }

    fn end_hook(&mut self, turn: &mut Turn<'_>, why: Ended) {
        let Some(run) = &mut self.run else { return };
        let Some(hook) = run.hook.as_mut().filter(|hook| hook.ended.is_none()) else { return };
        hook.ended = Some(why);
        let killed_at = turn.now + ENDING;
        hook.deadline = Some(run.end_by.map_or(killed_at, |at| at.min(killed_at)));
        turn.effects.push_back(Effect::EndHook { run: run.id, hook: hook.kind, signal: Signal::TERM });
        self.rearm_hook();
    }

    /// Sends SIGKILL now to all processes of the hook.
    pub(super) fn kill_hook(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = &mut self.run else { return };
        let Some(hook) = &mut run.hook else { return };
        hook.ended.get_or_insert(Ended::CalledOff);
        hook.deadline = Some(turn.now + KILL_RETRY);
        turn.effects.push_back(Effect::EndHook { run: run.id, hook: hook.kind, signal: Signal::KILL });
        self.rearm_hook();
    }

    /// The run is to end: a hook of its start is ended, those of its end go on within their time.
    pub(super) fn call_off_hook(&mut self, turn: &mut Turn<'_>) {
        let kind = self.phase();
        if matches!(kind, Some(Hook::PreStart | Hook::PostStart)) {
            self.end_hook(turn, Ended::CalledOff);
        }
        self.rearm_hook();
    }
}

/// When hooks are run.
impl Instance {
    /// Whether `post_start` has been run, or there is none. Otherwise it is run now, and the run comes up after it.
    pub(super) fn has_run_post_start(&mut self, turn: &mut Turn<'_>) -> bool {
        let hook = self.spec.hooks.post_start.clone();
        let Some(run) = self.run.as_ref().filter(|run| !run.has_come_up) else { return true };
        match hook {
            None => true,
            Some(_) if run.hook.is_some() => false,
            Some(hook) => {
                self.run_hook(turn, Hook::PostStart, &hook);
                false
            }
        }
    }

    /// The zeroth step of the stop plan has come.
    pub(super) fn run_pre_stop(&mut self, turn: &mut Turn<'_>) {
        let hook = self.spec.hooks.pre_stop.clone();
        let Some(run) = self.run.as_mut().filter(|run| run.hook.is_none()) else { return };
        match hook.filter(|_| run.main_lives()) {
            Some(hook) => self.run_hook(turn, Hook::PreStop, &hook),
            None => self.skip_pre_stop(turn),
        }
    }

    /// Goes on with the signals.
    fn skip_pre_stop(&mut self, turn: &mut Turn<'_>) {
        if let Some(plan) = self.run.as_mut().and_then(|run| run.stop.as_mut()) {
            plan.end_hook(turn.now);
        }
        self.take_stop_step(turn);
    }

    /// Before the step after `pre_stop`: ends it if it is running, because its time is over then.
    pub(super) fn end_late_pre_stop(&mut self, turn: &mut Turn<'_>) {
        let hook = self.run.as_ref().and_then(|run| run.hook.as_ref()).filter(|hook| hook.kind == Hook::PreStop);
        if let Some(after) = hook.map(|hook| hook.taken(turn.now)) {
            self.end_hook(turn, Ended::TimedOut { after });
        }
    }

    /// No process of the run is left: `post_stop` is run, unless everything must end now.
    pub(super) fn run_post_stop(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = self.run.as_ref().filter(|run| run.hook.is_none()) else { return };
        let is_too_late = run.is_hurried || run.end_by.is_some_and(|at| at <= turn.now);
        match self.spec.hooks.post_stop.clone().filter(|_| !is_too_late) {
            Some(hook) => {
                self.run_hook(turn, Hook::PostStop, &hook);
            }
            None => self.run_is_over(turn),
        }
    }
}

/// The consequences of the end of a hook.
impl Instance {
    /// A hook has ended, and no process of it is left.
    pub(crate) fn hook_finished(&mut self, turn: &mut Turn<'_>, kind: Hook, end: Result<Exit, SpawnError>, said: &str) {
        let Some(run) = &mut self.run else { return };
        let Some(hook) = run.hook.take_if(|hook| hook.kind == kind) else { return };
        self.timers.disarm(Slot::Hook);
        let failure = hook.failure(&end, said);
        let counts = failure.is_some() && kind.may_fail() && !hook.spec.ignores_failure;
        turn.effects.push_back(Effect::Publish(Event::Hook(Box::new(EndedHook {
            instance: self.id,
            run: run.id,
            hook: kind,
            end: end.clone(),
            took: turn.now.since(hook.began),
            failure: failure.clone(),
            was_called_off: hook.ended == Some(Ended::CalledOff),
            counts,
        }))));
        let (stage, id) = (run.stage, run.id);
        if let Some(failure) = &failure {
            let past = self.past.iter_mut().rev().find(|past| past.run == id);
            past.map_or(&mut run.failed_hooks, |past| &mut past.failed_hooks).push((kind, failure.clone()));
        }
        self.tell_change(turn);
        let failure = failure.filter(|_| counts);
        match (kind, stage) {
            (Hook::PostStop, _) => self.run_is_over(turn),
            (_, Stage::Gone) => self.run_post_stop(turn),
            (Hook::PreStart, _) => self.prepared(turn, end, failure),
            (Hook::PostStart, _) => self.post_start_ended(turn, failure),
            (Hook::PreStop, _) => self.pre_stop_ended(turn),
        }
    }

    /// `pre_start` has ended: the main process is next, unless that failed or the run is being stopped.
    fn prepared(&mut self, turn: &mut Turn<'_>, end: Result<Exit, SpawnError>, failure: Option<Box<str>>) {
        let not_spawned = |message| SpawnError { step: SpawnStep::PreStart, errno: 0, message };
        let error = if self.state == State::Stopping || self.goal == Goal::Down {
            not_spawned("stopped before it was started".to_owned())
        } else if let Some(failure) = failure {
            let message = format!("{}: {failure}", Hook::PreStart.name());
            match end {
                Err(error) if error.is_shortage() => SpawnError { message, ..error },
                _ => not_spawned(message),
            }
        } else {
            self.was_prepared = true;
            return self.spawn(turn);
        };
        self.end_run(turn, RunEnd::NotSpawned(error));
        self.tree_gone(turn);
    }

    fn post_start_ended(&mut self, turn: &mut Turn<'_>, failure: Option<Box<str>>) {
        let Some(run) = &mut self.run else { return };
        run.has_come_up = true;
        match (&mut run.stop, failure) {
            // The stop has waited for it.
            (Some(plan), _) if plan.is_before_signals() => {
                plan.begin_hook(turn.now);
                self.run_pre_stop(turn);
                self.rearm_stop();
            }
            (Some(_), _) => {}
            (None, Some(detail)) => {
                self.fail_run(turn, StopCause::Hook { hook: Hook::PostStart, detail: detail.into() });
            }
            (None, None) => self.come_up(turn),
        }
    }

    fn pre_stop_ended(&mut self, turn: &mut Turn<'_>) {
        let plan = self.run.as_ref().and_then(|run| run.stop.as_deref());
        if plan.is_some_and(crate::stop::StopPlan::is_before_signals) {
            self.skip_pre_stop(turn);
        }
    }
}
