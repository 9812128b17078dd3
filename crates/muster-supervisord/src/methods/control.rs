//! Methods that start, stop and signal.

use muster_spec::arrange;
use std::collections::HashMap;

use super::daemon::{Daemon, Member, NotStarted, NotWritten};
use super::order::completed;
use crate::faults::Code;
use crate::signals;
use crate::status::ProcessState;
use crate::xmlrpc::{Fault, Value};

/// The selection that a name stands for.
pub(super) enum Selected {
    One(Member),
    /// The members of a group, by priority.
    Group(Vec<Member>),
}

/// The process or group of this name: `NAME`, `GROUP:NAME`, `GROUP:*`, `GROUP:`.
pub(super) fn select(daemon: &impl Daemon, name: &str) -> Result<Selected, Fault> {
    let (group, process) = name.split_once(':').unwrap_or((name, name));
    let mut members = daemon.members();
    members.retain(|member| member.group == group);
    let found = match process {
        _ if members.is_empty() => None,
        "" | "*" => Some(Selected::Group(by_priority(members))),
        process => members.into_iter().find(|member| member.name == process).map(Selected::One),
    };
    // A group is selected as `GROUP:`, and reported by its name where only groups are.
    found.ok_or_else(|| Code::BadName.with(name.strip_suffix(':').unwrap_or(name)))
}

/// The process of this name. A group is none.
pub(super) fn select_one(daemon: &impl Daemon, name: &str) -> Result<Member, Fault> {
    match select(daemon, name)? {
        Selected::One(member) => Ok(member),
        Selected::Group(_) => Err(Code::BadName.with(name)),
    }
}

/// Groups by priority, and members by priority; equal ones stay in their order.
pub(super) fn by_priority(members: Vec<Member>) -> Vec<Member> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut keyed = Vec::with_capacity(members.len());
    for member in members {
        let next = places.len();
        let place = *places.entry(member.group.clone()).or_insert(next);
        keyed.push(((member.group_priority, place, member.priority), member));
    }
    arrange::sort_by_key(&mut keyed, |(key, _)| *key);
    keyed.into_iter().map(|(_, member)| member).collect()
}

/// An entry of a result for several processes.
pub(super) fn status(member: &Member, result: Result<(), Fault>) -> Value {
    let fault = result.err().unwrap_or(Fault { code: Code::Success.number(), string: "OK".to_owned() });
    Value::structure([
        ("name", member.name.as_str().into()),
        ("group", member.group.as_str().into()),
        ("status", fault.code.into()),
        ("description", fault.string.into()),
    ])
}

pub(super) async fn start(daemon: &impl Daemon, name: &str, wait: bool) -> Result<Value, Fault> {
    match select(daemon, name)? {
        Selected::One(member) => start_one(daemon, &member, name, wait).await.map(|()| Value::Bool(true)),
        Selected::Group(members) => start_members(daemon, members, wait).await,
    }
}

async fn start_one(daemon: &impl Daemon, member: &Member, name: &str, wait: bool) -> Result<(), Fault> {
    // Also of one that runs: its command may be gone.
    if let Some(fault) = daemon.unstartable(member).await {
        return Err(fault);
    }
    if member.state.is_up() {
        return Err(Code::AlreadyStarted.with(name));
    }
    daemon.start(member, wait).await.map_err(|why| match why {
        NotStarted::Failed => Code::SpawnError.with(name),
        NotStarted::Ended => Code::AbnormalTermination.with(name),
        NotStarted::ShuttingDown => Code::ShutdownState.fault(),
    })
}

pub(super) async fn start_members(daemon: &impl Daemon, members: Vec<Member>, wait: bool) -> Result<Value, Fault> {
    let down = members.iter().filter(|member| !member.state.is_up());
    let starts = down.map(async |member| status(member, start_one(daemon, member, &member.namespec(), wait).await));
    Ok(Value::Array(completed(starts).await))
}

pub(super) async fn stop(daemon: &impl Daemon, name: &str, wait: bool) -> Result<Value, Fault> {
    match select(daemon, name)? {
        Selected::One(member) if !member.state.is_up() => Err(Code::NotRunning.with(name)),
        Selected::One(member) => daemon.stop(&member, wait).await.map(|()| Value::Bool(true)),
        Selected::Group(members) => stop_members(daemon, members, wait).await,
    }
}

pub(super) async fn stop_members(daemon: &impl Daemon, members: Vec<Member>, wait: bool) -> Result<Value, Fault> {
    let up = members.iter().filter(|member| member.state.is_up());
    let stops = up.map(async |member| status(member, daemon.stop(member, wait).await));
    Ok(Value::Array(completed(stops).await))
}

pub(super) async fn signal(daemon: &impl Daemon, name: &str, signal: &Value) -> Result<Value, Fault> {
    match select(daemon, name)? {
        Selected::One(member) => signal_one(daemon, &member, name, signal).await.map(|()| Value::Bool(true)),
        Selected::Group(members) => signal_members(daemon, members, signal).await,
    }
}

pub(super) async fn signal_members(daemon: &impl Daemon, members: Vec<Member>, signal: &Value) -> Result<Value, Fault> {
    let mut results = Vec::new();
    for member in members.iter().filter(|member| member.state.is_signallable()) {
        results.push(status(member, signal_one(daemon, member, &member.namespec(), signal).await));
    }
    Ok(Value::Array(results))
}

async fn signal_one(daemon: &impl Daemon, member: &Member, name: &str, signal: &Value) -> Result<(), Fault> {
    let text = match signal {
        Value::Str(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        _ => return Err(Code::IncorrectParameters.fault()),
    };
    let number = signals::parse(&text).map_err(|_| Code::BadSignal.with(&text))?;
    if !member.state.is_signallable() || !daemon.signal(member, number).await {
        return Err(Code::NotRunning.with(name));
    }
    Ok(())
}

/// Writes to standard input.
pub(super) async fn write(daemon: &impl Daemon, name: &str, text: &str) -> Result<(), Fault> {
    let member = select_one(daemon, name)?;
    if member.state == ProcessState::Stopping {
        return Err(Code::NotRunning.with(name));
    }
    daemon.write_stdin(&member, text.as_bytes()).await.map_err(|why| match why {
        NotWritten::NotRunning => Code::NotRunning.with(name),
        NotWritten::Closed => Code::NoFile.with(name),
        NotWritten::NotReading => Code::Failed.with(name),
    })
}
