//! The rule itself: what follows an end, and whether a start that was decided on is still allowed when it is due.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{Exceeded, Forget, Judged, Limit, Reset, RestartPolicy, RestartWhen, StartFailures, Successes};

use super::delay::{self, chosen};
use super::{Decision, Ended};
use crate::restart::{Again, CountReset, DelayRule, Verdict};
use crate::time::Time;

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
}

/// Decides what follows this end. `random` is from 0 to 1.
pub fn decide(policy: &RestartPolicy, tally: &mut Tally, ended: Ended, random: f64) -> Decision {
    judge(policy, tally, ended, random).decision()
}

/// Decides what follows this end, and by which rule. `random` is from 0 to 1.
pub fn judge(policy: &RestartPolicy, tally: &mut Tally, ended: Ended, random: f64) -> Verdict {
    let reset = resets(policy, ended).filter(|_| tally.failures > 0 || policy.backoff.reset == Reset::OnRunning);
    if reset.is_some() {
        tally.forgive();
    }
    let is_failed_start = policy.start_failures == StartFailures::Retry && !ended.was_running;
    let success = ended.success && !is_failed_start;
    let wanted = match policy.when {
        _ if is_failed_start => true,
        RestartWhen::Never => false,
        RestartWhen::OnFailure => !success,
        RestartWhen::Always | RestartWhen::UnlessStopped => true,
    };
    if !wanted {
        return Verdict::Final { when: policy.when, success };
    }
    if policy.start_failures == StartFailures::Final && !ended.was_spawned {
        return Verdict::NeverStarted;
    }
    let rule = match reset {
        Some(CountReset::WasRunning) => DelayRule::AtOnceAfterRunning,
        _ if success && policy.successes == Successes::Forgive => DelayRule::AfterSuccess(policy.backoff.delay),
        _ => delay::rule(&policy.backoff, tally.failures),
    };
    let is_counted = !matches!(rule, DelayRule::AtOnceAfterRunning | DelayRule::AfterSuccess(_));
    if let DelayRule::AfterSuccess(_) = rule {
        tally.forgive();
    }
    if is_counted && policy.retries().is_some_and(|retries| used(policy, tally) >= retries) {
        return Verdict::GivenUp { limit: policy.limit, used: used(policy, tally), window: Duration::ZERO, reset };
    }
    // An end after which `restart` alone would not restart.
    let is_only_a_failed_start = is_failed_start && (ended.success || policy.when == RestartWhen::Never);
    let again = again(policy, is_only_a_failed_start);
    go_on(policy, tally, ended, random, Again { success, rule, reset, ..again })
}

/// Decides what follows a failed spawn: as [`judge`], but never without a delay.
pub fn judge_failed_start(policy: &RestartPolicy, tally: &mut Tally, ended: Ended, random: f64) -> Verdict {
    match judge(policy, tally, ended, random) {
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
                return over_the_rate(policy, tally, ended.at + again.delay, again.reset);
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
    }
}

/// Why an automatic restart that is due must not start, if a limit is checked only at the start.
pub fn refuse_start(policy: &RestartPolicy, tally: &Tally, now: Time) -> Option<Verdict> {
    match policy.limit {
        Limit::Rate { starts, judged: Judged::AtStart, then: Exceeded::Fatal, .. } => {
            let is_over = tally.is_automatic && tally.next_in_window(policy.limit, now) > starts;
            is_over.then(|| over_the_rate(policy, tally, now, None))
        }
        _ => None,
    }
}

