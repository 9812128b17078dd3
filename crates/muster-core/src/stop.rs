//! Stopping one run: the configured signals one after another, each with a wait, then SIGKILL.
//!
//! A [`StopPlan`] begins once per run, so a second `stop` can neither repeat the first signal nor restart the wait.
//! Processes left behind after the main process ended go through the rest of the same plan. A run may ask for more
//! time, and a shutdown's budget may shorten it. A hook before the first signal is its zeroth step, and the hook after
//! the last process has a share of a budget. Sends nothing itself: the instance turns each [`Step`] into an effect.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{Signal, SignalScope, StopKill, StopScope, StopSpec, StopStep};

use crate::time::Time;

/// Interval at which SIGKILL is repeated while processes are left. A process in uninterruptible sleep dies only when
/// the kernel lets it, and new processes may have been forked between two scans of the tree.
pub const KILL_RETRY: Duration = Duration::from_secs(1);

/// A step to take now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Run the hook before the first signal, if it is not too late for it.
    Hook,
    /// Send this signal, which the run may handle.
    Ask(Signal),
    /// Send SIGKILL to every process that the plan is for.
    Kill,
}

/// How long the hooks around the signals of a plan may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookTimes {
    /// The hook before the first signal; `None` if there is none.
    pub before: Option<Duration>,
    /// The hook after the last process has gone.
    pub after: Duration,
}

impl HookTimes {
    /// No hooks.
    pub const NONE: HookTimes = HookTimes { before: None, after: Duration::ZERO };
}

/// The progress of stopping one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StopPlan {
    hooks: HookTimes,
    /// Whether the hook before the first signal has its turn.
    is_in_hook: bool,
    steps: Vec<StopStep>,
    /// The part of its configured time that each step gets.
    scale: f64,
    scope: StopScope,
    ends: StopKill,
    next: usize,
    began: Time,
    deadline: Time,
    /// When everything must be over, the hook after it included.
    end_by: Option<Time>,
    kill_at: Option<Time>,
    /// Number of times SIGKILL has been sent.
    kills: u32,
    is_cut_short: bool,
}

impl StopPlan {
    /// Begins the plan. With a `budget` shorter than the configured time, all steps are shortened in proportion.
    pub fn begin(spec: &StopSpec, hooks: HookTimes, now: Time, budget: Option<Duration>) -> StopPlan {
        let mut plan = StopPlan {
            hooks,
            is_in_hook: false,
            steps: spec.steps.clone(),
            scale: 1.0,
            scope: spec.scope,
            ends: spec.kill,
            next: 0,
            began: now,
            deadline: now,
            end_by: budget.map(|budget| now + budget),
            kill_at: None,
            kills: 0,
            is_cut_short: false,
        };
        plan.share(now);
        plan
    }

    /// Begins the plan for processes left behind by a run that ended by itself. The next run waits for them.
    pub fn begin_for_leftovers(spec: &StopSpec, now: Time) -> StopPlan {
        // Without a cut-off time: even if handled late, every signal is sent.
        let plan = StopPlan::begin(spec, HookTimes::NONE, now, Some(spec.leftover_wait));
        StopPlan { ends: StopKill::Tree, end_by: None, kill_at: None, is_cut_short: false, ..plan }
    }

    /// A plan that kills at once, after a stop that began at `began`, whether that was cut short or not.
    pub fn kill(spec: &StopSpec, began: Time, is_cut_short: bool) -> StopPlan {
        StopPlan { steps: Vec::new(), is_cut_short, ..StopPlan::begin(spec, HookTimes::NONE, began, None) }
    }

    /// Shares the time that is left among the steps to come: each gets its configured time, or all get the same part
    /// of it.
    fn share(&mut self, now: Time) {
        let Some(end_by) = self.end_by else { return };
        let left = end_by.since(now);
        // In floating point, because the sum of very long waits may exceed a Duration.
        let before = self.hooks.before.unwrap_or_default().as_secs_f64();
        let steps: f64 = self.steps[self.next..].iter().map(|step| step.patience.as_secs_f64()).sum();
        let wanted = before + steps + self.hooks.after.as_secs_f64();
        self.scale = if left.as_secs_f64() < wanted { left.as_secs_f64() / wanted } else { 1.0 };
        self.is_cut_short |= self.scale < 1.0;
        self.kill_at = Some(now + left.saturating_sub(self.scaled(self.hooks.after)));
    }

    fn scaled(&self, span: Duration) -> Duration {
        if self.scale == 1.0 {
            return span;
        }
        Duration::try_from_secs_f64(span.as_secs_f64() * self.scale).unwrap_or(span)
    }

