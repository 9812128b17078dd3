//! Programs that depend on others: the order of starts and stops, and which programs a command includes.

use std::sync::Arc;

use muster_core::{Awaited, Effect, Event, Input, Settings, ShutdownReason, Supervisor, Time};
use muster_spec::{
    DependencyCondition::Completed, DependencyCondition::Exited, DependencyCondition::Healthy,
    DependencyCondition::Ready, DependencyCondition::Started, Exit, Kind, ProbeKind, ProgramSpec, ShutdownBudget,
    Signal,
};

use crate::common::programs::{
    SETTINGS, after, job, missing, ms, needs, notifying, probe, probed, program, quick, ranked, restarted_with, s,
    several, stop_with,
};
use crate::stage::Stage;

fn off(program: ProgramSpec) -> ProgramSpec {
    ProgramSpec { autostart: false, ..program }
}

fn never(program: ProgramSpec) -> ProgramSpec {
    ProgramSpec { restart: crate::common::programs::when(muster_spec::RestartWhen::Never), ..program }
}

#[test]
fn a_dependent_waits_until_its_dependency_runs() {
    let mut stage = Stage::of([after(program("app"), &["db"]), program("db")]);
    stage.hand(Input::Booted);
    stage.did("spawn db");
    stage.stands("app WAITING, db STARTING");
    stage.waits_for("app", "db to run");
    stage.spawned("db");
    stage.did_nothing();
    stage.after(s(1));
    stage.did("spawn app");
    stage.stands("app STARTING, db RUNNING");
}

#[test]
fn independent_programs_start_at_once_and_those_that_become_free_together_by_priority() {
    let mut stage =
        Stage::of([after(ranked("a", 3), &["db"]), after(ranked("b", 1), &["db"]), quick("c"), ranked("db", 2000)]);
    stage.hand(Input::Booted);
    stage.did("spawn c, spawn db");
    stage.spawned("db");
    stage.did("spawn b, spawn a");
}

#[test]
fn a_dependency_on_several_instances_is_on_all_of_them() {
    let mut stage = Stage::of([after(quick("app"), &["db"]), several(quick("db"), 2)]);
    stage.hand(Input::Booted);
    stage.did("spawn db:0, spawn db:1");
    stage.spawned("db:1");
    stage.waits_for("app", "db:0 to run");
    stage.did_nothing();
    stage.spawned("db:0");
    stage.did("spawn app");
}

#[test]
fn completed_means_an_exit_with_success_only() {
    let mut stage = Stage::of([needs(quick("app"), &[("migrate", Completed)]), never(job("migrate"))]);
    stage.hand(Input::Booted);
    stage.spawned("migrate");
    stage.waits_for("app", "migrate to complete");
    stage.exits("migrate", 0);
    stage.did("spawn migrate, sweep migrate with TERM, spawn app");

    let mut stage = Stage::of([needs(quick("app"), &[("migrate", Completed)]), never(job("migrate"))]);
    stage.hand(Input::Booted);
    stage.spawned("migrate");
    stage.exits("migrate", 1);
    stage.did("spawn migrate, sweep migrate with TERM");
    stage.stands("app WAITING, migrate EXITED");
    stage.waits_for("app", "migrate to complete, which has ended: exit status 1");
}

#[test]
fn exited_is_an_end_either_way() {
    let mut stage = Stage::of([needs(quick("app"), &[("job", Exited)]), never(job("job"))]);
    stage.hand(Input::Booted);
    stage.spawned("job");
    stage.exits("job", 1);
    stage.did("spawn job, sweep job with TERM, spawn app");
}

#[test]
fn a_job_that_has_succeeded_has_started_and_is_ready() {
    let spec = || needs(quick("app"), &[("migrate", Started), ("seed", Ready), ("db", Started)]);
    let mut stage = Stage::of([spec(), program("db"), job("migrate"), job("seed")]);
    stage.hand(Input::Booted);
    for job in ["migrate", "seed"] {
        stage.spawned(job);
        stage.exits(job, 0);
    }
    stage.spawned("db");
    stage.waits_for("app", "db to run");
    stage.forget_deeds();
    stage.after(s(1));
    stage.did("spawn app");
}

#[test]
fn ready_is_more_than_running_where_probes_say_so() {
    let db = probed(quick("db"), &[probe("up", ProbeKind::Readiness)]);
    let mut stage = Stage::of([needs(quick("app"), &[("db", Ready)]), after(quick("cron"), &["db"]), db]);
    stage.hand(Input::Booted);
    stage.spawned("db");
    stage.did("spawn db, check up of db, spawn cron");
    stage.waits_for("app", "db to be ready");
    stage.check_of("db", 0, true);
    stage.did("spawn app");
}

