//! `schedule`, as the configuration would have it, every key of it.

use muster_spec::{ScheduleSpec, ScheduleTimes, Span};
use serde_json::{Value, json};

pub(super) fn schedule(schedule: &ScheduleSpec) -> Value {
    let ScheduleSpec { times, overlap, jitter, missed, run_on_start } = schedule;
    json!({
        "cron": times.iter().map(text).collect::<Vec<_>>(),
        "overlap": overlap.name(),
        "jitter": super::seconds(*jitter),
        "missed": missed.name(),
        "run_on_start": run_on_start,
    })
}

/// Its times as the configuration has them, each with its zone.
pub fn cron_texts(schedule: &ScheduleSpec) -> Vec<String> {
    schedule.times.iter().map(text).collect()
}

/// The text that stands for these times, with its zone.
fn text(times: &ScheduleTimes) -> String {
    match times {
        ScheduleTimes::Cron { expression, timezone } => format!("TZ={timezone} {expression}"),
        ScheduleTimes::Every(interval) => format!("@every {}", Span(*interval)),
    }
}
