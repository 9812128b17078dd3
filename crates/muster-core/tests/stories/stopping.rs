//! Stopping one program: its signals, its timeouts, its whole tree, and leftovers after any end.

use muster_core::{Asker, Effect, Event, Input, LeftBehind, Principal, RequestId, StopCause, Verb};
use muster_spec::{Exit, Leftovers, ProgramSpec, Signal, SignalScope, StopKill, StopScope, StopSpec};

use crate::common::programs::{ROOT, killed_by, ms, quick, s, stop_with};
use crate::common::witness::OPERATORS_SIGNAL;
use crate::stage::Stage;

fn with_stop(steps: &[(Signal, std::time::Duration)]) -> ProgramSpec {
    ProgramSpec { stop: stop_with(steps), ..quick("web") }
}

#[test]
fn the_stop_signal_comes_first_and_sigkill_after_stopwaitsecs() {
    let mut stage = Stage::booted([quick("web")]);
    stage.stop("web");
    stage.did("TERM web");
    stage.after(ms(9_999));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("sweep web with KILL");
}

#[test]
fn a_stopped_process_is_continued_so_that_it_can_act_on_the_signal() {
    let mut stage = Stage::booted([quick("web")]);
    let run = stage.core.find("web").and_then(|web| web.run()).unwrap();
    let (request, select) = (RequestId(1), "web".parse().unwrap());
    stage.core.handle_input(stage.now, Input::Commanded { request, select, verb: Verb::Stop, wait: true, by: ROOT });
    let effects: Vec<Effect> = std::iter::from_fn(|| stage.core.poll_effect()).collect();
    let signals: Vec<&Effect> =
        effects.iter().filter(|effect| matches!(effect, Effect::Signal { .. } | Effect::Wake { .. })).collect();
    let scope = SignalScope::Main;
    assert_eq!(signals, [&Effect::Signal { run, signal: Signal::TERM, scope }, &Effect::Wake { run, scope }]);
}

#[test]
fn an_ended_run_names_the_client_that_stopped_or_signalled_it() {
    let mut stage = Stage::booted([quick("web")]);
    let alice = Principal::Uid(1000);
    let (signal, scope) = (OPERATORS_SIGNAL, SignalScope::Main);
    for (request, verb, by) in [(1, Verb::Signal { signal, scope }, alice), (2, Verb::Stop, ROOT)] {
        let (request, select) = (RequestId(request), "web".parse().unwrap());
        stage.hand(Input::Commanded { request, select, verb, wait: true, by });
    }
    stage.exits("web", 0);
    let past = stage.core.find("web").and_then(|web| web.past().next_back()).unwrap();
    assert_eq!(past.cause, Some(StopCause::Asked(Asker::Stop(ROOT))));
    assert_eq!((past.signalled_by(signal), past.signalled_by(Signal::TERM)), (Some(alice), None));
}

#[test]
fn several_stop_signals_each_have_their_own_timeout() {
    let mut stage = Stage::booted([with_stop(&[(Signal::INT, s(2)), (Signal::QUIT, s(3)), (Signal::TERM, ms(500))])]);
    stage.stop("web");
    stage.did("INT web");
    stage.after(s(2));
    stage.did("QUIT web");
    stage.after(ms(2_999));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("TERM web");
    stage.after(ms(500));
    stage.did("sweep web with KILL");
}

#[test]
fn the_scope_decides_who_gets_the_stop_signal_and_sigkill_gets_the_whole_tree() {
    let stop = StopSpec { scope: StopScope::Group, ..stop_with(&[(Signal::TERM, s(1))]) };
    let mut stage = Stage::booted([ProgramSpec { stop, ..quick("web") }]);
    stage.stop("web");
    stage.did("TERM Group of web");
    stage.after(s(1));
    stage.did("sweep web with KILL");
}

#[test]
fn a_zero_timeout_is_sigkill_right_after_the_signal() {
    let mut stage = Stage::booted([with_stop(&[(Signal::TERM, s(0))])]);
    stage.stop("web");
    stage.after(s(0));
    stage.did("TERM web, sweep web with KILL");
}

