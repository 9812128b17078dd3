//! `GET /v1/debug/PART`: the daemon looked into by people, while `[http] debug` is on. It never acts, and costs only while it is
//! asked; there is no profiler, since `perf` works from outside.

use std::collections::BTreeMap;
use std::fs;

use hyper::StatusCode;
use muster_api::{DebugPart, Problem, ProblemKind, RouteError, Timestamp};
use muster_core::Time;
use muster_core::recording::Recording;
use muster_server::response::{self, Answer};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::reload::on_a_thread;
use crate::shared::Shared;

/// The most timers that are shown, the earliest first.
const MOST_TIMERS: usize = 1000;

/// Shows a part. While it is off, no client has such a route.
pub(super) async fn show(shared: &Shared, part: DebugPart) -> Result<Answer, Problem> {
    let shown = match part {
        DebugPart::Loop => turns(shared),
        DebugPart::Timers => timers(shared),
        DebugPart::Connections => json!({ "connections": shared.gate.connections() }),
        // Both walk through /proc, which is no work for the loop.
        DebugPart::Fds => on_a_thread(descriptors).await?,
        DebugPart::Memory => memory(shared, on_a_thread(resident).await?),
        DebugPart::Recording => return recording(shared).await,
    };
    Ok(response::json(StatusCode::OK, &shown))
}

/// A recording with the build that can play it, and its times.
#[derive(Serialize)]
struct Document {
    musterd: &'static str,
    started: Timestamp,
    time: Timestamp,
    recording: Recording,
}

/// The recording for `musterd simulate --replay`. It is large, so a thread writes it.
async fn recording(shared: &Shared) -> Result<Answer, Problem> {
    let recording = shared.inspection.recording(&shared.supervisor.borrow());
    let date = |at| Timestamp::from(shared.clock.date(at));
    let (started, time) = (date(Time::ZERO), date(shared.clock.now()));
    let document = Document { musterd: env!("CARGO_PKG_VERSION"), started, time, recording };
    let text = on_a_thread(move || serde_json::to_vec(&document)).await?;
    let text = text.map_err(|error| Problem::new(ProblemKind::Internal, format!("cannot write it: {error}")))?;
    Ok(response::json_text(StatusCode::OK, text))
}

/// The refusal while it is off.
pub(super) fn missing() -> Answer {
    response::route_error(RouteError::NotFound)
}

/// Whether it is on.
pub(super) fn is_on(shared: &Shared) -> bool {
    shared.configuration.in_force().control.debug
}

fn turns(shared: &Shared) -> Value {
    let clock = shared.loop_turns.clock();
    let histogram =
        clock.histogram().map(|(bound, count)| json!({"at_most": bound.map(|it| it.as_secs_f64()), "count": count}));
    json!({
        "longest": clock.longest().as_secs_f64(),
        "turns": histogram.collect::<Vec<Value>>(),
        "slowest_inputs": shared.inspection.slowest(),
    })
}

fn timers(shared: &Shared) -> Value {
    let (now, supervisor) = (shared.clock.now(), shared.supervisor.borrow());
    let due =
        supervisor.snapshot().iter().filter_map(|instance| Some((instance.earliest_deadline()?, instance.name())));
    let mut due: Vec<_> = due.collect();
    due.sort_unstable();
    let count = due.len();
    let left = |at: muster_core::Time| at.since_origin().as_secs_f64() - now.since_origin().as_secs_f64();
    let timers = due.into_iter().take(MOST_TIMERS).map(|(at, name)| json!({"name": name, "due_in": left(at)}));
    json!({"count": count, "timers": timers.collect::<Vec<Value>>()})
}

/// Descriptors by the kind of their target: `socket`, `pipe`, `anon_inode:[eventpoll]`, `file`.
fn descriptors() -> Value {
    let mut of_kind: BTreeMap<String, u64> = BTreeMap::new();
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    for target in open.filter_map(|entry| fs::read_link(entry.path()).ok()) {
        let target = target.to_string_lossy();
        let kind = match target.split_once(':') {
            _ if target.starts_with('/') => "file",
            Some(("anon_inode", _)) => &target,
            Some((kind, _)) => kind,
            None => "other",
        };
        *of_kind.entry(kind.to_owned()).or_default() += 1;
    }
    json!({"count": of_kind.values().sum::<u64>(), "by_kind": of_kind})
}

/// The kernel's figures of the whole address space, in kB.
fn resident() -> Map<String, Value> {
    let text = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let figure: u64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
        Some((name.to_owned(), Value::from(figure)))
    };
    text.lines().filter_map(line).collect()
}

fn memory(shared: &Shared, resident: Map<String, Value>) -> Value {
    json!({
        "resident_kb": resident,
        "instances": shared.supervisor.borrow().snapshot().len(),
        "connections": shared.gate.connections().len(),
        "event_listeners": shared.event_ring.borrow().listeners(),
        "orders": {"waiting": shared.orders.max_capacity() - shared.orders.capacity(), "most": shared.orders.max_capacity()},
    })
}