fn over_the_rate(policy: &RestartPolicy, tally: &Tally, next_start: Time, reset: Option<CountReset>) -> Verdict {
    let window = tally.window_opened.map_or(Duration::ZERO, |opened| next_start.since(opened));
    Verdict::GivenUp { limit: policy.limit, used: tally.starts_in_window, window, reset }
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
            Verdict::Final { .. } | Verdict::Stopped | Verdict::Held | Verdict::Idle => Decision::Stay,
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
mod tests {
    use super::*;
    use muster_spec::{Backoff, Preset};

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    const FAILED: Ended =
        Ended { at: Time::ZERO, uptime: Duration::ZERO, was_spawned: true, was_running: false, success: false };

    /// A past run: how long it lasted, whether it was RUNNING, whether it succeeded.
    type Past = (u64, bool, bool);

    /// The delays in milliseconds that follow these runs, each started when the policy said; and the outcome.
    fn story(policy: RestartPolicy, runs: impl IntoIterator<Item = Past>) -> (Vec<u128>, &'static str) {
        let (mut tally, mut now, mut delays) = (Tally::default(), Time::ZERO, Vec::new());
        for (uptime, was_running, success) in runs {
            if refuse_start(&policy, &tally, now).is_some() {
                return (delays, "refused");
            }
            tally.count_start(policy.limit, now);
            now = now + ms(uptime);
            let ended = Ended { at: now, uptime: ms(uptime), was_spawned: true, was_running, success };
            match decide(&policy, &mut tally, ended, 0.0) {
                Decision::Restart { delay } => delays.push(delay.as_millis()),
                Decision::Stay => return (delays, "stays"),
                Decision::GiveUp => return (delays, "given up"),
            }
            now = now + ms(u64::try_from(delays[delays.len() - 1]).expect("delays are short here"));
        }
        (delays, "goes on")
    }

    fn quick(count: usize) -> Vec<Past> {
        vec![(0, false, false); count]
    }

    /// Source: moby, daemon/internal/restartmanager: defaultTimeout 100 ms, backoffMultiplier 2, maxRestartTimeout 1 min.
    #[test]
    fn docker_doubles_from_100_ms_and_counts_a_whole_life() {
        let docker = Preset::Docker.policy(RestartWhen::OnFailure);
        assert_eq!(story(docker, quick(8)), (vec![100, 200, 400, 800, 1600, 3200, 6400, 12800], "goes on"));
        assert_eq!(delay::nominal(&docker.backoff, 10), seconds(60));
        // The delay is reset after 10 s, the count is not; successes grow it, too.
        let two = RestartPolicy { limit: Limit::Retries(2), ..docker };
        assert_eq!(story(two, [(11_000, true, false); 5]), (vec![100, 100], "given up"));
        let always = RestartPolicy { when: RestartWhen::Always, ..docker };
        assert_eq!(story(always, [(0, true, true); 4]).0, [100, 200, 400, 800]);
        let nearly = [(9_999, true, false), (9_999, true, false), (10_000, false, false)];
        assert_eq!(story(always, nearly).0, [100, 200, 100]);
    }

    #[test]
    fn what_docker_cannot_start_is_left_alone() {
        let unspawned = Ended { was_spawned: false, ..FAILED };
        for when in [RestartWhen::OnFailure, RestartWhen::Always, RestartWhen::UnlessStopped] {
            let verdict = judge(&Preset::Docker.policy(when), &mut Tally::default(), unspawned, 0.0);
            assert_eq!((verdict, verdict.decision()), (Verdict::NeverStarted, Decision::GiveUp));
        }
    }

    /// Source: Kubernetes documentation, "Pod Lifecycle", container restarts: 10 s, 20 s, 40 s …, capped at 300 s; and
    /// k8s.io/client-go/util/flowcontrol/backoff.go, `hasExpired`: more than twice the maximum.
    #[test]
    fn kubernetes_restarts_at_once_and_then_doubles_from_10_s_to_5_min() {
        let always = Preset::Kubernetes.policy(RestartWhen::Always);
        let expected = [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000];
        assert_eq!(story(always, quick(8)).0, expected);
        assert_eq!(story(always, [(1000, true, true); 8]).0, expected);
        for (uptime, third) in [(600_000, 20_000), (600_001, 0)] {
            assert_eq!(story(always, [(0, true, false), (0, true, false), (uptime, false, false)]).0[2], third);
        }
    }

    /// Source: supervisor 4.2.5, process.py: `self.backoff += 1; self.delay = now + self.backoff`, startretries 3.
    #[test]
    fn supervisord_waits_1_2_3_s_and_gives_up_whatever_the_status_and_autorestart() {
        for when in [RestartWhen::Never, RestartWhen::OnFailure, RestartWhen::Always] {
            let policy = Preset::Supervisord.policy(when);
            for success in [true, false] {
                assert_eq!(story(policy, [(0, false, success); 9]), (vec![1000, 2000, 3000], "given up"), "{when:?}");
            }
        }
    }

    #[test]
    fn supervisord_restarts_what_was_running_at_once_and_for_ever() {
        let policy = Preset::Supervisord.policy(RestartWhen::OnFailure);
        let (delays, outcome) = story(policy, [(1000, true, false); 100]);
        assert!(delays.iter().all(|delay| *delay == 0) && outcome == "goes on", "{delays:?}");
        // It polls once a second, also if startsecs is 0.
        assert_eq!(story(policy, [(300, true, false); 3]).0, [700, 700, 700]);
        assert_eq!(story(policy, [(1000, true, true)]), (vec![], "stays"));
    }

    /// Source: systemd.unit(5) and systemd.service(5): five starts within 10 s, 100 ms between them; ratelimit.c: a
    /// window closes when more than its length has passed, and the sixth start is the one refused.
    #[test]
    fn systemd_refuses_the_sixth_start_in_ten_seconds() {
        let policy = Preset::Systemd.policy(RestartWhen::OnFailure);
        assert_eq!(story(policy, quick(9)), (vec![100; 5], "refused"));
        for (last, outcome) in [(9_500, "refused"), (9_501, "goes on")] {
            let runs = quick(4).into_iter().chain([(last, true, false), (0, false, false)]);
            assert_eq!(story(policy, runs).1, outcome, "{last}");
        }
    }

    #[test]
    fn a_start_by_hand_counts_in_systemds_window_and_is_never_refused() {
        let policy = Preset::Systemd.policy(RestartWhen::OnFailure);
        let mut tally = Tally::default();
        for _ in 0..9 {
            tally.start_by_hand(policy.limit);
            assert_eq!(refuse_start(&policy, &tally, Time::ZERO), None);
            tally.count_start(policy.limit, Time::ZERO);
        }
        judge(&policy, &mut tally, FAILED, 0.0);
        assert!(refuse_start(&policy, &tally, Time::ZERO + ms(100)).is_some());
        let native = RestartPolicy { limit: rate(Judged::AtEnd, Exceeded::Fatal), ..policy };
        tally.start_by_hand(native.limit);
        assert_eq!(tally, Tally::default());
    }

    const fn rate(judged: Judged, then: Exceeded) -> Limit {
        Limit::Rate { starts: 2, within: seconds(60), judged, then }
    }

    #[test]
    fn a_rate_gives_up_with_the_end_or_waits_until_its_window_is_over() {
        let with = |limit| RestartPolicy { limit, ..RestartPolicy::DEFAULT };
        assert_eq!(story(with(rate(Judged::AtEnd, Exceeded::Fatal)), quick(5)), (vec![500], "given up"));
        for judged in [Judged::AtEnd, Judged::AtStart] {
            let (delays, outcome) = story(with(rate(judged, Exceeded::WaitOut)), quick(5));
            assert_eq!((&delays[..2], outcome), (&[500, 59_500][..], "goes on"), "{judged:?}");
        }
    }

    /// A worker that exits with 0 after each batch is restarted indefinitely.
    #[test]
    fn a_success_is_no_failure() {
        let always = RestartPolicy { when: RestartWhen::Always, ..RestartPolicy::DEFAULT };
        for was_running in [true, false] {
            let (delays, outcome) = story(always, [(5000, was_running, true); 1000]);
            assert!(delays.iter().all(|delay| *delay == 500) && outcome == "goes on", "{delays:?}");
        }
        let mixed = [(0, true, false), (0, true, false), (0, true, true), (0, true, false), (0, true, false)];
        assert_eq!(story(always, mixed).0, [500, 1000, 500, 500, 1000]);
        // Not even without retries is it given up.
        let none = RestartPolicy { limit: Limit::Retries(0), ..always };
        assert_eq!(story(none, [(0, true, true), (0, true, true), (0, true, false)]), (vec![500, 500], "given up"));
        // Nor does a count that is never reset include it.
        let life = RestartPolicy { limit: Limit::Retries(2), forget: Forget::Never, ..always };
        assert_eq!(story(life, mixed), (vec![500, 1000, 500], "given up"));
    }

    #[test]
    fn a_run_that_stayed_up_long_enough_resets_the_count() {
        let policy = RestartPolicy::DEFAULT;
        let mut tally = Tally { failures: 9, ..Tally::default() };
        let end = |uptime| Ended { uptime, was_running: true, ..FAILED };
        assert_eq!(decide(&policy, &mut tally, end(seconds(9)), 0.0), Decision::Restart { delay: seconds(60) });
        assert_eq!(decide(&policy, &mut tally, end(seconds(9)), 0.0), Decision::GiveUp);
        assert_eq!(decide(&policy, &mut tally, end(seconds(10)), 0.0), Decision::Restart { delay: ms(500) });
        assert_eq!(tally.failures, 1);
    }

    #[test]
    fn a_run_that_never_came_up_resets_nothing_however_long_it_tried() {
        let mut tally = Tally { failures: 10, ..Tally::default() };
        let ended = Ended { uptime: seconds(60), ..FAILED };
        assert_eq!(decide(&RestartPolicy::DEFAULT, &mut tally, ended, 0.0), Decision::GiveUp);
    }

    #[test]
    fn success_and_failure_are_told_apart() {
        for (when, after_success, after_failure) in [
            (RestartWhen::Never, false, false),
            (RestartWhen::OnFailure, false, true),
            (RestartWhen::Always, true, true),
            (RestartWhen::UnlessStopped, true, true),
        ] {
            let policy = RestartPolicy { when, ..RestartPolicy::DEFAULT };
            for (success, restarts) in [(true, after_success), (false, after_failure)] {
                let ended = Ended { was_running: true, success, ..FAILED };
                let decision = decide(&policy, &mut Tally::default(), ended, 0.0);
                assert_eq!(decision != Decision::Stay, restarts, "{when:?} after success = {success}");
            }
        }
    }

    #[test]
    fn steps_never_fall_back_under_systemd() {
        let backoff = Backoff { growth: muster_spec::Growth::Steps(2), max: seconds(10), ..Preset::Systemd.backoff() };
        let policy = RestartPolicy { backoff, limit: Limit::Unlimited, ..Preset::Systemd.policy(RestartWhen::Always) };
        assert_eq!(story(policy, [(3_600_000, true, true); 4]).0, [100, 1000, 10_000, 10_000]);
    }
}

#[cfg(test)]
mod failed_starts;
