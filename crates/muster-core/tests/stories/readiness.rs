//! How a run becomes ready, how long that may take, and the later effect of its probes and watchdog.

use std::time::Duration;

use muster_core::{Awaited, Event, Health, Input, Readiness, StopCause};
use muster_spec::{
    CheckSpec, DependencyCondition, HostPort, MemoryLimit, OnFailure, ProbeKind, ProbeSpec, ProgramSpec, ReadySpec,
    RestartWhen, Rolling, Signal,
};

use crate::common::programs::{ms, needs, notifying, probe, probed, program, quick, s, several, when, with};
use crate::stage::Stage;

fn ready(stage: &Stage, name: &str) -> Readiness {
    stage.core.find(name).expect("it is configured").ready()
}

fn health(stage: &Stage, name: &str) -> Health {
    stage.core.find(name).expect("it is configured").health()
}

fn last_cause(stage: &Stage, name: &str) -> Option<String> {
    let past = stage.core.find(name).expect("it is configured").past().next_back()?;
    past.cause.as_ref().map(ToString::to_string)
}

fn live(probes: ProbeSpec) -> Stage {
    live_all(&[probes])
}

fn live_all(probes: &[ProbeSpec]) -> Stage {
    Stage::booted([probed(quick("web"), probes)])
}

/// Lets the probe fail until the threshold is reached.
fn fails(stage: &mut Stage, name: &str, times: u32) {
    for _ in 0..times {
        stage.check_of(name, 0, false);
        if stage.core.find(name).is_some_and(|one| !one.is_failing()) {
            stage.after(s(10));
        }
    }
}

#[test]
fn a_run_with_a_readiness_rule_is_running_when_it_has_lasted_and_is_ready() {
    let mut stage = Stage::booted([notifying(program("web"))]);
    stage.after(s(1));
    stage.stands("web STARTING");
    assert_eq!(ready(&stage, "web"), Readiness::Unknown);
    stage.says_ready("web");
    stage.stands("web RUNNING");
    assert_eq!(ready(&stage, "web"), Readiness::Ready);

    let mut stage = Stage::booted([notifying(program("web"))]);
    stage.says_ready("web");
    stage.stands("web STARTING");
    stage.after(s(1));
    stage.stands("web RUNNING");
}

#[test]
fn a_word_of_readiness_that_overtakes_the_news_of_the_spawn_counts() {
    let mut stage = Stage::of([notifying(quick("web"))]);
    stage.hand(Input::Booted);
    stage.says_ready("web");
    stage.stands("web STARTING");
    stage.spawned("web");
    stage.stands("web RUNNING");
}

#[test]
fn a_run_that_is_not_ready_in_time_has_failed_even_if_it_exits_with_0() {
    let mut stage = Stage::booted([notifying(quick("web"))]);
    stage.after(s(60));
    stage.did("TERM web");
    stage.stands("web STARTING");
    stage.exits("web", 0);
    stage.stands("web BACKOFF");
    assert_eq!(last_cause(&stage, "web").as_deref(), Some("it did not become ready in time"));
    let past = stage.core.find("web").and_then(|one| one.past().next_back().cloned()).expect("a run has ended");
    assert!(!past.success && past.cause == Some(StopCause::StartTimeout));
}

#[test]
fn a_run_that_asks_for_more_time_gets_it() {
    let mut stage = Stage::booted([notifying(quick("web"))]);
    stage.after(s(50));
    stage.hand(Input::Extended { run: stage.run("web"), by: s(30) });
    stage.after(s(29));
    stage.did_nothing();
    stage.says_ready("web");
    stage.stands("web RUNNING");
    stage.after(s(600));
    stage.stands("web RUNNING");
}

#[test]
fn more_time_is_never_less() {
    let mut stage = Stage::booted([notifying(quick("web"))]);
    stage.hand(Input::Extended { run: stage.run("web"), by: s(1) });
    stage.after(s(59));
    stage.did_nothing();
    stage.after(s(1));
    stage.did("TERM web");
}

