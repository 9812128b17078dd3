//! The core's instances in the words of the API.
//!
//! Pure reading: nothing here decides, changes or waits.

use std::time::Duration;

use muster_api as api;
use muster_core::{Health, Instance, LeftBehind, PastRun, Readiness, Time, Verdict, restart::Again};
use muster_spec::{Goal, Limit, ProbeKind, RunEnd, RunId, Span, State, Uptime};

use crate::secrets::Reader;
use crate::shared::Shared;
use crate::why;

/// One instance as the list shows it.
pub(crate) fn program(shared: &Shared, instance: &Instance, now: Time) -> api::Program {
    let program = instance.program();
    let pid = instance.run().and_then(|run| shared.children.borrow().pid_of(run));
    let began = instance.run_began();
    let limit = retries(instance);
    api::Program {
        name: instance.name().to_owned(),
        program: program.name.clone(),
        group: program.groups.first().unwrap_or(&program.name).clone(),
        goal: goal(instance.goal()),
        state: state(instance.state()),
        code: u16::from(instance.state().code()),
        ready: ready(instance),
        health: health(instance),
        status: instance.run().and_then(|run| shared.children.borrow().told(run)?.status.clone()),
        pid: pid.filter(|_| began.is_some()),
        run: instance.last_run().map(|run| run.0),
        started_at: began.map(|at| date(shared, at)),
        uptime: began.map(|at| now.since(at).as_secs_f64()),
        failures: instance.failures(now),
        startretries: limit,
        next_start_at: instance.next_start().map(|at| date(shared, at)),
        exit: instance.past().next_back().map(exit),
        waiting_for: shared.supervisor.borrow().waiting_for(instance.id()),
        waits_in_vain: shared.supervisor.borrow().waits_in_vain(instance.id()),
        autostart: program.autostart,
        priority: program.priority,
        description: describe(shared, instance, pid, now),
    }
}

/// Only a run can be ready, and only one that has a way to say so is asked.
fn ready(instance: &Instance) -> Option<bool> {
    let spec = instance.spec();
    let says = spec.ready.is_some() || spec.probes.iter().any(|probe| probe.kind == ProbeKind::Readiness);
    (says && instance.is_live()).then(|| instance.ready() == Readiness::Ready)
}

fn health(instance: &Instance) -> Option<String> {
    (!instance.spec().probes.is_empty() && instance.is_live()).then(|| health_word(instance.health()).to_owned())
}

pub(crate) fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

/// One instance with everything that is known of it.
pub(crate) fn detail(shared: &Shared, instance: &Instance, now: Time, reader: Reader) -> api::ProgramDetail {
    let current = instance.run_began().zip(instance.run()).map(|(began, run)| api::Run {
        run: run.0,
        pid: shared.children.borrow().pid_of(run),
        started_at: date(shared, began),
        ended_at: None,
        uptime: now.since(began).as_secs_f64(),
        exit: None,
        ended_by: None,
        cause: None,
        core_dumped: false,
        out_of_memory: None,
        spawn_error: None,
        verdict: None,
        left_behind: None,
        last_lines: Vec::new(),
    });
    let past = instance.past().rev().map(|past| why::past_run(shared, instance, past));
    api::ProgramDetail {
        program: program(shared, instance, now),
        configuration: crate::effective_config::configuration(instance, &shared.configuration.in_force(), reader),
        runs: current.into_iter().chain(past).collect(),
    }
}

/// What keeps the whole from being ready.
pub(crate) fn missing(shared: &Shared, instance: &Instance, now: Time) -> api::Missing {
    let pid = instance.run().and_then(|run| shared.children.borrow().pid_of(run));
    let reason = why_not_ready(shared, instance, pid, now);
    api::Missing { name: instance.name().to_owned(), state: state(instance.state()), reason }
}

pub(crate) fn state(state: State) -> api::State {
    match state {
        State::Stopped => api::State::Stopped,
        State::Waiting => api::State::Waiting,
        State::Starting => api::State::Starting,
        State::Running => api::State::Running,
        State::Backoff => api::State::Backoff,
        State::Stopping => api::State::Stopping,
        State::Exited => api::State::Exited,
        State::Fatal => api::State::Fatal,
    }
}

fn goal(goal: Goal) -> api::Goal {
    match goal {
        Goal::Up => api::Goal::Up,
        Goal::Down => api::Goal::Down,
    }
}

pub(crate) fn date(shared: &Shared, at: Time) -> api::Timestamp {
    shared.clock.date(at).into()
}

pub(crate) fn exit(past: &PastRun) -> api::ExitInfo {
    api::ExitInfo { reason: past.reason(), ..exit_info(&past.end, past.success) }
}

pub(crate) fn left_behind(left: &LeftBehind, run: RunId) -> api::LeftBehind {
    let process = |(name, pid): &(String, u32)| api::LeftProcess { name: name.clone(), pid: *pid };
    api::LeftBehind {
        killed: left.killed,
        count: left.count as u64,
        processes: left.named.iter().map(process).collect(),
        words: left.of_run(run).to_string(),
    }
}

