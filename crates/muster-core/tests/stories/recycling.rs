//! Recycling: a service that has run for long enough gets a new process, one instance at a time.

use std::time::Duration;

use muster_spec::{ProgramSpec, Recycle};

use crate::common::programs::{ms, program, quick, s, several};
use crate::rolling::{all_ready, did, is_renewed, three};
use crate::stage::Stage;

fn recycled(spec: ProgramSpec, after: Duration, jitter: Duration) -> ProgramSpec {
    ProgramSpec { recycle_after: Some(Recycle { after, jitter }), rolling: None, ..spec }
}

#[test]
fn a_run_is_recycled_after_its_time_one_at_a_time_and_not_counted_as_a_failure() {
    let mut stage = Stage::booted([recycled(three(), s(60), s(0))]);
    all_ready(&mut stage);
    stage.after(ms(59_999));
    did(&mut stage, "");
    stage.after(ms(1));
    did(&mut stage, "TERM web:0");
    stage.exits("web:0", 0);
    stage.spawned("web:0");
    // The others are due as well, and wait until it is ready.
    stage.after(s(10));
    did(&mut stage, "spawn web:0");
    stage.says_ready("web:0");
    did(&mut stage, "TERM web:1");
    is_renewed(&mut stage, "web:1");
    did(&mut stage, "spawn web:1, TERM web:2");
    is_renewed(&mut stage, "web:2");
    assert_eq!(stage.failures("web:0"), 0);
    let past = stage.core.find("web:0").and_then(|one| one.past().next_back().cloned()).expect("it was recycled");
    assert!(past.success);
    assert_eq!(past.cause.map(|cause| cause.word()), Some("recycle"));
    // The new runs have a time of their own.
    stage.forget_deeds();
    stage.after(ms(49_999));
    did(&mut stage, "");
    stage.after(ms(1));
    did(&mut stage, "TERM web:0");
}

#[test]
fn recycling_waits_while_another_instance_is_not_ready_and_yields_to_a_command() {
    let mut stage = Stage::booted([recycled(three(), s(60), s(0))]);
    stage.says_ready("web:0");
    stage.says_ready("web:1");
    stage.after(ms(59_999));
    stage.exits("web:2", 1);
    stage.forget_deeds();
    stage.after(s(1));
    did(&mut stage, "spawn web:2");
    // A command is not held up by what is due.
    stage.restart("web:0");
    did(&mut stage, "TERM web:0");
    is_renewed(&mut stage, "web:0");
    stage.after(s(1));
    stage.spawned("web:2");
    stage.says_ready("web:2");
    did(&mut stage, "spawn web:0, TERM web:1");
    is_renewed(&mut stage, "web:1");
    did(&mut stage, "spawn web:1");
}

#[test]
fn the_longest_due_is_recycled_first() {
    let mut stage = Stage::booted([recycled(three(), s(5), s(0))]);
    all_ready(&mut stage);
    stage.after(s(5));
    // Each restart takes longer than the time after which a run is due.
    for name in ["web:0", "web:1", "web:2", "web:0", "web:1", "web:2"] {
        stage.exits(name, 0);
        stage.spawned(name);
        stage.after(s(6));
        stage.forget_deeds();
        stage.says_ready(name);
    }
    did(&mut stage, "TERM web:0");
}

#[test]
fn a_stopped_program_is_not_recycled_and_a_single_one_is() {
    let mut stage = Stage::booted([recycled(quick("web"), s(60), s(0))]);
    stage.stop("web");
    stage.exits("web", 0);
    stage.forget_deeds();
    stage.after(s(200));
    did(&mut stage, "");
    stage.start("web");
    stage.spawned("web");
    stage.after(s(60));
    stage.exits("web", 0);
    did(&mut stage, "spawn web, TERM web, spawn web");
}

#[test]
fn jitter_spreads_recycling_and_never_advances_it() {
    let jittered = recycled(several(quick("web"), 3), s(60), s(30));
    let mut stage = Stage::booted([jittered]);
    stage.after(s(60));
    did(&mut stage, "");
    stage.after(s(30));
    let began = stage.deeds();
    assert_eq!(began.iter().filter(|deed| deed.starts_with("TERM")).count(), 1, "{began:?}");
}

#[test]
fn another_recycle_after_takes_effect_in_place() {
    let web = |after| recycled(quick("web"), after, s(0));
    let mut stage = Stage::booted([web(s(600))]);
    stage.after(s(100));
    let answer = stage.reload([web(s(200))]);
    stage.answered(answer, "change web, 0 as before");
    stage.after(ms(99_999));
    did(&mut stage, "");
    stage.after(ms(1));
    did(&mut stage, "TERM web");
    let mut stage = Stage::booted([web(s(600))]);
    stage.after(s(100));
    stage.reload([ProgramSpec { recycle_after: None, ..quick("web") }]);
    stage.after(s(1000));
    did(&mut stage, "");
}

#[test]
fn a_run_that_is_due_before_it_is_up_is_recycled_once_it_is() {
    let slow = recycled(ProgramSpec { startsecs: s(10), ..program("web") }, s(5), s(0));
    let mut stage = Stage::booted([slow]);
    stage.after(ms(9_999));
    did(&mut stage, "");
    stage.after(ms(1));
    did(&mut stage, "TERM web");
}
