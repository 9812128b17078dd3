//! A new configuration for running programs: which are affected, and above all which are not.

use muster_core::{Awaited, Event, Input, Settings};
use muster_spec::{ProbeKind, ProgramSpec, RestartWhen, ShutdownBudget, Signal};

use crate::common::programs::{
    SETTINGS, after, job, ms, notifying, probe, probed, program, quick, restarted_with, s, several, stop_with, when,
    with, with_command,
};
use crate::stage::Stage;

fn unless_stopped(name: &str) -> ProgramSpec {
    ProgramSpec { restart: when(RestartWhen::UnlessStopped), ..quick(name) }
}

fn other(spec: ProgramSpec) -> ProgramSpec {
    with_command(spec, "another")
}

#[test]
fn the_same_configuration_changes_nothing() {
    let mut stage = Stage::booted([quick("db"), several(quick("web"), 3)]);
    let answer = stage.reload([quick("db"), several(quick("web"), 3)]);
    stage.did_nothing();
    stage.answered(answer, "4 as before");
}

#[test]
fn added_programs_start_and_removed_ones_stop_and_are_forgotten() {
    let mut stage = Stage::booted([quick("old"), quick("web")]);
    let answer = stage.reload([quick("new"), ProgramSpec { autostart: false, ..quick("off") }, quick("web")]);
    stage.answered(answer, "add new off, remove old, 1 as before");
    stage.did("TERM old, spawn new");
    stage.spawned("new");
    stage.stands("new RUNNING, off STOPPED, web RUNNING, old STOPPING");
    let names = |stage: &Stage| stage.core.snapshot().iter().map(|one| one.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&stage), ["new", "off", "web", "old"]);
    stage.exits("old", 0);
    stage.start("web");
    assert_eq!(names(&stage), ["new", "off", "web"]);
    assert!(stage.core.find("old").is_none());
    let answer = stage.start("old");
    stage.answered(answer, "no such program: old");
}

#[test]
fn a_program_that_is_down_is_removed_immediately() {
    let mut stage = Stage::booted([ProgramSpec { autostart: false, ..quick("old") }, quick("web")]);
    stage.reload([quick("web")]);
    stage.did_nothing();
    stage.wait_for(Awaited::Running, "web");
    assert!(stage.core.find("old").is_none());
}

#[test]
fn only_programs_that_need_a_new_process_are_restarted() {
    let mut stage = Stage::booted([quick("app"), quick("db"), quick("web")]);
    let runs = ["app", "db", "web"].map(|name| stage.run(name));
    let answer = stage.reload([quick("app"), other(quick("db")), quick("web")]);
    stage.answered(answer, "restart db, 2 as before");
    stage.exits("db", 0);
    stage.did("TERM db, sweep db with TERM, spawn db");
    stage.spawned("db");
    assert_eq!([stage.run("app"), stage.run("web")], [runs[0], runs[2]]);
    assert_eq!(stage.core.find("db").map(|one| one.spec().process.command.clone()), Some(vec!["another".to_owned()]));
}

#[test]
fn rules_change_in_place_without_touching_the_run_or_its_counters() {
    let mut stage = Stage::booted([quick("web")]);
    stage.exits("web", 1);
    stage.after(ms(500));
    stage.spawned("web");
    stage.forget_deeds();
    let stop = stop_with(&[(Signal::INT, s(1))]);
    let answer = stage.reload([ProgramSpec { stop, priority: 5, restart: when(RestartWhen::Always), ..quick("web") }]);
    stage.answered(answer, "change web, 0 as before");
    stage.did_nothing();
    assert_eq!(stage.failures("web"), 1);
    stage.stop("web");
    stage.after(s(1));
    stage.did("INT web, sweep web with KILL");
}

#[test]
fn another_number_of_instances_adds_or_removes_only_those() {
    let mut stage = Stage::booted([quick("web")]);
    let run = stage.run("web");
    let answer = stage.reload(
        [several(quick("web"), 3)]
            .map(|spec| with(spec, |it| std::sync::Arc::make_mut(&mut it.process).command = vec!["web".to_owned()])),
    );
    stage.answered(answer, "add web:1 web:2, change web:0, 0 as before");
    stage.did("spawn web:1, spawn web:2");
    assert_eq!(stage.run("web:0"), run);
    stage.spawned("web:1");
    stage.spawned("web:2");
    let answer = stage.reload(
        [several(quick("web"), 2)]
            .map(|spec| with(spec, |it| std::sync::Arc::make_mut(&mut it.process).command = vec!["web".to_owned()])),
    );
    stage.answered(answer, "remove web:2, 2 as before");
    stage.did("TERM web:2");
    assert_eq!(stage.run("web:0"), run);
}

