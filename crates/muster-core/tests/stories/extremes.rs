//! Extreme time spans and clock readings must not break anything.

use std::time::Duration;

use muster_core::{Settings, Time};
use muster_spec::{
    Backoff, Growth, Jitter, Limit, ProgramSpec, RestartPolicy, RestartWhen, ShutdownBudget, Signal, State,
};

use crate::common::programs::{SETTINGS, at, ms, quick, ranked, s, stop_with};
use crate::stage::Stage;

const FOR_EVER: Duration = Duration::MAX;

fn extreme(span: Duration) -> ProgramSpec {
    let backoff = Backoff { delay: span, max: span, jitter: Jitter::Add(1.0), ..Backoff::DEFAULT };
    let restart =
        RestartPolicy { when: RestartWhen::Always, limit: Limit::Unlimited, backoff, ..RestartPolicy::DEFAULT };
    let stop = stop_with(&[(Signal::INT, span), (Signal::TERM, span)]);
    ProgramSpec { startsecs: span, restart, stop, ..quick("web") }
}

#[test]
fn endless_spans_are_waited_for_without_overflow() {
    let settings = Settings { shutdown_timeout: ShutdownBudget::Within(FOR_EVER), ..SETTINGS };
    let mut stage = Stage::with(settings, [extreme(FOR_EVER)]);
    stage.now = at(s(1_000_000));
    let mut stage = stage.boot();
    stage.after(s(1_000_000));
    stage.stands("web STARTING");
    stage.exits("web", 1);
    stage.stands("web BACKOFF");
    stage.start("web");
    stage.spawned("web");
    stage.stop("web");
    stage.after(s(1_000_000));
    stage.stands("web STOPPING");
    stage.start("web");
    stage.signal_to_daemon(Signal::TERM);
    stage.after(s(1_000_000));
    stage.stands("web STOPPING");
    assert_eq!(stage.exit_code(), None, "an endless wait is not over");
    stage.is_killed("web", Signal::TERM);
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn an_endless_timeout_is_cut_to_the_budget() {
    let mut stage = Stage::booted([extreme(FOR_EVER)]);
    stage.signal_to_daemon(Signal::TERM);
    stage.after(ms(8900));
    stage.did("TERM strays, INT web, TERM web, sweep web with KILL");
}

/// Rounding must not reduce a nearly endless budget to zero.
#[test]
fn an_endless_timeout_in_an_endless_budget_is_not_cut_to_zero() {
    let mut stage =
        Stage::with(Settings { shutdown_timeout: ShutdownBudget::Within(FOR_EVER), ..SETTINGS }, [extreme(FOR_EVER)])
            .boot();
    stage.signal_to_daemon(Signal::TERM);
    stage.after(s(1_000_000_000));
    stage.did("TERM strays, INT web");
}

#[test]
fn no_time_for_anything_is_no_time() {
    let mut stage =
        Stage::with(Settings { shutdown_timeout: ShutdownBudget::Within(s(0)), ..SETTINGS }, [extreme(s(0))]).boot();
    stage.stands("web RUNNING");
    for _ in 0..100 {
        stage.exits("web", 1);
        stage.spawned("web");
    }
    stage.forget_deeds();
    stage.stop("web");
    stage.after(s(0));
    stage.did("INT web, TERM web, sweep web with KILL");
    stage.signal_to_daemon(Signal::TERM);
    stage.is_killed("web", Signal::KILL);
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn odd_growth_never_breaks_the_delay() {
    for factor in [0.0, 0.5, 1.0, 1e300, f64::INFINITY, f64::NAN, -2.0] {
        for (delay, max) in [(s(1), FOR_EVER), (FOR_EVER, FOR_EVER), (s(0), s(0)), (FOR_EVER, s(1))] {
            let backoff = Backoff { delay, max, growth: Growth::Factor(factor), ..Backoff::DEFAULT };
            for failures in [0, 1, 2, 1000, u32::MAX] {
                assert!(
                    muster_core::restart::delay::nominal(&backoff, failures) <= max,
                    "{backoff:?} after {failures}"
                );
            }
        }
    }
}

#[test]
fn an_hour_too_late_everything_due_happens_once_and_in_order() {
    let stop = stop_with(&[(Signal::INT, s(1)), (Signal::TERM, s(1))]);
    let mut stage = Stage::booted([ProgramSpec { stop, ..quick("web") }]);
    stage.stop("web");
    stage.did("INT web");
    // The program could not act on a signal that was not sent: its timeout starts when it is.
    stage.oversleeps(s(3600));
    stage.did("TERM web");
    stage.oversleeps(s(3600));
    stage.did("sweep web with KILL");
    stage.is_killed("web", Signal::KILL);
    stage.stands("web STOPPED");
}

#[test]
fn an_hour_too_late_a_delay_is_over_and_a_start_has_lasted() {
    let mut stage = Stage::booted([ProgramSpec { startsecs: s(1), ..quick("web") }]);
    stage.oversleeps(s(3600));
    stage.stands("web RUNNING");
    stage.exits("web", 1);
    assert_eq!(stage.next_start_in("web"), 500);
    stage.oversleeps(s(3600));
    stage.did("sweep web with TERM, spawn web");
}

/// The daemon handles its signals in between.
#[test]
fn deadlines_that_are_due_together_can_be_taken_one_at_a_time() {
    let names = ["a", "b", "c"];
    let mut stage = Stage::booted(names.map(|name| ProgramSpec { startsecs: s(1), ..quick(name) }));
    stage.now = stage.now + s(2);
    for left in (0..names.len()).rev() {
        assert!(stage.core.poll_timeout().is_some_and(|at| at <= stage.now));
        stage.core.handle_deadlines(stage.now, 1);
        let starting = stage.core.snapshot().iter().filter(|it| it.state() == State::Starting).count();
        assert_eq!(starting, left);
    }
    assert_eq!(stage.core.poll_timeout(), None);
}

/// Every program still gets the stop signal, and none survives.
#[test]
fn an_hour_too_late_a_shutdown_ends_at_once() {
    let mut stage = Stage::booted([ranked("db", 1), ranked("app", 2)]);
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM app");
    stage.oversleeps(s(3600));
    stage.did("sweep app with KILL, TERM strays, TERM db, sweep db with KILL, KILL strays, exit 0");
}

#[test]
fn a_clock_that_stops_or_goes_back_breaks_nothing() {
    let mut stage = Stage::booted([ProgramSpec { startsecs: s(1), ..quick("web") }]);
    stage.after(s(10));
    for _ in 0..1000 {
        stage.core.handle_timeout(stage.now);
        assert_eq!(stage.core.poll_effect(), None);
    }
    stage.now = Time::ZERO;
    stage.exits("web", 1);
    stage.stands("web BACKOFF");
    stage.after(ms(500));
    stage.spawned("web");
    stage.stop("web");
    stage.is_killed("web", Signal::TERM);
    stage.stands("web STOPPED");
}

#[test]
fn near_the_end_of_time_nothing_overflows() {
    let mut stage = Stage::booted([quick("web"), extreme_named("other")]);
    stage.now = at(FOR_EVER - s(1));
    stage.stop("web");
    assert!(stage.core.poll_timeout().is_some());
    stage.is_killed("web", Signal::TERM);
    stage.stands("web STOPPED");
}

fn extreme_named(name: &str) -> ProgramSpec {
    ProgramSpec { startsecs: FOR_EVER, ..quick(name) }
}
