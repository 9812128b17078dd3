//! The core's instances in the API's types.
//!
//! Read-only: decides, changes and waits for nothing.

pub(super) mod runs;
pub(super) mod why;

use std::fmt;

use muster_api as api;
use muster_api::{ProgramField, ProgramFields};
use muster_core::{Health, Instance, LeftBehind, PastRun, Progress, Time};
use muster_load::secrets::Reader;
use muster_spec::{Goal, RunEnd, RunId, Signal, State};
use serde::Serialize;
use serde::ser::{Error, SerializeMap, Serializer};

use crate::clock::Moment;
use crate::describe::{Description, describe, ready};
use crate::operations::schedule::next_due;
use crate::shared::Shared;

/// Fields of an instance, as an entry of the list. They are read as they are written, so those that are not asked for cost
/// nothing.
pub(super) struct Listed<'a> {
    pub(super) shared: &'a Shared,
    pub(super) instance: &'a Instance,
    pub(super) moment: Moment,
    pub(super) fields: ProgramFields,
}

/// Under the names and in the types of [`api::Program`], which clients read.
impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in self.fields.iter() {
            map.serialize_key(field.name())?;
            self.write(field, &mut map)?;
        }
        map.end()
    }
}

impl Listed<'_> {
    fn write<M: SerializeMap>(&self, field: ProgramField, map: &mut M) -> Result<(), M::Error> {
        let Listed { shared, instance, moment, .. } = *self;
        let (program, now) = (instance.program(), moment.now);
        let date = |at| api::Timestamp::from(moment.date(at));
        match field {
            ProgramField::Name => map.serialize_value(instance.name()),
            ProgramField::Program => map.serialize_value(&program.name),
            ProgramField::Group => map.serialize_value(program.groups.first().unwrap_or(&program.name)),
            ProgramField::Goal => map.serialize_value(&goal(instance.goal())),
            ProgramField::State => map.serialize_value(&state(instance.state())),
            ProgramField::Code => map.serialize_value(&instance.state().code()),
            ProgramField::Ready => map.serialize_value(&ready(instance)),
            ProgramField::Health => map.serialize_value(&health(instance)),
            ProgramField::Status => {
                let children = shared.children.borrow();
                let announced = instance.run().and_then(|run| children.announced(run));
                map.serialize_value(&announced.and_then(|announced| announced.status.as_deref()))
            }
            ProgramField::Pid => {
                let run = instance.run().filter(|_| instance.run_began().is_some());
                map.serialize_value(&run.and_then(|run| shared.children.borrow().pid_of(run)))
            }
            ProgramField::Run => map.serialize_value(&instance.last_run().map(|run| run.0)),
            ProgramField::StartedAt => map.serialize_value(&instance.run_began().map(date)),
            ProgramField::Uptime => {
                map.serialize_value(&instance.run_began().map(|began| now.since(began).as_secs_f64()))
            }
            ProgramField::Failures => map.serialize_value(&instance.failures(now)),
            ProgramField::Startretries => map.serialize_value(&program.restart.retries()),
            ProgramField::NextStartAt => map.serialize_value(&next_start(shared, instance, moment)),
            ProgramField::Exit => map.serialize_value(&instance.past().next_back().map(exit)),
            ProgramField::WaitingFor => {
                map.serialize_value(&shared.supervisor.borrow().waiting_for(instance.id(), now))
            }
            ProgramField::WaitsInVain => map.serialize_value(&shared.supervisor.borrow().waits_in_vain(instance.id())),
            ProgramField::AwaitsClient => map.serialize_value(&instance.awaits_contact()),
            ProgramField::Autostart => map.serialize_value(&program.autostart),
            ProgramField::Priority => map.serialize_value(&program.priority),
            ProgramField::Description => map.serialize_value(&Text(Description { shared, instance, now })),
            ProgramField::Phase => map.serialize_value(&instance.phase().map(|hook| hook.name())),
            ProgramField::Rolling => {
                map.serialize_value(&shared.supervisor.borrow().rolling(instance.id()).map(rolling))
            }
            ProgramField::OldProcess => map.serialize_value(&instance.has_old_process()),
            ProgramField::NextDue => map.serialize_value(&next_due(shared, instance).map(api::Timestamp::from_unix_ms)),
            ProgramField::StoppedBy => map.serialize_value(&suspended_by(shared, instance).map(Text)),
        }
    }
}

/// A value that is displayed into its string.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
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
fn next_start(shared: &Shared, instance: &Instance, moment: Moment) -> Option<api::Timestamp> {
    let due = || {
        let is_idle = instance.awaits_time() || matches!(instance.state(), State::Exited | State::Fatal);
        next_due(shared, instance).filter(|_| is_idle).map(api::Timestamp::from_unix_ms)
    };
    instance.next_start().map(|at| moment.date(at).into()).or_else(due)
}

fn health(instance: &Instance) -> Option<&'static str> {
    (!instance.spec().probes.is_empty() && instance.is_live()).then(|| health_word(instance.health()))
}

pub(super) fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

/// An instance with all details, as [`api::ProgramDetail`].
#[derive(Serialize)]
pub(super) struct Detail<'a> {
    #[serde(flatten)]
    program: Listed<'a>,
    configuration: Configuration<'a>,
    runs: Vec<api::Run>,
}

/// Its effective configuration.
struct Configuration<'a> {
    shared: &'a Shared,
    instance: &'a Instance,
    reader: Reader,
}

impl Serialize for Configuration<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Configuration { shared, instance, reader } = *self;
        shared.configuration.rendered(instance, reader).map_err(Error::custom)?.serialize(serializer)
    }
}

pub(super) fn detail<'a>(shared: &'a Shared, instance: &'a Instance, reader: Reader) -> Detail<'a> {
    let moment = shared.clock.read();
    let current = instance.run_began().zip(instance.run()).map(|(began, run)| api::Run {
        run: run.0,
        pid: shared.children.borrow().pid_of(run),
        started_at: moment.date(began).into(),
        ended_at: None,
        uptime: moment.now.since(began).as_secs_f64(),
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
    Detail {
        program: Listed { shared, instance, moment, fields: ProgramFields::ALL },
        configuration: Configuration { shared, instance, reader },
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
