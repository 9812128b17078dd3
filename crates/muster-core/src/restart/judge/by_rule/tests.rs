//! Tests of the rules: their bounds, and what they say.

use muster_spec::{ExitMatch, Limit, Preset, RestartWhen};

use super::*;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn rule(then: ExitAction) -> ExitRule {
    ExitRule { on: ExitMatch::Status(75), then }
}

fn at(time: Duration) -> Ended {
    let at = Time::from_origin(time);
    Ended { at, uptime: Duration::ZERO, was_spawned: true, was_running: true, success: false }
}

fn never() -> RestartPolicy {
    RestartPolicy { when: RestartWhen::Never, ..RestartPolicy::DEFAULT }
}

/// The verdict about an end at this time.
fn told(policy: &RestartPolicy, tally: &mut Tally, ended: Ended, then: ExitAction, all: Option<u64>) -> String {
    let all = all.map(|at| Time::from_origin(seconds(at)));
    judge_by_rule(policy, tally, ended, (rule(then), all), 0.0).to_string()
}

#[test]
fn a_restart_at_once_is_bounded_within_any_ten_seconds() {
    let (policy, mut tally) = (never(), Tally::default());
    let mut now = |second: u64| told(&policy, &mut tally, at(seconds(second)), ExitAction::RestartNow, None);
    for second in [0, 1, 2, 3, 4] {
        assert_eq!(now(second), "on_exit 75: restart at once");
    }
    let bounded = "on_exit 75: restart, since it was restarted at once 5 times in 10s; attempt 1 of 10, next delay 500ms × 2^0 = \
                   500ms";
    assert_eq!(now(9), bounded);
    assert_eq!(now(10), "on_exit 75: restart at once", "the first of the five was ten seconds ago");
    assert!(now(10).starts_with("on_exit 75: restart, since"), "the second was not");
    assert_eq!(now(11), "on_exit 75: restart at once");
}

#[test]
fn a_restart_at_once_is_not_counted() {
    let limited = RestartPolicy { limit: Limit::Retries(1), ..RestartPolicy::DEFAULT };
    let mut tally = Tally::default();
    for second in 0..60 {
        let verdict = told(&limited, &mut tally, at(seconds(second * 3)), ExitAction::RestartNow, None);
        assert_eq!(verdict, "on_exit 75: restart at once", "{second}");
    }
    assert_eq!(tally.failures, 0);
    let systemd = Preset::Systemd.policy(RestartWhen::OnFailure);
    let mut tally = Tally::default();
    for second in 0..60 {
        let now = Time::from_origin(seconds(second * 3));
        tally.count_start(systemd.limit, now);
        let verdict = told(&systemd, &mut tally, at(seconds(second * 3)), ExitAction::RestartNow, None);
        assert_eq!(verdict, "on_exit 75: restart at once", "{second}");
        assert_eq!(super::super::refuse_start(&systemd, &tally, now), None);
    }
}

#[test]
fn starts_stay_apart_where_that_is_configured() {
    let backoff = Backoff { min_interval: seconds(2), ..Backoff::DEFAULT };
    let policy = RestartPolicy { backoff, ..RestartPolicy::DEFAULT };
    let verdict = told(&policy, &mut Tally::default(), at(seconds(9)), ExitAction::RestartNow, None);
    assert_eq!(verdict, "on_exit 75: restart after 2s: starts are at least 2s apart");
}

#[test]
fn a_restart_is_counted_whatever_restart_says_and_after_a_success_too() {
    let policy = RestartPolicy { limit: Limit::Retries(1), ..never() };
    let mut tally = Tally::default();
    let ended = Ended { success: true, ..at(seconds(1)) };
    let first = told(&policy, &mut tally, ended, ExitAction::Restart, None);
    assert_eq!(first, "on_exit 75: restart; attempt 1 of 1, next delay 500ms × 2^0 = 500ms");
    let second = told(&policy, &mut tally, ended, ExitAction::Restart, None);
    assert_eq!(second, "on_exit 75: restart; given up: its one retry is used up");
}

#[test]
fn a_start_that_failed_is_not_attempted_again_at_once_by_the_policy() {
    let backoff = Backoff { delay: Duration::ZERO, ..Backoff::DEFAULT };
    let policy = RestartPolicy { backoff, ..RestartPolicy::DEFAULT };
    let failed = Ended { was_spawned: false, was_running: false, ..at(seconds(1)) };
    let restarted = told(&policy, &mut Tally::default(), failed, ExitAction::Restart, None);
    assert_eq!(restarted, "on_exit 75: restart; attempt 1 of 10, next delay 100ms: the minimum after a failed start");
}

#[test]
fn all_are_restarted_once_in_reset_after() {
    let (policy, mut tally) = (never(), Tally::default());
    let mut at_second = |second, all| told(&policy, &mut tally, at(seconds(second)), ExitAction::RestartAll, all);
    assert_eq!(at_second(20, None), "on_exit 75: restart all; attempt 1 of 10");
    let bounded = "on_exit 75: restart, since all were restarted 9s ago, and 10s must pass; attempt 2 of 10, next delay 500ms × \
                   2^1 = 1s";
    assert_eq!(at_second(29, Some(20)), bounded);
    assert_eq!(at_second(30, Some(20)), "on_exit 75: restart all; attempt 3 of 10");
    let limited = RestartPolicy { limit: Limit::Retries(0), ..never() };
    let verdict = told(&limited, &mut Tally::default(), at(seconds(1)), ExitAction::RestartAll, None);
    assert_eq!(verdict, "on_exit 75: restart all; given up: startretries = 0");
}

#[test]
fn each_policy_has_a_time_between_restarts_of_everything() {
    let of = |reset| apart(&RestartPolicy { backoff: Backoff { reset, ..Backoff::DEFAULT }, ..RestartPolicy::DEFAULT });
    assert_eq!(of(Reset::AfterUp(seconds(30))), seconds(30));
    assert_eq!(of(Reset::AfterUp(Duration::ZERO)), seconds(1), "not at once, again and again");
    assert_eq!(of(Reset::SinceStart { over: seconds(600), beyond: true }), seconds(600));
    assert_eq!((of(Reset::OnRunning), of(Reset::Never)), (seconds(10), seconds(10)));
}

#[test]
fn a_rule_is_named_in_front_of_what_follows_by_the_policy() {
    let check = |when, success, then, expected: &str| {
        let policy = RestartPolicy { when, ..RestartPolicy::DEFAULT };
        let ended = Ended { success, ..at(seconds(1)) };
        assert_eq!(told(&policy, &mut Tally::default(), ended, then, None), expected);
    };
    check(
        RestartWhen::OnFailure,
        true,
        ExitAction::Success,
        "on_exit 75: success; not restarted: a success, and restart = \"on-failure\" restarts failures only",
    );
    check(
        RestartWhen::OnFailure,
        false,
        ExitAction::Failure,
        "on_exit 75: failure; attempt 1 of 10, next delay 500ms × 2^0 = 500ms",
    );
    check(RestartWhen::Never, false, ExitAction::Failure, "on_exit 75: failure; not restarted: restart = \"no\"");
    check(RestartWhen::Always, true, ExitAction::Stop, "on_exit 75: not restarted");
    check(RestartWhen::Always, false, ExitAction::Fatal, "on_exit 75: given up");
    check(RestartWhen::Always, false, ExitAction::Exit, "on_exit 75: not restarted, and the container exits");
}
