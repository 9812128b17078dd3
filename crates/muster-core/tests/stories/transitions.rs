//! Every row of the transition table, and a start that meets leftovers.

use muster_core::Event;
use muster_spec::{Backoff, Kind, Limit, ProgramSpec, RestartPolicy, RestartWhen, Signal, State};

use crate::common::programs::{killed_by, missing, ms, program, quick, s, several, when};
use crate::stage::Stage;

#[test]
fn autostart_starts_only_programs_that_have_it() {
    let mut stage = Stage::of([quick("web"), ProgramSpec { autostart: false, ..quick("debug") }]);
    stage.hand(muster_core::Input::Booted);
    stage.did("spawn web");
    stage.stands("web STARTING, debug STOPPED");
    stage.start("debug");
    stage.did("spawn debug");
}

#[test]
fn numprocs_makes_that_many_instances_with_their_numbers() {
    let mut stage = Stage::of([several(quick("web"), 3), quick("db")]);
    stage.hand(muster_core::Input::Booted);
    stage.did("spawn web:0, spawn web:1, spawn web:2, spawn db");
}

#[test]
fn running_after_startsecs_and_not_before() {
    let mut stage = Stage::booted([program("web")]);
    stage.after(ms(999));
    stage.stands("web STARTING");
    stage.after(ms(1));
    stage.stands("web RUNNING");
    assert_eq!(stage.core.poll_timeout(), None, "nothing is due while all is well");
}

#[test]
fn startsecs_0_is_running_as_soon_as_it_is_executed() {
    let mut stage = Stage::of([quick("web")]);
    stage.hand(muster_core::Input::Booted);
    stage.stands("web STARTING");
    stage.spawned("web");
    stage.stands("web RUNNING");
}

#[test]
fn startsecs_counts_from_the_execution() {
    let mut stage = Stage::of([program("web")]);
    stage.hand(muster_core::Input::Booted);
    stage.after(s(3));
    stage.spawned("web");
    stage.after(ms(999));
    stage.stands("web STARTING");
    stage.after(ms(1));
    stage.stands("web RUNNING");
}

#[test]
fn a_oneshot_is_running_while_it_runs_and_exited_when_it_succeeded() {
    let oneshot = || ProgramSpec { kind: Kind::Oneshot, ..program("migrate") };
    let mut stage = Stage::booted([oneshot()]);
    stage.stands("migrate RUNNING");
    stage.exits("migrate", 0);
    stage.stands("migrate EXITED");
    let mut stage = Stage::booted([oneshot()]);
    stage.exits("migrate", 1);
    stage.stands("migrate BACKOFF");
}

#[test]
fn a_start_that_fails_is_backoff_and_then_starting_again() {
    let mut stage = Stage::of([program("db")]);
    stage.hand(muster_core::Input::Booted);
    stage.did("spawn db");
    stage.spawn_fails("db", missing());
    stage.stands("db BACKOFF");
    stage.after(ms(499));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("spawn db");
    stage.stands("db STARTING");
}

#[test]
fn a_run_that_ends_before_running_is_backoff() {
    let mut stage = Stage::booted([program("db")]);
    stage.exits("db", 1);
    stage.stands("db BACKOFF");
}

#[test]
fn a_run_that_crashes_is_backoff_and_then_starting_again() {
    let mut stage = Stage::booted([quick("web")]);
    stage.is_killed("web", Signal::from_number(11).unwrap());
    stage.stands("web BACKOFF");
    stage.did("sweep web with TERM");
    stage.after(ms(500));
    stage.did("spawn web");
}

#[test]
fn a_delay_of_0_passes_through_backoff_at_once() {
    let backoff = Backoff { delay: ms(0), ..Backoff::DEFAULT };
    let restart = RestartPolicy { backoff, ..RestartPolicy::DEFAULT };
    let mut stage = Stage::booted([ProgramSpec { restart, ..quick("web") }]);
    stage.exits("web", 1);
    stage.did("sweep web with TERM, spawn web");
    let to = |event: &Event| if let Event::State { to, .. } = event { Some(*to) } else { None };
    let states: Vec<State> = stage.events.iter().filter_map(to).collect();
    assert_eq!(states, [State::Backoff, State::Starting]);
}

#[test]
fn an_expected_exit_however_quick_is_exited() {
    let mut stage = Stage::booted([program("job"), quick("late")]);
    stage.exits("job", 0);
    stage.exits("late", 0);
    stage.stands("job EXITED, late EXITED");
}

#[test]
fn exitcodes_lists_the_expected_statuses() {
    let spec = || ProgramSpec { exit_codes: vec![3], ..quick("job") };
    for (code, state) in [(3, "job EXITED"), (0, "job BACKOFF"), (1, "job BACKOFF")] {
        let mut stage = Stage::booted([spec()]);
        stage.exits("job", code);
        stage.stands(state);
    }
}

#[test]
fn restart_no_is_exited_however_it_ended() {
    let spec = || ProgramSpec { restart: when(RestartWhen::Never), ..quick("job") };
    for code in [0, 1] {
        let mut stage = Stage::booted([spec()]);
        stage.exits("job", code);
        stage.stands("job EXITED");
    }
    let mut stage = Stage::booted([spec()]);
    stage.is_killed("job", Signal::KILL);
    stage.stands("job EXITED");
    assert_eq!(stage.core.poll_timeout(), None);
}

