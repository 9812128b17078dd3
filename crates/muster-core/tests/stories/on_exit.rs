//! `on_exit`: what certain ends mean, and which ends have no rule.

use std::time::Duration;

use muster_core::{Event, Input, StopCause};
use muster_spec::{
    DependencyCondition, Essential, ExitAction, ExitMatch, ExitRule, ExitRules, ProgramSpec, RestartWhen, Rolling,
    Signal, State,
};

use crate::common::programs::{job, missing, ms, needs, probe, probed, program, quick, ranked, s, several, when};
use crate::stage::Stage;

fn ruled(spec: ProgramSpec, rules: &[(ExitMatch, ExitAction)]) -> ProgramSpec {
    let mut on_exit = ExitRules::default();
    for &(on, then) in rules {
        assert_eq!(on_exit.add(ExitRule { on, then }), Ok(()));
    }
    ProgramSpec { on_exit, ..spec }
}

fn on(code: u8, then: ExitAction) -> [(ExitMatch, ExitAction); 1] {
    [(ExitMatch::Status(code), then)]
}

fn verdict(stage: &Stage, name: &str) -> String {
    let past = stage.core.find(name).and_then(|one| one.past().next_back());
    past.map(|past| past.explain(&[0])).unwrap_or_default()
}

#[test]
fn a_status_may_be_the_end_of_a_program_that_is_always_restarted() {
    let spec = ProgramSpec { restart: when(RestartWhen::Always), ..quick("web") };
    let mut stage = Stage::booted([ruled(spec, &on(78, ExitAction::Stop))]);
    stage.exits("web", 78);
    stage.stands("web EXITED");
    assert_eq!(verdict(&stage, "web"), "on_exit 78: not restarted");
}

#[test]
fn a_status_may_give_it_up_with_retries_left() {
    let mut stage = Stage::booted([ruled(quick("web"), &on(78, ExitAction::Fatal))]);
    stage.exits("web", 78);
    stage.stands("web FATAL");
    assert_eq!(verdict(&stage, "web"), "on_exit 78: given up");
    stage.start("web");
    stage.stands("web STARTING");
}

#[test]
fn a_success_may_be_restarted_although_restart_is_no() {
    let spec = ProgramSpec { restart: when(RestartWhen::Never), ..quick("web") };
    let mut stage = Stage::booted([ruled(spec, &on(0, ExitAction::Restart))]);
    stage.exits("web", 0);
    stage.stands("web BACKOFF");
    assert_eq!(stage.next_start_in("web"), 500);
    assert_eq!(stage.failures("web"), 1);
}

#[test]
fn a_restart_at_once_has_no_delay_and_no_end() {
    let mut stage = Stage::booted([ruled(quick("web"), &on(75, ExitAction::RestartNow))]);
    for _ in 0..30 {
        stage.exits("web", 75);
        stage.stands("web STARTING");
        stage.spawned("web");
        stage.after(ms(2100));
        stage.stands("web RUNNING");
        assert_eq!(stage.failures("web"), 0);
    }
}

#[test]
fn a_restart_at_once_that_spins_becomes_a_restart_with_a_delay() {
    let mut stage = Stage::booted([ruled(quick("web"), &on(75, ExitAction::RestartNow))]);
    for _ in 0..5 {
        stage.exits("web", 75);
        stage.after(ms(0));
        stage.spawned("web");
    }
    stage.exits("web", 75);
    stage.stands("web BACKOFF");
    assert_eq!(stage.next_start_in("web"), 500);
    assert_eq!(stage.failures("web"), 1);
}

#[test]
fn a_signal_may_be_a_success() {
    let spec = ruled(quick("web"), &[(ExitMatch::Signal(Signal::HUP), ExitAction::Success)]);
    let mut stage = Stage::booted([spec]);
    stage.is_killed("web", Signal::HUP);
    stage.stands("web EXITED");
    let past = stage.core.find("web").and_then(|web| web.past().next_back()).expect("a run has ended");
    assert!(past.success);
    stage.start("web");
    stage.spawned("web");
    stage.is_killed("web", Signal::TERM);
    stage.stands("web BACKOFF");
}

