//! Tests of the module above.

use muster_spec::Backoff;

use super::*;

fn ended(was_spawned: bool) -> Ended {
    Ended { at: Time::ZERO, uptime: Duration::ZERO, was_spawned, was_running: false, success: false }
}

fn at_once() -> RestartPolicy {
    let backoff = Backoff { delay: Duration::ZERO, ..Backoff::DEFAULT };
    RestartPolicy { limit: Limit::Unlimited, backoff, ..RestartPolicy::DEFAULT }
}

#[test]
fn a_start_that_failed_is_never_attempted_again_at_once() {
    let (policy, mut tally) = (at_once(), Tally::default());
    for _ in 0..100 {
        let decision = judge_failed_start(&policy, &mut tally, ended(false), 0.5).decision();
        assert_eq!(decision, Decision::Restart { delay: FAILED_START_FLOOR });
    }
    assert_eq!(decide(&policy, &mut tally, ended(true), 0.5), Decision::Restart { delay: Duration::ZERO });
}

#[test]
fn a_shortage_is_waited_for_and_never_counted() {
    let policy = RestartPolicy { when: RestartWhen::Never, ..at_once() };
    let mut tally = Tally::default();
    let delays: Vec<u128> = (0..9)
        .map(|_| match judge_shortage(&policy, &mut tally).decision() {
            Decision::Restart { delay } => delay.as_millis(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    assert_eq!(tally.failures, 0);
}
