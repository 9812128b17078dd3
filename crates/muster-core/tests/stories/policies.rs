//! Restart policies through the whole core: which exits lead to another run, when, and how often.

use muster_spec::{Backoff, Jitter, Kind, Limit, Preset, ProgramSpec, RestartPolicy, RestartWhen, Signal};

use crate::common::programs::{missing, ms, program, quick, s, when};
use crate::stage::Stage;

fn preset(preset: Preset, when: RestartWhen) -> RestartPolicy {
    preset.policy(when)
}

/// The delays after quick failures in a row, in milliseconds, until it gives up, at most `n`.
fn delays(restart: RestartPolicy, n: usize) -> Vec<u128> {
    let mut stage = Stage::booted([ProgramSpec { restart, ..program("web") }]);
    let mut delays = Vec::new();
    for _ in 0..n {
        stage.exits("web", 1);
        let web = stage.core.find("web").expect("it is on the stage");
        if web.state().is_final() {
            break;
        }
        // With a delay of 0 it is already up again.
        let delay = web.next_start().map_or(ms(0), |at| at.since(stage.now));
        delays.push(delay.as_millis());
        stage.after(delay);
        if stage.core.find("web").expect("it is on the stage").state().is_final() {
            break;
        }
        stage.spawned("web");
    }
    delays
}

#[test]
fn ours_doubles_from_half_a_second_to_a_minute_and_gives_up_after_ten() {
    let expected = [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000];
    assert_eq!(delays(RestartPolicy::DEFAULT, 20), expected);
}

#[test]
fn docker_doubles_from_100_ms_to_a_minute_without_limit() {
    let told = delays(preset(Preset::Docker, RestartWhen::Always), 14);
    assert_eq!(told[..9], [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600]);
    assert_eq!(told[9..], [51_200, 60_000, 60_000, 60_000, 60_000]);
}

#[test]
fn kubernetes_restarts_at_once_and_then_after_10_s_doubling_to_five_minutes() {
    let told = delays(preset(Preset::Kubernetes, RestartWhen::Always), 9);
    assert_eq!(told, [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]);
}

#[test]
fn supervisord_waits_a_second_longer_each_time_and_gives_up_after_three() {
    assert_eq!(delays(preset(Preset::Supervisord, RestartWhen::OnFailure), 9), [1000, 2000, 3000]);
}

#[test]
fn supervisord_restarts_a_running_program_immediately_and_without_limit() {
    let restart = preset(Preset::Supervisord, RestartWhen::Always);
    let mut stage = Stage::booted([ProgramSpec { restart, ..program("web") }]);
    for _ in 0..50 {
        stage.after(s(1));
        stage.stands("web RUNNING");
        stage.exits("web", 1);
        stage.did("sweep web with TERM, spawn web");
        stage.spawned("web");
    }
    // A failed start has all its retries, whatever happened before.
    stage.exits("web", 1);
    assert_eq!(stage.next_start_in("web"), 1000);
}

#[test]
fn systemd_allows_five_starts_in_ten_seconds() {
    let restart = preset(Preset::Systemd, RestartWhen::Always);
    // The fifth delay passes, and the sixth start is refused.
    assert_eq!(delays(restart, 5), [100; 5]);
    // At a slightly lower rate there is no limit.
    let mut stage = Stage::booted([ProgramSpec { restart, ..quick("web") }]);
    for _ in 0..50 {
        stage.after(ms(2400));
        stage.exits("web", 1);
        stage.stands("web BACKOFF");
        stage.after(ms(100));
        stage.spawned("web");
    }
}

/// The time of the next start counts, not that of the run's end.
#[test]
fn systemds_window_is_over_when_the_next_start_lies_after_it() {
    for (fifth_end, state) in [(ms(9_900), "web FATAL"), (ms(9_901), "web STARTING")] {
        let mut stage =
            Stage::booted([ProgramSpec { restart: preset(Preset::Systemd, RestartWhen::Always), ..quick("web") }]);
        for _ in 0..4 {
            stage.exits("web", 1);
            stage.after(ms(100));
            stage.spawned("web");
        }
        stage.after(fifth_end - ms(400));
        stage.exits("web", 1);
        stage.stands("web BACKOFF");
        stage.after(ms(100));
        stage.stands(state);
    }
}