#[test]
fn without_a_rule_running_is_ready() {
    let mut stage = Stage::booted([program("web")]);
    assert_eq!(ready(&stage, "web"), Readiness::Unknown);
    stage.after(s(1));
    assert_eq!(ready(&stage, "web"), Readiness::Ready);
    assert!(!stage.events.iter().any(|event| matches!(event, Event::Ready { .. })));
}

#[test]
fn a_probe_as_readiness_rule_is_repeated_until_it_succeeds() {
    let rule = |spec: &mut muster_spec::InstanceSpec| {
        spec.ready = Some(ReadySpec::Check(CheckSpec::Tcp(HostPort::parse("127.0.0.1:5432").expect("an address"))));
    };
    let mut stage = Stage::of([with(quick("db"), rule)]);
    stage.hand(Input::Booted);
    stage.spawned("db");
    stage.did("spawn db, check ready of db");
    stage.check_of("db", 0, false);
    stage.after(ms(50));
    stage.did("check ready of db");
    stage.check_of("db", 0, true);
    stage.stands("db RUNNING");
    stage.after(s(600));
    stage.did_nothing();
}

#[test]
fn a_readiness_probe_makes_a_run_ready_and_unready_and_never_restarts_it() {
    let on_failure = OnFailure::Restart;
    let mut stage = live(ProbeSpec { on_failure, ..probe("up", ProbeKind::Readiness) });
    assert_eq!((ready(&stage, "web"), stage.core.is_ready()), (Readiness::Unknown, false));
    stage.check_of("web", 0, true);
    assert_eq!((ready(&stage, "web"), stage.core.is_ready()), (Readiness::Ready, true));
    stage.after(s(10));
    fails(&mut stage, "web", 2);
    assert_eq!(ready(&stage, "web"), Readiness::Ready);
    fails(&mut stage, "web", 1);
    assert_eq!((ready(&stage, "web"), health(&stage, "web")), (Readiness::NotReady, Health::Unhealthy));
    assert!(!stage.core.is_ready());
    fails(&mut stage, "web", 10);
    stage.stands("web RUNNING");
    stage.check_of("web", 0, true);
    assert_eq!((ready(&stage, "web"), health(&stage, "web")), (Readiness::Ready, Health::Healthy));
    let told = |event: &Event| if let Event::Ready { is_ready, .. } = event { Some(*is_ready) } else { None };
    assert_eq!(stage.events.iter().filter_map(told).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn a_liveness_probe_that_fails_three_times_restarts_the_run_through_the_policy() {
    let mut stage = live(probe("live", ProbeKind::Liveness));
    stage.did("");
    fails(&mut stage, "web", 2);
    stage.forget_deeds();
    fails(&mut stage, "web", 1);
    stage.did("stop checking web, TERM web");
    stage.stands("web RUNNING");
    stage.exits("web", 0);
    stage.stands("web BACKOFF");
    assert_eq!(last_cause(&stage, "web").as_deref(), Some("probe \"live\" failed: connection refused"));
    // It was up for longer than reset_after: this counts as the first failure.
    assert_eq!((stage.failures("web"), stage.next_start_in("web")), (1, 500));
    stage.forget_deeds();
    stage.after(ms(500));
    stage.spawned("web");
    stage.did("spawn web, check live of web");
}

#[test]
fn a_run_that_fails_its_probe_and_ignores_the_stop_signal_is_killed_after_its_timeout() {
    let mut stage = live(probe("live", ProbeKind::Liveness));
    fails(&mut stage, "web", 3);
    stage.forget_deeds();
    stage.after(s(10));
    stage.did("sweep web with KILL");
    stage.is_killed("web", Signal::KILL);
    stage.stands("web BACKOFF");
}

#[test]
fn a_failed_probe_with_restart_no_is_the_end_of_it() {
    let never = ProgramSpec { restart: when(RestartWhen::Never), ..quick("web") };
    let mut stage = Stage::booted([probed(never, &[probe("live", ProbeKind::Liveness)])]);
    fails(&mut stage, "web", 3);
    stage.exits("web", 0);
    stage.stands("web EXITED");
    let past = stage.core.find("web").and_then(|one| one.past().next_back().cloned()).expect("a run has ended");
    assert!(!past.success);
}

#[test]
fn a_stop_while_a_failed_run_is_being_stopped_wins_and_sends_no_second_signal() {
    let mut stage = live(probe("live", ProbeKind::Liveness));
    fails(&mut stage, "web", 3);
    stage.forget_deeds();
    let answer = stage.stop("web");
    stage.did_nothing();
    stage.stands("web STOPPING");
    stage.exits("web", 0);
    stage.stands("web STOPPED");
    stage.answered(answer, "web Stopped");
}

#[test]
fn on_failure_stop_leaves_it_down() {
    let mut stage = live(ProbeSpec { on_failure: OnFailure::Stop, ..probe("live", ProbeKind::Liveness) });
    fails(&mut stage, "web", 3);
    stage.stands("web STOPPING");
    stage.exits("web", 0);
    stage.after(s(600));
    stage.stands("web STOPPED");
    assert_eq!(last_cause(&stage, "web").as_deref(), Some("probe \"live\" failed: connection refused"));
}

#[test]
fn on_failure_shutdown_ends_everything() {
    let on_failure = OnFailure::Shutdown;
    let web = probed(quick("web"), &[ProbeSpec { on_failure, ..probe("live", ProbeKind::Liveness) }]);
    let mut stage = Stage::booted([quick("db"), web]);
    fails(&mut stage, "web", 3);
    stage.exits("web", 0);
    stage.exits("db", 0);
    assert_eq!(stage.exit_code(), Some(1));
}

#[test]
fn on_failure_none_only_reports() {
    let mut stage = live(ProbeSpec { on_failure: OnFailure::None, ..probe("live", ProbeKind::Liveness) });
    fails(&mut stage, "web", 5);
    stage.stands("web RUNNING");
    assert_eq!((health(&stage, "web"), stage.core.is_ready()), (Health::Unhealthy, false));
    stage.check_of("web", 0, true);
    assert_eq!((health(&stage, "web"), stage.core.is_ready()), (Health::Healthy, true));
}

#[test]
fn an_unhealthy_program_counts_even_without_autostart() {
    let spec = ProgramSpec { autostart: false, ..quick("debug") };
    let on_failure = OnFailure::None;
    let spec = probed(spec, &[ProbeSpec { on_failure, ..probe("live", ProbeKind::Liveness) }]);
    let mut stage = Stage::booted([spec]);
    assert!(stage.core.is_ready());
    stage.start("debug");
    stage.spawned("debug");
    fails(&mut stage, "debug", 3);
    assert!(!stage.core.is_ready());
}

#[test]
fn a_startup_probe_holds_the_others_back_and_its_failure_ends_the_run() {
    let startup = ProbeSpec { failure_threshold: 30, period: s(1), ..probe("boot", ProbeKind::Startup) };
    let spec = || probed(quick("web"), &[startup.clone(), probe("live", ProbeKind::Liveness)]);
    let mut stage = Stage::of([spec()]);
    stage.hand(Input::Booted);
    stage.spawned("web");
    stage.did("spawn web, check boot of web");
    assert_eq!(ready(&stage, "web"), Readiness::Unknown);
    stage.check_of("web", 0, false);
    stage.after(s(1));
    stage.check_of("web", 0, true);
    assert_eq!(ready(&stage, "web"), Readiness::Ready);
    stage.after(ms(1));
    stage.did("check boot of web, check live of web");

    let mut stage = Stage::booted([spec()]);
    for _ in 0..30 {
        stage.check_of("web", 0, false);
        stage.after(s(1));
    }
    stage.exits("web", 1);
    assert_eq!(last_cause(&stage, "web").as_deref(), Some("probe \"boot\" failed: connection refused"));
}

#[test]
fn checks_end_with_the_run_and_a_late_answer_changes_nothing() {
    let mut stage = live(probe("live", ProbeKind::Liveness));
    let run = stage.run("web");
    stage.stop("web");
    stage.did("stop checking web, TERM web");
    let outcome = muster_core::ProbeOutcome { success: false, detail: "late".to_owned() };
    stage.hand(Input::ProbeFinished { run, probe: 0, outcome });
    stage.did_nothing();
    stage.exits("web", 0);
    stage.stands("web STOPPED");
}

#[test]
fn a_slow_probe_is_not_repeated_before_its_result() {
    let mut stage = live(probe("live", ProbeKind::Liveness));
    stage.after(s(35));
    stage.did_nothing();
    stage.check_of("web", 0, true);
    stage.after(ms(0));
    stage.did("check live of web");
    stage.after(s(4));
    stage.check_of("web", 0, true);
    stage.after(s(5));
    stage.did_nothing();
    stage.after(s(1));
    stage.did("check live of web");
}

fn guarded(interval: Duration) -> ProgramSpec {
    with(quick("web"), |spec| spec.watchdog = Some(interval))
}

#[test]
fn a_run_that_misses_its_watchdog_deadline_has_failed() {
    let mut stage = Stage::booted([guarded(s(3))]);
    for _ in 0..5 {
        stage.after(s(2));
        stage.pings("web");
    }
    stage.did_nothing();
    stage.after(s(3));
    stage.did("TERM web");
    stage.exits("web", 0);
    stage.stands("web BACKOFF");
    assert_eq!(last_cause(&stage, "web").as_deref(), Some("watchdog: no sign of life for 3s"));
}

#[test]
fn with_a_readiness_rule_the_watchdog_begins_when_it_is_ready_or_with_the_first_ping() {
    let mut stage = Stage::booted([notifying(guarded(s(3)))]);
    stage.after(s(20));
    stage.did_nothing();
    stage.says_ready("web");
    stage.after(s(3));
    stage.did("TERM web");

    let mut stage = Stage::booted([notifying(guarded(s(3)))]);
    stage.pings("web");
    stage.after(s(3));
    stage.did("TERM web");
}

#[test]
fn a_run_may_change_its_watchdog_and_may_ask_for_its_end() {
    let mut stage = Stage::booted([guarded(s(3))]);
    stage.hand(Input::WatchdogChanged { run: stage.run("web"), interval: s(30) });
    stage.after(s(29));
    stage.did_nothing();
    stage.hand(Input::WatchdogChanged { run: stage.run("web"), interval: s(0) });
    stage.after(s(600));
    stage.did_nothing();
    stage.hand(Input::WatchdogTripped { run: stage.run("web") });
    stage.did("TERM web");
    stage.exits("web", 0);
    assert_eq!(last_cause(&stage, "web").as_deref(), Some("watchdog: triggered by the program"));
}

#[test]
fn the_watchdog_sleeps_while_the_run_is_being_stopped() {
    let mut stage = Stage::booted([guarded(s(3))]);
    stage.stop("web");
    stage.after(s(9));
    stage.did("TERM web");
    stage.pings("web");
    stage.after(s(1));
    stage.did("sweep web with KILL");
}

#[test]
fn a_requested_stop_is_recorded_with_its_client() {
    let mut stage = Stage::booted([quick("web")]);
    stage.stop("web");
    stage.exits("web", 0);
    assert_eq!(last_cause(&stage, "web").as_deref(), Some("stopped by a command"));
    stage.start("web");
    stage.spawned("web");
    stage.exits("web", 1);
    assert_eq!(last_cause(&stage, "web"), None);
}

fn limited(action: OnFailure) -> Stage {
    let limit = MemoryLimit { action, ..MemoryLimit::of(1 << 29) };
    Stage::booted([with(quick("web"), |spec| spec.memory_max = Some(limit))])
}

fn exceeds(stage: &mut Stage) {
    stage.hand(Input::MemoryExceeded { run: stage.run("web"), detail: "612 MB (PSS) over 512 MB for 10s".to_owned() });
}

#[test]
fn too_much_memory_fails_the_run_and_its_policy_decides() {
    let mut stage = limited(OnFailure::Restart);
    let run = stage.run("web");
    exceeds(&mut stage);
    stage.did("TERM web");
    // Whatever it has meanwhile.
    exceeds(&mut stage);
    stage.did_nothing();
    stage.exits("web", 0);
    stage.stands("web BACKOFF");
    assert_eq!(last_cause(&stage, "web").as_deref(), Some("memory: 612 MB (PSS) over 512 MB for 10s"));
    stage.did("sweep web with TERM");
    // A message about the run that has ended.
    stage.hand(Input::MemoryExceeded { run, detail: String::new() });
    stage.did_nothing();
    stage.stands("web BACKOFF");
}

#[test]
fn too_much_memory_may_stop_the_program_or_do_nothing() {
    let mut stage = limited(OnFailure::Stop);
    exceeds(&mut stage);
    stage.did("TERM web");
    stage.exits("web", 0);
    stage.after(s(600));
    stage.stands("web STOPPED");

    let mut stage = limited(OnFailure::None);
    exceeds(&mut stage);
    stage.did_nothing();
    // A reload has removed the limit since it was measured.
    let mut stage = Stage::booted([quick("web")]);
    exceeds(&mut stage);
    stage.did_nothing();
    stage.stands("web RUNNING");
}

#[test]
fn a_reload_without_the_probe_that_failed_makes_a_run_healthy_and_ends_the_wait_for_that() {
    let port = probe("port", ProbeKind::Liveness);
    let disk = ProbeSpec { on_failure: OnFailure::None, failure_threshold: 1, ..probe("disk", ProbeKind::Liveness) };
    let mut stage = live_all(&[port.clone(), disk]);
    stage.check_of("web", 0, true);
    stage.check_of("web", 1, false);
    assert_eq!(health(&stage, "web"), Health::Unhealthy);
    let waiting = stage.wait_for(Awaited::Healthy, "web");
    stage.not_answered(waiting);
    stage.reload([probed(quick("web"), &[port])]);
    stage.answered(waiting, "web Reached");
    let is_it = |event: &Event| matches!(event, Event::Health { health: Health::Healthy, probe: 0, .. });
    assert!(stage.events.iter().any(is_it), "its last event is that it is unhealthy: {:?}", stage.events);
}

#[test]
fn a_reload_without_the_readiness_probe_makes_a_run_ready_and_ends_the_wait_for_that() {
    let mut stage = live(probe("up", ProbeKind::Readiness));
    stage.check_of("web", 0, true);
    stage.after(s(10));
    fails(&mut stage, "web", 3);
    assert_eq!(ready(&stage, "web"), Readiness::NotReady);
    let waiting = stage.wait_for(Awaited::Ready, "web");
    stage.not_answered(waiting);
    stage.reload([quick("web")]);
    stage.answered(waiting, "web Reached");
    let is_it = |event: &Event| matches!(event, Event::Ready { is_ready: true, .. });
    assert!(stage.events.iter().any(is_it), "its last event is that it is not ready: {:?}", stage.events);
}

#[test]
fn new_probes_without_a_result_make_a_run_neither_healthy_nor_unhealthy() {
    let mut stage = live_all(&[probe("port", ProbeKind::Liveness)]);
    stage.check_of("web", 0, true);
    let job = needs(quick("job"), &[("web", DependencyCondition::Healthy)]);
    let disk = probe("disk", ProbeKind::Liveness);
    stage.reload([probed(quick("web"), &[disk]), job]);
    assert_eq!(health(&stage, "web"), Health::Unknown);
    stage.stands("web RUNNING, job WAITING");
    stage.check_of("web", 0, true);
    stage.stands("web RUNNING, job STARTING");
}

#[test]
fn a_run_that_is_ready_stays_so_with_a_new_liveness_probe() {
    let mut stage = Stage::booted([quick("web")]);
    let job = needs(quick("job"), &[("web", DependencyCondition::Ready)]);
    stage.reload([probed(quick("web"), &[probe("port", ProbeKind::Liveness)]), job]);
    stage.stands("web RUNNING, job STARTING");
}

#[test]
fn a_process_of_before_a_reload_says_by_its_own_rule_that_it_is_ready() {
    let rolling = |program| several(ProgramSpec { rolling: Some(Rolling::DEFAULT), ..quick(program) }, 2);
    let mut stage = Stage::booted([notifying(rolling("web"))]);
    stage.says_ready("web:1");
    // It begins with the first instance, as soon as that is up.
    stage.reload([rolling("web")]);
    stage.forget_deeds();
    stage.says_ready("web:0");
    assert!(stage.events.iter().any(|event| matches!(event, Event::Ready { is_ready: true, .. })));
    stage.did("TERM web:0");
}
