//! Shutdown of everything within one budget.

use std::time::Duration;

use muster_core::{Account, Awaited, Event, Input, Settings, ShutdownReason, Verb};
use muster_spec::{Exit, InstanceId, ProgramSpec, ShutdownBudget, Signal, StopSpec};

use crate::common::programs::{ROOT, SETTINGS, after, ms, program, quick, ranked, s, stop_with};
use crate::stage::Stage;

const NAMES: [&str; 10] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"];

fn one_after_the_other(patience: Duration) -> Stage {
    let ranked =
        |name: &str, priority| ProgramSpec { priority, stop: stop_with(&[(Signal::TERM, patience)]), ..quick(name) };
    let mut rank = 0;
    Stage::booted(NAMES.map(|name| {
        rank += 1;
        ranked(name, rank)
    }))
}

fn end_of(stage: &Stage) -> &Event {
    let ended = stage.events.iter().find(|event| matches!(event, Event::ShutdownEnded(_)));
    ended.expect("the shutdown has ended")
}

#[test]
fn everything_is_stopped_in_reverse_order_and_the_daemon_ends() {
    let mut stage = Stage::booted([
        ProgramSpec { priority: 1, ..quick("db") },
        ProgramSpec { priority: 2, ..quick("app") },
        ProgramSpec { priority: 2, ..quick("web") },
    ]);
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM app, TERM web");
    stage.is_killed("app", Signal::TERM);
    stage.is_killed("web", Signal::TERM);
    stage.did("sweep app with TERM, sweep web with TERM, TERM strays, TERM db");
    stage.is_killed("db", Signal::TERM);
    stage.did("sweep db with TERM, KILL strays, exit 0");
}

#[test]
fn a_shutdown_with_nothing_to_stop_exits_immediately() {
    let mut stage = Stage::booted([]);
    stage.signal_to_daemon(Signal::TERM);
    stage.did("KILL strays, exit 0");
}

#[test]
fn a_shutdown_before_the_boot_exits_and_spawns_nothing() {
    let mut stage = Stage::of([quick("web")]);
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM strays, KILL strays, exit 0");
    stage.hand(Input::Booted);
    stage.did_nothing();
}

#[test]
fn a_boot_during_a_shutdown_starts_nothing() {
    let mut stage = Stage::of([quick("web"), quick("db")]);
    stage.start("db");
    stage.signal_to_daemon(Signal::TERM);
    stage.hand(Input::Booted);
    stage.did("spawn db, TERM strays, TERM db");
}

#[test]
fn every_state_accepts_a_shutdown() {
    let mut stage = Stage::booted([program("starting"), program("backoff"), quick("done"), quick("a"), quick("b")]);
    stage.exits("backoff", 1);
    stage.exits("done", 0);
    stage.exits("a", 0);
    stage.restart("a,b");
    stage.stands("starting STARTING, backoff BACKOFF, done EXITED, a WAITING, b STOPPING");
    stage.forget_deeds();
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM strays, TERM starting");
    stage.stands("starting STOPPING, backoff STOPPED, done EXITED, a STOPPED, b STOPPING");
    stage.is_killed("starting", Signal::TERM);
    stage.is_killed("b", Signal::TERM);
    stage.after(s(100));
    stage.did("sweep starting with TERM, sweep b with TERM, KILL strays, exit 0");
}

/// The kernel needs a moment to end processes after SIGKILL.
#[test]
fn without_any_time_everything_is_killed_and_the_daemon_sees_it_gone() {
    let mut stage = Stage::booted([quick("web")]);
    stage.hand(Input::ShutdownAsked {
        reason: ShutdownReason::Command(ROOT),
        timeout: Some(ShutdownBudget::Within(s(0))),
    });
    stage.after(s(0));
    stage.did("TERM strays, TERM web, sweep web with KILL");
    stage.after(ms(1));
    stage.is_killed("web", Signal::KILL);
    stage.did("sweep web with KILL, KILL strays, exit 0");
    assert!(matches!(end_of(&stage), Event::ShutdownEnded(account) if account.left.is_empty()), "{:?}", end_of(&stage));
}

