//! The truth table of hooks.

use muster_core::{Input, Verb};
use muster_spec::{Exit, Hook, Kind, ProgramSpec, RestartWhen, SpawnError, SpawnStep, State};

use crate::common::programs::{killed_by, missing, ms, notifying, program, quick, s, when};
use crate::stage::{Stage, all_hooks, changed, hooked, only};

/// With all hooks, RUNNING.
fn up() -> Stage {
    up_with(hooked(quick("web"), &all_hooks()))
}

fn up_with(program: ProgramSpec) -> Stage {
    let hooks = program.instances[0].hooks.clone();
    let mut stage = Stage::booted(program);
    if hooks.pre_start.is_some() {
        stage.hook_ends(0);
    }
    stage.spawned();
    if hooks.post_start.is_some() {
        stage.hook_ends(0);
    }
    stage.is(State::Running, None);
    stage.clear_deeds();
    stage
}

#[test]
fn all_hooks_of_a_run_that_is_stopped_run_in_order() {
    let mut stage = Stage::booted(hooked(program("web"), &all_hooks()));
    stage.is(State::Starting, Some(Hook::PreStart));
    stage.did("pre_start");
    stage.hook_ends(0);
    stage.did("spawn");
    stage.spawned();
    stage.after(s(1));
    stage.is(State::Starting, Some(Hook::PostStart));
    stage.did("post_start");
    stage.hook_ends(0);
    stage.is(State::Running, None);
    stage.asked(Verb::Stop);
    stage.is(State::Stopping, Some(Hook::PreStop));
    stage.did("pre_stop");
    stage.hook_ends(0);
    stage.is(State::Stopping, None);
    stage.did("TERM");
    stage.hand(Input::Exited { run: stage.run(), exit: killed_by(muster_spec::Signal::TERM) });
    stage.did("sweep TERM");
    stage.tree_gone();
    stage.is(State::Stopping, Some(Hook::PostStop));
    stage.did("post_stop after terminated by SIGTERM by stop, final");
    assert_eq!(stage.open, 1, "the stop is not complete");
    stage.hook_ends(0);
    stage.is(State::Stopped, None);
    assert_eq!(stage.open, 0);
}

#[test]
fn a_failed_pre_start_is_a_failed_start_and_post_stop_follows() {
    let mut stage = Stage::booted(hooked(program("web"), &all_hooks()));
    stage.hook_says(Ok(Exit::Code(3)), "no such table");
    stage.is(State::Backoff, Some(Hook::PostStop));
    stage.did(
        "pre_start, (pre_start failed: exit status 3: no such table), \
         post_stop after pre_start: exit status 3: no such table by itself, restart",
    );
    // The next start waits for it, even if its delay is over before.
    stage.after(s(1));
    stage.did("");
    stage.hook_ends(0);
    stage.is(State::Starting, Some(Hook::PreStart));
    stage.did("pre_start");
}

#[test]
fn a_pre_start_that_fails_again_and_again_is_fatal() {
    let restart = muster_spec::RestartPolicy { limit: muster_spec::Limit::Retries(2), ..when(RestartWhen::Always) };
    let mut stage = Stage::booted(ProgramSpec { restart, ..hooked(program("web"), &only(&[Hook::PreStart])) });
    for _ in 0..3 {
        stage.hook_ends(3);
        stage.after(s(2));
    }
    stage.is(State::Fatal, None);
    let reason = stage.one().past().next_back().map(|past| past.end.to_string());
    assert_eq!(reason.as_deref(), Some("pre_start: exit status 3"));
}

#[test]
fn a_hook_that_cannot_be_executed_has_failed() {
    let mut stage = Stage::booted(hooked(program("web"), &only(&[Hook::PreStart])));
    stage.hook_says(Err(missing()), "");
    stage.is(State::Backoff, None);
    stage.did("pre_start, (pre_start failed: /usr/bin/postgre: no such file)");
}