#[test]
fn healthy_waits_for_the_first_answer_and_not_for_a_failing_probe() {
    let db = probed(quick("db"), &[probe("live", ProbeKind::Liveness)]);
    let mut stage = Stage::of([needs(quick("app"), &[("db", Healthy)]), db]);
    stage.hand(Input::Booted);
    stage.spawned("db");
    stage.stands("app WAITING, db RUNNING");
    stage.waits_for("app", "db to be healthy");
    stage.forget_deeds();
    stage.check_of("db", 0, true);
    stage.did("spawn app");
}

#[test]
fn an_unmeetable_condition_is_reported_and_the_dependent_stays_waiting() {
    let mut stage = Stage::of([after(quick("app"), &["db"]), never(quick("db"))]);
    stage.hand(Input::Booted);
    stage.spawn_fails("db", missing());
    stage.stands("app WAITING, db FATAL");
    stage.waits_for("app", "db to run, which is FATAL");
    let told = |event: &&Event| matches!(event, Event::Waiting { on, .. } if on == &["db to run, which is FATAL"]);
    assert_eq!(stage.events.iter().filter(told).count(), 1);
    stage.start("db");
    stage.spawned("db");
    stage.spawned("app");
    stage.stands("app RUNNING, db RUNNING");
}

#[test]
fn starting_a_program_starts_its_direct_and_indirect_dependencies() {
    let mut stage =
        Stage::of([off(after(quick("app"), &["db"])), off(after(quick("db"), &["disk"])), off(quick("disk"))]);
    stage.hand(Input::Booted);
    stage.did_nothing();
    let answer = stage.start("app");
    stage.did("spawn disk");
    stage.stands("app WAITING, db WAITING, disk STARTING");
    stage.spawned("disk");
    stage.spawned("db");
    stage.not_answered(answer);
    stage.spawned("app");
    stage.answered(answer, "app Started");
    stage.did("spawn db, spawn app");
}

#[test]
fn autostart_includes_dependencies() {
    let mut stage = Stage::of([after(quick("app"), &["db"]), off(quick("db"))]);
    stage.hand(Input::Booted);
    stage.did("spawn db");
    stage.stands("app WAITING, db STARTING");
}

#[test]
fn starting_a_program_does_not_rerun_a_completed_job() {
    let mut stage = Stage::of([off(needs(quick("app"), &[("migrate", Completed)])), job("migrate")]);
    stage.hand(Input::Booted);
    stage.spawned("migrate");
    stage.exits("migrate", 0);
    stage.forget_deeds();
    stage.start("app");
    stage.did("spawn app");
}

#[test]
fn starting_a_program_retries_a_failed_job() {
    let mut stage = Stage::of([off(needs(quick("app"), &[("migrate", Completed)])), never(job("migrate"))]);
    stage.hand(Input::Booted);
    stage.spawned("migrate");
    stage.exits("migrate", 1);
    stage.forget_deeds();
    stage.start("app");
    stage.did("spawn migrate");
}

#[test]
fn a_start_that_times_out_is_answered_with_the_unmet_condition() {
    let mut stage = Stage::of([off(after(program("app"), &["db"])), off(program("db"))]);
    let answer = stage.start("app");
    stage.after(s(2));
    stage.hand(Input::RequestExpired { request: answer });
    stage.answered(answer, "app waits for db to run");
    let accepted = stage.order(muster_core::Verb::Start, "app", false);
    stage.answered(accepted, "app waits for db to run");
}

#[test]
fn a_hopeless_start_is_answered_immediately() {
    let mut stage = Stage::of([off(after(program("app"), &["db"])), never(off(program("db")))]);
    let answer = stage.start("app");
    stage.not_answered(answer);
    stage.spawn_fails("db", missing());
    stage.answered(answer, "app waits in vain for db to run, which is FATAL");
    stage.stands("app WAITING, db FATAL");
}

#[test]
fn an_indirectly_hopeless_start_is_answered_as_well() {
    let chain = || [after(program("app"), &["mid"]), after(program("mid"), &["db"]), program("db")];
    let mut stage = Stage::of(chain().map(|program| never(off(program))));
    let answer = stage.start("app");
    let watch = stage.wait_for(Awaited::Ready, "app");
    stage.not_answered(watch);
    stage.spawn_fails("db", missing());
    let why = "app waits in vain for mid to run, which waits for db to run, which is FATAL";
    stage.answered(answer, why);
    stage.answered(watch, why);
    let late = stage.wait_for(Awaited::Running, "app");
    stage.answered(late, why);
    let stopped = stage.wait_for(Awaited::Stopped, "app");
    stage.not_answered(stopped);
}

#[test]
fn stopping_a_waiting_program_is_immediate() {
    let mut stage = Stage::of([after(program("app"), &["db"]), program("db")]);
    stage.hand(Input::Booted);
    let answer = stage.stop("app");
    stage.answered(answer, "app Stopped");
    stage.spawned("db");
    stage.after(s(2));
    stage.stands("app STOPPED, db RUNNING");
}

