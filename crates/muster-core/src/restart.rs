//! When a run that ended is followed by another, after which delay, and when to give up.
//!
//! One counter, one delay, one limit, the same for failed spawns, early exits and crashes. The policy is configured, the
//! [`Tally`] is what an instance remembers of its past, and [`RestartPolicy::decide`] is the whole rule. Knows nothing of
//! states: its caller says what happened.

use std::time::Duration;

use crate::explain::{Again, CountReset, DelayRule, Verdict};
use crate::time::Time;

/// After which ends a program is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartWhen {
    /// Never, not even after a start that failed.
    Never,
    /// After an end that was not a success.
    OnFailure,
    /// After every end that was not asked for.
    Always,
    /// As always; and what the operator stopped stays down across reloads.
    UnlessStopped,
}

/// How many restarts there may be before giving up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Any number.
    Unlimited,
    /// So many in a row.
    Retries(u32),
    /// So many starts within a window that the first of them opens, as systemd counts (`StartLimitBurst`).
    Rate {
        /// Starts allowed in a window.
        starts: u32,
        /// How long the window is.
        within: Duration,
    },
}

/// When the count of failures goes back to zero, besides a manual start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Once a run that became RUNNING has been up for so long.
    AfterUp(Duration),
    /// When a run becomes RUNNING, as in supervisord: what was RUNNING is restarted at once and without limit.
    OnRunning,
}

/// How the delay grows from one failure to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Growth {
    /// Multiplied by this each time.
    Factor(f64),
    /// By the first delay each time: 1, 2, 3 … s.
    Linear,
}

/// The delay before the next run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first delay.
    pub delay: Duration,
    /// How it grows.
    pub growth: Growth,
    /// Where it ends.
    pub max: Duration,
    /// Up to this part of the delay is added at random, 0 to 1.
    pub jitter: f64,
    /// Whether the first restart comes without any delay, and the first delay with the second, as in Kubernetes.
    pub first_at_once: bool,
    /// When the count goes back to zero.
    pub reset: Reset,
}

/// The whole policy of a program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartPolicy {
    /// After which ends.
    pub when: RestartWhen,
    /// How often.
    pub limit: Limit,
    /// After which delay.
    pub backoff: Backoff,
}

/// The least delay after a start that failed before there was a process. Without it a program with no delay and no limit
/// would be attempted again as fast as the daemon can, and keep it from everything else.
pub const FAILED_START_FLOOR: Duration = Duration::from_millis(100);

/// The longest delay between attempts while the daemon lacks what it needs to make a process.
const SHORTAGE_MAX: Duration = Duration::from_secs(5);

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl Backoff {
    /// Our own: 500 ms doubling to a minute, reset after 10 s up.
    pub const DEFAULT: Backoff = Backoff {
        delay: Duration::from_millis(500),
        growth: Growth::Factor(2.0),
        max: seconds(60),
        jitter: 0.0,
        first_at_once: false,
        reset: Reset::AfterUp(seconds(10)),
    };

    /// The nominal delay after `failures` earlier failures, before jitter.
    pub fn nominal_delay(&self, failures: u32) -> Duration {
        let step = match (self.first_at_once, failures) {
            (true, 0) => return Duration::ZERO,
            (true, n) => n - 1,
            (false, n) => n,
        };
        let factor = match self.growth {
            Growth::Factor(factor) => factor.powi(i32::try_from(step).unwrap_or(i32::MAX)),
            Growth::Linear => f64::from(step) + 1.0,
        };
        let grown = self.delay.as_secs_f64() * factor;
        // The comparison also takes care of a product too large for a Duration, infinite included. That of nothing and an
        // infinite factor is no number, and nothing all the same.
        if self.delay.is_zero() {
            Duration::ZERO
        } else if grown < self.max.as_secs_f64() {
            Duration::try_from_secs_f64(grown).unwrap_or(self.max)
        } else {
            self.max
        }
    }
}

impl Backoff {
    /// How the nominal delay after `failures` earlier failures comes about.
    fn rule(&self, failures: u32) -> DelayRule {
        let step = if self.first_at_once { failures.checked_sub(1) } else { Some(failures) };
        let Some(step) = step else { return DelayRule::FirstAtOnce };
        // A delay that is the cap by itself was not cut.
        let capped = (self.nominal_delay(failures) == self.max && self.delay < self.max).then_some(self.max);
        match self.growth {
            Growth::Factor(factor) => DelayRule::Power { delay: self.delay, factor, step, capped },
            Growth::Linear => DelayRule::Linear { delay: self.delay, times: step.saturating_add(1), capped },
        }
    }

