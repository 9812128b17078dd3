//! `max_runtime`: a run that lasts too long has failed.

use std::time::Duration;

use muster_core::{Input, StopCause};
use muster_spec::{ProgramSpec, RestartWhen, State};

use crate::common::programs::{job, ms, notifying, program, quick, s, when};
use crate::stage::Stage;

fn limited(spec: ProgramSpec, max: Duration) -> ProgramSpec {
    ProgramSpec { max_runtime: Some(max), ..spec }
}

fn last_cause(stage: &Stage, name: &str) -> Option<StopCause> {
    stage.core.find(name)?.past().next_back()?.cause.clone()
}

#[test]
fn a_run_that_lasts_too_long_is_stopped_and_has_failed() {
    let mut stage = Stage::booted([limited(program("web"), s(30))]);
    stage.after(s(1));
    stage.stands("web RUNNING");
    stage.after(s(29) - ms(1));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("TERM web");
    stage.stands("web RUNNING");
    stage.exits("web", 0);
    stage.stands("web BACKOFF");
    assert_eq!(last_cause(&stage, "web"), Some(StopCause::MaxRuntime { max: s(30) }));
    assert_eq!(
        last_cause(&stage, "web").map(|cause| cause.to_string()).as_deref(),
        Some("it was still running after max_runtime = 30s")
    );
}

#[test]
fn it_counts_from_the_execution_of_the_program() {
    let mut stage = Stage::of([limited(quick("web"), s(30))]);
    stage.hand(Input::Booted);
    stage.after(s(20));
    stage.spawned("web");
    stage.did("spawn web");
    stage.after(s(29));
    stage.did_nothing();
    stage.after(s(1));
    stage.did("TERM web");
}

#[test]
fn each_run_has_the_whole_time() {
    let mut stage = Stage::booted([limited(quick("web"), s(30))]);
    stage.after(s(20));
    stage.exits("web", 1);
    stage.after(ms(500));
    stage.spawned("web");
    stage.did("sweep web with TERM, spawn web");
    stage.after(s(29));
    stage.did_nothing();
    stage.after(s(1));
    stage.did("TERM web");
}

#[test]
fn a_job_that_takes_too_long_is_not_a_success() {
    let spec = ProgramSpec { restart: when(RestartWhen::Never), ..limited(job("backup"), s(60)) };
    let mut stage = Stage::booted([spec]);
    stage.after(s(60));
    stage.did("TERM backup");
    stage.exits("backup", 0);
    stage.stands("backup EXITED");
    let past = stage.core.find("backup").and_then(|one| one.past().next_back()).expect("a run has ended");
    assert!(!past.success);
}

#[test]
fn more_time_to_start_moves_nothing() {
    let mut stage = Stage::booted([limited(notifying(program("web")), s(30))]);
    stage.after(s(25));
    stage.asks_for("web", s(60));
    stage.after(s(5));
    stage.did("TERM web");
    stage.exits("web", 0);
    assert_eq!(last_cause(&stage, "web"), Some(StopCause::MaxRuntime { max: s(30) }));
}

#[test]
fn a_run_that_is_being_stopped_is_not_judged() {
    let mut stage = Stage::booted([limited(quick("web"), s(30))]);
    stage.after(s(25));
    stage.stop("web");
    stage.did("TERM web");
    stage.after(s(6));
    stage.did_nothing();
    stage.exits("web", 0);
    stage.stands("web STOPPED");
    assert!(matches!(last_cause(&stage, "web"), Some(StopCause::Asked(_))));
}

#[test]
fn a_reload_limits_the_run_that_is_there() {
    let mut stage = Stage::booted([quick("web")]);
    stage.after(s(20));
    stage.reload([limited(quick("web"), s(30))]);
    stage.did_nothing();
    stage.after(s(9));
    stage.reload([limited(quick("web"), s(40))]);
    stage.after(s(10));
    stage.did_nothing();
    stage.reload([limited(quick("web"), s(10))]);
    stage.after(ms(0));
    stage.did("TERM web");
    stage.exits("web", 0);
    stage.stands("web BACKOFF");
}

#[test]
fn a_reload_takes_the_limit_away() {
    let mut stage = Stage::booted([limited(quick("web"), s(30))]);
    stage.after(s(20));
    stage.reload([quick("web")]);
    stage.after(s(600));
    stage.did_nothing();
    assert_eq!(stage.core.find("web").map(|web| web.state()), Some(State::Running));
}

#[test]
fn time_during_which_the_daemon_was_not_running_does_not_count() {
    let mut stage = Stage::booted([limited(quick("web"), s(30))]);
    stage.after(s(10));
    stage.hand(Input::TimeLost { by: s(100) });
    stage.after(s(119));
    stage.did_nothing();
    stage.reload([limited(quick("web"), s(31))]);
    stage.after(s(1));
    stage.did_nothing();
    stage.after(s(1));
    stage.did("TERM web");
}