/// It is no failure of the program: no retry is used up.
#[test]
fn a_pre_start_for_which_the_daemon_lacked_processes_is_a_shortage() {
    let mut stage = Stage::booted(hooked(program("web"), &only(&[Hook::PreStart])));
    let error = SpawnError { step: SpawnStep::Fork, errno: 11, message: "no more processes".to_owned() };
    stage.hook_says(Err(error), "");
    stage.is(State::Backoff, None);
    assert_eq!(stage.one().failures(stage.now), 0);
}

#[test]
fn a_failure_may_be_ignored() {
    let hooks = changed(all_hooks(), Hook::PreStart, |spec| spec.ignores_failure = true);
    let hooks = changed(hooks, Hook::PostStart, |spec| spec.ignores_failure = true);
    let mut stage = Stage::booted(hooked(quick("web"), &hooks));
    stage.hook_ends(1);
    stage.did("pre_start, (pre_start failed, ignored: exit status 1), spawn");
    stage.spawned();
    stage.hook_ends(1);
    stage.did("post_start, (post_start failed, ignored: exit status 1)");
    stage.is(State::Running, None);
}

#[test]
fn a_hook_that_takes_too_long_gets_term_and_a_second_later_kill() {
    let mut stage = Stage::booted(hooked(program("web"), &only(&[Hook::PreStart])));
    stage.after(ms(2999));
    stage.did("pre_start");
    stage.after(ms(1));
    stage.did("TERM pre_start");
    stage.is(State::Starting, Some(Hook::PreStart));
    stage.after(ms(1000));
    stage.did("KILL pre_start");
    stage.hand(Input::HookFinished {
        run: stage.run(),
        hook: Hook::PreStart,
        end: Ok(killed_by(muster_spec::Signal::KILL)),
        said: "waiting".into(),
    });
    stage.did("(pre_start failed: timed out after 3s: waiting)");
    stage.is(State::Backoff, None);
}

#[test]
fn a_stop_during_pre_start_ends_it_and_the_program_is_never_started() {
    let mut stage = Stage::booted(hooked(program("web"), &all_hooks()));
    stage.asked(Verb::Stop);
    stage.is(State::Stopping, Some(Hook::PreStart));
    stage.did("pre_start, TERM pre_start");
    stage.hook_ends(0);
    stage.did("post_stop after stopped before it was started by stop, final");
    stage.hook_ends(0);
    stage.is(State::Stopped, None);
}

#[test]
fn a_restart_during_pre_start_begins_with_it_again() {
    let mut stage = Stage::booted(hooked(program("web"), &only(&[Hook::PreStart])));
    stage.asked(Verb::Restart);
    stage.did("pre_start, TERM pre_start");
    stage.hook_ends(0);
    stage.did("pre_start");
    stage.is(State::Starting, Some(Hook::PreStart));
}

#[test]
fn pre_start_with_once_succeeds_once_in_the_daemons_life() {
    let hooks = changed(only(&[Hook::PreStart]), Hook::PreStart, |spec| spec.once = true);
    let restart = when(RestartWhen::Always);
    let mut stage = Stage::booted(ProgramSpec { restart, ..hooked(quick("web"), &hooks) });
    stage.hook_ends(1);
    stage.after(s(1));
    stage.hook_ends(0);
    stage.did("pre_start, (pre_start failed: exit status 1), pre_start, spawn");
    stage.spawned();
    stage.exits(1);
    stage.tree_gone();
    stage.after(s(5));
    stage.did("sweep TERM, spawn");
}

/// `startsecs`, `start_timeout` and the watchdog begin with the program.
#[test]
fn the_time_of_pre_start_counts_for_nothing_else() {
    let ready = muster_core::Readiness::Unknown;
    let slow = changed(only(&[Hook::PreStart]), Hook::PreStart, |spec| spec.timeout = s(600));
    let mut stage = Stage::booted(hooked(notifying(program("web")), &slow));
    stage.after(s(300));
    assert_eq!((stage.one().ready(), stage.one().run_began()), (ready, None));
    stage.hook_ends(0);
    stage.spawned();
    stage.after(s(59));
    stage.did("pre_start, spawn");
    stage.after(s(1));
    stage.did("(failing: it did not become ready in time), TERM");
}