#[test]
fn an_expected_status_may_be_a_failure() {
    let mut stage = Stage::booted([
        ruled(job("migrate"), &on(0, ExitAction::Failure)),
        needs(quick("web"), &[("migrate", DependencyCondition::Completed)]),
    ]);
    stage.exits("migrate", 0);
    stage.stands("migrate BACKOFF, web WAITING");
}

#[test]
fn a_run_that_ran_out_of_memory_has_a_rule_of_its_own() {
    let rules = [(ExitMatch::OutOfMemory, ExitAction::Fatal), (ExitMatch::AnySignal, ExitAction::Restart)];
    let mut stage = Stage::booted([ruled(quick("a"), &rules), ruled(quick("b"), &rules)]);
    stage.hand(Input::OutOfMemory { run: stage.run("a") });
    stage.is_killed("a", Signal::KILL);
    stage.is_killed("b", Signal::KILL);
    stage.stands("a FATAL, b BACKOFF");
    assert_eq!(verdict(&stage, "a"), "on_exit oom: given up");
}

#[test]
fn a_program_that_cannot_be_started_may_stay_down() {
    let mut stage = Stage::of([
        ruled(quick("a"), &[(ExitMatch::SpawnError, ExitAction::Fatal)]),
        ruled(quick("b"), &[(ExitMatch::SpawnError, ExitAction::Stop)]),
        ruled(quick("c"), &[(ExitMatch::SpawnError, ExitAction::RestartNow)]),
    ]);
    stage.hand(Input::Booted);
    for name in ["a", "b", "c"] {
        stage.spawn_fails(name, missing());
    }
    stage.stands("a FATAL, b EXITED, c STARTING");
}

#[test]
fn the_container_exits_with_the_code_of_the_rule() {
    for (code, expected) in [(3, 3), (0, 0)] {
        let mut stage = Stage::booted([ruled(quick("web"), &on(code, ExitAction::Exit)), quick("log")]);
        stage.exits("web", code);
        stage.did("sweep web with TERM, TERM strays, TERM log");
        stage.exits("log", 0);
        assert_eq!(stage.exit_code(), Some(expected));
    }
}

#[test]
fn the_container_exits_also_if_the_program_cannot_be_started() {
    let mut stage = Stage::of([ruled(quick("web"), &[(ExitMatch::SpawnError, ExitAction::Exit)])]);
    stage.hand(Input::Booted);
    stage.spawn_fails("web", missing());
    assert_eq!(stage.exit_code(), Some(127));
}

#[test]
fn a_requested_stop_is_never_looked_up() {
    let rules = [(ExitMatch::Status(0), ExitAction::Exit), (ExitMatch::AnySignal, ExitAction::RestartAll)];
    let mut stage = Stage::booted([ruled(quick("web"), &rules)]);
    stage.stop("web");
    stage.exits("web", 0);
    stage.stands("web STOPPED");
    stage.start("web");
    stage.spawned("web");
    stage.restart("web");
    stage.is_killed("web", Signal::TERM);
    stage.stands("web STARTING");
}

#[test]
fn a_run_that_musterd_failed_is_never_looked_up() {
    let live = muster_spec::ProbeSpec { failure_threshold: 1, ..probe("live", muster_spec::ProbeKind::Liveness) };
    let spec = ruled(probed(quick("web"), &[live]), &on(0, ExitAction::Exit));
    let mut stage = Stage::booted([spec]);
    stage.check_of("web", 0, false);
    stage.exits("web", 0);
    stage.stands("web BACKOFF");
    assert_eq!(stage.exit_code(), None);
}

#[test]
fn a_reload_changes_the_rules_of_the_run_that_is_there() {
    let mut stage = Stage::booted([quick("web")]);
    stage.reload([ruled(quick("web"), &on(1, ExitAction::Stop))]);
    stage.did_nothing();
    stage.exits("web", 1);
    stage.stands("web EXITED");
}