#[test]
fn three_that_need_four_seconds_each_are_stopped_side_by_side() {
    let mut stage = Stage::booted([quick("a"), quick("b"), quick("c")]);
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM strays, TERM a, TERM b, TERM c");
    stage.after(s(4));
    for name in ["a", "b", "c"] {
        stage.is_killed(name, Signal::TERM);
    }
    assert_eq!((stage.exit_code(), stage.now.since_origin()), (Some(0), s(4)));
}

/// Timeouts of ten seconds each, nine for all: each gets its stop signal within a tenth of the time, and none is killed
/// before the budget is used up.
#[test]
fn ten_waves_that_ignore_term_are_all_signalled_and_gone_within_the_budget() {
    let mut stage = one_after_the_other(s(10));
    stage.signal_to_daemon(Signal::TERM);
    for name in NAMES.into_iter().rev() {
        let strays = if name == "p0" { "TERM strays, " } else { "" };
        stage.did(&format!("{strays}TERM {name}"));
        stage.after(ms(889));
        stage.did_nothing();
        stage.after(ms(1));
    }
    assert_eq!(stage.now.since_origin(), ms(8900));
    let swept: Vec<String> = NAMES.iter().map(|name| format!("sweep {name} with KILL")).collect();
    stage.did(&swept.join(", "));
    NAMES.into_iter().for_each(|name| stage.is_killed(name, Signal::KILL));
    assert_eq!(stage.exit_code(), Some(0));
    let killed: Vec<InstanceId> = (0..10).map(InstanceId).collect();
    assert!(
        matches!(end_of(&stage), Event::ShutdownEnded(account) if account.killed == killed && account.left.is_empty())
    );
}

/// Four priorities and nine seconds, of which the first two need four each: the first used to be killed after 2.2 s,
/// and everything was over after 6.7 s.
#[test]
fn a_program_that_exceeds_its_share_ends_by_itself_if_there_is_time() {
    let mut stage = Stage::booted([ranked("d", 1), ranked("c", 2), ranked("b", 3), ranked("a", 4)]);
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM a");
    stage.after(ms(2225));
    stage.did("TERM b");
    stage.after(ms(1775));
    stage.did_nothing();
    stage.is_killed("a", Signal::TERM);
    stage.did("sweep a with TERM");
    stage.after(ms(450));
    stage.did("TERM c");
    stage.after(ms(1775));
    stage.is_killed("b", Signal::TERM);
    stage.is_killed("c", Signal::TERM);
    stage.did("sweep b with TERM, sweep c with TERM, TERM strays, TERM d");
    stage.is_killed("d", Signal::TERM);
    let Event::ShutdownEnded(account) = end_of(&stage) else { panic!("it has ended") };
    let (killed, left) = (&account.killed, &account.left);
    assert!(killed.is_empty() && left.is_empty(), "{killed:?} {left:?}");
}

