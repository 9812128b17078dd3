//! One program: what a time does in each state, and what commands, failures and reloads do to it.

use std::time::Duration;

use muster_core::{Input, Verb};
use muster_spec::{
    ExitAction, ExitMatch, ExitRule, ExitRules, Overlap, ProgramSpec, RestartWhen, ScheduleSpec, ScheduleTimes,
};

use crate::common::programs::{job, quick, s, when};
use crate::stage::{Stage, scheduled, timed};

fn every(seconds: u64) -> ScheduleSpec {
    ScheduleSpec::of(vec![ScheduleTimes::Every(s(seconds))])
}

/// A job in this state, and no effect to report yet.
fn in_state(state: &str, overlap: Overlap) -> Stage {
    let retried = ProgramSpec { restart: when(RestartWhen::OnFailure), ..timed("job", overlap) };
    let mut stage = Stage::booted([if state == "BACKOFF" { retried } else { timed("job", overlap) }]);
    if !matches!(state, "WAITING" | "STOPPED") {
        stage.is_due("job");
    }
    if !matches!(state, "WAITING" | "STOPPED" | "STARTING") {
        stage.spawned("job");
    }
    match state {
        "EXITED" => stage.exits("job", 0),
        "BACKOFF" => stage.exits("job", 1),
        "STOPPED" => drop(stage.order(Verb::Stop, "job")),
        // Another run follows.
        "STOPPING" => drop(stage.order(Verb::Restart, "job")),
        _ => {}
    }
    stage.stands(&format!("job {state}"));
    stage.take_deeds();
    stage
}

#[test]
fn a_time_does_in_each_state_what_the_table_says() {
    use Overlap::{Queue, Replace, Skip};
    for (state, overlap, deeds, then) in [
        ("STOPPED", Skip, "", "STOPPED"),
        ("WAITING", Skip, "spawn job", "STARTING"),
        ("EXITED", Skip, "spawn job", "STARTING"),
        ("BACKOFF", Skip, "spawn job", "STARTING"),
        ("STARTING", Skip, "skip job: running", "STARTING"),
        ("RUNNING", Skip, "skip job: running", "RUNNING"),
        ("STOPPING", Skip, "skip job: running", "STOPPING"),
        ("STARTING", Queue, "", "STARTING"),
        ("RUNNING", Queue, "", "RUNNING"),
        ("STOPPING", Queue, "skip job: queued", "STOPPING"),
        ("STARTING", Replace, "SIGTERM job", "STOPPING"),
        ("RUNNING", Replace, "SIGTERM job", "STOPPING"),
        ("STOPPING", Replace, "skip job: queued", "STOPPING"),
    ] {
        let mut stage = in_state(state, overlap);
        stage.is_due("job");
        assert_eq!(stage.take_deeds(), deeds, "{state} {overlap:?}");
        assert_eq!(stage.one("job").state().to_string(), then, "{state} {overlap:?}");
    }
}

#[test]
fn a_failed_job_waits_for_its_next_time() {
    let mut stage = in_state("RUNNING", Overlap::Skip);
    stage.exits("job", 1);
    stage.stands("job EXITED");
    stage.after(s(86_400));
    stage.did("");
    stage.is_due("job");
    stage.did("spawn job");
}

#[test]
fn a_time_supersedes_a_retry_and_begins_a_new_count() {
    let mut stage = in_state("BACKOFF", Overlap::Skip);
    assert_eq!(stage.one("job").failures(stage.now), 1);
    stage.is_due("job");
    stage.did("spawn job");
    assert_eq!(stage.one("job").failures(stage.now), 0);
    stage.after(s(20));
    stage.did("");
}

#[test]
fn a_job_that_was_given_up_starts_at_its_next_time() {
    let policy = when(RestartWhen::OnFailure);
    let policy = muster_spec::RestartPolicy { limit: muster_spec::Limit::Retries(0), ..policy };
    let mut stage = Stage::booted([ProgramSpec { restart: policy, ..timed("job", Overlap::Skip) }]);
    stage.is_due("job");
    stage.spawned("job");
    stage.exits("job", 1);
    stage.stands("job FATAL");
    stage.is_due("job");
    stage.stands("job STARTING");
}

#[test]
fn one_run_is_queued_and_no_more() {
    let mut stage = in_state("RUNNING", Overlap::Queue);
    stage.is_due("job");
    stage.is_due("job");
    stage.did("skip job: queued");
    stage.main_ends("job", 1);
    stage.did("");
    stage.stands("job WAITING");
    stage.tree_gone("job");
    stage.did("spawn job");
    stage.spawned("job");
    stage.exits("job", 0);
    stage.stands("job EXITED");
    stage.after(s(3600));
    stage.did("");
}