/// EXITED would imply an exit status, and there never was a process; supervisord users look for FATAL.
#[test]
fn restart_no_is_fatal_when_it_could_not_be_spawned() {
    let mut stage = Stage::of([ProgramSpec { restart: when(RestartWhen::Never), ..quick("job") }]);
    stage.hand(muster_core::Input::Booted);
    stage.spawn_fails("job", missing());
    stage.stands("job FATAL");
}

#[test]
fn fatal_once_the_retries_are_used_up_and_a_start_resets_them() {
    let restart = RestartPolicy { limit: Limit::Retries(1), ..RestartPolicy::DEFAULT };
    let mut stage = Stage::booted([ProgramSpec { restart, ..program("web") }]);
    stage.exits("web", 1);
    stage.after(ms(500));
    stage.exits("web", 1);
    stage.stands("web FATAL");
    assert_eq!(stage.core.poll_timeout(), None);
    stage.start("web");
    stage.stands("web STARTING");
    stage.exits("web", 1);
    assert_eq!(stage.next_start_in("web"), 500, "the count went back to 0");
}

#[test]
fn every_live_state_goes_through_stopping_to_stopped() {
    let mut stage = Stage::of([program("web")]);
    stage.hand(muster_core::Input::Booted);
    for name in ["not executed", "STARTING", "RUNNING"] {
        match name {
            "STARTING" => stage.spawned("web"),
            "RUNNING" => {
                stage.spawned("web");
                stage.after(s(1));
            }
            _ => {}
        }
        stage.stop("web");
        stage.stands("web STOPPING");
        stage.main_ends("web", killed_by(Signal::TERM));
        stage.stands("web STOPPING");
        stage.tree_gone("web");
        stage.stands("web STOPPED");
        stage.start("web");
        stage.stands("web STARTING");
    }
}

#[test]
fn backoff_is_stopped_at_once_and_for_good() {
    let mut stage = Stage::booted([program("web")]);
    stage.exits("web", 1);
    let stop = stage.stop("web");
    stage.stands("web STOPPED");
    stage.answered(stop, "web Stopped");
    stage.did("sweep web with TERM");
    stage.after(s(1000));
    stage.did_nothing();
}

#[test]
fn backoff_with_leftovers_is_stopping_until_they_are_gone() {
    let mut stage = Stage::booted([program("web")]);
    stage.main_ends("web", killed_by(Signal::KILL));
    stage.stands("web BACKOFF");
    let stop = stage.stop("web");
    stage.stands("web STOPPING");
    stage.not_answered(stop);
    stage.tree_gone("web");
    stage.stands("web STOPPED");
    stage.answered(stop, "web Stopped");
}

#[test]
fn a_start_that_meets_leftovers_waits_until_they_are_gone() {
    let mut stage = Stage::booted([quick("web")]);
    stage.main_ends("web", muster_spec::Exit::Code(0));
    stage.stands("web EXITED");
    let start = stage.start("web");
    stage.stands("web WAITING");
    stage.did("sweep web with TERM");
    stage.tree_gone("web");
    stage.did("spawn web");
    stage.spawned("web");
    stage.answered(start, "web Started");
}

#[test]
fn waiting_is_stopped_at_once() {
    let mut stage = Stage::booted([quick("a"), quick("b")]);
    stage.exits("a", 0);
    stage.restart("a,b");
    stage.stands("a WAITING, b STOPPING");
    let stop = stage.stop("a");
    stage.stands("a STOPPED");
    stage.answered(stop, "a Stopped");
}

#[test]
fn a_hung_execution_is_killed_after_a_minute_and_counts_as_a_failure() {
    let mut stage = Stage::of([program("web")]);
    stage.hand(muster_core::Input::Booted);
    stage.did("spawn web");
    stage.after(ms(59_999));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("sweep web with KILL");
    let told = stage
        .events
        .iter()
        .any(|event| matches!(event, Event::Killed { waited, cut_short: false, .. } if *waited == s(60)));
    assert!(told, "the event has its timeout: {:?}", stage.events);
    stage.is_killed("web", Signal::KILL);
    stage.stands("web BACKOFF");
    assert_eq!(stage.next_start_in("web"), 500);
}

#[test]
fn a_hung_execution_that_is_being_killed_can_be_stopped() {
    let mut stage = Stage::of([program("web")]);
    stage.hand(muster_core::Input::Booted);
    stage.after(s(60));
    let stop = stage.stop("web");
    stage.stands("web STOPPING");
    stage.is_killed("web", Signal::KILL);
    stage.stands("web STOPPED");
    stage.answered(stop, "web Stopped");
}

#[test]
fn a_late_exit_of_an_old_run_touches_nothing() {
    let mut stage = Stage::booted([quick("web")]);
    let old = stage.core.find("web").and_then(|web| web.run()).unwrap();
    stage.exits("web", 1);
    stage.after(ms(500));
    stage.spawned("web");
    stage.did("sweep web with TERM, spawn web");
    for exit in [muster_spec::Exit::Code(1), killed_by(Signal::KILL)] {
        stage.hand(muster_core::Input::Exited { run: old, exit });
        stage.hand(muster_core::Input::TreeGone { run: old });
        stage.did_nothing();
        stage.stands("web RUNNING");
    }
}
