//! A reload that restarts everything, as supervisord does on HUP.

use std::sync::Arc;

use muster_core::{Input, RequestId};
use muster_spec::{GroupOrder, ProgramSpec, Signal};

use crate::common::programs::{SETTINGS, after, ms, quick, with_command};
use crate::stage::Stage;

fn off(name: &str) -> ProgramSpec {
    ProgramSpec { autostart: false, ..quick(name) }
}

/// A program in a group with this priority.
fn in_group(name: &str, priority: i64, place: u32) -> ProgramSpec {
    ProgramSpec { order: Some(GroupOrder { priority, place }), ..quick(name) }
}

fn boots_again<const N: usize>(stage: &mut Stage, programs: [ProgramSpec; N]) -> RequestId {
    let request = RequestId(1000 + stage.events.len() as u64);
    let programs = programs.map(Arc::new).to_vec();
    let input = Input::Reloaded { request: Some(request), by: None, programs, settings: SETTINGS, restarts_all: true };
    stage.hand(input);
    request
}

#[test]
fn everything_is_stopped_before_anything_starts_again() {
    let mut stage = Stage::booted([quick("a"), quick("b")]);
    let answer = boots_again(&mut stage, [quick("a"), quick("b"), quick("new")]);
    stage.answered(answer, "add new, restart a b, 0 as before");
    stage.did("TERM a, TERM b");
    stage.exits("a", 0);
    stage.did("sweep a with TERM");
    stage.stands("a WAITING, b STOPPING, new WAITING");
    stage.exits("b", 0);
    stage.did("sweep b with TERM, spawn a, spawn b, spawn new");
}

#[test]
fn commands_and_failures_are_forgotten() {
    let mut stage = Stage::booted([quick("a"), quick("b"), off("c"), off("d")]);
    stage.stop("a");
    stage.exits("a", 0);
    stage.start("c");
    stage.spawned("c");
    stage.exits("b", 1);
    stage.stands("a STOPPED, b BACKOFF, c RUNNING, d STOPPED");
    stage.forget_deeds();
    boots_again(&mut stage, [quick("a"), quick("b"), off("c"), off("d")]);
    stage.did("TERM c");
    stage.exits("c", 0);
    stage.did("sweep c with TERM, spawn a, spawn b");
    stage.stands("a STARTING, b STARTING, c STOPPED, d STOPPED");
    assert_eq!(stage.failures("b"), 0);
}

#[test]
fn programs_that_have_ended_are_stopped_or_start() {
    let mut stage = Stage::booted([quick("a"), quick("b")]);
    stage.exits("a", 0);
    stage.exits("b", 0);
    stage.forget_deeds();
    boots_again(&mut stage, [quick("a"), off("b")]);
    stage.did("spawn a");
    stage.stands("a STARTING, b STOPPED");
}

#[test]
fn it_stops_as_a_shutdown_does_and_starts_as_a_boot_does() {
    let programs = || [in_group("z", 1, 0), in_group("a", 2, 1), in_group("b", 2, 2)];
    let mut stage = Stage::booted(programs());
    boots_again(&mut stage, programs());
    stage.did("TERM a, TERM b");
    stage.exits("b", 0);
    stage.exits("a", 0);
    stage.exits("z", 0);
    stage.did("sweep b with TERM, sweep a with TERM, TERM z, sweep z with TERM, spawn z, spawn a, spawn b");
}

#[test]
fn removed_programs_are_stopped_with_the_others_and_forgotten() {
    let mut stage = Stage::booted([quick("a"), quick("gone")]);
    boots_again(&mut stage, [with_command(quick("a"), "another")]);
    stage.did("TERM gone, TERM a");
    stage.exits("a", 0);
    stage.did("sweep a with TERM");
    stage.exits("gone", 0);
    stage.did("sweep gone with TERM, spawn a");
    stage.spawned("a");
    stage.start("a");
    assert!(stage.core.find("gone").is_none());
}

#[test]
fn a_second_one_waits_for_the_same_stops() {
    let mut stage = Stage::booted([quick("a"), quick("b")]);
    boots_again(&mut stage, [quick("a"), quick("b")]);
    stage.exits("a", 0);
    stage.forget_deeds();
    boots_again(&mut stage, [quick("a"), quick("b")]);
    stage.did_nothing();
    stage.exits("b", 0);
    stage.did("sweep b with TERM, spawn a, spawn b");
}

#[test]
fn dependencies_are_met_again_in_their_order() {
    let programs = || [quick("db"), after(quick("web"), &["db"])];
    let mut stage = Stage::booted([quick("db")]);
    stage.forget_deeds();
    boots_again(&mut stage, programs());
    stage.exits("db", 0);
    stage.did("TERM db, sweep db with TERM, spawn db");
    stage.spawned("db");
    stage.did("spawn web");
}

#[test]
fn a_shutdown_meanwhile_stops_what_is_left_and_starts_nothing() {
    let mut stage = Stage::booted([quick("a"), quick("b")]);
    boots_again(&mut stage, [quick("a"), quick("b")]);
    stage.exits("a", 0);
    stage.signal_to_daemon(Signal::TERM);
    stage.forget_deeds();
    stage.exits("b", 0);
    stage.after(ms(10));
    assert!(!stage.deeds().iter().any(|deed| deed.starts_with("spawn")));
    stage.stands("a STOPPED, b STOPPED");
}