#[test]
fn post_start_comes_after_readiness_and_its_failure_fails_the_run() {
    let mut stage = Stage::booted(hooked(notifying(program("web")), &all_hooks()));
    stage.hook_ends(0);
    stage.spawned();
    stage.after(s(2));
    stage.is(State::Starting, None);
    stage.hand(Input::Ready { run: stage.run() });
    stage.is(State::Starting, Some(Hook::PostStart));
    stage.hook_says(Ok(Exit::Code(2)), "no answer");
    stage.did(
        "pre_start, spawn, post_start, (post_start failed: exit status 2: no answer), \
         (failing: post_start: exit status 2: no answer), pre_stop",
    );
    stage.hook_ends(0);
    stage.did("TERM");
    stage.exits(0);
    stage.tree_gone();
    stage.did("sweep TERM, post_stop after exit status 0 by hook, restart");
    stage.is(State::Backoff, Some(Hook::PostStop));
}

#[test]
fn an_exit_ends_post_start_and_is_judged_as_ever() {
    let mut stage = up_to_post_start();
    stage.exits(1);
    stage.is(State::Backoff, Some(Hook::PostStart));
    stage.did("TERM post_start, sweep TERM");
    stage.tree_gone();
    stage.did("");
    stage.hook_ends(0);
    stage.did("post_stop after exit status 1 by itself, restart");
}

fn up_to_post_start() -> Stage {
    let mut stage = Stage::booted(hooked(quick("web"), &all_hooks()));
    stage.hook_ends(0);
    stage.spawned();
    stage.is(State::Starting, Some(Hook::PostStart));
    stage.did("pre_start, spawn, post_start");
    stage
}

#[test]
fn a_stop_during_post_start_ends_it_before_pre_stop_begins() {
    let mut stage = up_to_post_start();
    stage.asked(Verb::Stop);
    stage.did("TERM post_start");
    stage.after(ms(500));
    stage.hook_ends(1);
    stage.did("pre_stop");
    // It has its whole time.
    stage.after(ms(2999));
    stage.did("");
    stage.after(ms(1));
    stage.did("TERM pre_stop, TERM");
}

#[test]
fn a_crash_runs_no_pre_stop() {
    let mut stage = up();
    stage.exits(1);
    stage.tree_gone();
    stage.did("sweep TERM, post_stop after exit status 1 by itself, restart");
}

#[test]
fn a_run_that_fails_by_judgement_gets_its_pre_stop_and_keeps_its_state() {
    let mut stage = up();
    stage.hand(Input::WatchdogTripped { run: stage.run() });
    stage.is(State::Running, Some(Hook::PreStop));
    stage.hook_ends(0);
    stage.did("(failing: watchdog: triggered by the program), pre_stop, TERM");
    stage.exits(0);
    stage.tree_gone();
    stage.did("sweep TERM, post_stop after exit status 0 by watchdog, restart");
}

#[test]
fn a_pre_stop_that_fails_or_times_out_delays_the_signal_and_nothing_else() {
    let mut stage = up();
    stage.asked(Verb::Stop);
    stage.hook_says(Ok(Exit::Code(1)), "no answer");
    stage.did("pre_stop, (pre_stop failed, ignored: exit status 1: no answer), TERM");
    let mut stage = up();
    stage.asked(Verb::Stop);
    stage.after(s(3));
    stage.did("pre_stop, TERM pre_stop, TERM");
    stage.exits(0);
    stage.tree_gone();
    stage.did("sweep TERM");
    // STOPPED needs both gone.
    stage.after(s(1));
    stage.did("KILL pre_stop");
    stage.is(State::Stopping, Some(Hook::PreStop));
    stage.hook_ends(1);
    stage.did("(pre_stop failed, ignored: timed out after 3s), post_stop after exit status 0 by stop, final");
}

