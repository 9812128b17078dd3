//! Rolling restarts: one instance after another, each only while the others serve.

use std::num::NonZeroU32;

use muster_core::{Event, StepOutcome, Verb};
use muster_spec::{
    CheckSpec, DependencyCondition, HostPort, ProbeKind, ProgramSpec, ReadySpec, Rolling, RollingWait, Signal,
};

use crate::common::programs::{missing, ms, needs, notifying, probe, probed, quick, s, several, with, with_command};
use crate::stage::Stage;

pub const fn at_a_time(parallel: u32) -> Rolling {
    match NonZeroU32::new(parallel) {
        Some(parallel) => Rolling { parallel, ..Rolling::DEFAULT },
        None => panic!("at least one"),
    }
}

pub fn rolling(spec: ProgramSpec, rolling: Rolling) -> ProgramSpec {
    ProgramSpec { rolling: Some(rolling), ..spec }
}

/// Three instances that report readiness.
pub fn three() -> ProgramSpec {
    rolling(notifying(several(quick("web"), 3)), at_a_time(1))
}

/// All three are ready.
fn up(program: ProgramSpec) -> Stage {
    let mut stage = Stage::booted([program]);
    all_ready(&mut stage);
    stage
}

pub fn all_ready(stage: &mut Stage) {
    (0..3).for_each(|index| stage.says_ready(&format!("web:{index}")));
    stage.forget_deeds();
}

/// The instance exits as it was asked to, and its next run becomes ready.
pub fn is_renewed(stage: &mut Stage, name: &str) {
    stage.exits(name, 0);
    stage.spawned(name);
    stage.says_ready(name);
}

/// Checks the effects since the last check, without the sweeps that follow every end.
#[track_caller]
pub fn did(stage: &mut Stage, expected: &str) {
    let deeds = stage.deeds().into_iter().filter(|deed| !deed.starts_with("sweep"));
    assert_eq!(deeds.collect::<Vec<_>>().join(", "), expected, "at {}", stage.now);
}

fn steps(stage: &Stage) -> Vec<String> {
    let told = stage.events.iter().filter_map(|event| match event {
        Event::Rolling(step) => Some((step, stage.core.instance(step.instance).name())),
        _ => None,
    });
    told.map(|(step, name)| match &step.outcome {
        StepOutcome::Failed(why) => format!("{name} {} of {} failed: {why}", step.step, step.of),
        outcome => format!("{name} {} of {} {}", step.step, step.of, outcome.word()),
    })
    .collect()
}

#[test]
fn one_instance_after_another_is_restarted_each_once_the_one_before_is_ready() {
    let mut stage = up(three());
    let answer = stage.restart("web:*");
    did(&mut stage, "TERM web:0");
    stage.exits("web:0", 0);
    did(&mut stage, "spawn web:0");
    stage.spawned("web:0");
    did(&mut stage, "");
    stage.says_ready("web:0");
    did(&mut stage, "TERM web:1");
    is_renewed(&mut stage, "web:1");
    did(&mut stage, "spawn web:1, TERM web:2");
    stage.not_answered(answer);
    is_renewed(&mut stage, "web:2");
    stage.answered(answer, "web:0 Restarted, web:1 Restarted, web:2 Restarted");
    assert_eq!(
        steps(&stage),
        [
            "web:0 1 of 3 began",
            "web:0 1 of 3 done",
            "web:1 2 of 3 began",
            "web:1 2 of 3 done",
            "web:2 3 of 3 began",
            "web:2 3 of 3 done"
        ]
    );
}

#[test]
fn the_command_alone_asks_for_it_and_says_how_many_at_a_time() {
    let mut stage = up(notifying(several(quick("web"), 3)));
    let answer = stage.ask(Verb::Roll { parallel: at_a_time(2).parallel }, "web");
    did(&mut stage, "TERM web:0, TERM web:1");
    is_renewed(&mut stage, "web:1");
    did(&mut stage, "spawn web:1");
    is_renewed(&mut stage, "web:0");
    did(&mut stage, "spawn web:0, TERM web:2");
    is_renewed(&mut stage, "web:2");
    stage.answered(answer, "web:0 Restarted, web:1 Restarted, web:2 Restarted");
    let mut stage = up(notifying(several(quick("web"), 3)));
    stage.restart("web:*");
    did(&mut stage, "TERM web:0, TERM web:1, TERM web:2");
}

