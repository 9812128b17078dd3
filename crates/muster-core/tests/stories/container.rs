//! The container's exit code: which event ends it, and with which code.

use muster_core::{Event, Input, Settings, ShutdownReason, supervisor::is_ready};
use muster_spec::{
    Dependency, DependencyCondition, Essential, Exit, Kind, Limit, Preset, ProgramSpec, RestartPolicy, RestartWhen,
    Signal,
};

use crate::common::programs::{ROOT, SETTINGS, forbidden, killed_by, missing, ms, program, quick, s, when};
use crate::stage::Stage;

const UNTIL_DONE: Settings = Settings { exit_when_done: true, ..SETTINGS };

fn job(name: &str) -> ProgramSpec {
    ProgramSpec { kind: Kind::Oneshot, restart: when(RestartWhen::Never), ..quick(name) }
}

fn vital(name: &str) -> ProgramSpec {
    ProgramSpec { essential: Essential::Yes, ..job(name) }
}

fn on(other: &str, condition: DependencyCondition, spec: ProgramSpec) -> ProgramSpec {
    ProgramSpec { depends_on: vec![Dependency { program: other.to_owned(), condition }], ..spec }
}

/// The effects after the end of this program, except sweeps.
fn ends_with(spec: ProgramSpec, settings: Settings, end: impl FnOnce(&mut Stage)) -> Option<u8> {
    let mut stage = Stage::with(settings, [spec]);
    stage.hand(Input::Booted);
    end(&mut stage);
    stage.after(s(100));
    stage.exit_code()
}

#[test]
fn the_exit_code_of_an_essential_program_is_its_own_as_a_shell_would_show_it() {
    for settings in [SETTINGS, UNTIL_DONE] {
        for code in [0, 1, 42, 255] {
            assert_eq!(ends_with(vital("app"), settings, |stage| stage.exits("app", code)), Some(code));
        }
        for (signal, code) in [(Signal::KILL, 137), (Signal::TERM, 143), (Signal::from_number(11).unwrap(), 139)] {
            assert_eq!(ends_with(vital("app"), settings, |stage| stage.is_killed("app", signal)), Some(code));
        }
        assert_eq!(ends_with(vital("app"), settings, |stage| stage.spawn_fails("app", missing())), Some(127));
        assert_eq!(ends_with(vital("app"), settings, |stage| stage.spawn_fails("app", forbidden())), Some(126));
    }
}

#[test]
fn when_all_is_done_the_exit_code_is_the_programs() {
    for code in [0, 1, 42, 255] {
        assert_eq!(ends_with(job("job"), UNTIL_DONE, |stage| stage.exits("job", code)), Some(code));
        assert_eq!(ends_with(job("job"), SETTINGS, |stage| stage.exits("job", code)), None);
    }
    assert_eq!(ends_with(job("job"), UNTIL_DONE, |stage| stage.spawn_fails("job", missing())), Some(127));
}

#[test]
fn an_essential_program_ends_everything_only_when_it_has_ended_for_good() {
    let restart = RestartPolicy { limit: Limit::Retries(1), ..RestartPolicy::DEFAULT };
    let mut stage = Stage::booted([ProgramSpec { essential: Essential::Yes, restart, ..quick("app") }, quick("db")]);
    stage.exits("app", 1);
    stage.stands("app BACKOFF, db RUNNING");
    stage.after(ms(500));
    stage.spawned("app");
    stage.forget_deeds();
    stage.exits("app", 42);
    stage.did("sweep app with TERM, TERM strays, TERM db");
    stage.stands("app FATAL, db STOPPING");
    stage.is_killed("db", Signal::TERM);
    assert_eq!(stage.exit_code(), Some(42));
}

#[test]
fn the_first_essential_end_wins() {
    let mut stage = Stage::booted([vital("a"), vital("b"), quick("db")]);
    stage.exits("b", 3);
    stage.exits("a", 4);
    stage.is_killed("db", Signal::TERM);
    assert_eq!(stage.exit_code(), Some(3));
}

#[test]
fn a_signal_during_an_essential_end_changes_neither_its_code_nor_its_timeout() {
    let mut stage = Stage::booted([vital("app"), quick("db")]);
    stage.exits("app", 42);
    stage.forget_deeds();
    stage.signal_to_daemon(Signal::TERM);
    stage.did_nothing();
    stage.is_killed("db", Signal::TERM);
    assert_eq!(stage.exit_code(), Some(42));
}

#[test]
fn an_essential_program_that_is_stopped_or_restarted_by_hand_ends_nothing() {
    let mut stage = Stage::booted([ProgramSpec { essential: Essential::Yes, ..quick("app") }, quick("db")]);
    stage.restart("app");
    stage.is_killed("app", Signal::TERM);
    stage.spawned("app");
    stage.stop("app");
    stage.is_killed("app", Signal::TERM);
    stage.after(s(100));
    assert_eq!(stage.exit_code(), None);
    stage.stands("app STOPPED, db RUNNING");
}