#[test]
fn a_manual_start_counts_in_systemds_window() {
    let restart = preset(Preset::Systemd, RestartWhen::Always);
    let mut stage = Stage::booted([ProgramSpec { restart, ..quick("web") }]);
    for _ in 0..4 {
        stage.exits("web", 1);
        stage.after(ms(100));
        stage.spawned("web");
    }
    for _ in 0..3 {
        stage.exits("web", 1);
        stage.stands("web BACKOFF");
        stage.after(ms(100));
        stage.stands("web FATAL");
        // A manual start always works.
        stage.start("web");
        stage.spawned("web");
    }
    stage.after(s(10));
    stage.exits("web", 1);
    stage.after(ms(100));
    stage.stands("web STARTING");
}

#[test]
fn a_start_refused_after_its_delay_is_fatal_too() {
    let restart = preset(Preset::Systemd, RestartWhen::Always);
    let mut stage = Stage::booted([ProgramSpec { restart, ..quick("web") }]);
    for _ in 0..4 {
        stage.exits("web", 1);
        stage.after(ms(100));
        stage.spawned("web");
    }
    stage.main_ends("web", muster_spec::Exit::Code(1));
    stage.after(ms(200));
    stage.stands("web BACKOFF");
    stage.tree_gone("web");
    stage.stands("web FATAL");
}

#[test]
fn systemd_takes_death_of_some_signals_for_a_success() {
    let of = |restart, kind| ProgramSpec { restart, kind, ..quick("web") };
    let systemd = preset(Preset::Systemd, RestartWhen::OnFailure);
    for (spec, signal, state) in [
        (of(systemd, Kind::Service), Signal::TERM, "web EXITED"),
        (of(systemd, Kind::Service), Signal::PIPE, "web EXITED"),
        (of(systemd, Kind::Service), Signal::KILL, "web BACKOFF"),
        (of(systemd, Kind::Oneshot), Signal::TERM, "web BACKOFF"),
        (of(RestartPolicy::DEFAULT, Kind::Service), Signal::TERM, "web BACKOFF"),
    ] {
        let mut stage = Stage::booted([spec]);
        stage.is_killed("web", signal);
        stage.stands(state);
    }
}

#[test]
fn a_start_that_fails_is_the_last_under_docker_and_retried_under_supervisord() {
    for (preset, when, state) in [
        (Preset::Docker, RestartWhen::Always, "web FATAL"),
        (Preset::Supervisord, RestartWhen::Never, "web BACKOFF"),
        (Preset::Systemd, RestartWhen::Never, "web FATAL"),
    ] {
        let mut stage = Stage::of([ProgramSpec { restart: preset.policy(when), ..program("web") }]);
        stage.start("web");
        stage.spawn_fails("web", missing());
        stage.stands(state);
    }
    let restart = Preset::Supervisord.policy(RestartWhen::Never);
    let mut stage = Stage::booted([ProgramSpec { restart, ..program("web") }]);
    stage.exits("web", 0);
    stage.stands("web BACKOFF");
}

/// A worker that exits with 0 after each batch of work.
#[test]
fn always_restarts_after_successes_without_limit() {
    let mut stage = Stage::booted([ProgramSpec { restart: when(RestartWhen::Always), ..quick("web") }]);
    for _ in 0..100 {
        stage.after(s(5));
        stage.exits("web", 0);
        assert_eq!((stage.next_start_in("web"), stage.failures("web")), (500, 0));
        stage.after(ms(500));
        stage.spawned("web");
    }
}

#[test]
fn no_retries_is_fatal_at_the_first_failure() {
    let restart = RestartPolicy { limit: Limit::Retries(0), ..RestartPolicy::DEFAULT };
    let mut stage = Stage::booted([ProgramSpec { restart, ..quick("web") }]);
    stage.exits("web", 1);
    stage.stands("web FATAL");
}

#[test]
fn unlimited_never_gives_up() {
    let backoff = Backoff { max: s(1), ..Backoff::DEFAULT };
    let restart = RestartPolicy { limit: Limit::Unlimited, backoff, ..RestartPolicy::DEFAULT };
    assert_eq!(delays(restart, 1000).len(), 1000);
}

