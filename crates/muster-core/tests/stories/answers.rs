//! Replies to commands, in every state: one each, when the command is done, fails or can no longer complete.

use std::sync::Arc;

use muster_core::{Awaited, Input, Instance, ProbeOutcome, RequestId, Verb};
use muster_spec::{
    CheckSpec, Exit, HostPort, Kind, Limit, ProbeKind, ProbeSpec, ProgramSpec, ReadySpec, RestartPolicy, RestartWhen,
    Signal, SignalScope,
};

use crate::common::programs::{killed_by, missing, ms, program, quick, s, several, when};
use crate::common::witness::OPERATORS_SIGNAL;
use crate::stage::Stage;

/// A stage with one program in that state.
fn in_state(state: &str) -> Stage {
    with_reload_signal(state, Signal::HUP)
}

fn with_reload_signal(state: &str, signal: Signal) -> Stage {
    let autostart = state != "STOPPED";
    let retries = if state == "FATAL" { 0 } else { 10 };
    let restart = RestartPolicy { limit: Limit::Retries(retries), ..RestartPolicy::DEFAULT };
    let reload_signal = Some(signal);
    let mut stage = Stage::booted([ProgramSpec { autostart, restart, reload_signal, ..program("web") }]);
    match state {
        "RUNNING" => stage.after(s(1)),
        "BACKOFF" | "FATAL" => stage.exits("web", 1),
        "EXITED" => stage.exits("web", 0),
        "STOPPING" => drop(stage.stop("web")),
        _ => {}
    }
    stage.stands(&format!("web {state}"));
    stage.forget_deeds();
    stage
}

#[test]
fn start_in_every_state() {
    for (state, does) in [
        ("STOPPED", "spawn web"),
        ("EXITED", "spawn web"),
        ("FATAL", "spawn web"),
        ("BACKOFF", "spawn web"),
        ("STARTING", ""),
        ("RUNNING", ""),
    ] {
        let mut stage = in_state(state);
        let start = stage.start("web");
        stage.did(does);
        if state == "RUNNING" {
            stage.answered(start, "web AlreadyRunning");
            continue;
        }
        stage.not_answered(start);
        if state != "STARTING" {
            stage.spawned("web");
        }
        stage.after(s(1));
        stage.answered(start, "web Started");
        stage.stands("web RUNNING");
    }
}

#[test]
fn stop_in_every_state() {
    for (state, does, answer) in [
        ("STOPPED", "", Some("web NotRunning")),
        ("EXITED", "", Some("web NotRunning")),
        ("FATAL", "", Some("web NotRunning")),
        ("BACKOFF", "", Some("web Stopped")),
        ("STARTING", "TERM web", None),
        ("RUNNING", "TERM web", None),
        ("STOPPING", "", None),
    ] {
        let mut stage = in_state(state);
        let stop = stage.stop("web");
        stage.did(does);
        match answer {
            Some(answer) => stage.answered(stop, answer),
            None => {
                stage.not_answered(stop);
                stage.is_killed("web", Signal::TERM);
                stage.answered(stop, "web Stopped");
            }
        }
    }
}

/// A program that has ended keeps its result: a stop of a program that is not running changes nothing.
#[test]
fn a_stop_of_an_ended_program_leaves_its_state() {
    for state in ["EXITED", "FATAL"] {
        let mut stage = in_state(state);
        stage.stop("web");
        stage.stands(&format!("web {state}"));
    }
}

#[test]
fn restart_in_every_state() {
    for (state, does, answer) in [
        ("STOPPED", "spawn web", "web Started"),
        ("EXITED", "spawn web", "web Started"),
        ("FATAL", "spawn web", "web Started"),
        ("BACKOFF", "spawn web", "web Started"),
        ("STARTING", "TERM web", "web Restarted"),
        ("RUNNING", "TERM web", "web Restarted"),
        ("STOPPING", "", "web Restarted"),
    ] {
        let mut stage = in_state(state);
        let restart = stage.restart("web");
        stage.did(does);
        if answer == "web Restarted" {
            stage.is_killed("web", Signal::TERM);
            stage.did("sweep web with TERM, spawn web");
        }
        stage.spawned("web");
        stage.not_answered(restart);
        stage.after(s(1));
        stage.answered(restart, answer);
    }
}

#[test]
fn signal_in_every_state() {
    for (state, answer) in [
        ("STOPPED", "web NotRunning!"),
        ("EXITED", "web NotRunning!"),
        ("FATAL", "web NotRunning!"),
        ("BACKOFF", "web NotRunning!"),
        ("STARTING", "web Signalled"),
        ("RUNNING", "web Signalled"),
        ("STOPPING", "web Signalled"),
    ] {
        let mut stage = in_state(state);
        let request = stage.ask(Verb::Signal { signal: Signal::USR1, scope: SignalScope::Main }, "web");
        stage.answered(request, answer);
        stage.did(if answer == "web Signalled" { "USR1 web" } else { "" });
        stage.stands(&format!("web {state}"));
    }
}