#[test]
fn asked_to_stop_the_exit_code_is_0_whatever_the_programs_say() {
    for reason in [ShutdownReason::Signal(Signal::TERM), ShutdownReason::Command(ROOT)] {
        let mut stage = Stage::booted([ProgramSpec { essential: Essential::Yes, ..quick("app") }]);
        stage.hand(Input::ShutdownAsked { reason, timeout: None });
        stage.exits("app", 1);
        assert_eq!(stage.exit_code(), Some(0));
    }
}

#[test]
fn done_waits_for_everything_and_reports_the_first_failure() {
    let mut stage = Stage::with(UNTIL_DONE, [job("a"), job("b"), job("c")]).boot();
    stage.exits("b", 0);
    stage.after(s(1));
    stage.exits("c", 7);
    stage.after(s(1));
    assert_eq!(stage.exit_code(), None);
    stage.exits("a", 9);
    assert_eq!(stage.exit_code(), Some(7));
    assert!(
        stage.events.iter().any(|event| matches!(event, Event::ShutdownBegan { reason: ShutdownReason::Done, .. }))
    );
}

#[test]
fn done_waits_for_the_leftovers_of_the_last_run() {
    let mut stage = Stage::with(UNTIL_DONE, [job("a")]).boot();
    stage.main_ends("a", Exit::Code(5));
    assert_eq!(stage.exit_code(), None);
    stage.tree_gone("a");
    assert_eq!(stage.exit_code(), Some(5));
}

#[test]
fn done_waits_for_programs_started_by_hand() {
    let by_hand = ProgramSpec { autostart: false, ..quick("debug") };
    let mut stage = Stage::with(UNTIL_DONE, [job("a"), by_hand]).boot();
    stage.start("debug");
    stage.spawned("debug");
    stage.exits("a", 3);
    stage.after(s(100));
    assert_eq!(stage.exit_code(), None);
    // Its own exit status does not affect the code.
    stage.stop("debug");
    stage.is_killed("debug", Signal::TERM);
    assert_eq!(stage.exit_code(), Some(3));
}

#[test]
fn a_program_stopped_by_hand_keeps_the_container_up() {
    let mut stage = Stage::with(UNTIL_DONE, [job("a"), job("b")]).boot();
    stage.stop("a");
    stage.is_killed("a", Signal::TERM);
    stage.exits("b", 0);
    stage.after(s(100));
    assert_eq!(stage.exit_code(), None);
    stage.start("a");
    stage.spawned("a");
    stage.exits("a", 0);
    assert_eq!(stage.exit_code(), Some(0));
}

/// It had already ended by itself, so the stop had no effect.
#[test]
fn a_stop_of_an_ended_program_does_not_keep_the_container_up() {
    let mut stage = Stage::with(UNTIL_DONE, [job("a"), job("b")]).boot();
    stage.exits("a", 0);
    let stop = stage.stop("a");
    stage.answered(stop, "a NotRunning");
    stage.exits("b", 0);
    assert_eq!(stage.exit_code(), Some(0));
}

/// It was wanted again and then stopped before its next run: that counts as stopped by hand.
#[test]
fn a_start_that_was_stopped_before_its_run_keeps_the_container_up() {
    let mut stage = Stage::with(UNTIL_DONE, [job("a")]).boot();
    stage.main_ends("a", Exit::Code(1));
    stage.start("a");
    stage.stop("a");
    stage.tree_gone("a");
    stage.stands("a STOPPED");
    assert_eq!(stage.exit_code(), None);
}

/// Such a container exists for the programs that its operators start.
#[test]
fn a_container_without_autostart_is_never_done() {
    let mut stage = Stage::with(UNTIL_DONE, [ProgramSpec { autostart: false, ..job("a") }]).boot();
    stage.start("a");
    stage.spawned("a");
    stage.exits("a", 0);
    stage.stands("a EXITED");
    assert_eq!(stage.exit_code(), None);
    let stage = Stage::with(UNTIL_DONE, []).boot();
    assert_eq!(stage.exit_code(), None);
}

#[test]
fn done_counts_a_program_that_gave_up() {
    let restart = RestartPolicy { limit: Limit::Retries(0), ..RestartPolicy::DEFAULT };
    let mut stage = Stage::with(UNTIL_DONE, [ProgramSpec { restart, ..quick("web") }, job("a")]).boot();
    stage.main_ends("web", killed_by(Signal::KILL));
    stage.tree_gone("web");
    stage.exits("a", 0);
    assert_eq!(stage.exit_code(), Some(137));
}

