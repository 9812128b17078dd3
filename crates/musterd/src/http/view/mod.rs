//! The core's instances in the API's types.
//!
//! Read-only: decides, changes and waits for nothing.

pub(super) mod runs;
pub(super) mod why;

use muster_api as api;
use muster_api::{ProgramField, ProgramFields};
use muster_core::{Health, Instance, LeftBehind, PastRun, Progress, Time};
use muster_load::secrets::Reader;
use muster_spec::{Goal, RunEnd, RunId, Signal, State};

use crate::describe::{describe, ready};
use crate::operations::schedule::next_due;
use crate::shared::Shared;

/// An instance as an entry of the list.
pub(super) fn program(shared: &Shared, instance: &Instance, now: Time) -> api::Program {
    part_of_program(shared, instance, now, ProgramFields::ALL)
}

/// The same with some fields only. The others may be anything: those that take a while are left out.
pub(super) fn part_of_program(shared: &Shared, instance: &Instance, now: Time, fields: ProgramFields) -> api::Program {
    let program = instance.program();
    let pid = instance.run().and_then(|run| shared.children.borrow().pid_of(run));
    let began = instance.run_began();
    let if_asked = |field, text: &str| if fields.has(field) { text.to_owned() } else { String::new() };
    let group = program.groups.first().unwrap_or(&program.name);
    api::Program {
        name: if_asked(ProgramField::Name, instance.name()),
        program: if_asked(ProgramField::Program, &program.name),
        group: if_asked(ProgramField::Group, group),
        goal: goal(instance.goal()),
        state: state(instance.state()),
        code: u16::from(instance.state().code()),
        ready: ready(instance),
        health: health(instance),
        status: instance
            .run()
            .filter(|_| fields.has(ProgramField::Status))
            .and_then(|run| shared.children.borrow().announced(run)?.status.clone()),
        pid: pid.filter(|_| began.is_some()),
        run: instance.last_run().map(|run| run.0),
        started_at: began.map(|at| date(shared, at)),
        uptime: began.map(|at| now.since(at).as_secs_f64()),
        failures: instance.failures(now),
        startretries: retries(instance),
        next_start_at: fields.has(ProgramField::NextStartAt).then(|| next_start(shared, instance)).flatten(),
        exit: instance.past().next_back().filter(|_| fields.has(ProgramField::Exit)).map(exit),
        waiting_for: match fields.has(ProgramField::WaitingFor) {
            true => shared.supervisor.borrow().waiting_for(instance.id(), now),
            false => Vec::new(),
        },
        waits_in_vain: fields.has(ProgramField::WaitsInVain) && shared.supervisor.borrow().waits_in_vain(instance.id()),
        awaits_client: instance.awaits_contact(),
        autostart: program.autostart,
        priority: program.priority,
        description: match fields.has(ProgramField::Description) {
            true => describe(shared, instance, now),
            false => String::new(),
        },
        phase: instance.phase().map(|hook| hook.name().to_owned()),
        rolling: shared.supervisor.borrow().rolling(instance.id()).map(rolling),
        old_process: instance.has_old_process(),
        next_due: next_due(shared, instance).map(api::Timestamp::from_unix_ms),
        stopped_by: suspended_by(shared, instance).map(|signal| signal.to_string()),
    }
}

/// The signal that has stopped its main process.
pub(super) fn suspended_by(shared: &Shared, instance: &Instance) -> Option<Signal> {
    shared.children.borrow().suspended_by(instance.run()?)
}

fn rolling(Progress { step, of, is_queued }: Progress) -> api::RollingProgress {
    api::RollingProgress { step, of, queued: is_queued }
}

/// When its next run starts, if that is known: after a delay, or at a time of its schedule.
fn next_start(shared: &Shared, instance: &Instance) -> Option<api::Timestamp> {
    let is_idle = instance.awaits_time() || matches!(instance.state(), State::Exited | State::Fatal);
    let due = next_due(shared, instance).filter(|_| is_idle).map(api::Timestamp::from_unix_ms);
    instance.next_start().map(|at| date(shared, at)).or(due)
}

fn health(instance: &Instance) -> Option<String> {
    (!instance.spec().probes.is_empty() && instance.is_live()).then(|| health_word(instance.health()).to_owned())
}

pub(super) fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

/// An instance with all details.
pub(super) fn detail(shared: &Shared, instance: &Instance, now: Time, reader: Reader) -> api::ProgramDetail {
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
        hooks: Vec::new(),
    });
    let past = instance.past().rev().map(|past| runs::past_run(shared, instance, past));
    api::ProgramDetail {
        program: program(shared, instance, now),
        configuration: muster_load::effective_config::configuration(instance, &shared.configuration.in_force(), reader),
        runs: current.into_iter().chain(past).collect(),
    }
}

/// Why the daemon is not ready.
pub(super) fn missing(shared: &Shared, instance: &Instance, now: Time) -> api::Missing {
    let reason = why_not_ready(shared, instance, now);
    api::Missing { name: instance.name().to_owned(), state: state(instance.state()), reason }
}

pub(super) fn state(state: State) -> api::State {
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

pub(super) fn date(shared: &Shared, at: Time) -> api::Timestamp {
    shared.clock.date(at).into()
}

pub(super) fn exit(past: &PastRun) -> api::ExitInfo {
    api::ExitInfo { reason: past.reason(), ..exit_info(&past.end, past.success) }
}

pub(super) fn left_behind(left: &LeftBehind, run: RunId) -> api::LeftBehind {
    let process = |(name, pid): &(String, u32)| api::LeftProcess { name: name.clone(), pid: *pid };
    api::LeftBehind {
        killed: left.killed,
        count: left.count as u64,
        processes: left.named.iter().map(process).collect(),
        words: left.of_run(run).to_string(),
    }
}

pub(super) fn exit_info(end: &RunEnd, success: bool) -> api::ExitInfo {
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

fn why_not_ready(shared: &Shared, instance: &Instance, now: Time) -> String {
    match instance.state() {
        _ if instance.is_failing() => instance.cause().map(ToString::to_string).unwrap_or_default(),
        _ if instance.health() == Health::Unhealthy => "unhealthy".to_owned(),
        State::Running => "not ready".to_owned(),
        _ => describe(shared, instance, now),
    }
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