    /// The preset whose delays these are, all of them.
    fn preset(&self) -> Option<Preset> {
        Preset::ALL.iter().find(|(_, preset)| preset.backoff() == *self).map(|&(_, preset)| preset)
    }
}

/// Another system's policy under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// moby's restart manager: 100 ms doubling, at most a minute, reset after 10 s up, unlimited.
    Docker,
    /// The kubelet's CrashLoopBackOff: at once, then 10 s doubling to 5 min, reset after 10 min up, unlimited.
    Kubernetes,
    /// supervisord: 1, 2, 3 … s for failed starts, three retries; after RUNNING at once and without limit.
    Supervisord,
    /// systemd: `RestartSec=100ms`, `StartLimitBurst=5`, `StartLimitIntervalSec=10s`.
    Systemd,
}

impl Preset {
    /// Every preset with its name in the configuration.
    pub const ALL: [(&str, Preset); 4] = [
        ("docker", Preset::Docker),
        ("kubernetes", Preset::Kubernetes),
        ("supervisord", Preset::Supervisord),
        ("systemd", Preset::Systemd),
    ];

    /// Its delays.
    pub const fn backoff(self) -> Backoff {
        match self {
            Preset::Docker => Backoff { delay: Duration::from_millis(100), ..Backoff::DEFAULT },
            Preset::Kubernetes => Backoff {
                delay: seconds(10),
                max: seconds(300),
                first_at_once: true,
                reset: Reset::AfterUp(seconds(600)),
                ..Backoff::DEFAULT
            },
            Preset::Supervisord => Backoff {
                delay: seconds(1),
                growth: Growth::Linear,
                max: Duration::MAX,
                reset: Reset::OnRunning,
                ..Backoff::DEFAULT
            },
            Preset::Systemd => {
                Backoff { delay: Duration::from_millis(100), growth: Growth::Factor(1.0), ..Backoff::DEFAULT }
            }
        }
    }

    /// Its limit.
    pub const fn limit(self) -> Limit {
        match self {
            Preset::Docker | Preset::Kubernetes => Limit::Unlimited,
            Preset::Supervisord => Limit::Retries(3),
            Preset::Systemd => Limit::Rate { starts: 5, within: seconds(10) },
        }
    }
}

/// What an instance remembers of its past ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Consecutive ends that led to a restart.
    pub failures: u32,
    /// Attempts in a row that failed for want of the daemon's own means.
    pub(crate) shortages: u32,
    window_opened: Option<Time>,
    starts_in_window: u32,
}

/// An end of a run, as the policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// When.
    pub at: Time,
    /// How long the run lasted; zero if there never was one.
    pub uptime: Duration,
    /// Whether it had been RUNNING.
    pub was_running: bool,
    /// Whether the end was a success.
    pub success: bool,
}

/// What the policy makes of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start again after this delay, which includes the jitter.
    Restart {
        /// How long to wait.
        delay: Duration,
    },
    /// The end is final: the policy does not restart it.
    Stay,
    /// The retries are used up.
    GiveUp,
}

impl RestartPolicy {
    /// Our own: on failure, ten retries, [`Backoff::DEFAULT`].
    pub const DEFAULT: RestartPolicy =
        RestartPolicy { when: RestartWhen::OnFailure, limit: Limit::Retries(10), backoff: Backoff::DEFAULT };

    /// What comes after this end. `random` is anywhere from 0 to 1.
    pub fn decide(&self, tally: &mut Tally, ended: Ended, random: f64) -> Decision {
        self.judge(tally, ended, random).decision()
    }