#[test]
fn failed_spawns_early_exits_and_crashes_are_counted_together() {
    let restart = RestartPolicy { limit: Limit::Retries(3), ..RestartPolicy::DEFAULT };
    let mut stage = Stage::of([ProgramSpec { restart, ..program("web") }]);
    stage.start("web");
    stage.spawn_fails("web", missing());
    assert_eq!(stage.next_start_in("web"), 500);
    stage.after(ms(500));
    stage.spawned("web");
    stage.exits("web", 1);
    assert_eq!(stage.next_start_in("web"), 1000);
    stage.after(s(1));
    stage.spawned("web");
    stage.after(s(5));
    stage.is_killed("web", Signal::KILL);
    assert_eq!(stage.next_start_in("web"), 2000);
    stage.after(s(2));
    stage.spawn_fails("web", missing());
    stage.stands("web FATAL");
}

#[test]
fn the_count_is_reset_once_a_run_has_been_up_for_ten_seconds() {
    for (up_for, failures_shown, delay) in [(ms(9_999), 1, 1000), (s(10), 0, 500)] {
        let mut stage = Stage::booted([quick("web")]);
        stage.exits("web", 1);
        stage.after(ms(500));
        stage.spawned("web");
        stage.after(up_for);
        assert_eq!(stage.failures("web"), failures_shown);
        stage.exits("web", 1);
        assert_eq!(stage.next_start_in("web"), delay);
    }
}

#[test]
fn which_ends_are_followed_by_another_run() {
    for (policy, after_success, after_failure) in [
        (RestartWhen::Never, "EXITED", "EXITED"),
        (RestartWhen::OnFailure, "EXITED", "BACKOFF"),
        (RestartWhen::Always, "BACKOFF", "BACKOFF"),
        (RestartWhen::UnlessStopped, "BACKOFF", "BACKOFF"),
    ] {
        for (code, state) in [(0, after_success), (1, after_failure)] {
            let mut stage = Stage::booted([ProgramSpec { restart: when(policy), ..quick("web") }]);
            stage.exits("web", code);
            stage.stands(&format!("web {state}"));
        }
    }
}

#[test]
fn a_requested_stop_is_never_followed_by_another_run() {
    for policy in [RestartWhen::OnFailure, RestartWhen::Always, RestartWhen::UnlessStopped] {
        let mut stage = Stage::booted([ProgramSpec { restart: when(policy), ..quick("web") }]);
        stage.stop("web");
        stage.exits("web", 1);
        stage.after(s(10_000));
        stage.did("TERM web, sweep web with TERM");
        stage.stands("web STOPPED");
    }
}

#[test]
fn jitter_spreads_the_delays_and_the_seed_repeats_them() {
    let backoff = Backoff { jitter: Jitter::Add(0.5), ..Backoff::DEFAULT };
    let told = delays(RestartPolicy { backoff, ..RestartPolicy::DEFAULT }, 5);
    let nominal = [500, 1000, 2000, 4000, 8000];
    assert!(told.iter().zip(nominal).all(|(&told, nominal)| (nominal..=nominal * 3 / 2).contains(&told)), "{told:?}");
    assert_ne!(told, nominal);
    assert_eq!(told, delays(RestartPolicy { backoff, ..RestartPolicy::DEFAULT }, 5));
}

#[test]
fn a_manual_start_keeps_the_failure_count_if_so_configured_but_not_after_giving_up() {
    let restart = RestartPolicy { limit: Limit::Retries(2), forgive_on_start: false, ..RestartPolicy::DEFAULT };
    let mut stage = Stage::booted([ProgramSpec { restart, ..program("web") }]);
    stage.exits("web", 1);
    assert_eq!(stage.failures("web"), 1);
    stage.start("web");
    stage.exits("web", 1);
    assert_eq!((stage.failures("web"), stage.next_start_in("web")), (2, 1000));
    stage.stop("web");
    stage.start("web");
    stage.exits("web", 1);
    stage.stands("web FATAL");
    stage.start("web");
    stage.exits("web", 1);
    assert_eq!((stage.failures("web"), stage.next_start_in("web")), (1, 500));
    stage.restart("web");
    stage.exits("web", 1);
    assert_eq!(stage.failures("web"), 2);
}