#[test]
fn stopping_a_dependency_leaves_its_dependents_alone() {
    let mut stage = Stage::booted([after(quick("app"), &["db"]), quick("db")]);
    stage.spawned("app");
    stage.stop("db");
    stage.did("TERM db");
    stage.exits("db", 0);
    stage.stands("app RUNNING, db STOPPED");
}

#[test]
fn a_run_after_a_crash_waits_for_its_dependencies_as_well() {
    let mut stage = Stage::booted([after(quick("app"), &["db"]), quick("db")]);
    stage.spawned("app");
    stage.stop("db");
    stage.exits("db", 0);
    stage.exits("app", 1);
    stage.after(s(1));
    stage.stands("app WAITING, db STOPPED");
    stage.waits_for("app", "db to run, which is STOPPED");
    stage.forget_deeds();
    stage.start("db");
    stage.spawned("db");
    stage.did("spawn db, spawn app");
}

#[test]
fn all_stop_in_the_reverse_order_of_their_dependencies() {
    let mut stage =
        Stage::booted([after(quick("app"), &["db"]), quick("db"), after(quick("web"), &["app"]), quick("z")]);
    stage.spawned("app");
    stage.spawned("web");
    stage.forget_deeds();
    stage.stop("all");
    stage.did("TERM web, TERM z");
    stage.exits("web", 0);
    stage.did("sweep web with TERM, TERM app");
    stage.exits("app", 0);
    stage.did("sweep app with TERM, TERM db");
}

#[test]
fn a_dependency_with_a_higher_priority_still_stops_last() {
    let mut stage = Stage::booted([after(ranked("app", 1), &["db"]), ranked("db", 900), ranked("other", 500)]);
    stage.spawned("app");
    stage.forget_deeds();
    stage.stop("all");
    stage.did("TERM app");
    stage.exits("app", 0);
    stage.did("sweep app with TERM, TERM db");
    stage.exits("db", 0);
    stage.did("sweep db with TERM, TERM other");
}

#[test]
fn a_restart_of_all_stops_and_starts_in_order() {
    let mut stage = Stage::booted([after(quick("app"), &["db"]), quick("db")]);
    stage.spawned("app");
    stage.forget_deeds();
    let answer = stage.restart("all");
    stage.exits("app", 0);
    stage.exits("db", 0);
    stage.did("TERM app, sweep app with TERM, TERM db, sweep db with TERM, spawn db");
    stage.stands("app WAITING, db STARTING");
    stage.spawned("db");
    stage.spawned("app");
    stage.answered(answer, "app Restarted, db Restarted");
}

#[test]
fn a_chain_shares_the_shutdowns_budget() {
    let patient = |name| ProgramSpec { stop: stop_with(&[(Signal::TERM, s(10))]), ..quick(name) };
    let settings = Settings { shutdown_timeout: ShutdownBudget::Within(s(9)), ..SETTINGS };
    let programs = [after(patient("app"), &["db"]), patient("db"), after(patient("web"), &["app"]), patient("z")];
    let mut stage = Stage::with(settings, programs).boot();
    stage.spawned("app");
    stage.spawned("web");
    stage.forget_deeds();
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM web, TERM z");
    stage.after(ms(2967));
    stage.did("TERM app");
    stage.after(ms(2967));
    stage.did("TERM strays, TERM db");
    stage.after(ms(2967));
    stage.did("sweep app with KILL, sweep db with KILL, sweep web with KILL, sweep z with KILL");
    stage.is_killed("web", Signal::KILL);
    stage.is_killed("app", Signal::KILL);
    stage.is_killed("z", Signal::KILL);
    stage.is_killed("db", Signal::KILL);
    assert_eq!(stage.exit_code(), Some(0));
    assert!(stage.now.since_origin() <= s(9));
}

#[test]
fn an_unkillable_dependent_does_not_cost_its_dependency_the_stop_signal() {
    let patient = |name| ProgramSpec { stop: stop_with(&[(Signal::TERM, s(4))]), ..quick(name) };
    let mut stage = Stage::booted([after(patient("app"), &["db"]), patient("db")]);
    stage.spawned("app");
    stage.forget_deeds();
    stage.signal_to_daemon(Signal::TERM);
    stage.after(s(4));
    stage.did("TERM app, sweep app with KILL");
    stage.after(ms(100));
    stage.did("TERM strays, TERM db");
}

