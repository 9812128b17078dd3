//! Watched files have changed: the effect in each state.

use muster_core::{Asker, Input, StopCause};
use muster_spec::{ProgramSpec, RestartWhen, Signal, StartOn, WatchAction, WatchSpec};

use crate::common::programs::{ms, needs, program, quick, s, several, when};
use crate::rolling::{all_ready, at_a_time, did, is_renewed, rolling, three};
use crate::stage::Stage;

fn acting(program: ProgramSpec, action: WatchAction) -> ProgramSpec {
    ProgramSpec { watch: Some(Box::new(WatchSpec { action, ..WatchSpec::of(Vec::new()) })), ..program }
}

fn watching(program: ProgramSpec) -> ProgramSpec {
    acting(program, WatchAction::Restart)
}

fn change(stage: &mut Stage) {
    stage.hand(Input::FilesChanged { program: "web".to_owned(), file: "api.py".to_owned(), at: stage.now });
}

#[test]
fn a_program_that_is_up_is_restarted_once_and_the_cause_names_the_file() {
    let mut stage = Stage::booted([watching(program("web"))]);
    stage.stands("web STARTING");
    change(&mut stage);
    stage.did("TERM web");
    stage.stands("web STOPPING");
    // It begins with the files as they are then.
    change(&mut stage);
    stage.did_nothing();
    stage.exits("web", 0);
    stage.did("sweep web with TERM, spawn web");
    stage.spawned("web");
    stage.after(s(1));
    stage.stands("web RUNNING");
    change(&mut stage);
    stage.did("TERM web");
    let past = stage.core.find("web").and_then(|web| web.past().next_back()).expect("it has had a run");
    let cause = past.cause.clone().expect("it was ended");
    assert_eq!(cause, StopCause::Asked(Asker::Files("api.py".into())));
    assert_eq!((cause.to_string().as_str(), cause.word(), cause.is_failure()), ("api.py changed", "watch", false));
}

#[test]
fn a_program_that_fails_or_was_given_up_starts_at_once_and_is_forgiven() {
    let mut stage = Stage::booted([watching(program("web"))]);
    stage.exits("web", 1);
    stage.forget_deeds();
    stage.stands("web BACKOFF");
    change(&mut stage);
    stage.did("spawn web");
    assert_eq!(stage.core.find("web").map(|web| web.failures(stage.now)), Some(0));
    let given_up = watching(ProgramSpec { restart: when(RestartWhen::Never), ..program("web") });
    for (code, state) in [(0, "web EXITED"), (1, "web EXITED")] {
        let mut stage = Stage::booted([given_up.clone()]);
        stage.exits("web", code);
        stage.forget_deeds();
        stage.stands(state);
        change(&mut stage);
        stage.did("spawn web");
    }
    let mut stage = Stage::booted([watching(program("web"))]);
    for _ in 0..11 {
        stage.exits("web", 1);
        stage.after(s(60));
        if stage.core.find("web").is_some_and(|web| web.run().is_some()) {
            stage.spawned("web");
        }
    }
    stage.forget_deeds();
    stage.stands("web FATAL");
    change(&mut stage);
    stage.did("spawn web");
}

#[test]
fn a_program_that_is_down_or_waits_stays_as_it_is() {
    let mut stage = Stage::booted([watching(quick("web"))]);
    stage.stop("web");
    change(&mut stage);
    stage.did("TERM web");
    stage.exits("web", 0);
    stage.forget_deeds();
    change(&mut stage);
    stage.did_nothing();
    stage.stands("web STOPPED");

    let waiting = needs(watching(quick("web")), &[("db", muster_spec::DependencyCondition::Started)]);
    let mut stage = Stage::booted([program("db"), waiting]);
    stage.stands("db STARTING, web WAITING");
    change(&mut stage);
    stage.did_nothing();

    let awaits = ProgramSpec { start_on: StartOn::Connection, ..watching(quick("web")) };
    let mut stage = Stage::booted([awaits]);
    stage.forget_deeds();
    change(&mut stage);
    stage.did_nothing();
}

#[test]
fn nothing_is_started_while_the_daemon_shuts_down() {
    let mut stage = Stage::booted([watching(quick("web"))]);
    stage.signal_to_daemon(Signal::TERM);
    stage.forget_deeds();
    change(&mut stage);
    stage.did_nothing();
}

#[test]
fn a_program_that_does_not_watch_or_is_unknown_stays_as_it_is() {
    let mut stage = Stage::booted([quick("web")]);
    change(&mut stage);
    stage.hand(Input::FilesChanged { program: "other".to_owned(), file: "x".to_owned(), at: stage.now });
    stage.did_nothing();
}

#[test]
fn a_signal_goes_to_a_running_process_and_one_that_is_starting_is_restarted() {
    let mut stage = Stage::booted([acting(program("web"), WatchAction::Signal(Signal::USR1))]);
    change(&mut stage);
    stage.did("TERM web");
    stage.exits("web", 0);
    stage.spawned("web");
    stage.after(s(1));
    stage.forget_deeds();
    change(&mut stage);
    stage.did("USR1 web");
    stage.stands("web RUNNING");

    let hears = ProgramSpec { reload_signal: Some(Signal::USR1), ..acting(quick("web"), WatchAction::Reload) };
    let mut stage = Stage::booted([hears]);
    change(&mut stage);
    stage.did("USR1 web");
    let deaf = ProgramSpec { reload_signal: None, ..acting(quick("web"), WatchAction::Reload) };
    let mut stage = Stage::booted([deaf]);
    change(&mut stage);
    stage.did("TERM web");
}

#[test]
fn instances_are_restarted_together_or_one_after_another() {
    let mut stage = Stage::booted([watching(several(quick("web"), 2))]);
    change(&mut stage);
    stage.did("TERM web:0, TERM web:1");

    let mut stage = Stage::booted([watching(three())]);
    all_ready(&mut stage);
    change(&mut stage);
    did(&mut stage, "TERM web:0");
    is_renewed(&mut stage, "web:0");
    did(&mut stage, "spawn web:0, TERM web:1");
    is_renewed(&mut stage, "web:1");
    did(&mut stage, "spawn web:1, TERM web:2");
    is_renewed(&mut stage, "web:2");
    did(&mut stage, "spawn web:2");
}

#[test]
fn changes_during_a_roll_have_one_more_follow_and_no_third() {
    let mut stage = Stage::booted([watching(rolling(several(quick("web"), 2), at_a_time(1)))]);
    change(&mut stage);
    did(&mut stage, "TERM web:0");
    stage.exits("web:0", 0);
    stage.spawned("web:0");
    did(&mut stage, "spawn web:0, TERM web:1");
    // Of the first instance only the last change concerns a run that is older.
    (0..3).for_each(|_| change(&mut stage));
    stage.exits("web:1", 0);
    stage.spawned("web:1");
    did(&mut stage, "spawn web:1, TERM web:0");
    stage.exits("web:0", 0);
    stage.spawned("web:0");
    did(&mut stage, "spawn web:0");
    stage.after(ms(100));
    did(&mut stage, "");
    stage.stands("web:0 RUNNING, web:1 RUNNING");
}

#[test]
fn a_run_that_began_after_the_change_has_the_new_files() {
    let mut stage = Stage::booted([watching(quick("web"))]);
    let at = stage.now;
    stage.after(ms(100));
    stage.restart("web");
    stage.exits("web", 0);
    stage.spawned("web");
    stage.forget_deeds();
    stage.hand(Input::FilesChanged { program: "web".to_owned(), file: "api.py".to_owned(), at });
    stage.did_nothing();
}