#[test]
fn a_pause_follows_each_step_but_the_last() {
    let mut stage = up(rolling(three(), Rolling { pause: s(5), ..at_a_time(2) }));
    let answer = stage.restart("web:*");
    is_renewed(&mut stage, "web:0");
    is_renewed(&mut stage, "web:1");
    stage.forget_deeds();
    stage.after(ms(4_999));
    did(&mut stage, "");
    stage.after(ms(1));
    did(&mut stage, "TERM web:2");
    is_renewed(&mut stage, "web:2");
    stage.answered(answer, "web:0 Restarted, web:1 Restarted, web:2 Restarted");
}

#[test]
fn a_new_run_that_fails_ends_the_roll_and_the_rest_keeps_its_processes() {
    let mut stage = up(three());
    let answer = stage.restart("web:*");
    is_renewed(&mut stage, "web:0");
    stage.exits("web:1", 0);
    stage.spawned("web:1");
    stage.exits("web:1", 3);
    stage.answered(
        answer,
        "web:0 Restarted, web:1 RollFailed(\"exit status 3\")!, web:2 RollEnded { by: \"web:1: exit status 3\" }!",
    );
    assert_eq!(steps(&stage).last().map(String::as_str), Some("web:1 2 of 3 failed: exit status 3"));
    stage.stands("web:0 RUNNING, web:1 BACKOFF, web:2 RUNNING");
    // The failed one goes on by its policy.
    stage.after(s(3));
    stage.forget_deeds();
    assert_eq!(stage.core.rolling(stage.core.snapshot()[0].id()), None);
}

#[test]
fn a_run_that_is_not_ready_in_time_or_cannot_be_spawned_ends_the_roll() {
    let mut stage = up(three());
    let answer = stage.restart("web:*");
    stage.exits("web:0", 0);
    stage.spawned("web:0");
    stage.after(s(60));
    stage.exits("web:0", 0);
    let rest = "web:1 RollEnded { by: \"web:0: start_timeout\" }!, web:2 RollEnded { by: \"web:0: start_timeout\" }!";
    stage.answered(answer, &format!("web:0 RollFailed(\"start_timeout\")!, {rest}"));
    let mut stage = up(three());
    let answer = stage.restart("web:*");
    stage.exits("web:0", 0);
    stage.spawn_fails("web:0", missing());
    let why = "spawn error: /usr/bin/postgre: no such file";
    let rest = format!("web:1 RollEnded {{ by: \"web:0: {why}\" }}!, web:2 RollEnded {{ by: \"web:0: {why}\" }}!");
    stage.answered(answer, &format!("web:0 RollFailed(\"{why}\")!, {rest}"));
}

#[test]
fn the_next_step_waits_until_the_others_are_as_ready_as_at_the_beginning() {
    let mut stage = up(three());
    let answer = stage.restart("web:*");
    stage.exits("web:0", 0);
    stage.spawned("web:0");
    // Another one crashes meanwhile.
    stage.exits("web:2", 1);
    stage.forget_deeds();
    stage.says_ready("web:0");
    did(&mut stage, "");
    stage.after(s(2));
    did(&mut stage, "spawn web:2");
    stage.spawned("web:2");
    did(&mut stage, "");
    stage.says_ready("web:2");
    did(&mut stage, "TERM web:1");
    // It has had a new process since the command.
    is_renewed(&mut stage, "web:1");
    did(&mut stage, "spawn web:1");
    stage.answered(answer, "web:0 Restarted, web:1 Restarted, web:2 Restarted");
}

