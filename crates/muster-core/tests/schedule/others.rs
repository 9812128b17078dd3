//! A program with a schedule among others: dependencies, readiness, and the exit when all is done.

use muster_core::{Input, Settings, Verb};
use muster_spec::{DependencyCondition, ExitAction, ExitMatch, ExitRule, ExitRules, Overlap, ProgramSpec};

use crate::common::programs::{job, needs, quick, restarted_with, s};
use crate::stage::{Stage, timed};

fn backup() -> ProgramSpec {
    timed("backup", Overlap::Skip)
}

#[test]
fn the_daemon_is_not_done_while_a_job_is_armed() {
    let until_done = Settings { exit_when_done: true, ..Settings::DEFAULT };
    let mut stage = Stage::with(until_done, [backup(), job("once")]);
    stage.hand(Input::Booted);
    stage.spawned("once");
    stage.exits("once", 0);
    stage.is_due("backup");
    stage.spawned("backup");
    stage.exits("backup", 0);
    assert!(!stage.has_exited);
    stage.order(Verb::Stop, "backup");
    assert!(stage.has_exited, "it has ended and is no longer armed");
}

#[test]
fn readiness_neither_waits_for_a_job_nor_fails_for_one() {
    let mut stage = Stage::booted([backup(), quick("web")]);
    assert!(!stage.core.is_ready());
    stage.spawned("web");
    assert!(stage.core.is_ready());
    stage.is_due("backup");
    assert!(stage.core.is_ready());
    stage.spawned("backup");
    stage.exits("backup", 1);
    stage.stands("backup EXITED");
    assert!(stage.core.is_ready());
}

#[test]
fn completed_means_that_its_last_run_succeeded() {
    let report = needs(quick("report"), &[("backup", DependencyCondition::Completed)]);
    let mut stage = Stage::booted([backup(), report]);
    stage.stands("backup WAITING, report WAITING");
    stage.waits_for("report", "backup to complete");
    stage.is_due("backup");
    stage.spawned("backup");
    stage.exits("backup", 1);
    stage.stands("backup EXITED, report WAITING");
    // Not in vain: it runs again at its time.
    assert!(!stage.core.waits_in_vain(stage.one("report").id()));
    stage.is_due("backup");
    stage.spawned("backup");
    stage.take_deeds();
    stage.exits("backup", 0);
    stage.did("spawn report");
    // During the next run the last one still counts.
    stage.spawned("report");
    stage.is_due("backup");
    stage.order(Verb::Restart, "report");
    stage.exits("report", 0);
    stage.stands("report STARTING");
}

#[test]
fn its_own_dependencies_must_hold_at_its_time() {
    let job = needs(backup(), &[("db", DependencyCondition::Started)]);
    let mut stage = Stage::booted([quick("db"), job]);
    stage.stands("backup WAITING, db STARTING");
    stage.is_due("backup");
    stage.did("skip backup: waiting");
    stage.stands("backup WAITING");
    stage.spawned("db");
    stage.did("");
    stage.is_due("backup");
    stage.did("spawn backup");
    // A run by command waits, and a time meanwhile is skipped.
    stage.spawned("backup");
    stage.exits("backup", 0);
    stage.order(Verb::Stop, "db");
    stage.exits("db", 0);
    stage.take_deeds();
    stage.order(Verb::Start, "backup");
    stage.did("spawn db");
    stage.waits_for("backup", "db to run");
    stage.is_due("backup");
    stage.did("skip backup: waiting");
    stage.spawned("db");
    stage.did("spawn backup");
}

#[test]
fn starting_a_dependent_arms_a_job_and_does_not_run_it() {
    let report = needs(quick("report"), &[("backup", DependencyCondition::Completed)]);
    let mut stage =
        Stage::of([ProgramSpec { autostart: false, ..backup() }, ProgramSpec { autostart: false, ..report }]);
    stage.hand(Input::Booted);
    stage.did("");
    stage.order(Verb::Start, "report");
    stage.did("arm backup");
    stage.stands("backup WAITING, report WAITING");
    stage.is_due("backup");
    stage.did("spawn backup");
}

#[test]
fn others_that_restart_with_it_are_replaced_together() {
    let follower = restarted_with(quick("follower"), &["backup"]);
    let mut stage = Stage::booted([timed("backup", Overlap::Replace), follower]);
    stage.spawned("follower");
    stage.is_due("backup");
    stage.spawned("backup");
    // It restarts with every run.
    stage.take_deeds();
    stage.after(s(1));
    stage.is_due("backup");
    stage.did("SIGTERM backup, SIGTERM follower");
    stage.exits("backup", 0);
    stage.did("");
    stage.exits("follower", 0);
    stage.did("spawn backup, spawn follower");
}

/// A restart of many is no reason to run a job before its time; a name is.
#[test]
fn a_restart_of_all_leaves_armed_jobs_to_their_times() {
    let mut stage = Stage::booted([backup(), quick("web")]);
    stage.spawned("web");
    stage.take_deeds();
    for select in ["all", "*", "b*,web"] {
        let answer = stage.order(Verb::Restart, select);
        stage.did("SIGTERM web");
        stage.exits("web", 0);
        stage.did("spawn web");
        stage.spawned("web");
        stage.answered(answer, "Armed, Restarted");
        stage.stands("backup WAITING");
    }
    // One that runs is restarted.
    stage.is_due("backup");
    stage.spawned("backup");
    stage.take_deeds();
    let answer = stage.order(Verb::Restart, "b*");
    stage.did("SIGTERM backup");
    stage.exits("backup", 0);
    stage.did("spawn backup");
    stage.spawned("backup");
    stage.exits("backup", 0);
    stage.answered(answer, "Restarted");
    // Between its times it is EXITED.
    let answer = stage.order(Verb::Restart, "b*");
    stage.answered(answer, "Armed");
    stage.did("");
    stage.order(Verb::Restart, "backup");
    stage.did("spawn backup");
}

#[test]
fn a_stop_says_that_it_has_disarmed_a_job() {
    let mut stage = Stage::booted([backup()]);
    let answer = stage.order(Verb::Stop, "backup");
    stage.answered(answer, "Stopped");
    let answer = stage.order(Verb::Stop, "backup");
    stage.answered(answer, "NotRunning");
    stage.order(Verb::Start, "backup");
    stage.spawned("backup");
    stage.exits("backup", 0);
    stage.stands("backup EXITED");
    let answer = stage.order(Verb::Stop, "backup");
    stage.answered(answer, "Stopped");
    let answer = stage.order(Verb::Stop, "backup");
    stage.answered(answer, "NotRunning");
}

#[test]
fn a_rule_that_restarts_all_leaves_armed_jobs_to_their_times() {
    let mut on_exit = ExitRules::default();
    let rule = ExitRule { on: ExitMatch::Status(9), then: ExitAction::RestartAll };
    assert_eq!(on_exit.add(rule), Ok(()));
    let mut stage = Stage::booted([backup(), ProgramSpec { on_exit, ..quick("db") }, quick("web")]);
    ["db", "web"].into_iter().for_each(|name| stage.spawned(name));
    stage.take_deeds();
    stage.exits("db", 9);
    stage.did("SIGTERM web");
    stage.exits("web", 0);
    stage.did("spawn db, spawn web");
    stage.stands("backup WAITING");
}