#[test]
fn essential_takes_precedence_over_done() {
    let mut stage = Stage::with(UNTIL_DONE, [job("a"), vital("b")]).boot();
    stage.exits("a", 3);
    stage.exits("b", 0);
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn ready_means_every_autostarted_program_is_up_or_has_succeeded() {
    let by_hand = ProgramSpec { autostart: false, ..job("debug") };
    let mut stage = Stage::of([job("migrate"), quick("web"), by_hand]);
    stage.hand(Input::Booted);
    assert!(!stage.core.is_ready());
    stage.spawned("web");
    stage.spawned("migrate");
    assert!(stage.core.is_ready());
    stage.exits("migrate", 0);
    assert!(stage.core.is_ready());
    stage.start("debug");
    stage.spawned("debug");
    stage.exits("debug", 1);
    assert!(stage.core.is_ready(), "programs with autostart off do not count");
    stage.exits("web", 1);
    assert!(!stage.core.is_ready());
    let failed: Vec<&str> = stage.core.snapshot().iter().filter(|one| !is_ready(one)).map(|one| one.name()).collect();
    assert_eq!(failed, ["web"]);
}

/// A failed migration keeps its application from starting, and no running program could change that.
#[test]
fn a_hopeless_wait_counts_as_ended() {
    let app = || on("migrate", DependencyCondition::Completed, job("app"));
    let web = || on("app", DependencyCondition::Ready, quick("web"));
    let mut stage = Stage::with(UNTIL_DONE, [job("migrate"), app()]).boot();
    stage.exits("migrate", 3);
    assert_eq!(stage.exit_code(), Some(3));
    let mut stage = Stage::with(UNTIL_DONE, [job("migrate"), app(), web()]).boot();
    stage.exits("migrate", 3);
    assert_eq!(stage.exit_code(), Some(3));
    let mut stage = Stage::with(SETTINGS, [job("migrate"), app()]).boot();
    stage.exits("migrate", 3);
    stage.after(s(100));
    assert_eq!(stage.exit_code(), None);
}

#[test]
fn a_hopeless_wait_is_a_failure_even_if_it_is_the_only_one() {
    // It completed, and will never run.
    let app = on("setup", DependencyCondition::Healthy, job("app"));
    let mut stage = Stage::with(UNTIL_DONE, [job("setup"), app]).boot();
    stage.exits("setup", 0);
    assert_eq!(stage.exit_code(), Some(1));
    // A program with autostart off counts if another depends on it.
    let setup = ProgramSpec { autostart: false, ..job("setup") };
    let app = on("setup", DependencyCondition::Completed, job("app"));
    let mut stage = Stage::with(UNTIL_DONE, [setup, app]).boot();
    stage.exits("setup", 9);
    assert_eq!(stage.exit_code(), Some(9));
}

#[test]
fn a_wait_for_a_pending_start_or_a_program_stopped_by_hand_is_not_hopeless() {
    let app = || on("migrate", DependencyCondition::Completed, job("app"));
    let retried = ProgramSpec { restart: RestartPolicy::DEFAULT, ..job("migrate") };
    let mut stage = Stage::with(UNTIL_DONE, [retried, app()]).boot();
    stage.exits("migrate", 1);
    stage.stands("app WAITING, migrate BACKOFF");
    assert_eq!(stage.exit_code(), None);
    let mut stage = Stage::with(UNTIL_DONE, [job("migrate"), app()]).boot();
    stage.stop("migrate");
    stage.is_killed("migrate", Signal::TERM);
    stage.stands("app WAITING, migrate STOPPED");
    assert_eq!(stage.exit_code(), None);
    let mut stage = Stage::with(UNTIL_DONE, [job("migrate"), app(), job("other")]).boot();
    stage.exits("migrate", 1);
    stage.stands("app WAITING, migrate EXITED, other RUNNING");
    assert_eq!(stage.exit_code(), None);
    stage.exits("other", 7);
    assert_eq!(stage.exit_code(), Some(1));
}

#[test]
fn essential_on_failure_ends_the_container_with_a_failure_only() {
    let migrate = || ProgramSpec { essential: Essential::OnFailure, ..job("migrate") };
    for (code, expected) in [(0, None), (3, Some(3))] {
        let mut stage = Stage::booted([migrate(), quick("db")]);
        stage.exits("migrate", code);
        if expected.is_some() {
            stage.is_killed("db", Signal::TERM);
        }
        assert_eq!(stage.exit_code(), expected);
    }
}

/// Given up is no success, whatever the last exit status was.
#[test]
fn giving_up_after_successes_is_a_failure() {
    let restart = Preset::Supervisord.policy(RestartWhen::Always);
    let mut stage = Stage::with(UNTIL_DONE, [ProgramSpec { restart, ..program("web") }]).boot();
    for delay in [1, 2, 3] {
        stage.exits("web", 0);
        stage.after(s(delay));
        stage.spawned("web");
    }
    stage.exits("web", 0);
    assert_eq!(stage.exit_code(), Some(1));
}