pub(crate) fn exit_info(end: &RunEnd, success: bool) -> api::ExitInfo {
    let (code, signal) = match end {
        RunEnd::Exited(muster_spec::Exit::Code(code)) => (Some(*code), None),
        RunEnd::Exited(muster_spec::Exit::Signal { signal, .. }) => (None, Some(signal.to_string())),
        RunEnd::MainLost | RunEnd::NotSpawned(_) => (None, None),
    };
    api::ExitInfo { code, signal, success, reason: end.to_string() }
}

fn retries(instance: &Instance) -> Option<u32> {
    instance.program().restart.retries()
}

fn why_not_ready(shared: &Shared, instance: &Instance, pid: Option<u32>, now: Time) -> String {
    match instance.state() {
        _ if instance.is_failing() => instance.cause().map(ToString::to_string).unwrap_or_default(),
        _ if instance.health() == Health::Unhealthy => "unhealthy".to_owned(),
        State::Running => "not ready".to_owned(),
        _ => describe(shared, instance, pid, now),
    }
}

/// A line for people: what supervisorctl would say, or more.
fn describe(shared: &Shared, instance: &Instance, pid: Option<u32>, now: Time) -> String {
    let reason = instance.past().next_back().map(PastRun::reason).unwrap_or_default();
    let in_state = now.since(instance.since());
    match instance.state() {
        State::Running | State::Starting if instance.is_failing() => {
            let why = instance.cause().map(ToString::to_string).unwrap_or_default();
            format!("being stopped: {why}")
        }
        State::Running | State::Starting => {
            let pid = pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"));
            let up = instance.run_began().map_or(Duration::ZERO, |began| now.since(began));
            format!("{pid}, uptime {}{}", Uptime(up), said(shared, instance))
        }
        State::Backoff => match instance.next_start().filter(|&at| at > now) {
            Some(at) => format!("{reason}; next start in {}{}", Span::about(at.since(now)), attempt(instance)),
            None => format!("{reason}; its last run left processes behind, which are being stopped"),
        },
        State::Stopping if instance.has_leftovers() => {
            format!("{reason}; stopping the processes it left behind for {}", Span::about(in_state))
        }
        State::Stopping => match pid {
            Some(pid) => format!("pid {pid}, stopping for {}", Span::about(in_state)),
            None => format!("stopping for {}", Span::about(in_state)),
        },
        State::Waiting => {
            format!("waiting for {}", shared.supervisor.borrow().waiting_for(instance.id()).join(" and "))
        }
        State::Stopped if instance.past().next_back().is_none() => "not started".to_owned(),
        State::Stopped if instance.was_stopped_for_failure() => {
            format!("{reason}; stopped for it {} ago", Uptime(in_state))
        }
        State::Stopped => format!("stopped {} ago", Uptime(in_state)),
        State::Exited => format!("{reason}, {} ago", Uptime(in_state)),
        State::Fatal => format!("{reason}; {}", gave_up(instance)),
    }
}

/// What is known of a run besides that it is up.
fn said(shared: &Shared, instance: &Instance) -> String {
    let children = shared.children.borrow();
    let told = instance.run().and_then(|run| children.told(run));
    let notes = [
        (ready(instance) == Some(false), "not ready"),
        (instance.health() == Health::Unhealthy, "unhealthy"),
        (told.is_some_and(|told| told.is_reloading), "reloading"),
        (told.is_some_and(|told| told.is_stopping), "stopping"),
    ];
    let notes = notes.into_iter().filter(|(is_so, _)| *is_so).map(|(_, note)| note);
    let status = told.and_then(|told| told.status.as_deref());
    notes.chain(status).map(|note| format!(", {note}")).collect()
}

/// Which restart comes next, where it is counted.
fn attempt(instance: &Instance) -> String {
    match instance.past().next_back().map(|past| past.verdict) {
        Some(Verdict::Again(again)) if again.attempt == 0 => String::new(),
        Some(Verdict::Again(Again { attempt, limit: Limit::Retries(retries), .. })) => {
            format!(", attempt {attempt} of {retries}")
        }
        Some(Verdict::Again(again)) => format!(", attempt {}", again.attempt),
        _ => String::new(),
    }
}

/// What its last run led to, which another configuration since then does not change.
fn gave_up(instance: &Instance) -> String {
    match instance.past().next_back().map(|past| past.verdict) {
        Some(Verdict::Final { .. }) => "not restarted (restart = \"no\")".to_owned(),
        Some(Verdict::NeverStarted) => "gave up, because start_failures = \"final\"".to_owned(),
        Some(Verdict::GivenUp { limit: Limit::Rate { within, .. }, used, .. }) => {
            format!("gave up after {} within {}", count(used, "start"), Span(within))
        }
        Some(Verdict::GivenUp { used, .. }) => format!("gave up after {}", count(used, "restart")),
        _ => "gave up".to_owned(),
    }
}

fn count(number: u32, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_goals_have_the_same_words_and_numbers_on_the_wire() {
        assert_eq!(State::ALL.map(state), api::State::ALL);
        for known in State::ALL {
            assert_eq!((known.name(), u16::from(known.code())), (state(known).name(), state(known).code()));
        }
        assert_eq!([Goal::Up, Goal::Down].map(|known| goal(known).name()), ["up", "down"]);
    }
}