#[test]
fn an_instance_that_was_not_ready_at_the_beginning_is_not_waited_for_before_its_turn() {
    let mut stage = Stage::booted([three()]);
    stage.says_ready("web:0");
    stage.says_ready("web:1");
    stage.exits("web:2", 1);
    stage.forget_deeds();
    let answer = stage.restart("web:*");
    did(&mut stage, "TERM web:0");
    is_renewed(&mut stage, "web:0");
    is_renewed(&mut stage, "web:1");
    // Its turn cuts its delay short.
    did(&mut stage, "spawn web:0, TERM web:1, spawn web:1, spawn web:2");
    stage.spawned("web:2");
    stage.says_ready("web:2");
    stage.answered(answer, "web:0 Restarted, web:1 Restarted, web:2 Restarted");
}

#[test]
fn another_instance_that_is_down_for_good_ends_the_roll() {
    let give_up = |spec: ProgramSpec| ProgramSpec {
        restart: crate::common::programs::when(muster_spec::RestartWhen::Never),
        ..spec
    };
    let mut stage = up(give_up(three()));
    let answer = stage.restart("web:*");
    stage.exits("web:0", 0);
    stage.spawned("web:0");
    stage.exits("web:2", 1);
    stage.says_ready("web:0");
    stage
        .answered(answer, "web:0 Restarted, web:1 RollEnded { by: \"web:2: EXITED\" }!, web:2 RollFailed(\"EXITED\")!");
}

#[test]
fn an_instance_that_is_stopped_is_passed_over_and_all_that_are_stopped_are_started_together() {
    let mut stage = up(three());
    stage.stop("web:1");
    stage.exits("web:1", 0);
    stage.forget_deeds();
    let answer = stage.restart("web:*");
    is_renewed(&mut stage, "web:0");
    is_renewed(&mut stage, "web:2");
    did(&mut stage, "TERM web:0, spawn web:0, TERM web:2, spawn web:2");
    stage.answered(answer, "web:0 Restarted, web:1 NotRunning, web:2 Restarted");
    stage.stop("web:*");
    ["web:0", "web:2"].into_iter().for_each(|name| stage.exits(name, 0));
    stage.forget_deeds();
    stage.restart("web:*");
    did(&mut stage, "spawn web:0, spawn web:1, spawn web:2");
}

#[test]
fn a_single_instance_is_restarted_as_ever() {
    let mut stage = up(three());
    let answer = stage.restart("web:1");
    did(&mut stage, "TERM web:1");
    stage.exits("web:1", 0);
    stage.spawned("web:1");
    stage.not_answered(answer);
    stage.says_ready("web:1");
    stage.answered(answer, "web:1 Restarted");
    assert!(steps(&stage).is_empty());
    let mut stage = Stage::booted([quick("web")]);
    let answer = stage.ask(Verb::Roll { parallel: NonZeroU32::MIN }, "web");
    stage.exits("web", 0);
    stage.spawned("web");
    stage.answered(answer, "web RestartedAtOnce");
}