    /// How long all steps from this one on may take.
    fn patience_from(&self, step: usize) -> Duration {
        let steps = self.steps[step..].iter();
        steps.fold(Duration::ZERO, |total, step| total.saturating_add(self.scaled(step.patience)))
    }

    /// The processes that the plan ends: SIGKILL goes to them, and the run has ended when none of them is left.
    pub fn ends(&self) -> StopKill {
        self.ends
    }

    /// The processes that get the signals of the steps, as long as the main process is alive.
    pub fn asks(&self) -> SignalScope {
        match (self.scope, self.ends) {
            (StopScope::Main, _) => SignalScope::Main,
            (StopScope::Group, StopKill::Tree) => SignalScope::Group,
            (StopScope::Group, StopKill::Main | StopKill::Group) => SignalScope::MainGroup,
        }
    }

    /// Takes the next step and sets the deadline after it.
    pub fn advance(&mut self, now: Time) -> Step {
        if let Some(before) = self.hooks.before {
            if !self.is_in_hook {
                self.is_in_hook = true;
                self.wait_until(now + self.scaled(before));
                return Step::Hook;
            }
            self.end_hook(now);
        }
        // The first signal is always sent, however little time there is.
        let hurried = self.next > 0 && self.kill_at.is_some_and(|at| at <= now);
        match self.steps.get(self.next).copied().filter(|_| !hurried) {
            Some(step) => {
                self.next += 1;
                self.wait_until(now + self.scaled(step.patience));
                Step::Ask(step.signal)
            }
            None => {
                self.kills = self.kills.saturating_add(1);
                self.deadline = now + KILL_RETRY;
                Step::Kill
            }
        }
    }

    fn wait_until(&mut self, patient: Time) {
        self.deadline = self.kill_at.map_or(patient, |at| at.min(patient));
    }

    /// The hook before the first signal is over: what is left of its time goes to the others.
    pub fn end_hook(&mut self, now: Time) {
        if self.hooks.before.take().is_some() {
            self.is_in_hook = false;
            self.deadline = now;
            self.share(now);
        }
    }

    /// Whether the hook before the first signal has its turn, or has yet to have it.
    pub fn is_before_signals(&self) -> bool {
        self.hooks.before.is_some()
    }

    /// Gives the hook its whole time: it could not begin before.
    pub fn begin_hook(&mut self, now: Time) {
        if let Some(before) = self.hooks.before.filter(|_| self.is_in_hook) {
            self.share(now);
            self.wait_until(now + self.scaled(before));
        }
    }

    /// Makes everything be over by `end_by` at the latest, with the hook after the last process.
    pub fn limit(&mut self, now: Time, end_by: Time) {
        if self.is_killing() || self.end_by.is_some_and(|earlier| earlier <= end_by) {
            return;
        }
        self.end_by = Some(end_by);
        if self.is_before_signals() {
            let hook_left = self.deadline.since(now);
            let whole = self.hooks.before;
            self.hooks.before = Some(hook_left);
            self.share(now);
            self.hooks.before = whole;
            self.wait_until(self.deadline.min(now + self.scaled(hook_left)));
            return;
        }
        if self.hooks.after.is_zero() {
            return self.hurry(end_by);
        }
        let (left, wanted) = (end_by.since(now), self.end().since(now) + self.scaled(self.hooks.after));
        let part = if left < wanted { left.as_secs_f64() / wanted.as_secs_f64() } else { 1.0 };
        let after = self.scaled(self.hooks.after).mul_f64(part);
        self.hurry(now + left.saturating_sub(after));
    }

    /// Makes SIGKILL come at `at` at the latest.
    pub fn hurry(&mut self, at: Time) {
        let end = self.end();
        if !self.is_killing() {
            self.is_cut_short |= at < end;
            self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
            self.deadline = self.deadline.min(at);
        }
    }

    /// Extends the wait after the last signal to `until`, if that is later; the following signals move along. With a
    /// budget, only unused time of it is available.
    pub fn extend(&mut self, until: Time) {
        if self.asking().is_some() {
            let latest = self.kill_at.map(|at| at - self.patience_from(self.next));
            self.deadline = self.deadline.max(latest.map_or(until, |latest| latest.min(until)));
        }
    }

    /// Postpones the rest of the plan by time during which the daemon was not running.
    pub fn lose(&mut self, by: Duration) {
        self.deadline = self.deadline + by;
        self.kill_at = self.kill_at.map(|at| at + by);
        self.end_by = self.end_by.map(|at| at + by);
    }

