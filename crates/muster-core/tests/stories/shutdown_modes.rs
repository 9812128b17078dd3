//! Shutdowns without a budget, in series, with another effect of repeated signals, and their exit codes.

use std::time::Duration;

use muster_core::{Event, Input, Settings, ShutdownReason};
use muster_spec::{ExitStatus, ProgramSpec, SecondSignal, ShutdownBudget, ShutdownOrder, Signal, State};

use crate::common::programs::{ROOT, SETTINGS, after, missing, ms, quick, ranked, s, several, stop_with};
use crate::stage::Stage;

const UNLIMITED: Settings = Settings { shutdown_timeout: ShutdownBudget::Unlimited, ..SETTINGS };
const SERIAL: Settings = Settings { shutdown_order: ShutdownOrder::Serial, ..UNLIMITED };
const FAILURES: Settings = Settings { exit_status: ExitStatus::Failures, ..SETTINGS };

fn patient(spec: ProgramSpec, patience: Duration) -> ProgramSpec {
    ProgramSpec { stop: stop_with(&[(Signal::TERM, patience)]), ..spec }
}

fn of_unit(name: &str, unit: &str) -> ProgramSpec {
    ProgramSpec { stop_unit: Some(unit.to_owned()), ..quick(name) }
}

fn ends(stage: &mut Stage, names: &str) {
    names.split(' ').for_each(|name| stage.is_killed(name, Signal::TERM));
}

/// The stop signals to main processes since the last look.
fn signalled(stage: &mut Stage) -> String {
    let deeds = stage.deeds();
    let names = deeds.iter().filter_map(|deed| deed.strip_prefix("TERM ")).filter(|name| *name != "strays");
    names.collect::<Vec<_>>().join(" ")
}

/// One stopping after another, each at once: the steps of a shutdown, separated by `|`.
fn order_of<const N: usize>(settings: Settings, programs: [ProgramSpec; N]) -> String {
    let mut stage = Stage::with(settings, programs).boot();
    let starting = |stage: &Stage| {
        let mut all = stage.core.snapshot().iter();
        all.find(|one| one.state() == State::Starting).and_then(muster_core::Instance::run)
    };
    while let Some(run) = starting(&stage) {
        stage.hand(Input::Spawned { run });
    }
    stage.forget_deeds();
    stage.signal_to_daemon(Signal::TERM);
    let mut steps = Vec::new();
    while stage.exit_code().is_none() {
        let step = signalled(&mut stage);
        assert!(!step.is_empty(), "nothing is being stopped after {steps:?}");
        ends(&mut stage, &step);
        steps.push(step);
    }
    steps.join(" | ")
}

