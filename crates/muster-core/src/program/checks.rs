//! Readiness, probes and the watchdog of a run, and what follows from them.
//!
//! A run that fails one of these stays in its state while it is stopped, so that its end goes through the restart
//! policy like any other failure.

use std::sync::Arc;
use std::time::Duration;

use muster_spec::{InstanceSpec, OnFailure, ProbeKind, State};

use super::Instance;
use crate::cause::StopCause;
use crate::effect::Effect;
use crate::event::Event;
use crate::health::{Checks, Health, ProbeOutcome, Readiness};
use crate::program::Turn;
use crate::stop::StopPlan;
use crate::timers::Slot;

/// Inputs from the supervisor.
impl Instance {
    /// The run's readiness rule has been met.
    pub(crate) fn became_ready(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = self.run.as_mut().filter(|run| !run.said_ready && run.main_lives()) else { return };
        run.said_ready = true;
        self.timers.disarm(Slot::Ready);
        if run.is_executed && run.stop.is_none() {
            self.wind_watchdog(turn);
            self.come_up(turn);
        }
    }

    /// The run needs more time to become ready, or to stop.
    pub(crate) fn extended(&mut self, turn: &mut Turn<'_>, by: Duration) {
        let until = turn.now + by;
        if let Some(deadline) = self.timers.get(Slot::Ready) {
            self.timers.arm(Slot::Ready, deadline.max(until));
        }
        self.extend_stop(until);
    }

    /// The run sent a watchdog notification. As with systemd, the first one starts the timer if it was not running.
    pub(crate) fn watchdog_pinged(&mut self, turn: &mut Turn<'_>) {
        if self.run.as_ref().is_some_and(|run| run.is_executed && run.main_lives() && run.stop.is_none()) {
            self.wind_watchdog(turn);
        }
    }

    /// The run sets another watchdog interval; zero disables the watchdog.
    pub(crate) fn watchdog_changed(&mut self, turn: &mut Turn<'_>, interval: Duration) {
        let Some(run) = self.run.as_mut().filter(|run| run.main_lives() && run.stop.is_none()) else { return };
        run.watchdog = Some(interval).filter(|interval| !interval.is_zero());
        match run.watchdog {
            None => self.timers.disarm(Slot::Watchdog),
            Some(_) if self.timers.get(Slot::Watchdog).is_some() => self.wind_watchdog(turn),
            Some(_) => {}
        }
    }

    /// The run triggered its watchdog.
    pub(crate) fn watchdog_tripped(&mut self, turn: &mut Turn<'_>) {
        self.fail_run(turn, StopCause::Watchdog { silent: None });
    }

    /// Its processes had too much memory. Returns what is left to the supervisor. A rule that a reload has removed since it
    /// was measured does nothing.
    pub(crate) fn memory_exceeded(&mut self, turn: &mut Turn<'_>, detail: &str) -> Option<OnFailure> {
        let action = self.spec.memory_max?.action;
        if action == OnFailure::None || self.is_failing() {
            return None;
        }
        self.fail_run(turn, StopCause::Memory { detail: detail.into() });
        self.is_failing().then_some(action)
    }

    /// Records the result of a check. Returns what is left to the supervisor: stopping this instance, or shutting down.
    pub(crate) fn check_finished(
        &mut self,
        turn: &mut Turn<'_>,
        place: usize,
        outcome: ProbeOutcome,
    ) -> Option<OnFailure> {
        let run = self.run.as_mut()?;
        let answer = run.checks.as_mut()?.finished(&self.spec, place, outcome.success, turn.now)?;
        let (instance, id) = (self.id, run.id);
        if !outcome.success {
            let (failures, detail) = (answer.failures, outcome.detail.clone());
            let event = Event::ProbeFailed { instance, run: id, probe: place, failures, detail };
            turn.effects.push_back(Effect::Publish(event));
        }
        self.arm_checks();
        let Some(probe) = self.spec.probes.get(place) else {
            if outcome.success {
                self.became_ready(turn);
            }
            return None;
        };
        let reaction = if probe.kind == ProbeKind::Readiness { OnFailure::None } else { probe.on_failure };
        let name = probe.name.as_str().into();
        self.judge_checks(turn, place, &outcome.detail);
        if !answer.has_tripped || reaction == OnFailure::None {
            return None;
        }
        self.fail_run(turn, StopCause::Probe { name, detail: outcome.detail.into() });
        (reaction != OnFailure::Restart).then_some(reaction)
    }