    /// What comes after this end, and by which rule. `random` is anywhere from 0 to 1.
    pub fn judge(&self, tally: &mut Tally, ended: Ended, random: f64) -> Verdict {
        let reset = self.resets(ended);
        let was_counted = tally.failures > 0;
        if reset.is_some() {
            tally.failures = 0;
        }
        let wanted = match self.when {
            RestartWhen::Never => false,
            RestartWhen::OnFailure => !ended.success,
            RestartWhen::Always | RestartWhen::UnlessStopped => true,
        };
        if !wanted {
            return Verdict::Final { when: self.when, success: ended.success };
        }
        let is_at_once = reset == Some(CountReset::WasRunning);
        let reset = reset.filter(|_| was_counted);
        let rule = if is_at_once { DelayRule::AtOnceAfterRunning } else { self.backoff.rule(tally.failures) };
        let nominal = if is_at_once { Duration::ZERO } else { self.backoff.nominal_delay(tally.failures) };
        let jitter = nominal.mul_f64_saturating(self.backoff.jitter * random);
        let delay = nominal.saturating_add(jitter);
        let start_in_window = tally.next_in_window(self.limit, ended.at + delay);
        if !is_at_once && self.is_used_up(tally, start_in_window) {
            return self.given_up(tally, ended.at + delay, reset);
        }
        if !is_at_once {
            tally.failures = tally.failures.saturating_add(1);
        }
        let Ended { success, .. } = ended;
        let (attempt, limit, when, preset) = (tally.failures, self.limit, self.when, self.backoff.preset());
        Verdict::Again(Again { delay, attempt, limit, start_in_window, rule, jitter, preset, reset, when, success })
    }

    /// What comes after a start that failed before there was a process: as [`RestartPolicy::judge`] says, but not at once.
    pub fn judge_failed_start(&self, tally: &mut Tally, ended: Ended, random: f64) -> Verdict {
        match self.judge(tally, ended, random) {
            Verdict::Again(again) if again.delay < FAILED_START_FLOOR => {
                let (delay, jitter) = (FAILED_START_FLOOR, Duration::ZERO);
                Verdict::Again(Again { delay, jitter, rule: DelayRule::FailedStart, ..again })
            }
            verdict => verdict,
        }
    }

    /// What comes after the daemon lacked the means to start it: it is attempted again, whatever the policy says of
    /// failures, and the attempt is not counted.
    pub fn judge_shortage(&self, tally: &mut Tally) -> Verdict {
        let step = tally.shortages.min(6);
        tally.shortages = tally.shortages.saturating_add(1);
        tally.starts_in_window = tally.starts_in_window.saturating_sub(1);
        Verdict::Again(Again {
            delay: (FAILED_START_FLOOR * 2_u32.pow(step)).min(SHORTAGE_MAX),
            attempt: 0,
            limit: self.limit,
            start_in_window: tally.starts_in_window,
            rule: DelayRule::Shortage,
            jitter: Duration::ZERO,
            preset: None,
            reset: None,
            when: self.when,
            success: false,
        })
    }

    fn resets(&self, ended: Ended) -> Option<CountReset> {
        match self.backoff.reset {
            Reset::AfterUp(reset_after) => {
                let uptime = ended.uptime;
                // What never came up was not up, however long it tried: a program that never gets ready would never be
                // given up if its start may take longer than this.
                (ended.was_running && uptime >= reset_after).then_some(CountReset::Up { uptime, reset_after })
            }
            Reset::OnRunning => ended.was_running.then_some(CountReset::WasRunning),
        }
    }

    fn is_used_up(&self, tally: &Tally, start_in_window: u32) -> bool {
        match self.limit {
            Limit::Unlimited => false,
            Limit::Retries(retries) => tally.failures >= retries,
            Limit::Rate { starts, .. } => start_in_window > starts,
        }
    }

    fn given_up(&self, tally: &Tally, next_start: Time, reset: Option<CountReset>) -> Verdict {
        let (used, window) = match self.limit {
            Limit::Rate { .. } => {
                (tally.starts_in_window, tally.window_opened.map_or(Duration::ZERO, |opened| next_start.since(opened)))
            }
            Limit::Retries(_) | Limit::Unlimited => (tally.failures, Duration::ZERO),
        };
        Verdict::GivenUp { limit: self.limit, used, window, reset }
    }

    /// How many failures in a row are allowed, where the limit is such a number.
    pub fn retries(&self) -> Option<u32> {
        match self.limit {
            Limit::Retries(retries) => Some(retries),
            Limit::Unlimited | Limit::Rate { .. } => None,
        }
    }
}

impl Verdict {
    /// What to do, without the reasons; what the policy was not asked about stays as it is.
    pub fn decision(&self) -> Decision {
        match self {
            Verdict::Again(again) => Decision::Restart { delay: again.delay },
            Verdict::GivenUp { .. } => Decision::GiveUp,
            Verdict::Final { .. } | Verdict::Stopped | Verdict::Held => Decision::Stay,
        }
    }
}

