//! What is known from an earlier life of the daemon: programs that stay down, and jobs that are done.

use std::sync::Arc;

use muster_core::{Input, Memory, Settings, Supervisor, Verb};
use muster_spec::{DependencyCondition, Essential, ProgramSpec, RestartWhen, State};

use crate::common::programs::{SETTINGS, job, needs, quick, s, when, with, with_command};
use crate::play::Play;

fn stopped(name: &str) -> Memory {
    Memory { name: name.to_owned(), was_stopped: true, ..Memory::default() }
}

fn done(name: &str) -> Memory {
    Memory { name: name.to_owned(), is_done: true, ..Memory::default() }
}

fn once(name: &str) -> ProgramSpec {
    ProgramSpec { once: true, ..job(name) }
}

fn kept(name: &str) -> ProgramSpec {
    ProgramSpec { restart: when(RestartWhen::UnlessStopped), ..quick(name) }
}

/// A daemon that remembers this, booted.
fn after<const N: usize, const M: usize>(remembered: [Memory; M], programs: [ProgramSpec; N]) -> Play {
    let settings = Settings { exit_when_done: false, ..SETTINGS };
    let all: Vec<Arc<ProgramSpec>> = programs.into_iter().map(Arc::new).collect();
    let mut play = Play::of_list(settings, Vec::new());
    play.core = Supervisor::new(settings, &all, 1);
    play.hand(Input::Remembered { instances: remembered.to_vec() });
    assert!(play.spawned.is_empty(), "nothing starts before the daemon is up");
    play.hand(Input::Booted);
    play
}

#[test]
fn a_program_stopped_by_hand_stays_down_and_its_dependents_wait() {
    let app = needs(quick("app"), &[("db", DependencyCondition::Started)]);
    let mut play = after([stopped("db"), stopped("other")], [kept("db"), app, quick("other")]);
    assert_eq!((play.state("db"), play.state("app")), (State::Stopped, State::Waiting));
    assert_eq!(play.spawned, ["other"], "its policy does not keep a stop");
    play.waits_for("app", "db to run, which is STOPPED");
    assert!(play.one("db").was_stopped_by_hand() && !play.core.is_shutting_down());
    // As after a stop in this life.
    play.reload(SETTINGS, vec![with_command(kept("db"), "another")]);
    assert_eq!(play.state("db"), State::Stopped);
    play.ask("db", Verb::Start);
    assert_eq!(play.state("db"), State::Starting);
}

#[test]
fn a_job_that_is_done_is_exited_and_has_completed() {
    let app = needs(quick("app"), &[("migrate", DependencyCondition::Completed)]);
    let mut play = after([done("migrate"), done("plain")], [app, once("migrate"), job("plain")]);
    assert_eq!(play.state("migrate"), State::Exited);
    assert_eq!(play.spawned.iter().map(String::as_str).collect::<Vec<_>>(), ["plain", "app"], "only with `once`");
    assert!(play.one("migrate").can_serve() && play.one("migrate").run().is_none());
    // A command runs it anyway, and whatever comes of that, it stays done.
    play.ask("migrate", Verb::Start);
    assert_eq!(play.spawned, ["migrate"]);
    play.is_spawned("migrate");
    play.exits("migrate", 0);
    assert_eq!(play.state("migrate"), State::Exited);
    // Another environment is no other thing to do, another command is.
    let changed = with(once("migrate"), |spec| spec.watchdog = Some(s(5)));
    play.reload(SETTINGS, vec![changed]);
    assert!(play.spawned.is_empty());
    play.reload(SETTINGS, vec![with_command(once("migrate"), "another")]);
    assert_eq!(play.spawned, ["migrate"]);
}

#[test]
fn a_success_in_this_life_is_done_as_well() {
    let mut play = after([], [once("migrate")]);
    play.is_spawned("migrate");
    play.exits("migrate", 1);
    assert!(!play.one("migrate").is_done_once());
    play.later(s(1));
    play.is_spawned("migrate");
    play.exits("migrate", 0);
    assert!(play.one("migrate").is_done_once());
    // A restart of everything does not run it again.
    let programs = vec![Arc::new(once("migrate"))];
    play.hand(Input::Reloaded { request: None, by: None, programs, settings: SETTINGS, restarts_all: true });
    assert!(play.spawned.is_empty());
    assert_eq!(play.state("migrate"), State::Exited);
}

#[test]
fn an_essential_job_that_was_done_before_ends_nothing() {
    for essential in [Essential::Yes, Essential::OnFailure] {
        let play = after([done("migrate")], [ProgramSpec { essential, ..once("migrate") }, quick("web")]);
        assert!(!play.core.is_shutting_down());
        assert_eq!(play.spawned, ["web"]);
    }
}

#[test]
fn the_first_configuration_of_a_source_is_remembered_and_later_ones_are_not() {
    let mut play = after([stopped("db"), done("migrate"), stopped("late")], []);
    play.reload(SETTINGS, vec![kept("db"), once("migrate"), quick("web")]);
    assert_eq!((play.state("db"), play.state("migrate")), (State::Stopped, State::Exited));
    assert_eq!(play.spawned, ["web"]);
    play.reload(SETTINGS, vec![kept("late")]);
    assert_eq!(play.spawned, ["late"]);
}

#[test]
fn nothing_is_taken_over_by_one_that_runs() {
    let mut play = after([], [kept("web")]);
    play.hand(Input::Remembered { instances: vec![stopped("web")] });
    assert!(!play.one("web").was_stopped_by_hand());
}