#[test]
fn all_programs_that_are_up_are_restarted_in_order() {
    let off = || ProgramSpec { autostart: false, ..ranked("off", 5) };
    let mut stage = Stage::booted([
        ruled(ranked("db", 1), &on(90, ExitAction::RestartAll)),
        ranked("app", 2),
        ranked("web", 3),
        off(),
        ProgramSpec { restart: when(RestartWhen::Never), ..ranked("done", 4) },
    ]);
    stage.exits("done", 0);
    stage.forget_deeds();
    stage.exits("db", 90);
    stage.stands("db WAITING, app RUNNING, web STOPPING, off STOPPED, done WAITING");
    stage.did("sweep db with TERM, TERM web");
    stage.exits("web", 0);
    stage.did("sweep web with TERM, TERM app");
    stage.exits("app", 0);
    stage.did("sweep app with TERM, spawn db, spawn app, spawn web, spawn done");
    assert_eq!(stage.failures("db"), 1, "it counts");
    let past = stage.core.find("app").and_then(|app| app.past().next_back()).expect("a run has ended");
    let cause = past.cause.as_ref().map(StopCause::to_string);
    assert_eq!(cause.as_deref(), Some("on_exit of a program restarted all"));
}

#[test]
fn all_are_restarted_once_in_a_while_and_the_program_alone_in_between() {
    let rule = on(90, ExitAction::RestartAll);
    let mut stage = Stage::booted([ruled(quick("a"), &rule), ruled(quick("b"), &rule), quick("c")]);
    let both_again = |stage: &mut Stage, first: &str| {
        stage.exits(first, 90);
        for name in ["a", "b", "c"].into_iter().filter(|name| *name != first) {
            stage.exits(name, 0);
        }
        ["a", "b", "c"].into_iter().for_each(|name| stage.spawned(name));
        stage.stands("a RUNNING, b RUNNING, c RUNNING");
    };
    both_again(&mut stage, "a");
    stage.after(s(5));
    stage.exits("b", 90);
    stage.stands("a RUNNING, b BACKOFF, c RUNNING");
    assert_eq!(stage.next_start_in("b"), 500);
    stage.after(ms(500));
    stage.spawned("b");
    stage.after(ms(4500));
    both_again(&mut stage, "b");
}

#[test]
fn a_program_that_has_no_other_is_restarted_at_once() {
    let mut stage = Stage::booted([ruled(quick("web"), &on(90, ExitAction::RestartAll))]);
    stage.exits("web", 90);
    stage.after(ms(0));
    stage.stands("web STARTING");
    assert_eq!(stage.failures("web"), 1);
}

#[test]
fn programs_that_roll_take_their_turns_once_the_others_are_up() {
    let web = || ProgramSpec { rolling: Some(Rolling::DEFAULT), ..several(quick("web"), 2) };
    let db = || ruled(quick("db"), &on(90, ExitAction::RestartAll));
    let mut stage = Stage::booted([db(), web()]);
    stage.exits("db", 90);
    stage.did("sweep db with TERM, spawn db");
    stage.spawned("db");
    stage.did("TERM web:0");
    stage.exits("web:0", 0);
    stage.did("sweep web:0 with TERM, spawn web:0");
    stage.spawned("web:0");
    stage.did("TERM web:1");
    // One of a program that rolls is down already, and the others follow it.
    let web = ruled(
        ProgramSpec { rolling: Some(Rolling::DEFAULT), ..several(quick("web"), 3) },
        &on(90, ExitAction::RestartAll),
    );
    let mut stage = Stage::booted([quick("db"), web]);
    stage.exits("web:1", 90);
    stage.did("sweep web:1 with TERM, TERM db");
    stage.exits("db", 0);
    stage.did("sweep db with TERM, spawn db, spawn web:1");
    ["db", "web:1"].into_iter().for_each(|name| stage.spawned(name));
    stage.did("TERM web:0");
    stage.exits("web:0", 0);
    stage.spawned("web:0");
    stage.did("sweep web:0 with TERM, spawn web:0, TERM web:2");
}