#[test]
fn a_queued_run_is_forgotten_when_it_is_stopped() {
    let mut stage = in_state("RUNNING", Overlap::Queue);
    stage.is_due("job");
    stage.order(Verb::Stop, "job");
    stage.exits("job", 0);
    stage.order(Verb::StartLater, "job");
    stage.take_deeds();
    stage.is_due("job");
    stage.spawned("job");
    stage.exits("job", 0);
    stage.did("spawn job");
    stage.stands("job EXITED");
}

#[test]
fn a_replaced_run_is_stopped_by_its_plan_and_then_started() {
    let mut stage = in_state("RUNNING", Overlap::Replace);
    stage.is_due("job");
    stage.after(s(10));
    stage.did("SIGTERM job, SIGKILL job");
    stage.exits("job", 143);
    stage.did("SIGKILL job, spawn job");
    stage.stands("job STARTING");
}

#[test]
fn stop_disarms_and_start_arms_and_runs_now() {
    let mut stage = in_state("RUNNING", Overlap::Skip);
    let stop = stage.order(Verb::Stop, "job");
    stage.did("disarm job, SIGTERM job");
    stage.is_due("job");
    stage.exits("job", 0);
    stage.did("");
    stage.answered(stop, "Stopped");
    let start = stage.order(Verb::Start, "job");
    stage.did("arm job, spawn job");
    stage.spawned("job");
    stage.answered(start, "Started");
}

#[test]
fn start_runs_an_armed_job_now_and_leaves_its_times_alone() {
    for state in ["WAITING", "EXITED"] {
        let mut stage = in_state(state, Overlap::Skip);
        stage.order(Verb::Start, "job");
        stage.did("spawn job");
    }
}

#[test]
fn start_later_only_arms() {
    let mut stage = in_state("STOPPED", Overlap::Skip);
    stage.waits_for("job", "");
    let later = stage.order(Verb::StartLater, "job");
    stage.did("arm job");
    stage.answered(later, "Armed");
    stage.stands("job WAITING");
    stage.waits_for("job", "its time");
    stage.is_due("job");
    stage.did("spawn job");
    let mut plain = Stage::booted([job("plain")]);
    let later = plain.order(Verb::StartLater, "plain");
    plain.answered(later, "NotScheduled!");
}

#[test]
fn start_later_while_it_stops_waits_for_its_time() {
    let mut stage = in_state("RUNNING", Overlap::Skip);
    stage.order(Verb::Stop, "job");
    stage.order(Verb::StartLater, "job");
    stage.exits("job", 0);
    stage.stands("job WAITING");
    stage.did("disarm job, SIGTERM job, arm job");
    stage.waits_for("job", "its time");
}

#[test]
fn a_time_while_it_stops_with_a_later_start_starts_it_after_the_stop_if_it_may_queue() {
    for (overlap, deeds) in [(Overlap::Queue, "spawn job"), (Overlap::Skip, "skip job: running")] {
        let mut stage = in_state("RUNNING", overlap);
        stage.order(Verb::Stop, "job");
        stage.order(Verb::StartLater, "job");
        stage.take_deeds();
        stage.is_due("job");
        stage.exits("job", 0);
        stage.did(deeds);
    }
}

#[test]
fn restart_runs_it_again() {
    let mut stage = in_state("RUNNING", Overlap::Skip);
    stage.order(Verb::Restart, "job");
    stage.exits("job", 0);
    stage.did("SIGTERM job, spawn job");
    for state in ["WAITING", "EXITED"] {
        let mut stage = in_state(state, Overlap::Skip);
        stage.order(Verb::Restart, "job");
        stage.did("spawn job");
    }
}

#[test]
fn run_on_start_runs_at_boot_and_not_at_a_reload_of_what_there_is() {
    let now = ScheduleSpec { run_on_start: true, ..every(60) };
    let mut stage = Stage::of([scheduled("job", now.clone())]);
    stage.hand(Input::Booted);
    stage.did("arm job, spawn job");
    stage.spawned("job");
    stage.exits("job", 0);
    stage.reload([scheduled("job", ScheduleSpec { jitter: s(1), ..now.clone() }), scheduled("other", now)]);
    stage.did("arm job, arm other, spawn other");
}