#[test]
fn reload_in_every_state() {
    for (state, answer) in [
        ("STOPPED", "web NotRunning!"),
        ("EXITED", "web NotRunning!"),
        ("FATAL", "web NotRunning!"),
        ("BACKOFF", "web NotRunning!"),
        ("STARTING", "web Signalled"),
        ("RUNNING", "web Signalled"),
        ("STOPPING", "web NotRunning!"),
    ] {
        let mut stage = with_reload_signal(state, OPERATORS_SIGNAL);
        let request = stage.ask(Verb::Reload, "web");
        stage.answered(request, answer);
        stage.did(if answer == "web Signalled" { "USR1 web" } else { "" });
        stage.stands(&format!("web {state}"));
    }
}

#[test]
fn reloading_restarts_a_program_without_a_reload_signal_and_skips_one_that_is_down() {
    let without = |name| ProgramSpec { reload_signal: None, ..quick(name) };
    let reading = |name| ProgramSpec { reload_signal: Some(OPERATORS_SIGNAL), ..quick(name) };
    let off = ProgramSpec { autostart: false, ..without("off") };
    let mut stage = Stage::booted([reading("a"), without("b"), off]);
    stage.forget_deeds();
    let request = stage.ask(Verb::Reload, "all");
    stage.did("USR1 a, TERM b");
    stage.not_answered(request);
    stage.is_killed("b", Signal::TERM);
    stage.did("sweep b with TERM, spawn b");
    stage.spawned("b");
    stage.answered(request, "a Signalled, b Restarted, off NotRunning!");
    stage.stands("a RUNNING, b RUNNING, off STOPPED");
}

#[test]
fn a_failed_start_is_answered_with_its_error() {
    let mut stage = in_state("STOPPED");
    let start = stage.start("web");
    stage.spawn_fails("web", missing());
    stage.answered(start, "web failed: spawn error: /usr/bin/postgre: no such file");
    let start = stage.start("web");
    stage.spawned("web");
    stage.is_killed("web", Signal::KILL);
    stage.answered(start, "web failed: terminated by SIGKILL");
}

#[test]
fn a_start_of_a_program_that_completes_immediately_succeeds() {
    let mut stage = in_state("STOPPED");
    let start = stage.start("web");
    stage.spawned("web");
    stage.exits("web", 0);
    stage.answered(start, "web Started");
}

/// With `restart = "always"` an exit never completes a wait, and BACKOFF is not up, whatever the exit status.
#[test]
fn a_service_that_exits_early_and_is_retried_has_not_started() {
    let mut stage = Stage::of([ProgramSpec { restart: when(RestartWhen::Always), ..program("web") }]);
    let start = stage.start("web");
    stage.spawned("web");
    stage.exits("web", 0);
    stage.stands("web BACKOFF");
    stage.answered(start, "web failed: exit status 0");
}

#[test]
fn a_start_given_while_stopping_waits_for_the_stop_and_then_starts() {
    let mut stage = in_state("STOPPING");
    let start = stage.start("web");
    stage.did_nothing();
    stage.stands("web STOPPING");
    stage.main_ends("web", killed_by(Signal::TERM));
    stage.did("sweep web with TERM");
    stage.tree_gone("web");
    stage.did("spawn web");
    stage.spawned("web");
    stage.after(s(1));
    stage.answered(start, "web Started");
}

#[test]
fn a_stop_wins_over_a_pending_restart() {
    let mut stage = in_state("RUNNING");
    let restart = stage.restart("web");
    let stop = stage.stop("web");
    stage.answered(restart, "web Cancelled!");
    stage.is_killed("web", Signal::TERM);
    stage.answered(stop, "web Stopped");
    stage.after(s(1000));
    stage.did("TERM web, sweep web with TERM");
    stage.stands("web STOPPED");
}

#[test]
fn a_stop_wins_over_a_start_that_waits_for_an_earlier_stop() {
    let mut stage = in_state("STOPPING");
    let start = stage.start("web");
    stage.stop("web");
    stage.answered(start, "web Cancelled!");
    stage.is_killed("web", Signal::TERM);
    stage.did("sweep web with TERM");
    stage.stands("web STOPPED");
}

#[test]
fn a_second_stop_sends_no_second_signal_and_does_not_restart_the_timeout() {
    let mut stage = in_state("RUNNING");
    stage.stop("web");
    stage.after(s(9));
    stage.stop("web");
    stage.did("TERM web");
    stage.after(s(1));
    stage.did("sweep web with KILL");
}