impl Tally {
    /// Which start within the window of a rate limit one at this time would be, from 1; 0 with another limit.
    fn next_in_window(&self, limit: Limit, at: Time) -> u32 {
        let Limit::Rate { within, .. } = limit else { return 0 };
        let is_open = self.window_opened.is_some_and(|opened| at.since(opened) < within);
        if is_open { self.starts_in_window.saturating_add(1) } else { 1 }
    }

    /// A start, by hand or not, takes its place in the window of a rate limit.
    pub fn count_start(&mut self, limit: Limit, at: Time) {
        let Limit::Rate { within, .. } = limit else { return };
        let open = self.window_opened.is_some_and(|opened| at.since(opened) < within);
        if open {
            self.starts_in_window = self.starts_in_window.saturating_add(1);
        } else {
            self.window_opened = Some(at);
            self.starts_in_window = 1;
        }
    }
}

trait SaturatingScale {
    fn mul_f64_saturating(self, factor: f64) -> Self;
}

impl SaturatingScale for Duration {
    fn mul_f64_saturating(self, factor: f64) -> Duration {
        Duration::try_from_secs_f64(self.as_secs_f64() * factor).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The delays, in milliseconds, that follow quick failures until the policy gives up, at most eight of them.
    fn delays(preset: Preset) -> Vec<u128> {
        let policy = RestartPolicy { when: RestartWhen::OnFailure, limit: preset.limit(), backoff: preset.backoff() };
        let (mut tally, mut now, mut delays) = (Tally::default(), Time::ZERO, Vec::new());
        for _ in 0..8 {
            tally.count_start(policy.limit, now);
            let ended = Ended { at: now, uptime: Duration::ZERO, was_running: false, success: false };
            let Decision::Restart { delay } = policy.decide(&mut tally, ended, 0.0) else { break };
            delays.push(delay.as_millis());
            now = now + delay;
        }
        delays
    }

    /// Source: moby, daemon/internal/restartmanager: defaultTimeout 100 ms, backoffMultiplier 2, maxRestartTimeout 1 min.
    #[test]
    fn docker_doubles_from_100_ms() {
        assert_eq!(delays(Preset::Docker), [100, 200, 400, 800, 1600, 3200, 6400, 12800]);
        assert_eq!(Preset::Docker.backoff().nominal_delay(10), seconds(60));
    }

    /// Source: Kubernetes documentation, "Pod Lifecycle", container restarts: 10 s, 20 s, 40 s …, capped at 300 s.
    #[test]
    fn kubernetes_restarts_at_once_and_then_doubles_from_10_s_to_5_min() {
        assert_eq!(delays(Preset::Kubernetes), [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
    }

    /// Source: supervisor 4.2.5, process.py: `self.backoff += 1; self.delay = now + self.backoff`, startretries 3.
    #[test]
    fn supervisord_waits_1_2_3_s_and_gives_up() {
        assert_eq!(delays(Preset::Supervisord), [1000, 2000, 3000]);
    }

    /// Source: systemd.unit(5) and systemd.service(5): five starts within 10 s, 100 ms between them.
    #[test]
    fn systemd_allows_five_starts_in_ten_seconds() {
        assert_eq!(delays(Preset::Systemd), [100, 100, 100, 100]);
    }

    #[test]
    fn supervisord_restarts_what_was_running_at_once_and_for_ever() {
        let policy = RestartPolicy {
            when: RestartWhen::OnFailure,
            limit: Preset::Supervisord.limit(),
            backoff: Preset::Supervisord.backoff(),
        };
        let mut tally = Tally { failures: 2, ..Tally::default() };
        for second in 0..100 {
            let at = Time::from_origin(seconds(second));
            let ended = Ended { at, uptime: seconds(1), was_running: true, success: false };
            assert_eq!(policy.decide(&mut tally, ended, 0.0), Decision::Restart { delay: Duration::ZERO });
            assert_eq!(tally.failures, 0);
        }
    }

    #[test]
    fn a_run_that_stayed_up_long_enough_resets_the_count() {
        let policy = RestartPolicy::DEFAULT;
        let mut tally = Tally { failures: 9, ..Tally::default() };
        let end = |uptime| Ended { at: Time::ZERO, uptime, was_running: true, success: false };
        assert_eq!(policy.decide(&mut tally, end(seconds(9)), 0.0), Decision::Restart { delay: seconds(60) });
        assert_eq!(policy.decide(&mut tally, end(seconds(9)), 0.0), Decision::GiveUp);
        let first = Duration::from_millis(500);
        assert_eq!(policy.decide(&mut tally, end(seconds(10)), 0.0), Decision::Restart { delay: first });
        assert_eq!(tally.failures, 1);
    }

    #[test]
    fn a_run_that_never_came_up_resets_nothing_however_long_it_tried() {
        let mut tally = Tally { failures: 10, ..Tally::default() };
        let ended = Ended { at: Time::ZERO, uptime: seconds(60), was_running: false, success: false };
        assert_eq!(RestartPolicy::DEFAULT.decide(&mut tally, ended, 0.0), Decision::GiveUp);
    }

    #[test]
    fn success_and_failure_are_told_apart() {
        let end = |success| Ended { at: Time::ZERO, uptime: Duration::ZERO, was_running: true, success };
        for (when, after_success, after_failure) in [
            (RestartWhen::Never, false, false),
            (RestartWhen::OnFailure, false, true),
            (RestartWhen::Always, true, true),
            (RestartWhen::UnlessStopped, true, true),
        ] {
            let policy = RestartPolicy { when, ..RestartPolicy::DEFAULT };
            for (success, restarts) in [(true, after_success), (false, after_failure)] {
                let decision = policy.decide(&mut Tally::default(), end(success), 0.0);
                assert_eq!(decision != Decision::Stay, restarts, "{when:?} after success = {success}");
            }
        }
    }

    #[test]
    fn jitter_adds_at_most_its_part() {
        let backoff = Backoff { jitter: 0.5, ..Backoff::DEFAULT };
        let policy = RestartPolicy { backoff, ..RestartPolicy::DEFAULT };
        let ended = Ended { at: Time::ZERO, uptime: Duration::ZERO, was_running: false, success: false };
        for (random, ms) in [(0.0, 500), (0.5, 625), (1.0, 750)] {
            let decision = policy.decide(&mut Tally::default(), ended, random);
            assert_eq!(decision, Decision::Restart { delay: Duration::from_millis(ms) });
        }
    }

    /// 2^1024 is infinite in floating point, and so often does a program without delay end within seconds.
    #[test]
    fn no_delay_is_no_delay_after_any_number_of_failures() {
        let at_once = Backoff { delay: Duration::ZERO, ..Backoff::DEFAULT };
        for failures in [0, 1, 1023, 1024, u32::MAX] {
            assert_eq!(at_once.nominal_delay(failures), Duration::ZERO, "{failures}");
        }
    }

    const NEVER_BEGAN: Ended = Ended { at: Time::ZERO, uptime: Duration::ZERO, was_running: false, success: false };

    #[test]
    fn a_start_that_failed_is_never_attempted_again_at_once() {
        let at_once = Backoff { delay: Duration::ZERO, ..Backoff::DEFAULT };
        let policy = RestartPolicy { limit: Limit::Unlimited, backoff: at_once, ..RestartPolicy::DEFAULT };
        let verdict = policy.judge_failed_start(&mut Tally::default(), NEVER_BEGAN, 0.0);
        assert_eq!(verdict.decision(), Decision::Restart { delay: FAILED_START_FLOOR });
        let expected = "attempt 1, no limit, next delay 100ms: the least after a start that failed";
        assert_eq!(verdict.to_string(), expected);
        let longer = RestartPolicy::DEFAULT.judge_failed_start(&mut Tally::default(), NEVER_BEGAN, 0.0);
        assert_eq!(longer, RestartPolicy::DEFAULT.judge(&mut Tally::default(), NEVER_BEGAN, 0.0));
    }

    #[test]
    fn a_shortage_is_waited_for_and_never_counted() {
        let policy = RestartPolicy { when: RestartWhen::Never, limit: Limit::Retries(0), ..RestartPolicy::DEFAULT };
        let mut tally = Tally::default();
        let delays: Vec<u128> = (0..9)
            .map(|_| match policy.judge_shortage(&mut tally).decision() {
                Decision::Restart { delay } => delay.as_millis(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        assert_eq!(tally.failures, 0);
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let growing = Backoff { max: Duration::MAX, ..Backoff::DEFAULT };
        assert_eq!(growing.nominal_delay(u32::MAX), Duration::MAX);
        assert_eq!(Preset::Systemd.backoff().nominal_delay(u32::MAX), Duration::from_millis(100));
    }
}