#[test]
fn a_stop_a_removal_and_a_shutdown_end_a_roll() {
    let cancelled = "web:0 Cancelled!, web:1 Cancelled!, web:2 Cancelled!";
    let mut stage = up(three());
    let answer = stage.restart("web:*");
    stage.stop("web:2");
    stage.answered(answer, cancelled);
    assert_eq!(steps(&stage), ["web:0 1 of 3 began", "web:0 1 of 3 cancelled"]);
    stage.forget_deeds();
    is_renewed(&mut stage, "web:0");
    did(&mut stage, "spawn web:0");
    let mut stage = up(three());
    let answer = stage.restart("web:*");
    stage.reload([]);
    stage.answered(answer, cancelled);
    let mut stage = up(three());
    let answer = stage.restart("web:*");
    stage.signal_to_daemon(Signal::TERM);
    stage.answered(answer, cancelled);
    (0..3).for_each(|index| stage.exits(&format!("web:{index}"), 0));
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn a_second_roll_of_the_program_waits_and_spares_what_has_been_restarted_since() {
    let mut stage = up(three());
    let first = stage.restart("web:*");
    is_renewed(&mut stage, "web:0");
    stage.forget_deeds();
    // web:1 is being restarted already, and web:2 will be.
    let second = stage.restart("web:*");
    did(&mut stage, "");
    is_renewed(&mut stage, "web:1");
    is_renewed(&mut stage, "web:2");
    stage.answered(first, "web:0 Restarted, web:1 Restarted, web:2 Restarted");
    did(&mut stage, "spawn web:1, TERM web:2, spawn web:2, TERM web:0");
    is_renewed(&mut stage, "web:0");
    stage.answered(second, "web:0 Restarted, web:1 Restarted, web:2 Restarted");
    did(&mut stage, "spawn web:0");
}

#[test]
fn programs_take_turns_in_the_order_in_which_they_start() {
    let low = |name| ProgramSpec { priority: 1, ..rolling(several(quick(name), 2), at_a_time(1)) };
    let mut stage = Stage::booted([rolling(several(quick("app"), 2), at_a_time(1)), quick("db"), low("web")]);
    let answer = stage.restart("all");
    // db has no turns: it is restarted at once, and comes first.
    did(&mut stage, "TERM db");
    stage.exits("db", 0);
    did(&mut stage, "spawn db");
    stage.spawned("db");
    did(&mut stage, "TERM web:0");
    for name in ["web:0", "web:1", "app:0", "app:1"] {
        stage.exits(name, 0);
        stage.spawned(name);
    }
    did(&mut stage, "spawn web:0, TERM web:1, spawn web:1, TERM app:0, spawn app:0, TERM app:1, spawn app:1");
    stage.answered(answer, "app:0 Restarted, app:1 Restarted, db Restarted, web:0 Restarted, web:1 Restarted");
}

#[test]
fn a_step_waits_for_dependencies_and_fails_if_they_cannot_be_met() {
    let web = needs(rolling(several(quick("web"), 2), at_a_time(1)), &[("db", DependencyCondition::Ready)]);
    let mut stage = Stage::booted([quick("db"), web]);
    stage.spawned("db");
    ["web:0", "web:1"].into_iter().for_each(|name| stage.spawned(name));
    stage.forget_deeds();
    let answer = stage.restart("web:*");
    stage.exits("db", 0);
    stage.exits("web:0", 0);
    stage.stands("web:0 WAITING, web:1 RUNNING");
    stage.answered(
        answer,
        "web:0 RollFailed(\"waiting for db to be ready, which has ended: exit status 0\")!, \
         web:1 RollEnded { by: \"web:0: waiting for db to be ready, which has ended: exit status 0\" }!",
    );
}

#[test]
fn wait_says_what_the_next_step_needs() {
    let live = probe("live", ProbeKind::Liveness);
    let wait = |wait| Rolling { wait, ..at_a_time(1) };
    let healthy = rolling(probed(several(quick("web"), 2), &[live]), wait(RollingWait::Healthy));
    let mut stage = Stage::booted([healthy]);
    ["web:0", "web:1"].into_iter().for_each(|name| stage.check_of(name, 0, true));
    stage.forget_deeds();
    let answer = stage.restart("web:*");
    stage.exits("web:0", 0);
    stage.spawned("web:0");
    did(&mut stage, "stop checking web:0, TERM web:0, spawn web:0, check live of web:0");
    stage.check_of("web:0", 0, true);
    did(&mut stage, "stop checking web:1, TERM web:1");
    stage.exits("web:1", 0);
    stage.spawned("web:1");
    // Never healthy: it has as long as a start may take.
    stage.after(s(60));
    stage.answered(answer, "web:0 Restarted, web:1 RollFailed(\"not healthy within 60s\")!");
}

#[test]
fn a_reload_restarts_one_after_another_and_a_broken_version_reaches_one_instance() {
    let mut stage = up(three());
    let other = with_command(three(), "another");
    let answer = stage.reload([other.clone()]);
    stage.answered(answer, "restart web:0 web:1 web:2, 0 as before");
    did(&mut stage, "TERM web:0");
    let is_old = |stage: &Stage, name: &str| stage.core.find(name).is_some_and(|one| one.has_old_process());
    assert!(["web:0", "web:1", "web:2"].iter().all(|name| is_old(&stage, name)));
    stage.exits("web:0", 0);
    stage.spawned("web:0");
    stage.exits("web:0", 1);
    stage.stands("web:0 BACKOFF, web:1 RUNNING, web:2 RUNNING");
    assert!(is_old(&stage, "web:1") && is_old(&stage, "web:2") && !is_old(&stage, "web:0"));
    // The same again changes nothing; the next version begins with the broken one.
    stage.forget_deeds();
    stage.reload([other]);
    did(&mut stage, "");
    stage.reload([with_command(three(), "mended")]);
    did(&mut stage, "spawn web:0");
    stage.spawned("web:0");
    stage.says_ready("web:0");
    did(&mut stage, "TERM web:1");
    is_renewed(&mut stage, "web:1");
    is_renewed(&mut stage, "web:2");
    did(&mut stage, "spawn web:1, TERM web:2, spawn web:2");
    assert!(!["web:0", "web:1", "web:2"].iter().any(|name| is_old(&stage, name)));
}

#[test]
fn back_to_the_old_version_spares_the_processes_that_are_still_of_it() {
    let mut stage = up(three());
    stage.reload([with_command(three(), "another")]);
    stage.exits("web:0", 0);
    stage.spawned("web:0");
    stage.exits("web:0", 1);
    stage.forget_deeds();
    stage.reload([three()]);
    did(&mut stage, "spawn web:0");
    stage.spawned("web:0");
    stage.says_ready("web:0");
    did(&mut stage, "");
    assert_eq!(steps(&stage).last().map(String::as_str), Some("web:2 3 of 3 done"));
}

#[test]
fn a_restart_completes_a_reload_whose_roll_has_failed() {
    let mut stage = up(three());
    stage.reload([with_command(three(), "another")]);
    stage.exits("web:0", 0);
    stage.spawn_fails("web:0", missing());
    stage.forget_deeds();
    let answer = stage.restart("web:*");
    did(&mut stage, "spawn web:0");
    stage.spawned("web:0");
    stage.says_ready("web:0");
    is_renewed(&mut stage, "web:1");
    is_renewed(&mut stage, "web:2");
    stage.answered(answer, "web:0 Restarted, web:1 Restarted, web:2 Restarted");
}

/// A random story found it: the check of the new configuration does not exist.
#[test]
fn a_process_of_before_is_checked_by_the_readiness_rule_that_it_was_made_for() {
    let check = CheckSpec::Tcp(HostPort::parse("127.0.0.1:1").expect("an address"));
    let web = |ready: Option<ReadySpec>| {
        rolling(with(several(quick("web"), 2), |spec| spec.ready.clone_from(&ready)), at_a_time(1))
    };
    let mut stage = Stage::booted([web(Some(ReadySpec::Check(check)))]);
    stage.check_of("web:0", 0, true);
    stage.check_of("web:1", 0, false);
    stage.stands("web:0 RUNNING, web:1 STARTING");
    stage.forget_deeds();
    stage.reload([web(None)]);
    did(&mut stage, "stop checking web:0, TERM web:0");
    stage.after(s(1));
    did(&mut stage, "check ready of web:1");
    stage.check_of("web:1", 0, true);
    stage.stands("web:0 STOPPING, web:1 RUNNING");
}

#[test]
fn time_that_the_daemon_did_not_run_makes_no_pause_shorter() {
    let mut stage = up(rolling(three(), Rolling { pause: s(5), ..at_a_time(2) }));
    stage.restart("web:*");
    is_renewed(&mut stage, "web:0");
    is_renewed(&mut stage, "web:1");
    stage.forget_deeds();
    stage.now = stage.now + s(20);
    stage.hand(muster_core::Input::TimeLost { by: s(20) });
    stage.after(ms(4_999));
    did(&mut stage, "");
    stage.after(ms(1));
    did(&mut stage, "TERM web:2");
}