/// An ordered stop had not reached it when it was started: it keeps running, and both requests get a truthful reply.
#[test]
fn a_start_takes_its_program_out_of_a_stop_that_has_not_reached_it() {
    let mut stage =
        Stage::booted([ProgramSpec { priority: 1, ..quick("db") }, ProgramSpec { priority: 2, ..quick("app") }]);
    let stop = stage.stop("all");
    stage.did("TERM app");
    let start = stage.start("db");
    stage.answered(start, "db AlreadyRunning");
    stage.is_killed("app", Signal::TERM);
    stage.answered(stop, "db Cancelled!, app Stopped");
    stage.stands("db RUNNING, app STOPPED");
}

#[test]
fn a_start_of_a_program_about_to_be_restarted_leaves_the_restart() {
    let mut stage =
        Stage::booted([ProgramSpec { priority: 1, ..quick("db") }, ProgramSpec { priority: 2, ..quick("app") }]);
    let restart = stage.restart("all");
    let start = stage.start("db");
    stage.answered(start, "db AlreadyRunning");
    stage.is_killed("app", Signal::TERM);
    stage.is_killed("db", Signal::TERM);
    stage.spawned("db");
    stage.spawned("app");
    stage.answered(restart, "db Restarted, app Restarted");
}

#[test]
fn unknown_names_do_nothing() {
    let mut stage = Stage::booted([several(quick("web"), 2), quick("db")]);
    for (select, unknown) in
        [("nope", "nope"), ("db,nope", "nope"), ("web:2", "web:2"), ("d*,x*", "x*"), ("db:0", "db:0")]
    {
        let stop = stage.stop(select);
        stage.answered(stop, &format!("no such program: {unknown}"));
        stage.did_nothing();
    }
}

#[test]
fn selectors_match_what_they_name() {
    let grouped = |name: &str| ProgramSpec { groups: vec!["workers".to_owned()], ..quick(name) };
    for (select, stopped) in [
        ("web", "TERM web:0, TERM web:1"),
        ("web:1", "TERM web:1"),
        ("web:*", "TERM web:0, TERM web:1"),
        ("workers:*", "TERM celery, TERM beat"),
        ("c*", "TERM celery"),
        ("db, celery", "TERM celery, TERM db"),
        ("db,db", "TERM db"),
        ("all", "TERM web:0, TERM web:1, TERM celery, TERM beat, TERM db"),
    ] {
        let mut stage = Stage::booted([several(quick("web"), 2), grouped("celery"), grouped("beat"), quick("db")]);
        stage.stop(select);
        stage.did(stopped);
    }
}

#[test]
fn all_of_nothing_is_done_at_once() {
    let mut stage = Stage::booted([]);
    for verb in [Verb::Start, Verb::Stop, Verb::Restart] {
        let request = stage.ask(verb, "all");
        stage.answered(request, "");
    }
}

#[test]
fn several_are_answered_together_when_the_last_is_done() {
    let mut stage = Stage::booted([quick("a"), quick("b"), ProgramSpec { autostart: false, ..quick("c") }]);
    let stop = stage.stop("all");
    stage.is_killed("b", Signal::TERM);
    stage.not_answered(stop);
    stage.is_killed("a", Signal::TERM);
    stage.answered(stop, "a Stopped, b Stopped, c NotRunning");
}

#[test]
fn without_waiting_the_reply_has_the_current_state() {
    let mut stage = Stage::booted([quick("a"), program("b"), ProgramSpec { autostart: false, ..quick("c") }]);
    let start = stage.order(Verb::Start, "all", false);
    stage.answered(start, "a AlreadyRunning, b Pending!, c Pending!");
    let stop = stage.order(Verb::Stop, "a", false);
    stage.answered(stop, "a Pending!");
    stage.exits("b", 1);
    let stop = stage.order(Verb::Stop, "b", false);
    stage.answered(stop, "b Stopped");
}

#[test]
fn an_abandoned_wait_gets_the_progress_and_the_command_continues() {
    let mut stage = Stage::booted([quick("a"), quick("b")]);
    let stop = stage.stop("all");
    stage.is_killed("a", Signal::TERM);
    stage.hand(Input::RequestExpired { request: stop });
    stage.answered(stop, "a Stopped, b Pending!");
    stage.hand(Input::RequestExpired { request: stop });
    stage.hand(Input::RequestExpired { request: RequestId(99) });
    stage.is_killed("b", Signal::TERM);
    stage.stands("a STOPPED, b STOPPED");
}