#[test]
fn a_program_that_restarts_with_another_stops_before_it_and_starts_after_it() {
    let mut stage = Stage::booted([restarted_with(after(quick("app"), &["db"]), &["db"]), quick("db")]);
    stage.spawned("app");
    stage.forget_deeds();
    stage.restart("db");
    stage.did("TERM app");
    stage.exits("app", 0);
    stage.exits("db", 0);
    stage.did("sweep app with TERM, TERM db, sweep db with TERM, spawn db");
    stage.spawned("db");
    stage.did("spawn app");
}

#[test]
fn a_program_that_restarts_with_another_is_restarted_after_its_crash() {
    let mut stage = Stage::booted([restarted_with(after(quick("app"), &["db"]), &["db"]), quick("db"), quick("z")]);
    stage.spawned("app");
    stage.after(s(5));
    stage.exits("db", 1);
    stage.forget_deeds();
    stage.stands("app RUNNING, db BACKOFF");
    stage.after(ms(500));
    stage.did("spawn db, TERM app");
    stage.exits("app", 0);
    stage.stands("app WAITING, db STARTING");
    stage.spawned("db");
    stage.did("sweep app with TERM, spawn app");
    assert_eq!(stage.failures("app"), 0);
    stage.spawned("app");
    stage.did_nothing();
}

#[test]
fn two_programs_that_restart_with_each_other_do_not_loop() {
    let mut stage = Stage::booted([restarted_with(quick("a"), &["b"]), restarted_with(quick("b"), &["a"])]);
    stage.after(s(5));
    stage.exits("a", 1);
    stage.after(ms(500));
    stage.did("sweep a with TERM, spawn a, TERM b");
    stage.spawned("a");
    stage.after(ms(10));
    stage.exits("b", 0);
    stage.spawned("b");
    stage.after(s(60));
    stage.did("sweep b with TERM, spawn b");
}

#[test]
fn a_oneshot_with_a_readiness_rule_is_running_once_ready() {
    let mut stage = Stage::of([notifying(ProgramSpec { kind: Kind::Oneshot, ..program("job") })]);
    stage.hand(Input::Booted);
    stage.spawned("job");
    stage.stands("job STARTING");
    stage.says_ready("job");
    stage.stands("job RUNNING");
    stage.exits("job", 0);
    stage.stands("job EXITED");
}

/// Carries out the effects for a thousand programs immediately, and checks their order against the dependencies.
#[test]
fn a_thousand_programs_in_a_random_graph_start_and_stop_in_a_valid_order() {
    let mut dice = muster_core::random::Random::seeded(7);
    let names: Vec<String> = (0..1000).map(|number| format!("p{number}")).collect();
    let mut one = |number: usize| {
        let count = if number == 0 { 0 } else { dice.next_bits() % 4 };
        let others: Vec<&str> =
            (0..count).map(|_| names[(dice.next_bits() % number as u64) as usize].as_str()).collect();
        let priority = (dice.next_bits() % 3) as i64;
        Arc::new(ProgramSpec { priority, ..after(quick(&names[number]), &others) })
    };
    let programs: Vec<Arc<ProgramSpec>> = (0..1000).map(&mut one).collect();
    let place = |name: &str| name[1..].parse::<usize>().expect("a number follows the p");
    let needs: Vec<Vec<usize>> =
        programs.iter().map(|spec| spec.depends_on.iter().map(|need| place(&need.program)).collect()).collect();

    let mut core = Supervisor::new(SETTINGS, &programs, 1);
    let (mut runs, mut living, mut started) = (std::collections::BTreeMap::new(), vec![false; 1000], 0);
    let mut inputs = std::collections::VecDeque::from([Input::Booted]);
    while let Some(input) = inputs.pop_front() {
        if let Input::Spawned { run } = &input {
            living[runs[run]] = true;
        }
        core.handle_input(Time::ZERO, input);
        while let Some(effect) = core.poll_effect() {
            match effect {
                Effect::Spawn { run, spec, .. } => {
                    let number = place(&spec.name);
                    assert!(needs[number].iter().all(|&need| living[need]), "{} starts too early", spec.name);
                    started += 1;
                    runs.insert(run, number);
                    inputs.push_back(Input::Spawned { run });
                }
                Effect::Signal { run, signal: Signal::TERM, .. } => {
                    let number = runs[&run];
                    let dependents = (0..1000).filter(|&other| needs[other].contains(&number));
                    assert!(dependents.into_iter().all(|other| !living[other]), "p{number} is stopped too early");
                    living[number] = false;
                    inputs.push_back(Input::Exited { run, exit: Exit::Code(0) });
                    inputs.push_back(Input::TreeGone { run });
                }
                _ => {}
            }
        }
        if inputs.is_empty() && started == 1000 && living[0] {
            let reason = ShutdownReason::Signal(Signal::TERM);
            inputs.push_back(Input::ShutdownAsked { reason, timeout: None });
        }
    }
    assert_eq!((started, living.iter().filter(|&&lives| lives).count()), (1000, 0));
}