#[test]
fn sigkill_is_sent_again_until_nothing_is_left() {
    let mut stage = Stage::booted([with_stop(&[(Signal::TERM, s(1))])]);
    stage.stop("web");
    stage.after(s(1));
    stage.did("TERM web, sweep web with KILL");
    stage.after(s(2));
    stage.did("sweep web with KILL, sweep web with KILL");
    let stuck = stage.events.iter().any(|event| matches!(event, Event::Stuck { since, .. } if *since == s(3)));
    assert!(stuck, "{:?}", stage.events);
    stage.is_killed("web", Signal::KILL);
    stage.stands("web STOPPED");
    stage.after(s(10));
    stage.did("sweep web with KILL");
}

#[test]
fn leftovers_of_a_stop_get_the_rest_of_the_timeout() {
    let mut stage = Stage::booted([quick("web")]);
    stage.stop("web");
    stage.after(s(4));
    stage.main_ends("web", killed_by(Signal::TERM));
    stage.did("TERM web, sweep web with TERM");
    stage.stands("web STOPPING");
    stage.after(ms(5_999));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("sweep web with KILL");
    stage.tree_gone("web");
    stage.stands("web STOPPED");
}

#[test]
fn leftovers_go_through_the_rest_of_the_signals() {
    let mut stage = Stage::booted([with_stop(&[(Signal::INT, s(2)), (Signal::TERM, s(3))])]);
    stage.stop("web");
    stage.after(s(1));
    stage.main_ends("web", Exit::Code(0));
    stage.did("INT web, sweep web with INT");
    stage.after(s(1));
    stage.did("sweep web with TERM");
    stage.after(s(3));
    stage.did("sweep web with KILL");
}

#[test]
fn leftovers_of_a_crash_are_gone_before_the_next_run() {
    let mut stage = Stage::booted([quick("web")]);
    stage.main_ends("web", killed_by(Signal::KILL));
    stage.did("sweep web with TERM");
    stage.after(ms(1_999));
    stage.did_nothing();
    stage.stands("web BACKOFF");
    stage.after(ms(1));
    stage.did("sweep web with KILL");
    stage.tree_gone("web");
    stage.did("spawn web");
}

/// At most as long as a stop may take, and as long as configured.
#[test]
fn leftovers_of_a_crash_have_leftover_wait_and_at_most_stopwaitsecs() {
    for (wait, patience, expected) in [(s(2), ms(500), ms(500)), (s(7), s(10), s(7)), (s(20), s(10), s(10))] {
        let stop = StopSpec { leftover_wait: wait, ..stop_with(&[(Signal::TERM, patience)]) };
        let mut stage = Stage::booted([ProgramSpec { stop, ..quick("web") }]);
        stage.main_ends("web", Exit::Code(1));
        stage.after(expected - ms(1));
        stage.did("sweep web with TERM");
        stage.after(ms(1));
        stage.did("sweep web with KILL");
        let event = stage.events.iter().find(|event| matches!(event, Event::Killed { .. }));
        let is_told = matches!(event, Some(Event::Killed { cut_short: false, left_behind: true, .. }));
        assert!(is_told, "{event:?}");
    }
}

#[test]
fn leftovers_of_a_crash_get_every_stop_signal_in_their_shorter_time() {
    let mut stage = Stage::booted([with_stop(&[(Signal::INT, s(2)), (Signal::TERM, s(6))])]);
    stage.main_ends("web", Exit::Code(1));
    stage.did("sweep web with INT");
    stage.after(ms(500));
    stage.did("sweep web with TERM");
    stage.after(ms(1_499));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("sweep web with KILL");
}

