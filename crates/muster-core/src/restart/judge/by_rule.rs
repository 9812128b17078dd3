//! Ends that `on_exit` has a rule for.
//!
//! A rule decides whether there is another run; how it is delayed and counted stays with the policy. Rules that restart
//! without a delay are bounded, and restart by the policy beyond their bound.

use std::time::Duration;

use muster_spec::{Backoff, ExitAction, ExitRule, Reset, RestartPolicy};

use super::{Ended, Tally, Verdict, again, judge_with, not_at_once, resets};
use crate::restart::verdict::{Bound, Ruled};
use crate::restart::{Again, DelayRule};
use crate::time::Time;

/// How often a run may be restarted at once within [`WITHIN`].
pub(crate) const AT_ONCE: usize = 5;

/// The span in which restarts at once are counted.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);

/// Shortest span between two restarts of everything. A `reset_after` of zero is no bound.
const ALL_APART: Duration = Duration::from_secs(1);

/// Decides what follows an end that this rule is about. `all_restarted` is when a rule restarted all programs last.
pub fn judge_by_rule(
    policy: &RestartPolicy,
    tally: &mut Tally,
    ended: Ended,
    (rule, all_restarted): (ExitRule, Option<Time>),
    random: f64,
) -> Verdict {
    let ruled = |bound| Some(Ruled { rule, bound });
    match rule.then {
        ExitAction::Stop | ExitAction::Fatal | ExitAction::Exit => Verdict::Ruled { rule, success: ended.success },
        ExitAction::Success | ExitAction::Failure | ExitAction::Restart => {
            judge_start(policy, tally, ended, random, ruled(None))
        }
        ExitAction::RestartNow if tally.may_restart_now(ended.at) => restart_now(policy, tally, ended, rule),
        ExitAction::RestartNow => judge_start(policy, tally, ended, random, ruled(Some(Bound::OftenEnough))),
        ExitAction::RestartAll => match all_restarted.filter(|&at| ended.at.since(at) < apart(policy)) {
            Some(at) => {
                let bound = Bound::AllRestarted { ago: ended.at.since(at), apart: apart(policy) };
                judge_start(policy, tally, ended, random, ruled(Some(bound)))
            }
            None => restart_all(policy, tally, ended, random, rule),
        },
    }
}

/// Another run at once, and as if this one had not been.
fn restart_now(policy: &RestartPolicy, tally: &mut Tally, ended: Ended, rule: ExitRule) -> Verdict {
    let reset = resets(policy, ended).filter(|_| tally.failures > 0);
    if reset.is_some() {
        tally.forgive();
    }
    tally.starts_in_window = tally.starts_in_window.saturating_sub(1);
    if tally.starts_in_window == 0 {
        tally.window_opened = None;
    }
    tally.is_automatic = false;
    let delay = policy.backoff.min_interval.saturating_sub(ended.uptime);
    Verdict::Again(Again {
        delay,
        delay_min: delay,
        delay_max: delay,
        min_interval: (!delay.is_zero()).then_some(policy.backoff.min_interval),
        start_in_window: tally.starts_in_window,
        rule: DelayRule::RestartNow,
        preset: None,
        ruled: Some(Ruled { rule, bound: None }),
        success: ended.success,
        reset,
        ..again(policy, false)
    })
}

/// By the policy, but by the rule there is another run, or none.
fn judge_start(policy: &RestartPolicy, tally: &mut Tally, ended: Ended, random: f64, ruled: Option<Ruled>) -> Verdict {
    let verdict = judge_with(policy, tally, ended, random, ruled);
    if ended.was_spawned { verdict } else { not_at_once(verdict) }
}

/// Counted as by the policy; the others take the place of a delay.
fn restart_all(policy: &RestartPolicy, tally: &mut Tally, ended: Ended, random: f64, rule: ExitRule) -> Verdict {
    match judge_with(policy, tally, ended, random, Some(Ruled { rule, bound: None })) {
        Verdict::Again(again) if again.waits_out.is_none() => Verdict::Again(Again {
            delay: Duration::ZERO,
            delay_min: Duration::ZERO,
            delay_max: Duration::ZERO,
            min_interval: None,
            rule: DelayRule::RestartAll,
            ..again
        }),
        verdict => verdict,
    }
}

/// How long after a restart of everything the next one may be.
fn apart(policy: &RestartPolicy) -> Duration {
    let default = match Backoff::DEFAULT.reset {
        Reset::AfterUp(span) => span,
        _ => ALL_APART,
    };
    let apart = match policy.backoff.reset {
        Reset::AfterUp(span) => span,
        Reset::SinceStart { over, .. } => over,
        Reset::OnRunning | Reset::Never => default,
    };
    apart.max(ALL_APART)
}

impl Tally {
    /// Whether a restart at once is within its bound; counts it if it is.
    fn may_restart_now(&mut self, at: Time) -> bool {
        let oldest = self.at_once[AT_ONCE - 1];
        if oldest.is_some_and(|oldest| at.since(oldest) < WITHIN) {
            return false;
        }
        self.at_once.rotate_right(1);
        self.at_once[0] = Some(at);
        true
    }
}

#[cfg(test)]
mod tests;