#[test]
fn without_a_budget_everything_has_its_full_time() {
    let mut stage =
        Stage::with(UNLIMITED, [patient(ranked("db", 1), s(3600)), patient(ranked("app", 2), s(7200))]).boot();
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM app");
    stage.after(ms(7_199_999));
    stage.did_nothing();
    stage.after(ms(1));
    stage.did("sweep app with KILL");
    stage.is_killed("app", Signal::KILL);
    stage.did("sweep app with KILL, TERM strays, TERM db");
    stage.after(s(3599));
    stage.did_nothing();
    ends(&mut stage, "db");
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn without_a_budget_the_longest_patience_overflows_nothing() {
    for order in [ShutdownOrder::Parallel, ShutdownOrder::Serial] {
        let settings = Settings { shutdown_order: order, ..UNLIMITED };
        let endless = |name| patient(quick(name), Duration::MAX);
        let mut stage = Stage::with(settings, [endless("a"), endless("b"), after(endless("c"), &["a"])]).boot();
        stage.signal_to_daemon(Signal::TERM);
        stage.after(s(1_000_000_000));
        stage.hand(Input::TimeLost { by: Duration::MAX });
        assert_eq!(stage.exit_code(), None);
        stage.signal_to_daemon(Signal::INT);
        stage.after(s(9));
        assert_eq!(stage.exit_code(), Some(0), "{order:?}");
    }
}

#[test]
fn without_a_budget_a_killed_program_that_stays_delays_the_next_one_for_a_moment() {
    let mut stage = Stage::with(UNLIMITED, [ranked("db", 1), ranked("app", 2)]).boot();
    stage.signal_to_daemon(Signal::TERM);
    stage.after(s(10));
    stage.did("TERM app, sweep app with KILL");
    stage.after(ms(100));
    stage.did("TERM strays, TERM db");
    ends(&mut stage, "db");
    stage.after(s(100));
    assert_eq!(stage.exit_code(), None, "the daemon waits for as long as it takes");
    stage.is_killed("app", Signal::KILL);
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn without_a_budget_a_program_that_asks_for_time_is_waited_for() {
    let mut stage = Stage::with(UNLIMITED, [ranked("db", 1), ranked("app", 2)]).boot();
    stage.signal_to_daemon(Signal::TERM);
    stage.after(s(9));
    stage.asks_for("app", s(60));
    stage.after(s(59));
    stage.did("TERM app");
    stage.after(s(1));
    stage.did("sweep app with KILL");
    stage.after(s(11));
    assert!(stage.deeds().contains(&"TERM db".to_owned()), "its kill is noticed, although it was not in time");
    stage.is_killed("app", Signal::KILL);
    ends(&mut stage, "db");
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn a_second_signal_ends_a_shutdown_without_a_budget_even_if_nothing_goes_down() {
    let mut stage = Stage::with(UNLIMITED, [patient(quick("web"), s(3600))]).boot();
    stage.signal_to_daemon(Signal::TERM);
    stage.after(s(100));
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM strays, TERM web, sweep web with KILL");
    stage.after(ms(8999));
    assert_eq!(stage.exit_code(), None);
    stage.after(ms(1));
    assert_eq!(stage.exit_code(), Some(0));
}

#[test]
fn a_command_may_lift_the_budget_or_bring_one_later() {
    let mut stage = Stage::booted([patient(quick("web"), s(3600))]);
    let ask = |timeout| Input::ShutdownAsked { reason: ShutdownReason::Command(ROOT), timeout: Some(timeout) };
    stage.hand(ask(ShutdownBudget::Unlimited));
    stage.after(s(1000));
    stage.did("TERM strays, TERM web");
    stage.hand(ask(ShutdownBudget::Within(s(2))));
    stage.hand(ask(ShutdownBudget::Unlimited));
    stage.after(s(2));
    stage.did("TERM strays, sweep web with KILL, KILL strays, exit 0");
    assert_eq!(stage.now.since_origin(), s(1002));
}

#[test]
fn in_series_programs_of_one_priority_stop_one_after_another_by_descending_name() {
    let programs = || [quick("b"), ranked("low", 1), quick("c"), quick("a"), several(quick("bb"), 2)];
    assert_eq!(order_of(UNLIMITED, programs()), "b c a bb:0 bb:1 | low");
    assert_eq!(order_of(SERIAL, programs()), "c | bb:0 bb:1 | b | a | low");
}

#[test]
fn in_series_a_unit_stops_at_once() {
    let programs = [of_unit("z", "a"), quick("m"), of_unit("b", "y"), of_unit("c", "y"), of_unit("x", "a")];
    assert_eq!(order_of(SERIAL, programs), "b c | m | z x");
}

#[test]
fn in_series_dependents_stop_first() {
    assert_eq!(order_of(SERIAL, [quick("z"), quick("y"), after(quick("a"), &["z"])]), "y | a | z");
    // Within a unit and across units, which wait for each other.
    let programs = [
        of_unit("p1", "u"),
        after(of_unit("p2", "u"), &["p1"]),
        after(of_unit("q1", "v"), &["p1"]),
        after(of_unit("p3", "u"), &["q1"]),
        quick("w"),
    ];
    assert_eq!(order_of(SERIAL, programs), "w | p2 p3 | q1 | p1");
}

#[test]
fn in_series_all_waits_share_the_budget() {
    let settings = Settings { shutdown_timeout: ShutdownBudget::Within(ms(20_100)), ..SERIAL };
    let mut stage = Stage::with(settings, ["a", "b", "c", "d"].map(|name| patient(quick(name), s(10)))).boot();
    stage.signal_to_daemon(Signal::TERM);
    stage.after(ms(100));
    stage.did("TERM d");
    for next in ["TERM c", "TERM b", "TERM strays, TERM a"] {
        stage.after(ms(4800));
        assert!(!stage.deeds().iter().any(|deed| deed.starts_with("TERM")), "too early for {next}");
        stage.after(ms(200));
        let deeds = stage.deeds().join(", ");
        assert!(deeds.ends_with(next), "{deeds}");
    }
    stage.after(s(6));
    assert_eq!(stage.exit_code(), Some(0));
    assert_eq!(stage.events.iter().filter(|event| matches!(event, Event::ShutdownOverlaps { .. })).count(), 3);
}

#[test]
fn a_program_stopped_alone_stops_as_ever() {
    let mut stage = Stage::with(SERIAL, [quick("a"), quick("b")]).boot();
    stage.stop("all");
    stage.did("TERM a, TERM b");
}

#[test]
fn only_an_interrupt_hurries_if_so_configured() {
    let settings = Settings { second_signal: SecondSignal::Interrupt, ..SETTINGS };
    let mut stage = Stage::with(settings, [quick("web")]).boot();
    stage.signal_to_daemon(Signal::INT);
    stage.forget_deeds();
    stage.signal_to_daemon(Signal::TERM);
    stage.signal_to_daemon(Signal::QUIT);
    stage.did_nothing();
    assert!(stage.core.ignores_signal(Signal::TERM) && !stage.core.ignores_signal(Signal::INT));
    stage.signal_to_daemon(Signal::INT);
    stage.did("sweep web with KILL");
}

#[test]
fn repeated_signals_are_ignored_if_so_configured() {
    let settings = Settings { second_signal: SecondSignal::Ignore, ..SETTINGS };
    let mut stage = Stage::with(settings, [quick("web")]).boot();
    assert!(!stage.core.ignores_signal(Signal::TERM));
    stage.signal_to_daemon(Signal::TERM);
    stage.forget_deeds();
    [Signal::TERM, Signal::INT, Signal::QUIT].into_iter().for_each(|signal| stage.signal_to_daemon(signal));
    stage.did_nothing();
    // A command may still give it less time.
    let timeout = Some(ShutdownBudget::Within(s(0)));
    stage.hand(Input::ShutdownAsked { reason: ShutdownReason::Command(ROOT), timeout });
    stage.after(ms(0));
    stage.did("TERM strays, sweep web with KILL");
}

fn told_by(stage: &mut Stage, sender: &str) -> (u8, String) {
    let sender = stage.core.find(sender).map(muster_core::Instance::id);
    stage.hand(Input::ShutdownAsked {
        reason: ShutdownReason::Program { signal: Some(Signal::TERM), sender },
        timeout: None,
    });
    stage.after(s(20));
    let ended = stage.events.iter().find_map(|event| match event {
        Event::ShutdownEnded(account) => Some((account.code, account.why.to_string())),
        _ => None,
    });
    ended.expect("the shutdown has ended")
}

fn never(name: &str) -> ProgramSpec {
    ProgramSpec {
        restart: muster_spec::RestartPolicy {
            when: muster_spec::RestartWhen::Never,
            ..muster_spec::RestartPolicy::DEFAULT
        },
        ..quick(name)
    }
}

#[test]
fn a_signal_from_a_program_exits_with_the_last_failure() {
    let stage = || Stage::with(FAILURES, [never("a"), never("b"), quick("listener")]).boot();
    assert_eq!(told_by(&mut stage(), "listener"), (0, "stopped by SIGTERM from \"listener\"".to_owned()));

    let mut last = stage();
    last.exits("b", 3);
    last.after(s(1));
    last.exits("a", 4);
    let words = "stopped by SIGTERM from \"listener\"; \"a\" failed last";
    assert_eq!(told_by(&mut last, "listener"), (4, words.to_owned()));

    let mut signal = stage();
    signal.is_killed("a", Signal::KILL);
    signal.after(s(1));
    signal.exits("b", 0);
    assert_eq!(told_by(&mut signal, "listener").0, 128 + 9);
}

#[test]
fn a_restarted_failure_and_a_start_that_fails_count_and_a_requested_stop_does_not() {
    let mut restarted = Stage::with(FAILURES, [quick("web"), quick("listener")]).boot();
    restarted.exits("web", 7);
    restarted.after(s(1));
    restarted.spawned("web");
    assert_eq!(told_by(&mut restarted, "listener").0, 7);

    let mut absent = Stage::with(FAILURES, [never("web"), quick("listener")]);
    absent.hand(Input::Booted);
    absent.spawn_fails("web", missing());
    assert_eq!(told_by(&mut absent, "listener").0, 127);

    let mut stopped = Stage::with(FAILURES, [quick("web"), quick("listener")]).boot();
    stopped.stop("web");
    stopped.exits("web", 9);
    assert_eq!(told_by(&mut stopped, "listener").0, 0);

    // One that crashes during the shutdown, before its turn.
    let mut late = Stage::with(FAILURES, [ranked("db", 1), ranked("listener", 2)]).boot();
    let sender = late.core.find("listener").map(muster_core::Instance::id);
    let reason = ShutdownReason::Program { signal: Some(Signal::TERM), sender };
    late.hand(Input::ShutdownAsked { reason, timeout: None });
    late.exits("db", 9);
    ends(&mut late, "listener");
    assert_eq!(late.exit_code(), Some(0));
}

#[test]
fn a_program_that_leaves_in_a_shutdown_is_named_at_its_end() {
    for reason in [
        |id| ShutdownReason::Program { signal: Some(Signal::TERM), sender: Some(id) },
        ShutdownReason::Essential,
        ShutdownReason::OnExit,
        ShutdownReason::Probe,
        ShutdownReason::Memory,
    ] {
        let mut stage = Stage::booted([quick("web"), quick("db")]);
        let id = stage.core.find("web").map(muster_core::Instance::id).expect("it is there");
        stage.reload([quick("db")]);
        stage.hand(Input::ShutdownAsked { reason: reason(id), timeout: None });
        stage.exits("web", 9);
        ends(&mut stage, "db");
        assert!(stage.exit_code().is_some());
        let why = stage.events.iter().find_map(|event| match event {
            Event::ShutdownEnded(account) => Some(&account.why),
            _ => None,
        });
        assert!(why.is_some_and(|why| why.contains("\"web\"")), "{why:?}");
    }
}

#[test]
fn what_was_given_up_with_status_0_is_1() {
    let web = ProgramSpec {
        restart: muster_spec::Preset::Supervisord.policy(muster_spec::RestartWhen::Always),
        startsecs: s(1),
        ..quick("web")
    };
    let mut stage = Stage::with(FAILURES, [web, quick("listener")]).boot();
    while stage.core.find("web").is_some_and(|web| web.state() != State::Fatal) {
        if stage.core.find("web").is_some_and(|web| web.run().is_some()) {
            stage.spawned("web");
            stage.exits("web", 0);
        }
        stage.after(s(1));
    }
    assert_eq!(told_by(&mut stage, "listener").0, 1);
}

#[test]
fn other_signals_and_other_rules_keep_their_codes() {
    let failing = |exit_status| {
        let settings = Settings { exit_status, exit_when_done: true, ..SETTINGS };
        let mut stage = Stage::with(settings, [never("web"), quick("listener")]).boot();
        stage.exits("web", 5);
        stage
    };
    for (exit_status, done) in [(ExitStatus::Cause, 5), (ExitStatus::Failures, 5), (ExitStatus::Zero, 0)] {
        let mut outside = failing(exit_status);
        outside.signal_to_daemon(Signal::TERM);
        outside.after(s(20));
        assert_eq!(outside.exit_code(), Some(0), "{exit_status:?}");
        let mut finished = failing(exit_status);
        finished.exits("listener", 0);
        finished.after(s(20));
        assert_eq!(finished.exit_code(), Some(done), "{exit_status:?}");
    }
    assert_eq!(told_by(&mut failing(ExitStatus::Cause), "listener").0, 0);
    assert_eq!(told_by(&mut failing(ExitStatus::Zero), "listener").0, 0);
    assert_eq!(
        told_by(&mut failing(ExitStatus::Failures), "gone").1,
        "stopped by SIGTERM from a program; \"web\" failed last"
    );
}