/// The leftover processes are looked up by the shell, and recorded with the run.
#[test]
fn leftovers_are_named_when_signalled_and_when_killed() {
    let mut stage = Stage::booted([quick("web")]);
    stage.main_ends("web", Exit::Code(1));
    let left = |killed| LeftBehind { named: vec![("sleep".to_owned(), 77)], count: 1, killed, by_itself: false };
    assert_eq!(stage.to_name, [false]);
    stage.names("web", left(false));
    stage.after(s(2));
    assert_eq!(stage.to_name, [false, true]);
    stage.names("web", left(true));
    stage.after(s(1));
    assert_eq!(stage.to_name, [false, true], "SIGKILL is sent again, and reported once");
    let words = |event: &Event| match event {
        Event::LeftBehind { run, left, .. } => Some(left.of_run(*run).to_string()),
        _ => None,
    };
    let told: Vec<String> = stage.events.iter().filter_map(words).collect();
    let of_it = "1 process that run 1 left behind: \"sleep\" (pid 77); does it daemonize?";
    assert_eq!(told, [format!("sent the stop signal to {of_it}"), format!("killed {of_it}")]);
    let web = stage.core.find("web").unwrap();
    assert_eq!(web.past().next_back().and_then(|past| past.left_behind.as_ref()).map(|left| left.killed), Some(true));
}

#[test]
fn leftovers_of_a_stop_are_named_only_when_killed() {
    let mut stage = Stage::booted([quick("web")]);
    stage.stop("web");
    stage.main_ends("web", Exit::Code(0));
    assert_eq!(stage.to_name, []);
    stage.after(s(10));
    assert_eq!(stage.to_name, [true]);
    stage.names("web", LeftBehind { count: 7, killed: true, ..LeftBehind::default() });
    let told = stage.events.iter().any(|event| matches!(event, Event::LeftBehind { left, .. } if !left.by_itself));
    assert!(told, "no hint that it may daemonize: {:?}", stage.events);
}

#[test]
fn a_run_whose_main_process_is_lost_has_failed_is_swept_and_starts_again() {
    let mut stage = Stage::booted([with_stop(&[(Signal::INT, s(2)), (Signal::TERM, s(3))])]);
    stage.hand(Input::MainLost { run: stage.run("web") });
    stage.did("sweep web with INT");
    stage.stands("web BACKOFF");
    let web = stage.core.find("web").expect("it is configured");
    let past = web.past().next_back().expect("its run is over");
    assert_eq!((past.success, past.end.shell_code()), (false, 1));
    assert_eq!(past.reason(), "its main process no longer belongs to the run");
    // The process whose exit is reported later is no longer the main process.
    stage.main_ends("web", Exit::Code(0));
    stage.did_nothing();
    // The leftovers have their own timeout.
    stage.after(s(2));
    stage.did("sweep web with TERM, sweep web with KILL");
    stage.tree_gone("web");
    stage.did("spawn web");
}