#[test]
fn a_restart_of_all_uses_up_the_retries() {
    let limited = |mut spec: ProgramSpec| {
        spec.restart.limit = muster_spec::Limit::Retries(1);
        spec
    };
    let mut stage = Stage::booted([limited(ruled(quick("a"), &on(90, ExitAction::RestartAll))), quick("b")]);
    stage.exits("a", 90);
    stage.exits("b", 0);
    stage.spawned("a");
    stage.spawned("b");
    stage.exits("a", 90);
    stage.stands("a FATAL, b RUNNING");
}

#[test]
fn a_stop_wins_over_a_restart_of_all() {
    let mut stage = Stage::booted([ruled(quick("a"), &on(90, ExitAction::RestartAll)), quick("b")]);
    stage.exits("a", 90);
    stage.stands("a WAITING, b STOPPING");
    stage.stop("a");
    stage.stands("a STOPPED, b STOPPING");
    stage.exits("b", 0);
    stage.spawned("b");
    stage.stands("a STOPPED, b RUNNING");
}

#[test]
fn leftovers_are_gone_before_all_start_again() {
    let mut stage = Stage::booted([ruled(quick("a"), &on(90, ExitAction::RestartAll)), quick("b")]);
    stage.main_ends("a", muster_spec::Exit::Code(90));
    stage.exits("b", 0);
    stage.stands("a WAITING, b WAITING");
    stage.tree_gone("a");
    stage.stands("a STARTING, b STARTING");
}

/// Its run is over in the turn of its end.
#[test]
fn a_program_that_leaves_nothing_behind_waits_for_the_others_too() {
    let kept = |mut spec: ProgramSpec| {
        spec.stop.leftovers = muster_spec::Leftovers::Keep;
        spec
    };
    let mut stage = Stage::booted([kept(ruled(quick("a"), &on(90, ExitAction::RestartAll))), quick("b")]);
    stage.main_ends("a", muster_spec::Exit::Code(90));
    stage.stands("a WAITING, b STOPPING");
    stage.exits("b", 0);
    stage.stands("a STARTING, b STARTING");

    let rule = [(ExitMatch::SpawnError, ExitAction::RestartAll)];
    let mut stage = Stage::of([ruled(quick("a"), &rule), quick("b")]);
    stage.hand(Input::Booted);
    stage.spawned("b");
    stage.spawn_fails("a", missing());
    stage.stands("a WAITING, b STOPPING");
}

#[test]
fn during_a_shutdown_no_rule_applies() {
    let rules = [(ExitMatch::Status(90), ExitAction::RestartAll), (ExitMatch::AnySignal, ExitAction::Exit)];
    let mut stage = Stage::booted([ruled(quick("a"), &rules), quick("b")]);
    stage.signal_to_daemon(Signal::TERM);
    stage.exits("a", 90);
    stage.exits("b", 0);
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn an_essential_program_that_is_stopped_by_a_rule_ends_the_container() {
    let spec = ProgramSpec { essential: Essential::OnFailure, ..quick("web") };
    let mut stage = Stage::booted([ruled(spec, &on(4, ExitAction::Stop))]);
    stage.exits("web", 4);
    assert_eq!(stage.exit_code(), Some(4));
}

#[test]
fn an_event_has_the_rule() {
    let mut stage = Stage::booted([ruled(program("web"), &on(75, ExitAction::RestartNow))]);
    stage.after(Duration::from_secs(2));
    stage.main_ends("web", muster_spec::Exit::Code(75));
    let told = stage.events.iter().find_map(|event| match event {
        Event::Retry { verdict, delay, .. } => Some((verdict.to_string(), *delay)),
        _ => None,
    });
    assert_eq!(told, Some(("on_exit 75: restart at once".to_owned(), Duration::ZERO)));
    assert_eq!(stage.core.find("web").map(|web| web.state()), Some(State::Backoff));
}
