//! The rule itself: what follows an end, and whether a start that was decided on is still allowed when it is due.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{
    Exceeded, ExitAction, Forget, Judged, Limit, Reset, RestartPolicy, RestartWhen, StartFailures, Successes,
};

use super::delay::{self, chosen};
use super::{Decision, Ended};
use crate::restart::verdict::Ruled;
use crate::restart::{Again, CountReset, DelayRule, Verdict};
use crate::time::Time;

mod by_rule;

pub use by_rule::judge_by_rule;
pub(crate) use by_rule::{AT_ONCE, WITHIN};

/// How far a start that waits for the end of a window must be beyond it: a window closes when more than its length has
/// passed.
const JUST_AFTER: Duration = Duration::from_micros(1);

/// Minimum delay after a failed spawn. Without it, a program with no delay and no limit would be retried as fast as the
/// daemon can, and starve everything else.
const FAILED_START_FLOOR: Duration = Duration::from_millis(100);

/// Longest delay between attempts while the daemon lacks the resources to spawn a process.
const SHORTAGE_MAX: Duration = Duration::from_secs(5);

/// The restart history of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Consecutive ends that led to a restart; the exponent of the delay.
    pub failures: u32,
    /// The same since the last manual start, regardless of resets.
    ever: u32,
    /// Consecutive attempts that failed because the daemon lacked resources.
    pub(crate) shortages: u32,
    last_delay: Duration,
    window_opened: Option<Time>,
    starts_in_window: u32,
    /// Whether the next start is an automatic restart.
    is_automatic: bool,
    /// When it was restarted at once by a rule of `on_exit`, the latest first.
    at_once: [Option<Time>; by_rule::AT_ONCE],
}

/// Decides what follows this end. `random` is from 0 to 1.
pub fn decide(policy: &RestartPolicy, tally: &mut Tally, ended: Ended, random: f64) -> Decision {
    judge(policy, tally, ended, random).decision()
}

/// Decides what follows this end, and by which rule. `random` is from 0 to 1.
pub fn judge(policy: &RestartPolicy, tally: &mut Tally, ended: Ended, random: f64) -> Verdict {
    judge_with(policy, tally, ended, random, None)
}

fn judge_with(policy: &RestartPolicy, tally: &mut Tally, ended: Ended, random: f64, ruled: Option<Ruled>) -> Verdict {
    let is_forced = ruled.is_some_and(|ruled| ruled.rule.then.restarts());
    let by = ruled.map(|ruled| ruled.rule);
    let reset = resets(policy, ended).filter(|_| tally.failures > 0 || policy.backoff.reset == Reset::OnRunning);
    if reset.is_some() {
        tally.forgive();
    }
    let is_failed_start = policy.start_failures == StartFailures::Retry && !ended.was_running;
    let success = ended.success && !is_failed_start;
    let wanted = match policy.when {
        _ if is_failed_start || is_forced => true,
        RestartWhen::Never => false,
        RestartWhen::OnFailure => !success,
        RestartWhen::Always | RestartWhen::UnlessStopped => true,
    };
    if !wanted {
        return Verdict::Final { when: policy.when, success, by };
    }
    if policy.start_failures == StartFailures::Final && !ended.was_spawned && !is_forced {
        return Verdict::NeverStarted;
    }
    let rule = match reset {
        Some(CountReset::WasRunning) => DelayRule::AtOnceAfterRunning,
        _ if success && policy.successes == Successes::Forgive && !is_forced => {
            DelayRule::AfterSuccess(policy.backoff.delay)
        }
        _ => delay::rule(&policy.backoff, tally.failures),
    };
    let is_counted = !matches!(rule, DelayRule::AtOnceAfterRunning | DelayRule::AfterSuccess(_));
    if let DelayRule::AfterSuccess(_) = rule {
        tally.forgive();
    }
    if is_counted && policy.retries().is_some_and(|retries| used(policy, tally) >= retries) {
        let used = used(policy, tally);
        return Verdict::GivenUp { limit: policy.limit, used, window: Duration::ZERO, reset, by };
    }
    // An end after which `restart` alone would not restart.
    let is_only_a_failed_start = is_failed_start && !is_forced && (ended.success || policy.when == RestartWhen::Never);
    let again = again(policy, is_only_a_failed_start);
    go_on(policy, tally, ended, random, Again { success, rule, reset, ruled, ..again })
}

