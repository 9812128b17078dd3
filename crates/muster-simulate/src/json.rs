//! A timeline as data, for `--json`: the same lines as the table, with numbers as numbers.

use std::io::{self, Write};

use muster_core::{Time, restart::Verdict};
use muster_spec::{Exit, Limit, RunEnd, Spec};
use serde_json::{Value, json};

use crate::text::{Programs, line};
use crate::timeline::{Change, Moment, Timeline, What};
use crate::world::{SimulationPlan, nothing_yet, simulate_to};

/// The complete timeline.
pub(crate) fn timeline(timeline: &Timeline, programs: &Programs) -> Value {
    let mut value = rest(timeline);
    value["timeline"] = timeline.moments.iter().map(|moment| object(moment, timeline, programs)).collect();
    value
}

/// Simulates and writes the same incrementally, so that longer simulations need no more memory. Returns the result.
pub(crate) fn write(spec: &Spec, plan: &SimulationPlan, output: &mut dyn Write) -> io::Result<Timeline> {
    let frame = nothing_yet(spec, plan);
    output.write_all(b"{\"timeline\":[")?;
    let (mut separator, mut outcome) = ("", Ok(()));
    let timeline = simulate_to(spec, plan, &mut |moment| {
        if outcome.is_ok() {
            outcome = write!(output, "{separator}{}", object(moment, &frame, &spec.programs));
            separator = ",";
        }
    });
    outcome?;
    let rest = rest(&timeline).to_string();
    writeln!(output, "],{}", rest.strip_prefix('{').unwrap_or(&rest))?;
    output.flush()?;
    Ok(timeline)
}

fn object(moment: &Moment, timeline: &Timeline, programs: &Programs) -> Value {
    let line = line(moment, timeline, programs);
    let mut value = json!({
        "at": seconds(moment.at),
        "program": if line.who.is_empty() { Value::Null } else { json!(line.who) },
        "state": line.state,
        "happened": line.happened,
        "decided": line.decided,
    });
    if let What::Changed(change) = &moment.what {
        add_change(&mut value, change);
    }
    value
}

/// Everything except the timeline.
fn rest(timeline: &Timeline) -> Value {
    json!({
        "programs": timeline.lanes().map(|lane| json!({
            "name": lane.name,
            "state": lane.state.name(),
            "runs": lane.runs,
            "restarts": lane.runs.saturating_sub(1),
            "essential": lane.is_essential,
            "last_end": lane.last.as_ref().map(|(end, _)| end.to_string()),
            "decided": lane.last.as_ref().map(|(_, decided)| decided),
        })).collect::<Vec<_>>(),
        "ended_at": seconds(timeline.ended),
        "cut_short": timeline.cut_short().is_some(),
        "seed": timeline.seed,
        "exit_code": timeline.exit.as_ref().map(|exit| exit.code),
        "reason": timeline.exit.as_ref().map(|exit| &exit.words),
        "because_of": timeline.exit.as_ref().and_then(|exit| exit.cause).map(|id| &timeline.lane(id).name),
    })
}

fn add_change(value: &mut Value, change: &Change) {
    value["from"] = json!(change.from.name());
    value["run"] = json!(change.run);
    value["exit"] = change.ended.as_ref().map_or(Value::Null, |(end, uptime)| {
        let (code, signal) = match end {
            RunEnd::Exited(Exit::Code(code)) => (json!(code), Value::Null),
            RunEnd::Exited(Exit::Signal { signal, .. }) => (Value::Null, json!(signal.to_string())),
            RunEnd::MainLost | RunEnd::NotSpawned(_) => (Value::Null, Value::Null),
        };
        json!({"code": code, "signal": signal, "reason": end.to_string(), "uptime": uptime.as_secs_f64()})
    });
    if let Some(Verdict::Again(again)) = change.verdict {
        value["delay"] = json!(again.delay.as_secs_f64());
        value["delay_min"] = json!(again.delay_min.as_secs_f64());
        value["delay_max"] = json!(again.delay_max.as_secs_f64());
        value["attempt"] = json!(again.attempt);
        value["limit"] = match again.limit {
            Limit::Retries(limit) => json!(limit),
            _ => Value::Null,
        };
    }
}

/// Seconds with microseconds, without trailing digits.
fn seconds(at: Time) -> f64 {
    (at.since_origin().as_secs_f64() * 1e6).round() / 1e6
}