#[test]
fn wait_for_running() {
    let mut stage = Stage::booted([program("web")]);
    let running = stage.wait_for(Awaited::Running, "web");
    stage.not_answered(running);
    stage.exits("web", 1);
    stage.not_answered(running);
    stage.after(ms(500));
    stage.spawned("web");
    stage.after(s(1));
    stage.answered(running, "web Reached");
    let running = stage.wait_for(Awaited::Running, "web");
    stage.answered(running, "web Reached");
}

/// A script must not wait for its whole timeout for a program that has given up or completed.
#[test]
fn wait_for_running_fails_as_soon_as_it_has_ended_for_good() {
    for (state, code, answer) in [("FATAL", 1, "web failed: exit status 1"), ("EXITED", 0, "web Reached")] {
        let limit = Limit::Retries(0);
        let mut stage = Stage::booted([ProgramSpec {
            restart: RestartPolicy { limit, ..RestartPolicy::DEFAULT },
            ..program("web")
        }]);
        let before = stage.wait_for(Awaited::Running, "web");
        stage.exits("web", code);
        stage.stands(&format!("web {state}"));
        let after = stage.wait_for(Awaited::Running, "web");
        for request in [before, after] {
            stage.answered(request, answer);
        }
    }
}

/// An operator who stopped it may start it again at any time, so the script's wait continues.
#[test]
fn wait_for_running_waits_while_it_is_stopped() {
    let mut stage = in_state("STOPPED");
    let running = stage.wait_for(Awaited::Running, "web");
    stage.not_answered(running);
    stage.start("web");
    stage.spawned("web");
    stage.after(s(1));
    stage.answered(running, "web Reached");
}

#[test]
fn wait_for_ready_and_healthy() {
    let mut web = quick("web");
    let instance = Arc::make_mut(&mut web.instances[0]);
    instance.ready = Some(ReadySpec::Notify);
    instance.probes.push(ProbeSpec::new(
        "live",
        ProbeKind::Liveness,
        CheckSpec::Tcp(HostPort::parse("localhost:80").expect("an address")),
    ));
    let oneshot = ProgramSpec { kind: Kind::Oneshot, ..program("job") };
    let mut stage = Stage::booted([oneshot, quick("plain"), web]);
    let run = stage.core.find("web").and_then(Instance::run).unwrap();
    let ready = stage.wait_for(Awaited::Ready, "all");
    let healthy = stage.wait_for(Awaited::Healthy, "all");
    stage.exits("job", 0);
    stage.not_answered(ready);
    stage.hand(Input::Ready { run });
    stage.answered(ready, "job Reached, plain Reached, web Reached");
    stage.not_answered(healthy);
    let outcome = ProbeOutcome { success: true, detail: String::new() };
    stage.hand(Input::ProbeFinished { run, probe: 0, outcome });
    stage.answered(healthy, "job Reached, plain Reached, web Reached");
    stage.exits("web", 0);
    let gone = stage.wait_for(Awaited::Ready, "web");
    stage.answered(gone, "web failed: exit status 0");
}

#[test]
fn wait_for_exited_and_stopped() {
    let mut stage = Stage::booted([ProgramSpec { kind: Kind::Oneshot, ..program("job") }, quick("web")]);
    let exited = stage.wait_for(Awaited::Exited, "job");
    let stopped = stage.wait_for(Awaited::Stopped, "all");
    stage.main_ends("job", Exit::Code(0));
    stage.answered(exited, "job Reached");
    stage.tree_gone("job");
    stage.not_answered(stopped);
    stage.stop("web");
    stage.is_killed("web", Signal::TERM);
    stage.answered(stopped, "job Reached, web Reached");
}

#[test]
fn a_manual_start_or_restart_resets_the_count() {
    for verb in [Verb::Start, Verb::Restart] {
        let mut stage = Stage::booted([program("web")]);
        for delay in [500, 1000, 2000] {
            stage.exits("web", 1);
            assert_eq!(stage.next_start_in("web"), delay);
            stage.after(ms(delay as u64));
            stage.spawned("web");
        }
        assert_eq!(stage.failures("web"), 3);
        if verb == Verb::Start {
            stage.exits("web", 1);
        }
        stage.ask(verb, "web");
        if verb == Verb::Restart {
            stage.is_killed("web", Signal::TERM);
        }
        assert_eq!(stage.failures("web"), 0, "after {verb:?}");
        stage.spawned("web");
        stage.exits("web", 1);
        assert_eq!(stage.next_start_in("web"), 500, "after {verb:?}");
    }
}

#[test]
fn a_start_while_stopping_forgives_too() {
    let mut stage = Stage::booted([program("web")]);
    stage.exits("web", 1);
    stage.after(ms(500));
    stage.spawned("web");
    stage.stop("web");
    stage.start("web");
    stage.is_killed("web", Signal::TERM);
    assert_eq!(stage.failures("web"), 0);
}