/// Decides what follows a failed spawn: as [`judge`], but never without a delay.
pub fn judge_failed_start(policy: &RestartPolicy, tally: &mut Tally, ended: Ended, random: f64) -> Verdict {
    not_at_once(judge(policy, tally, ended, random))
}

fn not_at_once(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Again(again) if again.delay < FAILED_START_FLOOR => Verdict::Again(Again {
            delay: FAILED_START_FLOOR,
            delay_min: FAILED_START_FLOOR,
            delay_max: FAILED_START_FLOOR,
            rule: DelayRule::FailedStart,
            ..again
        }),
        verdict => verdict,
    }
}

/// Decides what follows when the daemon lacked the resources to spawn: it is retried whatever the policy says about
/// failures, and the attempt is not counted.
pub fn judge_shortage(policy: &RestartPolicy, tally: &mut Tally) -> Verdict {
    let step = tally.shortages.min(6);
    tally.shortages = tally.shortages.saturating_add(1);
    tally.starts_in_window = tally.starts_in_window.saturating_sub(1);
    let delay = (FAILED_START_FLOOR * 2_u32.pow(step)).min(SHORTAGE_MAX);
    Verdict::Again(Again {
        delay,
        delay_min: delay,
        delay_max: delay,
        start_in_window: tally.starts_in_window,
        rule: DelayRule::Shortage,
        preset: None,
        ..again(policy, false)
    })
}

/// Restarts, unless too many runs have started within a window.
fn go_on(policy: &RestartPolicy, tally: &mut Tally, ended: Ended, random: f64, again: Again) -> Verdict {
    let nominal = match again.rule {
        DelayRule::AtOnceAfterRunning => Duration::ZERO,
        DelayRule::AfterSuccess(delay) => delay.min(policy.backoff.max),
        _ => delay::nominal(&policy.backoff, tally.failures),
    };
    let range = delay::range(&policy.backoff, nominal, tally.last_delay);
    let drawn = chosen(range, random);
    let least = policy.backoff.min_interval.saturating_sub(ended.uptime);
    let mut again = Again {
        delay: drawn.max(least),
        delay_min: range.0.max(least),
        delay_max: range.1.max(least),
        min_interval: (least > drawn).then_some(policy.backoff.min_interval),
        ..again
    };
    again.start_in_window = tally.next_in_window(policy.limit, ended.at + again.delay);
    if let Limit::Rate { starts, within, judged, then } = policy.limit
        && again.start_in_window > starts
    {
        let opened = tally.window_opened.unwrap_or_default();
        match (then, judged) {
            (Exceeded::Fatal, Judged::AtEnd) => {
                return over_the_rate(policy, tally, ended.at + again.delay, &again);
            }
            (Exceeded::Fatal, Judged::AtStart) => {}
            (Exceeded::WaitOut, _) => {
                let delay = (opened + within + JUST_AFTER).since(ended.at);
                again.waits_out = Some(within);
                (again.delay, again.delay_min, again.delay_max) = (delay, delay, delay);
                again.start_in_window = 1;
            }
        }
    }
    tally.last_delay = drawn;
    tally.is_automatic = true;
    if !matches!(again.rule, DelayRule::AtOnceAfterRunning | DelayRule::AfterSuccess(_)) {
        tally.failures = tally.failures.saturating_add(1);
        tally.ever = tally.ever.saturating_add(1);
        again.attempt = used(policy, tally);
    }
    Verdict::Again(again)
}

/// The parts of a restart that are known before its delay.
fn again(policy: &RestartPolicy, is_failed_start: bool) -> Again {
    Again {
        delay: Duration::ZERO,
        delay_min: Duration::ZERO,
        delay_max: Duration::ZERO,
        min_interval: None,
        waits_out: None,
        attempt: 0,
        limit: policy.limit,
        start_in_window: 0,
        rule: DelayRule::FirstAtOnce,
        jitter: policy.backoff.jitter,
        preset: policy.preset.map(|preset| (preset, policy.backoff.changed_from(preset))),
        reset: None,
        when: policy.when,
        success: false,
        is_failed_start,
        ruled: None,
    }
}