#[test]
fn an_interval_counts_from_start_to_start() {
    let mut stage = Stage::booted([scheduled("job", every(60))]);
    stage.after(s(59));
    stage.did("");
    stage.after(s(1));
    stage.did("spawn job");
    stage.spawned("job");
    stage.after(s(40));
    stage.exits("job", 0);
    stage.take_deeds();
    stage.after(s(19));
    stage.did("");
    stage.after(s(1));
    stage.did("spawn job");
}

#[test]
fn intervals_that_passed_while_the_daemon_did_not_run_are_one_run() {
    let mut stage = Stage::booted([scheduled("job", every(60))]);
    stage.oversleeps(s(210));
    stage.did("skip job: missed 2, spawn job");
    assert_eq!(stage.one("job").next_due(), Some(stage.now + s(30)));
}

#[test]
fn a_random_delay_is_shorter_than_jitter_and_than_the_time_to_the_next() {
    let schedule =
        ScheduleSpec { jitter: s(600), ..timed("job", Overlap::Skip).schedule.map(|it| *it).expect("it has one") };
    let mut stage = Stage::booted([scheduled("job", schedule)]);
    let mut delays = Vec::new();
    for _ in 0..200 {
        let began = stage.now;
        stage.hand(Input::Due { instance: stage.one("job").id(), next_in: Some(s(300)) });
        let at = stage.one("job").next_due().expect("it is delayed");
        stage.after(at.since(began));
        assert_eq!(stage.take_deeds(), "spawn job");
        delays.push(at.since(began));
        stage.spawned("job");
        stage.exits("job", 0);
        stage.take_deeds();
    }
    assert!(delays.iter().all(|delay| *delay < s(300)), "{delays:?}");
    assert!(delays.iter().min() < Some(&s(10)) && delays.iter().max() > Some(&s(290)), "{delays:?}");
    // Stopped meanwhile.
    stage.is_due("job");
    stage.order(Verb::Stop, "job");
    stage.after(s(1000));
    stage.did("disarm job");
}

#[test]
fn another_schedule_takes_effect_in_place() {
    let mut stage = in_state("RUNNING", Overlap::Queue);
    stage.reload([scheduled("job", every(10))]);
    stage.did("arm job");
    stage.stands("job RUNNING");
    stage.after(s(10));
    stage.did("skip job: running");
    // Without one it is a job like any other: done.
    stage.exits("job", 0);
    stage.reload([ProgramSpec { schedule: None, ..scheduled("job", every(10)) }]);
    stage.did("disarm job");
    stage.after(s(100));
    stage.did("");
    stage.stands("job EXITED");
}

#[test]
fn a_program_that_waited_for_its_time_starts_when_its_schedule_is_removed() {
    let mut stage = in_state("WAITING", Overlap::Queue);
    stage.reload([ProgramSpec { schedule: None, ..timed("job", Overlap::Queue) }]);
    stage.did("disarm job, spawn job");
}

#[test]
fn a_removed_program_is_disarmed() {
    let mut stage = in_state("WAITING", Overlap::Queue);
    stage.reload([job("other")]);
    stage.did("disarm job, spawn other");
}

#[test]
fn no_time_counts_during_the_shutdown() {
    let mut stage = in_state("RUNNING", Overlap::Replace);
    stage.shutdown();
    stage.is_due("job");
    stage.did("disarm job, SIGTERM job");
    stage.exits("job", 0);
    stage.did("exit 0");
}

#[test]
fn missed_times_are_counted_only_while_it_is_armed() {
    let mut stage = in_state("WAITING", Overlap::Skip);
    let instance = stage.one("job").id();
    stage.hand(Input::DueMissed { instance, times: 3 });
    stage.did("skip job: missed 3");
    stage.order(Verb::Stop, "job");
    stage.take_deeds();
    stage.hand(Input::DueMissed { instance, times: 3 });
    stage.hand(Input::Due { instance: muster_spec::InstanceId(99), next_in: Some(Duration::ZERO) });
    stage.did("");
}

#[test]
fn a_queued_run_does_not_keep_the_container_from_ending() {
    let mut on_exit = ExitRules::default();
    on_exit.add(ExitRule { on: ExitMatch::Status(3), then: ExitAction::Exit }).expect("it is the only one");
    let mut stage = Stage::booted([ProgramSpec { on_exit, ..timed("job", Overlap::Queue) }, quick("web")]);
    stage.is_due("job");
    stage.spawned("job");
    stage.spawned("web");
    stage.is_due("job");
    stage.exits("job", 3);
    stage.stands("job EXITED");
    stage.stands("web STOPPING");
}
