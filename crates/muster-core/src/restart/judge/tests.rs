//! Tests of the policies: the sequences of delays, and when they end.

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