/// Why an automatic restart that is due must not start, if a limit is checked only at the start.
pub fn refuse_start(policy: &RestartPolicy, tally: &Tally, now: Time) -> Option<Verdict> {
    match policy.limit {
        Limit::Rate { starts, judged: Judged::AtStart, then: Exceeded::Fatal, .. } => {
            let is_over = tally.is_automatic && tally.next_in_window(policy.limit, now) > starts;
            is_over.then(|| over_the_rate(policy, tally, now, &again(policy, false)))
        }
        _ => None,
    }
}

fn over_the_rate(policy: &RestartPolicy, tally: &Tally, next_start: Time, again: &Again) -> Verdict {
    let window = tally.window_opened.map_or(Duration::ZERO, |opened| next_start.since(opened));
    let by = again.ruled.map(|ruled| ruled.rule);
    Verdict::GivenUp { limit: policy.limit, used: tally.starts_in_window, window, reset: again.reset, by }
}

/// Number of retries used.
pub fn used(policy: &RestartPolicy, tally: &Tally) -> u32 {
    match policy.forget {
        Forget::WithDelay => tally.failures,
        Forget::Never => tally.ever,
    }
}

fn resets(policy: &RestartPolicy, ended: Ended) -> Option<CountReset> {
    let uptime = ended.uptime;
    match policy.backoff.reset {
        // An end before RUNNING is no uptime, however long the attempt took: otherwise a program that never becomes
        // ready would never be given up if its start may take longer than this.
        Reset::AfterUp(reset_after) => {
            (ended.was_running && uptime >= reset_after).then_some(CountReset::Up { uptime, reset_after })
        }
        Reset::OnRunning => ended.was_running.then_some(CountReset::WasRunning),
        Reset::SinceStart { over, beyond } => {
            let is_long = if beyond { uptime > over } else { uptime >= over };
            is_long.then_some(CountReset::Lasted { uptime, over, beyond })
        }
        Reset::Never => None,
    }
}

/// Whether a run that has been RUNNING for this long would reset the count if it ended now.
pub fn would_reset(policy: &RestartPolicy, up: Duration) -> bool {
    let ended = Ended { at: Time::ZERO, uptime: up, was_spawned: true, was_running: true, success: false };
    resets(policy, ended).is_some() && policy.forget == Forget::WithDelay
}

impl Verdict {
    /// The decision without the reasons; if the policy was not consulted, nothing changes.
    pub fn decision(&self) -> Decision {
        match self {
            Verdict::Again(again) => Decision::Restart { delay: again.delay },
            Verdict::GivenUp { .. } | Verdict::NeverStarted => Decision::GiveUp,
            Verdict::Ruled { rule, .. } if rule.then == ExitAction::Fatal => Decision::GiveUp,
            Verdict::Final { .. } | Verdict::Ruled { .. } | Verdict::Stopped | Verdict::Held | Verdict::Idle => {
                Decision::Stay
            }
        }
    }
}

impl Tally {
    fn forgive(&mut self) {
        self.failures = 0;
        self.last_delay = Duration::ZERO;
    }

    /// Resets the history for a manual start. Only a limit that is checked when a run starts keeps its count, which
    /// includes the manual start; a manual start is never refused.
    pub fn start_by_hand(&mut self, limit: Limit) {
        let kept = match limit {
            Limit::Rate { judged: Judged::AtStart, .. } => *self,
            _ => Tally::default(),
        };
        *self =
            Tally { window_opened: kept.window_opened, starts_in_window: kept.starts_in_window, ..Tally::default() };
    }

    /// Keeps the history for a manual start, which is not refused either.
    pub fn keep_by_hand(&mut self) {
        self.is_automatic = false;
    }

    /// Number within the window of a rate limit that a start at this time would have, from 1; 0 with another limit.
    fn next_in_window(&self, limit: Limit, at: Time) -> u32 {
        let Limit::Rate { within, .. } = limit else { return 0 };
        let is_open = self.window_opened.is_some_and(|opened| at.since(opened) <= within);
        if is_open { self.starts_in_window.saturating_add(1) } else { 1 }
    }

    /// Counts a start, manual or automatic, in the window of a rate limit.
    pub fn count_start(&mut self, limit: Limit, at: Time) {
        self.is_automatic = false;
        match self.next_in_window(limit, at) {
            0 => {}
            1 => (self.window_opened, self.starts_in_window) = (Some(at), 1),
            n => self.starts_in_window = n,
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod failed_starts;