#[test]
fn an_unchanged_program_stopped_by_hand_stays_down() {
    let mut stage = Stage::booted([quick("web")]);
    stage.stop("web");
    stage.exits("web", 0);
    stage.forget_deeds();
    stage.reload([quick("web")]);
    stage.reload([ProgramSpec { priority: 1, ..quick("web") }]);
    stage.did_nothing();
}

#[test]
fn a_changed_program_stopped_by_hand_follows_autostart_except_with_unless_stopped() {
    let mut stage = Stage::booted([quick("app"), unless_stopped("web")]);
    stage.stop("all");
    stage.exits("app", 0);
    stage.exits("web", 0);
    stage.forget_deeds();
    stage.reload([other(quick("app")), other(unless_stopped("web"))]);
    stage.did("spawn app");
    stage.stands("app STARTING, web STOPPED");
    stage.start("web");
    stage.did("spawn web");
}

#[test]
fn a_changed_program_started_by_hand_is_restarted() {
    let off = || ProgramSpec { autostart: false, ..quick("debug") };
    let mut stage = Stage::booted([off()]);
    stage.start("debug");
    stage.spawned("debug");
    stage.reload([other(off())]);
    stage.exits("debug", 0);
    stage.did("spawn debug, TERM debug, sweep debug with TERM, spawn debug");
}

#[test]
fn a_program_that_gave_up_is_retried_with_a_new_command() {
    let never = || ProgramSpec { restart: when(RestartWhen::Never), ..quick("web") };
    let mut stage = Stage::of([never()]);
    stage.hand(Input::Booted);
    stage.spawn_fails("web", crate::common::programs::missing());
    stage.stands("web FATAL");
    stage.forget_deeds();
    stage.reload([ProgramSpec { priority: 1, ..never() }]);
    stage.stands("web FATAL");
    stage.reload([other(never())]);
    stage.did("spawn web");
}

#[test]
fn a_completed_job_runs_again_only_with_a_new_command() {
    let mut stage = Stage::booted([job("migrate")]);
    stage.exits("migrate", 0);
    stage.forget_deeds();
    stage.reload([ProgramSpec { priority: 1, ..job("migrate") }]);
    stage.did_nothing();
    stage.reload([other(job("migrate"))]);
    stage.did("spawn migrate");
}

#[test]
fn several_are_stopped_in_the_old_order_and_started_in_the_new() {
    let mut stage = Stage::booted([after(quick("app"), &["db"]), quick("db")]);
    stage.spawned("app");
    stage.forget_deeds();
    stage.reload([other(quick("app")), other(after(quick("db"), &["app"]))]);
    stage.did("TERM app");
    stage.exits("app", 0);
    stage.did("sweep app with TERM, TERM db");
    stage.exits("db", 0);
    stage.did("sweep db with TERM, spawn app");
    stage.waits_for("db", "app to run");
    stage.spawned("app");
    stage.did("spawn db");
}

#[test]
fn a_program_starts_when_a_reload_removes_its_unmet_dependency() {
    let mut stage = Stage::of([after(program("app"), &["db"]), program("db")]);
    stage.hand(Input::Booted);
    stage.forget_deeds();
    stage.reload([program("app"), program("db")]);
    stage.did("spawn app");
}

#[test]
fn a_new_dependency_is_started_and_running_programs_are_left_alone() {
    let mut stage = Stage::booted([quick("app")]);
    let run = stage.run("app");
    let answer = stage.reload([after(quick("app"), &["db"]), quick("db")]);
    stage.answered(answer, "add db, change app, 0 as before");
    stage.did("spawn db");
    assert_eq!(stage.run("app"), run);
}

#[test]
fn a_program_that_restarts_with_a_changed_one_is_restarted_and_in_the_plan() {
    let programs = |change: fn(ProgramSpec) -> ProgramSpec| {
        [restarted_with(after(quick("app"), &["db"]), &["db"]), change(quick("db")), quick("web")]
    };
    let mut stage = Stage::booted(programs(|spec| spec));
    stage.spawned("app");
    stage.forget_deeds();
    let answer = stage.reload(programs(other));
    stage.answered(answer, "restart app db, 1 as before");
    stage.did("TERM app");
    stage.exits("app", 0);
    stage.did("sweep app with TERM, TERM db");
    stage.exits("db", 0);
    stage.spawned("db");
    stage.did("sweep db with TERM, spawn db, spawn app");
}

#[test]
fn a_removed_program_that_returns_while_stopping_starts_again() {
    let mut stage = Stage::booted([quick("web"), quick("x")]);
    stage.reload([quick("x")]);
    stage.did("TERM web");
    stage.reload([quick("web"), quick("x")]);
    stage.did_nothing();
    stage.stands("web STOPPING, x RUNNING");
    stage.exits("web", 0);
    stage.did("sweep web with TERM, spawn web");
}