/// The container was paused for a minute: the budget, the timeouts and the delays continue where they were.
#[test]
fn time_that_the_daemon_was_frozen_is_charged_to_no_program() {
    let mut stage = Stage::booted([quick("web")]);
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM strays, TERM web");
    stage.after(s(5));
    stage.now = stage.now + s(60);
    stage.hand(Input::TimeLost { by: s(60) });
    stage.did_nothing();
    stage.after(ms(3899));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("sweep web with KILL");
    stage.after(ms(99));
    assert_eq!(stage.exit_code(), None);
    stage.after(ms(1));
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn unused_time_of_a_wave_is_available_to_later_ones() {
    let mut stage = one_after_the_other(s(10));
    stage.signal_to_daemon(Signal::TERM);
    for name in NAMES.into_iter().rev().take(9) {
        stage.is_killed(name, Signal::TERM);
    }
    stage.forget_deeds();
    stage.after(ms(8899));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("sweep p0 with KILL");
}

#[test]
fn a_sufficient_budget_shortens_no_timeout() {
    let mut stage =
        Stage::with(Settings { shutdown_timeout: ShutdownBudget::Within(s(60)), ..SETTINGS }, [quick("a"), quick("b")])
            .boot();
    stage.signal_to_daemon(Signal::TERM);
    stage.forget_deeds();
    stage.after(ms(9_999));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("sweep a with KILL, sweep b with KILL");
}

#[test]
fn a_budget_shortens_several_signals_alike() {
    let stop = stop_with(&[(Signal::INT, s(10)), (Signal::TERM, s(10))]);
    let mut stage = Stage::booted([ProgramSpec { stop, ..quick("web") }]);
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM strays, INT web");
    stage.after(ms(4450));
    stage.did("TERM web");
    stage.after(ms(4450));
    stage.did("sweep web with KILL");
}

#[test]
fn a_zero_budget_still_signals_every_program_before_it_kills() {
    let mut stage = Stage::with(
        Settings { shutdown_timeout: ShutdownBudget::Within(s(0)), ..SETTINGS },
        [ProgramSpec { priority: 1, ..quick("db") }, ProgramSpec { priority: 2, ..quick("app") }],
    )
    .boot();
    stage.signal_to_daemon(Signal::TERM);
    stage.after(s(0));
    stage.did("TERM app, sweep app with KILL, TERM strays, TERM db, sweep db with KILL");
    // Processes that the kernel cannot end are not waited for.
    stage.after(ms(99));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("KILL strays, exit 0");
}

/// An uninterruptible process must not cost the others their graceful stop.
#[test]
fn a_wave_that_survives_sigkill_does_not_keep_the_next_from_its_signal() {
    let ranked = |name, priority| ProgramSpec { priority, stop: stop_with(&[(Signal::TERM, s(1))]), ..quick(name) };
    let mut stage = Stage::booted([ranked("db", 1), ranked("stuck", 2)]);
    stage.signal_to_daemon(Signal::TERM);
    stage.after(s(1));
    stage.did("TERM stuck, sweep stuck with KILL");
    stage.after(ms(99));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("TERM strays, TERM db");
    stage.is_killed("db", Signal::TERM);
    stage.after(s(8));
    assert_eq!((stage.exit_code(), stage.now.since_origin()), (Some(0), ms(9_100)));
    assert!(matches!(end_of(&stage), Event::ShutdownEnded(account) if account.left == [InstanceId(1)]));
}

#[test]
fn a_second_signal_kills_everything_now() {
    let mut stage =
        Stage::booted([ProgramSpec { priority: 1, ..quick("db") }, ProgramSpec { priority: 2, ..quick("app") }]);
    stage.signal_to_daemon(Signal::TERM);
    stage.after(s(1));
    stage.did("TERM app");
    stage.signal_to_daemon(Signal::INT);
    stage.did("sweep db with KILL, sweep app with KILL");
    stage.signal_to_daemon(Signal::INT);
    stage.did_nothing();
    stage.is_killed("app", Signal::KILL);
    stage.is_killed("db", Signal::KILL);
    assert_eq!(stage.exit_code(), Some(0));
}

/// `musterctl shutdown` and then `docker stop`: the first signal asks for the shutdown in progress, the second forces
/// it.
#[test]
fn the_first_signal_of_a_shutdown_by_command_is_no_second_signal() {
    let mut stage = Stage::booted([quick("web")]);
    stage.hand(Input::ShutdownAsked { reason: ShutdownReason::Command(ROOT), timeout: None });
    stage.hand(Input::ShutdownAsked { reason: ShutdownReason::Command(ROOT), timeout: None });
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM strays, TERM web");
    stage.signal_to_daemon(Signal::TERM);
    stage.did("sweep web with KILL");
}

#[test]
fn a_command_may_bring_its_own_budget() {
    let mut stage = Stage::booted([quick("web")]);
    stage.hand(Input::ShutdownAsked {
        reason: ShutdownReason::Command(ROOT),
        timeout: Some(ShutdownBudget::Within(s(2))),
    });
    stage.after(ms(1900));
    stage.did("TERM strays, TERM web, sweep web with KILL");
    stage.after(ms(100));
    assert_eq!(stage.exit_code(), Some(0));
}

/// `musterctl shutdown`, and then a shorter limit than a minute.
#[test]
fn a_later_command_with_less_time_shortens_the_budget() {
    let patient = |name, priority| ProgramSpec { stop: stop_with(&[(Signal::TERM, s(60))]), ..ranked(name, priority) };
    let mut stage = Stage::booted([patient("db", 1), patient("app", 2)]);
    let ask = |timeout| Input::ShutdownAsked { reason: ShutdownReason::Command(ROOT), timeout };
    stage.hand(ask(Some(ShutdownBudget::Within(s(200)))));
    stage.after(s(10));
    stage.did("TERM app");
    stage.hand(ask(Some(ShutdownBudget::Within(s(2)))));
    stage.did_nothing();
    stage.after(ms(863));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("TERM strays, TERM db");
    stage.after(ms(1036));
    stage.did("sweep db with KILL, sweep app with KILL");
    stage.is_killed("app", Signal::KILL);
    stage.is_killed("db", Signal::KILL);
    stage.did("sweep app with KILL, sweep db with KILL, KILL strays, exit 0");
    assert_eq!(stage.now.since_origin(), ms(11_900));
}

#[test]
fn a_later_command_with_no_time_kills_what_is_left_and_one_with_more_changes_nothing() {
    let mut stage = Stage::booted([ranked("db", 1), ranked("app", 2)]);
    let ask = |timeout| Input::ShutdownAsked { reason: ShutdownReason::Command(ROOT), timeout };
    stage.hand(ask(None));
    stage.after(s(1));
    stage.did("TERM app");
    stage.hand(ask(Some(ShutdownBudget::Within(s(60)))));
    stage.did_nothing();
    stage.hand(ask(Some(ShutdownBudget::Within(s(0)))));
    stage.after(ms(0));
    stage.did("sweep app with KILL, TERM strays, TERM db, sweep db with KILL");
    stage.is_killed("app", Signal::KILL);
    stage.is_killed("db", Signal::KILL);
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn a_stop_in_progress_is_shortened_and_not_restarted() {
    let patient = ProgramSpec { stop: stop_with(&[(Signal::TERM, s(60))]), ..quick("web") };
    let mut stage = Stage::booted([patient]);
    stage.stop("web");
    stage.after(s(5));
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM web, TERM strays");
    stage.after(ms(8900));
    stage.did("sweep web with KILL");
}

#[test]
fn leftovers_are_within_the_budget_too() {
    let stop = StopSpec { leftover_wait: s(60), ..stop_with(&[(Signal::TERM, s(60))]) };
    let mut stage = Stage::booted([ProgramSpec { stop, ..quick("web") }]);
    stage.main_ends("web", Exit::Code(1));
    stage.after(s(1));
    stage.signal_to_daemon(Signal::TERM);
    stage.after(ms(8900));
    stage.did("sweep web with TERM, TERM strays, sweep web with KILL");
    stage.tree_gone("web");
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn survivors_of_the_budget_do_not_delay_the_exit() {
    let mut stage = Stage::booted([quick("web")]);
    stage.signal_to_daemon(Signal::TERM);
    stage.after(s(9));
    assert_eq!((stage.exit_code(), stage.core.poll_timeout()), (Some(0), None));
    assert!(matches!(end_of(&stage), Event::ShutdownEnded(account) if account.left == [InstanceId(0)]));
}

#[test]
fn commands_during_a_shutdown_are_refused_or_answered_when_done() {
    let mut stage = Stage::booted([quick("a"), ProgramSpec { autostart: false, ..quick("b") }]);
    let waiting = stage.wait_for(Awaited::Exited, "a");
    let starting = stage.start("b");
    stage.signal_to_daemon(Signal::TERM);
    stage.answered(starting, "b Cancelled!");
    let (start, restart) = (stage.start("all"), stage.restart("a"));
    stage.answered(start, "a ShuttingDown!, b ShuttingDown!");
    stage.answered(restart, "a ShuttingDown!");
    let stop = stage.stop("all");
    stage.is_killed("a", Signal::TERM);
    stage.not_answered(stop);
    stage.is_killed("b", Signal::TERM);
    stage.answered(stop, "a Stopped, b Stopped");
    stage.answered(waiting, "a ShuttingDown!");
    let late = stage.order(Verb::Stop, "a", false);
    stage.not_answered(late);
}

#[test]
fn a_shutdown_ends_every_restart() {
    let mut stage = Stage::booted([quick("a"), quick("b")]);
    let restart = stage.restart("all");
    stage.is_killed("a", Signal::TERM);
    stage.signal_to_daemon(Signal::TERM);
    stage.answered(restart, "a Cancelled!, b Cancelled!");
    stage.is_killed("b", Signal::TERM);
    stage.did("TERM a, TERM b, sweep a with TERM, TERM strays, sweep b with TERM, KILL strays, exit 0");
}

#[test]
fn the_summary_names_the_killed_programs_and_the_slowest() {
    let mut stage = Stage::booted([quick("a"), quick("b")]);
    stage.signal_to_daemon(Signal::TERM);
    stage.after(s(1));
    stage.is_killed("a", Signal::TERM);
    stage.after(ms(7900));
    stage.is_killed("b", Signal::KILL);
    let expected = Event::ShutdownEnded(Box::new(Account {
        reason: ShutdownReason::Signal(Signal::TERM),
        why: "stopped by SIGTERM".into(),
        code: 0,
        killed: vec![InstanceId(1)],
        left: Vec::new(),
        slowest: Some((InstanceId(1), ms(8900))),
    }));
    assert_eq!(*end_of(&stage), expected);
}

#[test]
fn more_time_to_stop_ends_with_the_budget() {
    let mut stage =
        Stage::with(Settings { shutdown_timeout: ShutdownBudget::Within(s(20)), ..SETTINGS }, [quick("web")]).boot();
    stage.signal_to_daemon(Signal::TERM);
    stage.asks_for("web", s(60));
    stage.did("TERM strays, TERM web");
    stage.after(ms(19_899));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("sweep web with KILL");
}

/// A program with an excessive timeout gets the part of the budget that no other program needs.
#[test]
fn an_extended_stop_takes_no_time_from_other_programs() {
    let waves = || [ProgramSpec { priority: 1, ..quick("db") }, ProgramSpec { priority: 2, ..quick("app") }];
    // Twenty seconds are requested and forty are spare, which both may use.
    let mut stage =
        Stage::with(Settings { shutdown_timeout: ShutdownBudget::Within(ms(60_100)), ..SETTINGS }, waves()).boot();
    stage.signal_to_daemon(Signal::TERM);
    stage.asks_for("app", Duration::MAX);
    stage.after(ms(29_999));
    stage.did("TERM app");
    stage.after(ms(101));
    stage.did("TERM strays, TERM db");
    // Asking for more time gives a program that is being stopped no precedence.
    let mut stage =
        Stage::with(Settings { shutdown_timeout: ShutdownBudget::Within(ms(10_100)), ..SETTINGS }, waves()).boot();
    stage.stop("app");
    stage.asks_for("app", Duration::MAX);
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM app");
    stage.after(ms(4_999));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("TERM strays, TERM db");
    stage.after(ms(5_000));
    stage.did("sweep db with KILL, sweep app with KILL");
}

#[test]
fn an_extended_stop_leaves_dependencies_their_timeouts() {
    let mut stage = Stage::with(
        Settings { shutdown_timeout: ShutdownBudget::Within(ms(30_100)), ..SETTINGS },
        [quick("db"), after(quick("app"), &["db"])],
    )
    .boot();
    stage.signal_to_daemon(Signal::TERM);
    stage.asks_for("app", Duration::MAX);
    stage.after(ms(14_999));
    stage.did("TERM app");
    stage.after(ms(101));
    stage.did("TERM strays, TERM db");
    stage.after(ms(10_000));
    stage.did("sweep db with KILL");
}