    /// When the wait after the last signal is over.
    fn end(&self) -> Time {
        let end = self.deadline + self.patience_from(self.next);
        self.kill_at.map_or(end, |at| at.min(end))
    }

    /// How much longer it may take before SIGKILL. Time granted to the run beyond its configuration is not counted:
    /// other runs need not be shortened for it.
    pub fn patience_left(&self, now: Time) -> Duration {
        if self.is_killing() {
            return Duration::ZERO;
        }
        let before = self.hooks.before.map_or(Duration::ZERO, |before| self.scaled(before));
        self.end().since(now).min(self.patience_from(0).saturating_add(before))
    }

    /// When the next step is due.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// When the first signal was sent, or the hook before it begun.
    pub fn began(&self) -> Time {
        self.began
    }

    /// The signal of the last step, until SIGKILL is sent.
    pub fn asking(&self) -> Option<Signal> {
        let last = self.next.checked_sub(1)?;
        self.steps.get(last).map(|step| step.signal).filter(|_| !self.is_killing())
    }

    /// Whether the run gets less time than configured.
    pub fn is_cut_short(&self) -> bool {
        self.is_cut_short
    }

    /// Whether SIGKILL has been sent.
    pub fn is_killing(&self) -> bool {
        self.kills > 0
    }

    /// Number of times SIGKILL has been sent.
    pub fn kills(&self) -> u32 {
        self.kills
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_spec::Leftovers;

    fn at(ms: u64) -> Time {
        Time::from_origin(Duration::from_millis(ms))
    }

    fn spec(steps: &[(Signal, u64)]) -> StopSpec {
        let step = |&(signal, seconds)| StopStep { signal, patience: Duration::from_secs(seconds) };
        StopSpec {
            steps: steps.iter().map(step).collect(),
            scope: StopScope::Main,
            kill: StopKill::Tree,
            leftovers: Leftovers::Stop,
            leftover_wait: StopSpec::LEFTOVER_WAIT,
        }
    }

    /// Walks a plan from deadline to deadline until it kills, and returns what it sent when.
    fn story(mut plan: StopPlan) -> Vec<(u64, Step)> {
        let mut told = Vec::new();
        loop {
            let now = plan.deadline();
            let step = plan.advance(now);
            told.push((now.since_origin().as_millis() as u64, step));
            if step == Step::Kill {
                return told;
            }
        }
    }

    #[test]
    fn each_signal_has_its_own_patience() {
        let plan = StopPlan::begin(&spec(&[(Signal::INT, 2), (Signal::TERM, 3)]), HookTimes::NONE, at(1000), None);
        let expected = [(1000, Step::Ask(Signal::INT)), (3000, Step::Ask(Signal::TERM)), (6000, Step::Kill)];
        assert_eq!(story(plan), expected);
    }

    #[test]
    fn a_budget_shortens_all_steps_alike_and_never_lengthens_them() {
        let patient = spec(&[(Signal::INT, 2), (Signal::TERM, 6)]);
        let short = StopPlan::begin(&patient, HookTimes::NONE, at(0), Some(Duration::from_secs(4)));
        assert_eq!(story(short), [(0, Step::Ask(Signal::INT)), (1000, Step::Ask(Signal::TERM)), (4000, Step::Kill)]);
        let ample = StopPlan::begin(&patient, HookTimes::NONE, at(0), Some(Duration::from_secs(60)));
        assert!(!ample.is_cut_short());
        assert_eq!(story(ample), [(0, Step::Ask(Signal::INT)), (2000, Step::Ask(Signal::TERM)), (8000, Step::Kill)]);
    }

    #[test]
    fn leftovers_have_a_wait_of_their_own_and_never_more_than_the_patience() {
        let of = |steps: &[(Signal, u64)], wait: u64| {
            let spec = StopSpec { leftover_wait: Duration::from_secs(wait), ..spec(steps) };
            let plan = StopPlan::begin_for_leftovers(&spec, at(0));
            assert!(!plan.is_cut_short());
            story(plan)
        };
        let (ask, kill) = (Step::Ask, Step::Kill);
        assert_eq!(of(&[(Signal::TERM, 10)], 2), [(0, ask(Signal::TERM)), (2000, kill)]);
        assert_eq!(of(&[(Signal::TERM, 1)], 2), [(0, ask(Signal::TERM)), (1000, kill)]);
        assert_eq!(of(&[(Signal::TERM, 10)], 0), [(0, ask(Signal::TERM)), (0, kill)]);
        let two = [(0, ask(Signal::INT)), (500, ask(Signal::TERM)), (2000, kill)];
        assert_eq!(of(&[(Signal::INT, 2), (Signal::TERM, 6)], 2), two);
    }

    #[test]
    fn leftovers_of_a_run_that_was_not_stopped_are_the_whole_tree() {
        let spec = StopSpec { kill: StopKill::Main, scope: StopScope::Group, ..spec(&[(Signal::TERM, 10)]) };
        assert_eq!(StopPlan::begin_for_leftovers(&spec, at(0)).ends(), StopKill::Tree);
        let stop = StopPlan::begin(&spec, HookTimes::NONE, at(0), None);
        assert_eq!((stop.ends(), stop.asks()), (StopKill::Main, SignalScope::MainGroup));
        let spec = StopSpec { kill: StopKill::Tree, ..spec };
        assert_eq!(StopPlan::begin(&spec, HookTimes::NONE, at(0), None).asks(), SignalScope::Group);
    }

    #[test]
    fn a_plan_that_is_handled_late_still_kills_within_its_budget() {
        let mut plan = StopPlan::begin(
            &spec(&[(Signal::INT, 2), (Signal::TERM, 6)]),
            HookTimes::NONE,
            at(0),
            Some(Duration::from_secs(4)),
        );
        assert_eq!(plan.advance(at(0)), Step::Ask(Signal::INT));
        assert_eq!(plan.advance(at(3500)), Step::Ask(Signal::TERM));
        assert_eq!(plan.deadline(), at(4000));
        assert_eq!(plan.advance(at(4000)), Step::Kill);
    }

    #[test]
    fn however_short_the_budget_the_first_signal_is_sent() {
        let plan = StopPlan::begin(&spec(&[(Signal::TERM, 6)]), HookTimes::NONE, at(1000), Some(Duration::ZERO));
        assert_eq!(story(plan), [(1000, Step::Ask(Signal::TERM)), (1000, Step::Kill)]);
    }

    #[test]
    fn more_time_for_a_signal_moves_those_after_it_and_is_never_less() {
        let mut plan = StopPlan::begin(&spec(&[(Signal::INT, 2), (Signal::TERM, 3)]), HookTimes::NONE, at(0), None);
        plan.extend(at(9000));
        assert_eq!(plan.deadline(), at(0), "nothing has been sent yet");
        plan.advance(at(0));
        plan.extend(at(1000));
        assert_eq!(plan.deadline(), at(2000));
        plan.extend(at(7000));
        assert_eq!(story(plan), [(7000, Step::Ask(Signal::TERM)), (10_000, Step::Kill)]);
    }

    #[test]
    fn more_time_comes_out_of_what_a_budget_has_to_spare() {
        let patient = spec(&[(Signal::INT, 2), (Signal::TERM, 3)]);
        let extended = |budget| {
            let mut plan = StopPlan::begin(&patient, HookTimes::NONE, at(0), Some(Duration::from_secs(budget)));
            plan.advance(at(0));
            plan.extend(at(60_000));
            plan
        };
        assert_eq!(story(extended(9)), [(6000, Step::Ask(Signal::TERM)), (9000, Step::Kill)]);
        assert_eq!(extended(5).deadline(), at(2000));
        assert!(!extended(9).is_cut_short(), "it has had what it is configured to have");
        assert_eq!(extended(9).patience_left(at(100)), Duration::from_secs(5), "an extension is not counted");
    }

    #[test]
    fn more_time_is_called_off_by_a_budget_and_never_delays_what_follows_sigkill() {
        let mut plan = StopPlan::begin(&spec(&[(Signal::TERM, 2)]), HookTimes::NONE, at(0), None);
        plan.advance(at(0));
        plan.extend(at(60_000));
        plan.hurry(at(9000));
        plan.extend(at(70_000));
        assert_eq!(plan.deadline(), at(9000));
        assert_eq!(plan.advance(at(9000)), Step::Kill);
        plan.extend(at(70_000));
        assert_eq!(plan.deadline(), at(9000) + KILL_RETRY);
    }

    #[test]
    fn hurry_brings_the_kill_forward_but_never_back() {
        let mut plan = StopPlan::begin(&spec(&[(Signal::TERM, 10)]), HookTimes::NONE, at(0), None);
        plan.advance(at(0));
        plan.hurry(at(4000));
        plan.hurry(at(7000));
        assert_eq!(plan.deadline(), at(4000));
        assert_eq!(plan.advance(at(4000)), Step::Kill);
        plan.hurry(at(4100));
        assert_eq!(plan.deadline(), at(4000) + KILL_RETRY);
        assert_eq!(plan.advance(plan.deadline()), Step::Kill);
    }
}