    /// Extends all timeouts by time during which the daemon was not running.
    pub(crate) fn lose(&mut self, by: Duration) {
        self.timers.lose(by);
        self.lose_time_of_start(by);
        let Some(run) = &mut self.run else { return };
        run.executed = run.executed + by;
        run.stop.iter_mut().for_each(|plan| plan.lose(by));
        run.checks.iter_mut().for_each(|checks| checks.lose(by));
        run.lose_time_of_hook(by);
    }

    /// A check could not be made: it is repeated soon, as if it had never started.
    pub(crate) fn check_not_made(&mut self, turn: &mut Turn<'_>, place: usize) {
        if let Some(checks) = self.run.as_mut().and_then(|run| run.checks.as_mut()) {
            checks.not_made(&self.spec, place, turn.now);
            self.arm_checks();
        }
    }

    /// Whether its run is ready to serve.
    pub fn ready(&self) -> Readiness {
        let Some(run) = &self.run else { return Readiness::Unknown };
        if self.state == State::Running && run.stop.is_none() {
            match &run.checks {
                Some(checks) if checks.is_ready(&self.spec) => Readiness::Ready,
                Some(checks) if run.was_ready || checks.refuses(&self.spec) => Readiness::NotReady,
                Some(_) => Readiness::Unknown,
                None => Readiness::Ready,
            }
        } else if run.was_ready {
            Readiness::NotReady
        } else {
            Readiness::Unknown
        }
    }

    /// Whether its run is healthy.
    pub fn health(&self) -> Health {
        self.run.as_ref().map_or(Health::Unknown, |run| run.health)
    }

    /// Why the supervisor is ending its run, if it is.
    pub fn cause(&self) -> Option<&StopCause> {
        self.run.as_ref().and_then(|run| run.cause.as_ref())
    }

    /// Whether the supervisor considers its run failed and is stopping it.
    pub fn is_failing(&self) -> bool {
        self.cause().is_some_and(StopCause::is_failure)
    }
}

impl Instance {
    /// Starts readiness, probes and watchdog once the program has been executed.
    pub(super) fn begin_checks(&mut self, turn: &mut Turn<'_>) {
        let checks = Checks::begin(&self.spec_of_checks(), turn.now);
        let Some(run) = &mut self.run else { return };
        run.watchdog = self.spec.watchdog;
        run.checks = checks;
        let must_say_it = run.spec.ready.is_some();
        if must_say_it && !run.said_ready {
            self.timers.arm(Slot::Ready, turn.now + self.spec.start_timeout);
        } else {
            self.wind_watchdog(turn);
        }
        self.start_checks(turn);
    }

    /// Enters RUNNING once the run has lasted `startsecs` and, with a readiness rule, is ready.
    pub(super) fn come_up(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = self.run.as_ref().filter(|run| run.is_executed && run.stop.is_none()) else { return };
        let has_lasted = self.timers.get(Slot::Start).is_none();
        // A reload may have given the program a readiness rule that this run cannot know.
        let is_ready = run.spec.ready.is_none() || run.said_ready;
        if self.state == State::Starting && has_lasted && is_ready && self.has_run_post_start(turn) {
            self.enter(turn, State::Running);
            self.note_readiness(turn);
        }
    }

    /// Starts every check that is due.
    pub(super) fn start_checks(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = &mut self.run else { return };
        let Some(checks) = &mut run.checks else { return };
        let due: Vec<usize> = std::iter::from_fn(|| checks.take_due(turn.now)).collect();
        let Some(run) = self.run.as_ref().map(|run| run.id) else { return };
        for probe in due {
            let spec = self.spec_of_checks();
            turn.effects.push_back(Effect::StartProbe { run, instance: self.id, probe, spec });
        }
        self.arm_checks();
    }

