//! An observer, independent of the core, that checks the guarantees about hooks of one program.
//!
//! It receives each input and each effect, and tracks which processes and hooks are alive.

use std::time::Duration;

use muster_core::stop::KILL_RETRY;
use muster_core::{Effect, Event, Input, ShutdownReason, StopCause, Time};
use muster_spec::{Exit, Goal, Hook, Hooks, RunId, Signal, State};

use crate::common::programs::{ms, s};

/// Tolerance for rounding of shortened timeouts.
const SLACK: Duration = ms(1);

macro_rules! promise {
    ($holds:expr, $($told:tt)*) => {
        if !$holds {
            return Err(format!($($told)*));
        }
    };
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Main {
    NotYet,
    Ordered,
    Executed,
    Ended,
}

#[derive(Clone, Debug)]
pub struct Alive {
    pub hook: Hook,
    began: Time,
    asked: Option<Time>,
    killed: Option<Time>,
}

#[derive(Clone, Debug)]
pub struct Run {
    pub id: RunId,
    main: Main,
    is_swept: bool,
    is_gone: bool,
    pub hook: Option<Alive>,
    /// The hooks that were begun, in order, and those that may count as done.
    begun: Vec<Hook>,
    done: Vec<Hook>,
    asked: Option<Time>,
    killed: Option<Time>,
    is_failing: bool,
}

#[derive(Clone, Debug)]
pub struct Referee {
    hooks: Hooks,
    patience: Duration,
    timeout: Duration,
    pub run: Option<Run>,
    goal: Goal,
    state: State,
    closing: Option<Time>,
    signals: u32,
    was_prepared: bool,
    pub has_exited: bool,
}

impl Referee {
    pub fn new(hooks: &Hooks, patience: Duration, timeout: Duration) -> Referee {
        Referee {
            hooks: hooks.clone(),
            patience,
            timeout,
            run: None,
            goal: Goal::Down,
            state: State::Stopped,
            closing: None,
            signals: 0,
            was_prepared: false,
            has_exited: false,
        }
    }

    fn is_hurried(&self) -> bool {
        self.signals > 1
    }

    pub fn has_main(&self) -> bool {
        self.run.as_ref().is_some_and(|run| matches!(run.main, Main::Ordered | Main::Executed))
    }

    pub fn is_executed(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.main == Main::Executed)
    }

    pub fn is_swept(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.is_swept && run.main == Main::Ended && !run.is_gone)
    }

    pub fn hook(&self) -> Option<(RunId, Hook)> {
        let run = self.run.as_ref()?;
        Some((run.id, run.hook.as_ref()?.hook))
    }

    /// Whether the run or its hook has been asked to end.
    pub fn is_to_end(&self) -> bool {
        let asked = |run: &Run| run.asked.is_some() || run.killed.is_some();
        self.run.as_ref().is_some_and(asked)
    }

    pub fn hears(&mut self, now: Time, input: &Input) {
        match input {
            Input::ShutdownAsked { reason: ShutdownReason::Signal(_), .. } => {
                self.signals += 1;
                self.closing.get_or_insert(now + self.timeout);
            }
            Input::Spawned { .. } => self.on_run(|run| run.main = Main::Executed),
            Input::SpawnFailed { .. } => self.on_run(|run| (run.main, run.is_gone) = (Main::Ended, true)),
            Input::Exited { .. } => self.on_run(|run| run.main = Main::Ended),
            Input::TreeGone { .. } => self.on_run(|run| run.is_gone = true),
            Input::HookFinished { hook, end, .. } => {
                let ignores = self.hooks.get(*hook).is_some_and(|spec| spec.ignores_failure);
                let hook = *hook;
                let is_to_stop = self.goal == Goal::Down || self.state == State::Stopping;
                let is_good = *end == Ok(Exit::Code(0)) || ignores;
                self.on_run(|run| {
                    let alive = run.hook.take();
                    let is_done = is_good && alive.is_some_and(|alive| alive.asked.is_none() || ignores);
                    if is_done || !hook.may_fail() {
                        run.done.push(hook);
                    }
                    run.is_gone |= hook == Hook::PreStart && (is_to_stop || !is_done);
                });
            }
            _ => {}
        }
    }

    fn on_run(&mut self, act: impl FnOnce(&mut Run)) {
        self.run.as_mut().map(act);
    }

    pub fn sees(&mut self, now: Time, effect: &Effect) -> Result<(), String> {
        promise!(!self.has_exited, "Exit is the last effect of all, but after it comes {effect:?}");
        match effect {
            Effect::RunHook { run, hook, .. } => self.sees_hook(now, *run, *hook),
            Effect::EndHook { run, hook, signal } => self.sees_end(now, *run, *hook, *signal),
            Effect::Spawn { run, .. } => self.sees_spawn(*run),
            Effect::Signal { signal: Signal::KILL, .. } | Effect::Sweep { signal: Signal::KILL, .. } => {
                self.sees_kill(now)
            }
            Effect::Signal { .. } => {
                promise!(self.has_main(), "a signal without a main process");
                self.sees_stop_signal(now)
            }
            Effect::Sweep { .. } | Effect::SweepGroup { .. } => {
                let is_killing = matches!(effect, Effect::SweepGroup { signal: Some(Signal::KILL), .. });
                if is_killing { self.sees_kill(now) } else { self.sees_stop_signal(now) }
            }
            Effect::Disown { .. } => {
                promise!(!self.has_main(), "disowned with its main process");
                self.on_run(|run| run.is_gone = true);
                Ok(())
            }
            Effect::Publish(event) => self.sees_event(event),
            Effect::Exit { .. } => self.sees_exit(now),
            _ => Ok(()),
        }
    }

    /// The run before must be over when another one begins.
    fn begins(&mut self, id: RunId) -> Result<&mut Run, String> {
        let is_new = self.run.as_ref().is_none_or(|run| run.id != id);
        if is_new {
            self.is_over()?;
            promise!(self.goal == Goal::Up, "a run begins and its goal is down");
            promise!(self.closing.is_none(), "a run begins while everything is being stopped");
            self.run = Some(Run {
                id,
                main: Main::NotYet,
                is_swept: false,
                is_gone: false,
                hook: None,
                begun: Vec::new(),
                done: Vec::new(),
                asked: None,
                killed: None,
                is_failing: false,
            });
        }
        self.run.as_mut().ok_or_else(|| "no run".to_owned())
    }

    /// Whether everything of the last run has ended, its `post_stop` included.
    fn is_over(&self) -> Result<(), String> {
        let Some(run) = &self.run else { return Ok(()) };
        promise!(run.is_gone, "{run:?} is over and processes may be left");
        promise!(run.hook.is_none(), "{run:?} is over and a hook is running");
        let is_exempt = self.is_hurried() || self.closing.is_some();
        let has_been = self.hooks.post_stop.is_none() || run.done.contains(&Hook::PostStop);
        promise!(has_been || is_exempt, "{run:?} is over and its post_stop has not been run");
        Ok(())
    }

    fn sees_hook(&mut self, now: Time, id: RunId, hook: Hook) -> Result<(), String> {
        let is_hurried = self.is_hurried();
        promise!(!is_hurried, "{hook:?} is run although everything is to end now");
        promise!(self.hooks.get(hook).is_some(), "there is no {hook:?}");
        let (state, run) = (self.state, self.begins(id)?);
        promise!(run.hook.is_none(), "{hook:?} is run beside {:?}", run.hook);
        promise!(!run.begun.contains(&hook), "{hook:?} is run twice");
        let fits = match hook {
            Hook::PreStart => run.main == Main::NotYet && state == State::Starting,
            Hook::PostStart => run.main == Main::Executed && state == State::Starting && run.asked.is_none(),
            Hook::PreStop => run.main == Main::Executed && run.asked.is_none() && run.killed.is_none(),
            Hook::PostStop => run.is_gone && run.main != Main::Ordered && run.main != Main::Executed,
        };
        promise!(fits, "{hook:?} is run in {state} with {run:?}");
        run.begun.push(hook);
        run.hook = Some(Alive { hook, began: now, asked: None, killed: None });
        Ok(())
    }

    fn sees_end(&mut self, now: Time, id: RunId, hook: Hook, signal: Signal) -> Result<(), String> {
        let (is_hurried, closing, timeout) = (self.is_hurried(), self.closing, self.hooks.timeout(hook));
        let is_closing = closing.is_some();
        let state = self.state;
        let goes_on = state == State::Starting && self.goal == Goal::Up;
        let Some(run) = self.run.as_mut().filter(|run| run.id == id) else {
            return Err(format!("{hook:?} of {id:?} is ended, which is over"));
        };
        let (is_main_gone, is_failing) = (run.main == Main::Ended, run.is_failing);
        let Some(alive) = run.hook.as_mut().filter(|alive| alive.hook == hook) else {
            return Err(format!("{hook:?} is ended and does not run"));
        };
        if signal == Signal::KILL {
            let is_due = alive.asked.is_some_and(|at| now + SLACK >= at + s(1));
            promise!(is_due || is_closing, "{hook:?} is killed too early");
            let is_repeated = alive.killed.is_some_and(|at| now < at + KILL_RETRY);
            promise!(!is_repeated || is_closing, "{hook:?} is killed again too early");
            alive.killed = Some(now);
            alive.asked.get_or_insert(now);
            return Ok(());
        }
        promise!(alive.asked.is_none(), "{hook:?} gets SIGTERM twice");
        let is_due = now >= alive.began + timeout;
        let is_called_off = hook.may_fail() && (is_failing || is_main_gone || !goes_on);
        let is_shared = is_closing && !hook.may_fail();
        promise!(is_due || is_called_off || is_shared || is_hurried, "{hook:?} is ended too early");
        alive.asked = Some(now);
        Ok(())
    }

    fn sees_spawn(&mut self, id: RunId) -> Result<(), String> {
        let is_needed = self.hooks.pre_start.as_ref().is_some_and(|hook| !(hook.once && self.was_prepared));
        let run = self.begins(id)?;
        let is_prepared = !is_needed || run.done.contains(&Hook::PreStart);
        promise!(is_prepared && run.hook.is_none(), "a main process is ordered with {run:?}");
        promise!(run.main == Main::NotYet && !run.is_gone, "a second main process of {run:?}");
        promise!(self.goal == Goal::Up, "a main process is ordered and the goal is down");
        self.was_prepared = true;
        self.on_run(|run| run.main = Main::Ordered);
        Ok(())
    }

    fn sees_stop_signal(&mut self, now: Time) -> Result<(), String> {
        let (hooks, hurried) = (self.hooks.clone(), self.is_hurried());
        let Some(run) = &mut self.run else { return Err("a signal to no run".to_owned()) };
        let is_waited_for = run.hook.as_ref().is_some_and(|it| it.hook == Hook::PreStop && it.asked.is_none());
        promise!(!is_waited_for, "a signal while pre_stop is running");
        let must_be_first = hooks.pre_stop.is_some() && run.main == Main::Executed && run.asked.is_none();
        let was_late = run.begun.contains(&Hook::PostStart) && !run.done.contains(&Hook::PostStart);
        let is_served = run.begun.contains(&Hook::PreStop) || was_late || hurried;
        promise!(!must_be_first || is_served, "the stop signal without pre_stop");
        run.asked.get_or_insert(now);
        run.is_swept |= run.main == Main::Ended;
        Ok(())
    }

    fn sees_kill(&mut self, now: Time) -> Result<(), String> {
        let (patience, closing) = (self.patience, self.closing);
        let Some(run) = &mut self.run else { return Err("SIGKILL to no run".to_owned()) };
        let is_due = run.asked.is_some_and(|at| now + SLACK >= at + patience) || run.main == Main::Ended;
        promise!(is_due || run.killed.is_some() || closing.is_some() || run.main == Main::Ordered, "SIGKILL too early");
        run.killed.get_or_insert(now);
        run.is_swept |= run.main == Main::Ended;
        Ok(())
    }

    fn sees_event(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::State { to, .. } => {
                self.state = *to;
                if *to == State::Running
                    && let Some(run) = &self.run
                {
                    let is_up = self.hooks.post_start.is_none() || run.done.contains(&Hook::PostStart);
                    promise!(is_up, "RUNNING before its post_start has succeeded");
                }
                if *to == State::Stopped {
                    self.is_over()?;
                }
            }
            Event::Failing { cause, .. } => {
                promise!(cause.is_failure() && *cause != StopCause::ExecTimeout, "not a failure: {cause}");
                self.on_run(|run| run.is_failing = true);
            }
            _ => {}
        }
        Ok(())
    }

    fn sees_exit(&mut self, now: Time) -> Result<(), String> {
        self.has_exited = true;
        let Some(end) = self.closing else { return Err("the daemon exits without a shutdown".to_owned()) };
        promise!(now <= end + SLACK, "the daemon exits too late");
        let Some(run) = &self.run else { return Ok(()) };
        let is_left = run.hook.as_ref().is_some_and(|alive| alive.killed.is_none());
        promise!(!is_left, "the daemon exits and leaves a hook: {run:?}");
        let has_main = matches!(run.main, Main::Ordered | Main::Executed);
        promise!(!has_main || run.killed.is_some(), "the daemon exits and leaves a main process: {run:?}");
        Ok(())
    }

    /// Compares what is left with what the core says.
    pub fn looks(&mut self, core: &muster_core::Supervisor) -> Result<(), String> {
        let one = &core.snapshot()[0];
        self.goal = one.goal();
        if self.has_exited {
            return Ok(());
        }
        promise!(one.phase() == self.hook().map(|(_, hook)| hook), "the phase is {:?}", one.phase());
        let is_bounded = matches!(one.state(), State::Starting | State::Backoff | State::Stopping);
        let has_deadline = one.earliest_deadline().is_some();
        promise!(has_deadline || !is_bounded, "it is {} and waits for nothing", one.state());
        promise!(has_deadline || one.phase().is_none(), "its hook is running and nothing limits it");
        if one.run().is_none() {
            self.is_over()?;
        }
        Ok(())
    }

    pub fn reconfigured(&mut self, hooks: &Hooks) {
        self.hooks = hooks.clone();
    }

    /// The goal has changed before the effects of an input are seen.
    pub fn learns_goal(&mut self, goal: Goal) {
        self.goal = goal;
    }
}
