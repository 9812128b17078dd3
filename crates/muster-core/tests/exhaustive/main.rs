//! Every story of one program, to depth six, under every policy, checked against an independent model.
//!
//! Walks the tree of stories by cloning the core at each step. Impossible inputs (an exit without a process) are left
//! out; late and duplicate inputs are tried at every step and must change nothing. `two.rs` does the same with two
//! programs that are stopped and restarted together, checked by the witness alone.

#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod model;
mod policy;
mod rules;
mod step;
mod story;
mod two;

use std::time::Duration;

use common::programs::{ms, s};
use model::Rules;
use muster_spec::{Leftovers, RestartWhen, Signal, StopKill, StopScope, StopStep};
use policy::Delays;
use story::tell_all;

const DEPTH: usize = 6;

/// One more with `MUSTER_ACCEPTANCE=1`, for the trees that take longest.
#[allow(clippy::disallowed_methods)]
fn extra_depth() -> usize {
    usize::from(std::env::var_os("MUSTER_ACCEPTANCE").is_some())
}

const POLICIES: [RestartWhen; 4] =
    [RestartWhen::Never, RestartWhen::OnFailure, RestartWhen::Always, RestartWhen::UnlessStopped];

const DELAYS: [Delays; 6] = [
    Delays::Ours(1),
    Delays::AtOnce(2),
    Delays::DockerOf(1),
    Delays::Kubernetes,
    Delays::Supervisord(1),
    Delays::Systemd(2),
];

fn rules(when: RestartWhen, delays: Delays) -> Rules {
    Rules {
        when,
        delays,
        forgives: true,
        startsecs: s(1),
        is_oneshot: false,
        steps: one_step(),
        scope: StopScope::Main,
        kill: StopKill::Tree,
        leftovers: Leftovers::Stop,
        leftover_wait: s(2),
        shutdown_timeout: s(9),
        exit_when_done: false,
        is_essential: false,
        must_say: None,
        asks_for_time: false,
        watchdog: None,
        checked: None,
        on_exit: None,
    }
}

fn one_step() -> Vec<StopStep> {
    vec![StopStep { signal: Signal::TERM, patience: s(5) }]
}

/// Longer than the shutdown's budget.
fn two_steps() -> Vec<StopStep> {
    vec![StopStep { signal: Signal::INT, patience: s(4) }, StopStep { signal: Signal::TERM, patience: s(8) }]
}

fn every_story_with(when: RestartWhen) {
    for delays in DELAYS {
        tell_all(rules(when, delays), DEPTH);
    }
}

#[test]
fn every_story_with_restart_no_is_as_promised() {
    every_story_with(RestartWhen::Never);
}

#[test]
fn every_story_with_restart_on_failure_is_as_promised() {
    every_story_with(RestartWhen::OnFailure);
}

#[test]
fn every_story_with_restart_always_is_as_promised() {
    every_story_with(RestartWhen::Always);
}

#[test]
fn every_story_with_restart_unless_stopped_is_as_promised() {
    every_story_with(RestartWhen::UnlessStopped);
}

#[test]
fn every_story_of_a_program_that_is_up_immediately_is_as_promised() {
    for when in POLICIES {
        for delays in DELAYS.into_iter().chain([Delays::Docker]) {
            tell_all(Rules { startsecs: Duration::ZERO, ..rules(when, delays) }, DEPTH - 1);
        }
    }
}

#[test]
fn every_story_of_a_oneshot_is_as_promised() {
    for when in POLICIES {
        tell_all(Rules { is_oneshot: true, ..rules(when, Delays::Ours(0)) }, DEPTH);
    }
}

#[test]
fn every_story_of_a_stop_with_two_signals_is_as_promised() {
    for when in POLICIES {
        tell_all(Rules { steps: two_steps(), ..rules(when, Delays::Ours(1)) }, DEPTH);
        let quick = Rules { steps: two_steps(), startsecs: Duration::ZERO, ..rules(when, Delays::AtOnce(1)) };
        tell_all(Rules { shutdown_timeout: ms(500), ..quick }, DEPTH - 1);
    }
}