#[test]
fn new_probes_apply_to_the_current_run() {
    let mut stage = Stage::booted([probed(quick("web"), &[probe("live", ProbeKind::Liveness)])]);
    stage.check_of("web", 0, true);
    stage.reload([probed(quick("web"), &[probe("live", ProbeKind::Liveness), probe("up", ProbeKind::Readiness)])]);
    stage.did("stop checking web, check live of web, check up of web");
    stage.check_of("web", 1, true);
    stage.check_of("web", 0, true);
    stage.reload([quick("web")]);
    stage.did("stop checking web");
    stage.after(s(60));
    stage.did_nothing();
    stage.stands("web RUNNING");
}

#[test]
fn a_request_for_a_removed_program_is_answered() {
    let mut stage = Stage::booted([quick("old"), quick("web")]);
    let waits = stage.wait_for(Awaited::Exited, "old");
    let stops = stage.stop("old");
    stage.reload([quick("web")]);
    stage.exits("old", 0);
    stage.answered(stops, "old Stopped");
    stage.hand(Input::RequestExpired { request: muster_core::RequestId(999) });
    assert!(stage.core.find("old").is_none());
    stage.answered(waits, "old Cancelled!");
}

#[test]
fn a_reload_during_a_shutdown_is_refused() {
    let mut stage = Stage::booted([quick("web")]);
    stage.signal_to_daemon(Signal::TERM);
    let answer = stage.reload([quick("web"), quick("new")]);
    stage.answered(answer, "refused: shutting down");
    stage.did("TERM strays, TERM web");
    assert!(stage.core.find("new").is_none());
}

#[test]
fn a_reload_without_a_waiting_client_is_reported_too() {
    let mut stage = Stage::booted([quick("web")]);
    let programs = vec![std::sync::Arc::new(quick("new"))];
    stage.hand(Input::Reloaded { request: None, by: None, programs, settings: SETTINGS, restarts_all: false });
    let told = |event: &&Event| matches!(event, Event::Configured { plan } if plan.added == ["new"] && plan.removed == ["web"]);
    assert_eq!(stage.events.iter().filter(told).count(), 1);
}

#[test]
fn the_shutdowns_budget_is_the_new_one() {
    let mut stage = Stage::booted([quick("web")]);
    let programs = vec![std::sync::Arc::new(quick("web"))];
    let settings = Settings { shutdown_timeout: ShutdownBudget::Within(s(30)), ..SETTINGS };
    stage.hand(Input::Reloaded { request: None, by: None, programs, settings, restarts_all: false });
    stage.signal_to_daemon(Signal::TERM);
    stage.after(s(9));
    stage.did("TERM strays, TERM web");
    stage.after(s(1));
    stage.did("sweep web with KILL");
}

#[test]
fn a_thousand_reloads_leave_nothing_behind() {
    let mut stage = Stage::booted([quick("a"), quick("web")]);
    for round in 0..1000 {
        let name = if round % 2 == 0 { "b" } else { "a" };
        stage.reload([quick(name), quick("web")]);
        stage.spawned(name);
        stage.exits(if round % 2 == 0 { "a" } else { "b" }, 0);
    }
    stage.start("web");
    assert_eq!(stage.core.snapshot().len(), 2);
    stage.stands("a RUNNING, web RUNNING");
}

/// The configuration between has no place for it.
#[test]
fn a_removed_program_that_returns_stops_in_the_order_of_the_configuration_it_was_started_by() {
    let ranked = |name, priority| ProgramSpec { priority, ..quick(name) };
    let mut stage = Stage::booted([ranked("db", 1), ranked("app", 5), ranked("web", 9)]);
    stage.reload([ranked("app", 5)]);
    stage.did("TERM web");
    stage.reload([other(ranked("db", 99))]);
    stage.did("TERM app");
    stage.exits("app", 0);
    stage.did("sweep app with TERM, TERM db");
}

/// The old process cannot know the new rule, and is stopped only when its turn comes.
#[test]
fn a_run_of_before_a_readiness_rule_still_comes_up() {
    let app = ProgramSpec { priority: 1000, ..quick("app") };
    let mut stage = Stage::of([app.clone(), program("web")]);
    stage.start("all");
    stage.spawned("app");
    stage.spawned("web");
    stage.reload([other(app), notifying(program("web"))]);
    stage.did("spawn web, spawn app, TERM app");
    stage.after(s(1));
    stage.stands("web RUNNING");
    stage.is_killed("app", Signal::TERM);
    stage.did("sweep app with TERM, TERM web");
}