/// `redis-cli shutdown` ends the program, and goes on for a moment.
#[test]
fn an_exit_during_pre_stop_does_not_cut_the_hook_short() {
    let mut stage = up();
    stage.asked(Verb::Stop);
    stage.did("pre_stop");
    stage.exits(0);
    stage.did("");
    stage.is(State::Stopping, Some(Hook::PreStop));
    stage.after(s(2));
    stage.did("");
    stage.hook_ends(0);
    stage.did("sweep TERM");
    stage.tree_gone();
    stage.did("post_stop after exit status 0 by stop, final");
}

#[test]
fn an_exit_during_pre_stop_that_hangs_is_over_with_its_time() {
    let mut stage = up();
    stage.asked(Verb::Stop);
    stage.exits(0);
    stage.after(s(3));
    stage.did("pre_stop, TERM pre_stop, sweep TERM");
}

#[test]
fn a_hanging_post_stop_delays_stopped_for_its_timeout_and_a_second() {
    let mut stage = up();
    stage.asked(Verb::Stop);
    stage.hook_ends(0);
    stage.exits(0);
    stage.tree_gone();
    stage.after(s(2));
    stage.after(s(1));
    stage.did(
        "pre_stop, TERM, sweep TERM, post_stop after exit status 0 by stop, final, TERM post_stop, KILL post_stop",
    );
    stage.hook_ends(1);
    stage.is(State::Stopped, None);
}

#[test]
fn post_stop_follows_a_program_that_cannot_be_executed() {
    let mut stage = Stage::booted(hooked(program("web"), &only(&[Hook::PostStop])));
    stage.hand(Input::SpawnFailed { run: stage.run(), error: missing() });
    stage.did("spawn, post_stop after spawn error: /usr/bin/postgre: no such file by itself, restart");
    // A start is held until it has ended.
    stage.asked(Verb::Start);
    stage.is(State::Waiting, Some(Hook::PostStop));
    assert_eq!(stage.core.waiting_for(stage.one().id(), stage.now), ["its post_stop"]);
    stage.hook_ends(0);
    stage.did("spawn");
}

#[test]
fn a_final_end_is_told_to_post_stop() {
    let job = ProgramSpec { kind: Kind::Oneshot, ..hooked(program("web"), &only(&[Hook::PostStop])) };
    let mut stage = Stage::booted(job);
    stage.spawned();
    stage.exits(0);
    stage.tree_gone();
    stage.is(State::Exited, Some(Hook::PostStop));
    stage.did("spawn, sweep TERM, post_stop after exit status 0 by itself, final");
    stage.hook_ends(1);
    stage.is(State::Exited, None);
}

#[test]
fn a_restart_is_told_to_post_stop() {
    let mut stage = up();
    stage.asked(Verb::Restart);
    stage.hook_ends(0);
    stage.exits(0);
    stage.tree_gone();
    stage.did("pre_stop, TERM, sweep TERM, post_stop after exit status 0 by restart, restart");
    stage.hook_ends(0);
    stage.did("pre_start");
}

#[test]
fn hooks_of_a_new_configuration_apply_to_the_current_run() {
    let mut stage = up_with(hooked(quick("web"), &only(&[Hook::PreStop])));
    let programs = vec![hooked(quick("web"), &only(&[Hook::PostStop])).into()];
    let settings = crate::common::programs::SETTINGS;
    stage.referee.reconfigured(&only(&[Hook::PostStop]));
    stage.hand(Input::Reloaded { request: None, by: None, programs, settings, restarts_all: false });
    stage.did("");
    stage.asked(Verb::Stop);
    stage.exits(0);
    stage.tree_gone();
    stage.did("TERM, sweep TERM, post_stop after exit status 0 by stop, final");
}

#[test]
fn time_that_the_daemon_did_not_run_counts_against_no_hook() {
    let mut stage = Stage::booted(hooked(program("web"), &only(&[Hook::PreStart])));
    stage.now = stage.now + s(100);
    stage.hand(Input::TimeLost { by: s(100) });
    stage.after(ms(2999));
    stage.did("pre_start");
}