#[test]
fn every_story_of_a_run_whose_leftovers_are_kept_is_as_promised() {
    for when in POLICIES {
        for delays in [Delays::Ours(1), Delays::AtOnce(2), Delays::Supervisord(1), Delays::Systemd(2)] {
            tell_all(Rules { leftovers: Leftovers::Keep, ..rules(when, delays) }, DEPTH - 1);
        }
        let quick = Rules { leftovers: Leftovers::Keep, startsecs: Duration::ZERO, ..rules(when, Delays::Ours(1)) };
        tell_all(Rules { is_essential: true, checked: Some(s(10)), ..quick }, DEPTH - 1);
    }
}

#[test]
fn every_story_of_a_stop_that_ends_less_than_the_tree_is_as_promised() {
    for when in POLICIES {
        for (kill, leftovers) in [(StopKill::Main, Leftovers::Stop), (StopKill::Group, Leftovers::Keep)] {
            for scope in [StopScope::Main, StopScope::Group] {
                let rules = Rules { kill, leftovers, scope, ..rules(when, Delays::Ours(1)) };
                tell_all(Rules { steps: two_steps(), ..rules.clone() }, DEPTH);
                tell_all(Rules { watchdog: Some(s(3)), startsecs: Duration::ZERO, ..rules }, DEPTH - 1);
            }
        }
    }
}

#[test]
fn every_story_of_starts_that_forgive_nothing_is_as_promised() {
    for when in POLICIES {
        for delays in [Delays::Ours(1), Delays::Supervisord(1), Delays::Systemd(2)] {
            tell_all(Rules { forgives: false, ..rules(when, delays) }, DEPTH - 1);
        }
    }
}

#[test]
fn every_story_of_a_container_that_ends_with_its_program_is_as_promised() {
    for when in POLICIES {
        for (exit_when_done, is_essential) in [(true, false), (false, true), (true, true)] {
            tell_all(Rules { exit_when_done, is_essential, ..rules(when, Delays::Ours(1)) }, DEPTH - 1);
        }
    }
}

#[test]
fn every_story_of_a_run_that_must_say_that_it_is_ready_is_as_promised() {
    for when in POLICIES {
        let must_say = Some(s(60));
        tell_all(Rules { must_say, ..rules(when, Delays::Ours(1)) }, DEPTH);
        tell_all(Rules { must_say, startsecs: Duration::ZERO, ..rules(when, Delays::AtOnce(1)) }, DEPTH - 1);
    }
}

#[test]
fn every_story_of_a_run_that_asks_for_more_time_is_as_promised() {
    for when in POLICIES {
        let asking = || Rules { asks_for_time: true, startsecs: Duration::ZERO, ..rules(when, Delays::Ours(1)) };
        tell_all(asking(), DEPTH);
        tell_all(Rules { steps: two_steps(), ..asking() }, DEPTH);
        // Room for both signals, and some slack.
        tell_all(Rules { steps: two_steps(), shutdown_timeout: s(20), ..asking() }, DEPTH - 1);
        tell_all(Rules { must_say: Some(s(8)), ..asking() }, DEPTH);
    }
}

#[test]
fn every_story_of_a_run_with_a_watchdog_is_as_promised() {
    for when in POLICIES {
        let watchdog = Some(s(3));
        tell_all(Rules { watchdog, startsecs: Duration::ZERO, ..rules(when, Delays::Ours(1)) }, DEPTH);
        tell_all(Rules { watchdog, must_say: Some(s(60)), ..rules(when, Delays::Ours(1)) }, DEPTH - 1);
    }
}

#[test]
fn every_story_of_a_run_with_a_liveness_probe_is_as_promised() {
    for when in POLICIES {
        let checked = Some(s(10));
        tell_all(Rules { checked, startsecs: Duration::ZERO, ..rules(when, Delays::Ours(1)) }, DEPTH);
        tell_all(Rules { checked, steps: two_steps(), ..rules(when, Delays::Supervisord(1)) }, DEPTH - 1);
    }
}