#[test]
fn a_run_whose_main_process_is_lost_costs_a_shutdown_nothing_when_it_is_gone() {
    let never = ProgramSpec { stop: stop_with(&[(Signal::TERM, s(3600))]), ..quick("web") };
    let mut stage = Stage::booted([never]);
    stage.stop("web");
    stage.did("TERM web");
    stage.hand(Input::MainLost { run: stage.run("web") });
    stage.did("sweep web with TERM");
    stage.signal_to_daemon(Signal::TERM);
    stage.tree_gone("web");
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn leftovers_that_are_gone_early_do_not_shorten_the_delay() {
    let mut stage = Stage::booted([quick("web")]);
    stage.main_ends("web", Exit::Code(1));
    stage.after(ms(100));
    stage.tree_gone("web");
    stage.after(ms(399));
    stage.did("sweep web with TERM");
    stage.after(ms(1));
    stage.did("spawn web");
}

#[test]
fn leftovers_of_an_end_for_good_are_stopped_too() {
    let mut stage = Stage::booted([quick("job")]);
    stage.main_ends("job", Exit::Code(0));
    stage.stands("job EXITED");
    stage.after(s(2));
    stage.did("sweep job with TERM, sweep job with KILL");
    stage.tree_gone("job");
    stage.stands("job EXITED");
    assert_eq!(stage.core.poll_timeout(), None);
}

#[test]
fn a_stop_during_the_sweep_after_a_crash_does_not_restart_the_timeout() {
    let mut stage = Stage::booted([quick("web")]);
    stage.main_ends("web", Exit::Code(1));
    stage.after(ms(1_200));
    let stop = stage.stop("web");
    stage.after(ms(800));
    stage.did("sweep web with TERM, sweep web with KILL");
    stage.tree_gone("web");
    stage.answered(stop, "web Stopped");
}

#[test]
fn a_stop_of_an_exited_program_waits_for_its_leftovers() {
    let mut stage = Stage::booted([quick("job")]);
    stage.main_ends("job", Exit::Code(0));
    let stop = stage.stop("job");
    stage.not_answered(stop);
    stage.tree_gone("job");
    stage.answered(stop, "job Stopped");
}

/// It was started while being stopped: the stop request is still answered when it was down.
#[test]
fn a_stop_of_leftovers_is_answered_although_a_start_follows() {
    let mut stage = Stage::booted([quick("job")]);
    stage.main_ends("job", Exit::Code(0));
    let stop = stage.stop("job");
    let start = stage.start("job");
    stage.stands("job WAITING");
    stage.tree_gone("job");
    stage.answered(stop, "job Stopped");
    stage.spawned("job");
    stage.answered(start, "job Started");
}

#[test]
fn an_old_deadline_never_acts_on_a_new_run() {
    let mut stage = Stage::booted([quick("web")]);
    stage.stop("web");
    stage.is_killed("web", Signal::TERM);
    stage.start("web");
    stage.spawned("web");
    stage.after(s(9));
    stage.stop("web");
    stage.forget_deeds();
    stage.after(ms(9_999));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("sweep web with KILL");
}

#[test]
fn a_stop_before_exec_signals_the_process_too() {
    let mut stage = Stage::of([quick("web")]);
    stage.start("web");
    stage.stop("web");
    stage.did("spawn web, TERM web");
    stage.spawned("web");
    stage.stands("web STOPPING");
    stage.is_killed("web", Signal::TERM);
    stage.stands("web STOPPED");
}

#[test]
fn a_requested_exit_is_a_success_in_the_history() {
    let mut stage = Stage::booted([quick("web")]);
    stage.stop("web");
    stage.is_killed("web", Signal::KILL);
    let web = stage.core.find("web").unwrap();
    let past = web.past().next_back().unwrap();
    assert!(past.success && past.was_stopping, "{past:?}");
}

#[test]
fn a_stop_lasts_as_long_as_the_run_keeps_asking_for_more_time() {
    let mut stage = Stage::booted([quick("web")]);
    stage.stop("web");
    stage.did("TERM web");
    for _ in 0..5 {
        stage.after(s(8));
        stage.asks_for("web", s(10));
    }
    stage.did_nothing();
    stage.after(ms(9_999));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("sweep web with KILL");
}

#[test]
fn more_time_to_stop_is_never_less_and_moves_only_the_signal_under_way() {
    let mut stage = Stage::booted([with_stop(&[(Signal::INT, s(2)), (Signal::TERM, s(3))])]);
    stage.stop("web");
    stage.asks_for("web", ms(10));
    stage.after(ms(1_999));
    stage.did("INT web");
    stage.asks_for("web", s(4));
    stage.after(s(4));
    stage.did("TERM web");
    stage.after(s(3));
    stage.did("sweep web with KILL");
    stage.asks_for("web", s(100));
    stage.after(s(1));
    stage.did("sweep web with KILL");
}

#[test]
fn time_requested_before_the_stop_or_by_leftovers_is_not_granted() {
    let mut stage = Stage::booted([quick("web")]);
    stage.asks_for("web", s(100));
    stage.stop("web");
    stage.after(s(5));
    stage.main_ends("web", Exit::Code(0));
    stage.asks_for("web", s(100));
    stage.did("TERM web, sweep web with TERM");
    stage.after(s(5));
    stage.did("sweep web with KILL");
}

fn stopped_with(change: impl Fn(&mut StopSpec)) -> Stage {
    let mut stop = stop_with(&[(Signal::TERM, s(1))]);
    change(&mut stop);
    Stage::booted([ProgramSpec { stop, ..quick("web") }])
}

#[test]
fn leftovers_that_are_kept_are_signalled_by_nothing_and_delay_no_restart() {
    let mut stage = stopped_with(|stop| stop.leftovers = Leftovers::Keep);
    stage.main_ends("web", Exit::Code(1));
    stage.did("disown web");
    stage.after(ms(500));
    stage.did("spawn web");
    stage.spawned("web");
    // The run that replaces it is stopped as a whole, and knows nothing of those that were kept.
    stage.stop("web");
    stage.main_ends("web", killed_by(Signal::TERM));
    stage.did("TERM web, sweep web with TERM");
    stage.stands("web STOPPING");
    stage.tree_gone("web");
    stage.stands("web STOPPED");
}

#[test]
fn kept_leftovers_of_an_end_for_good_leave_no_run() {
    let mut stage = stopped_with(|stop| stop.leftovers = Leftovers::Keep);
    stage.main_ends("web", Exit::Code(0));
    stage.did("disown web");
    stage.stands("web EXITED");
    let stop = stage.stop("web");
    stage.answered(stop, "web NotRunning");
    stage.start("web");
    stage.did("spawn web");
}

#[test]
fn with_stop_kill_main_only_the_main_process_is_killed_and_waited_for() {
    let mut stage = stopped_with(|stop| stop.kill = StopKill::Main);
    let stop = stage.stop("web");
    stage.after(s(1));
    stage.did("TERM web, KILL web");
    stage.after(s(1));
    stage.did("KILL web");
    stage.main_ends("web", killed_by(Signal::KILL));
    stage.did("disown web");
    stage.answered(stop, "web Stopped");
}

#[test]
fn with_stop_kill_group_the_rest_of_the_group_is_waited_for() {
    let mut stage = stopped_with(|stop| stop.kill = StopKill::Group);
    let stop = stage.stop("web");
    stage.main_ends("web", killed_by(Signal::TERM));
    stage.did("TERM web, sweep the group of web with TERM");
    stage.not_answered(stop);
    stage.after(s(1));
    stage.did("sweep the group of web with KILL");
    stage.tree_gone("web");
    stage.answered(stop, "web Stopped");
}

#[test]
fn a_group_that_had_the_stop_signal_does_not_get_it_twice() {
    let mut stage = stopped_with(|stop| (stop.kill, stop.scope) = (StopKill::Group, StopScope::Group));
    stage.stop("web");
    stage.main_ends("web", killed_by(Signal::TERM));
    stage.did("TERM MainGroup of web, sweep the group of web with nothing");
    stage.after(s(1));
    stage.did("sweep the group of web with KILL");
}

#[test]
fn a_group_that_ignores_the_stop_signal_is_killed_with_the_main_process() {
    let mut stage = stopped_with(|stop| stop.kill = StopKill::Group);
    stage.stop("web");
    stage.after(s(1));
    stage.did("TERM web, KILL MainGroup of web");
}

#[test]
fn a_crash_is_swept_as_a_whole_whatever_a_stop_ends() {
    let mut stage = stopped_with(|stop| stop.kill = StopKill::Main);
    stage.main_ends("web", Exit::Code(1));
    stage.did("sweep web with TERM");
    stage.after(s(1));
    stage.did("sweep web with KILL");
}

#[test]
fn a_shutdown_ends_what_a_stop_ends() {
    let mut stage = stopped_with(|stop| stop.kill = StopKill::Main);
    stage.signal_to_daemon(Signal::TERM);
    stage.main_ends("web", killed_by(Signal::TERM));
    stage.did("TERM strays, TERM web, disown web, KILL strays, exit 0");
}