    /// The configuration that its checks follow: its own, but for the readiness rule, which is the one that its process was made
    /// for. During a rolling restart that can be an earlier one.
    pub(super) fn spec_of_checks(&self) -> Arc<InstanceSpec> {
        match self.run.as_ref().filter(|run| run.main_lives() && run.spec.ready != self.spec.ready) {
            Some(run) => Arc::new(InstanceSpec { ready: run.spec.ready.clone(), ..InstanceSpec::clone(&self.spec) }),
            None => Arc::clone(&self.spec),
        }
    }

    fn arm_checks(&mut self) {
        match self.run.as_ref().and_then(|run| run.checks.as_ref()).and_then(|checks| checks.next_due()) {
            Some(due) => self.timers.arm(Slot::Check, due),
            None => self.timers.disarm(Slot::Check),
        }
    }

    /// Stops all checks of the run.
    pub(super) fn stop_checks(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = &mut self.run else { return };
        if run.checks.take().is_some() {
            turn.effects.push_back(Effect::StopProbes { run: run.id });
        }
    }

    /// Restarts the watchdog timer.
    fn wind_watchdog(&mut self, turn: &Turn<'_>) {
        if let Some(interval) = self.run.as_ref().and_then(|run| run.watchdog) {
            self.timers.arm(Slot::Watchdog, turn.now + interval);
        }
    }

    pub(super) fn watchdog_expired(&mut self, turn: &mut Turn<'_>) {
        let silent = self.run.as_ref().and_then(|run| run.watchdog);
        self.fail_run(turn, StopCause::Watchdog { silent });
    }

    /// Treats the run as failed: it is stopped as configured, and its end goes through the restart policy.
    pub(super) fn fail_run(&mut self, turn: &mut Turn<'_>, cause: StopCause) {
        let is_up = matches!(self.state, State::Starting | State::Running);
        let Some(run) = self.run.as_mut().filter(|run| is_up && run.main_lives() && run.stop.is_none()) else { return };
        run.stop =
            Some(Box::new(StopPlan::begin(&self.program.stop, run.hook_times(&self.spec.hooks), turn.now, None)));
        run.cause = Some(cause.clone());
        turn.effects.push_back(Effect::Publish(Event::Failing { instance: self.id, run: run.id, cause }));
        self.timers.clear();
        self.stop_checks(turn);
        self.call_off_hook(turn);
        self.tell_change(turn);
        self.take_stop_step(turn);
    }

    /// Evaluates readiness and health after a result.
    fn judge_checks(&mut self, turn: &mut Turn<'_>, probe: usize, detail: &str) {
        let Some(run) = &mut self.run else { return };
        let Some(checks) = &run.checks else { return };
        let health = checks.health(&self.spec);
        let has_changed = std::mem::replace(&mut run.health, health) != health;
        if has_changed {
            let (instance, run, detail) = (self.id, run.id, detail.to_owned());
            turn.effects.push_back(Effect::Publish(Event::Health { instance, run, health, probe, detail }));
            self.tell_change(turn);
        }
        self.note_readiness(turn);
    }

    /// Publishes that a run with probes or a readiness rule became ready or is no longer. A run without any is ready
    /// when RUNNING.
    pub(super) fn note_readiness(&mut self, turn: &mut Turn<'_>) {
        self.note_readiness_of(turn, false);
    }

    /// The same for a run that may have had checks until now.
    pub(super) fn note_readiness_of(&mut self, turn: &mut Turn<'_>, had_checks: bool) {
        let is_ready = self.ready() == Readiness::Ready;
        let Some(run) = &mut self.run else { return };
        if std::mem::replace(&mut run.was_ready_now, is_ready) == is_ready {
            return;
        }
        run.was_ready |= is_ready;
        if had_checks || run.checks.is_some() || run.spec.ready.is_some() {
            turn.effects.push_back(Effect::Publish(Event::Ready { instance: self.id, run: run.id, is_ready }));
            self.tell_change(turn);
        }
    }
}
