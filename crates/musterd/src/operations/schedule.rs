//! When a program with a schedule is due: for people and for the API.

use muster_api::Timestamp;
use muster_core::{Instance, Time};
use muster_schedule::local;
use muster_spec::{ScheduleSpec, ScheduleTimes, Span};

use crate::shared::Shared;

/// When an armed program is due next, in milliseconds since 1970: by its schedule, or when its random delay is over.
pub(crate) fn next_due(shared: &Shared, instance: &Instance) -> Option<i64> {
    if !instance.is_armed() {
        return None;
    }
    let by_clock = shared.agenda.borrow().next(instance.id()).map(|second| second.saturating_mul(1000));
    let by_interval = instance.next_due().map(|at| Timestamp::from(shared.clock.date(at)).unix_ms());
    by_clock.into_iter().chain(by_interval).min()
}

/// The same in words: `12:05 UTC (in 2m)`.
pub(crate) fn next_due_in_words(shared: &Shared, instance: &Instance, now: Time) -> Option<String> {
    let at = next_due(shared, instance)?;
    let schedule = instance.program().schedule.as_deref()?;
    let zone = first_zone(schedule);
    let now = Timestamp::from(shared.clock.date(now)).unix_ms();
    let left = std::time::Duration::from_millis(at.saturating_sub(now).max(0).unsigned_abs());
    let shown = local(at.div_euclid(1000), zone);
    // Only the time if it is today or tomorrow, without seconds of zero.
    let (date, time) = shown.split_once('T').unwrap_or(("", &shown));
    let time = time.get(..8).unwrap_or(time);
    let time = time.strip_suffix(":00").unwrap_or(time);
    let is_soon = left.as_secs() < 24 * 60 * 60;
    let when = if is_soon { format!("{time} {zone}") } else { format!("{date} {time} {zone}") };
    Some(format!("{when} (in {})", Span::about(left)))
}

/// The next times of a program, in milliseconds since 1970, each as the clock of its zone shows it. If it is not armed,
/// those it would have.
pub(crate) fn upcoming(
    shared: &Shared,
    instance: &Instance,
    schedule: &ScheduleSpec,
    number: usize,
) -> Vec<(i64, String)> {
    let now = shared.clock.wall_seconds();
    let mut all: Vec<(i64, String)> = Vec::new();
    for times in &schedule.times {
        if let ScheduleTimes::Cron { expression, timezone } = times
            && let Ok(cron) = muster_schedule::Cron::new(expression, timezone)
        {
            let times = std::iter::successors(cron.after(now), |&at| cron.after(at)).take(number);
            all.extend(times.map(|at| (at.saturating_mul(1000), local(at, timezone))));
        }
    }
    let intervals = instance.intervals().zip(schedule.intervals()).filter(|_| instance.is_armed());
    for (first, interval) in intervals {
        let times = std::iter::successors(Some(first), |&at| Some(at + interval)).take(number);
        all.extend(times.map(|at| {
            let at = Timestamp::from(shared.clock.date(at)).unix_ms();
            (at, local(at.div_euclid(1000), "UTC"))
        }));
    }
    all.sort();
    all.dedup_by_key(|(at, _)| *at);
    all.truncate(number);
    all
}

fn first_zone(schedule: &ScheduleSpec) -> &str {
    let zone = schedule.times.iter().find_map(|times| match times {
        ScheduleTimes::Cron { timezone, .. } => Some(timezone.as_str()),
        ScheduleTimes::Every(_) => None,
    });
    zone.unwrap_or("UTC")
}
