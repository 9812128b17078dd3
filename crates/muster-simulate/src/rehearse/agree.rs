//! Compares a rehearsal with its simulation: the same events in the same order for each instance, and in time.
//!
//! Processes start and exit some milliseconds later than in the simulation, which delays everything that follows. So an event is in
//! time if its lateness differs by at most the tolerance from that of an event it may follow from: the start, the
//! instance's previous event, or the latest earlier event of another instance.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_core::{Event as CoreEvent, Health, Verdict};

use super::observe::{Event, Occurrence};
use crate::timeline::{Timeline, What};

/// The result of a comparison.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// The differences, including late events; empty if all agrees.
    pub(super) differences: Vec<String>,
    /// How many events were compared.
    pub(super) events: usize,
    /// The maximum lateness of an event relative to the event it follows from.
    pub(super) latest: Duration,
    /// The maximum lateness of an event relative to its time in the simulation.
    pub(super) drift: Duration,
    /// Every event, expected and actual, for `--verbose`.
    pub(super) described: Vec<String>,
}

/// The events of a simulation.
pub(super) fn events(timeline: &Timeline) -> Vec<Event> {
    let mut events = Vec::new();
    for moment in &timeline.moments {
        let at = moment.at.since_origin();
        let mut put = |instance, what| events.push(Event { at, name: timeline.lane(instance).name.clone(), what });
        match &moment.what {
            What::Changed(change) => {
                put(change.instance, Occurrence::State(change.to.name().to_owned()));
                if let Some(Verdict::Again(again)) = change.verdict {
                    put(change.instance, Occurrence::Retry(again.attempt));
                }
            }
            What::Killed { instance, .. } => put(*instance, Occurrence::Killed),
            What::Event(event) => match event {
                CoreEvent::Waiting { instance, .. } => put(*instance, Occurrence::WaitsInVain),
                CoreEvent::Ready { instance, is_ready, .. } => put(*instance, Occurrence::Ready(*is_ready)),
                CoreEvent::Health { instance, health, .. } => {
                    put(*instance, Occurrence::Healthy(*health != Health::Unhealthy));
                }
                CoreEvent::ProbeFailed { instance, failures, .. } => {
                    put(*instance, Occurrence::CheckFailed(*failures));
                }
                _ => {}
            },
            What::Failing { instance, .. } => put(*instance, Occurrence::Failing),
            What::Asked { .. }
            | What::Paused { .. }
            | What::LeftBehind { .. }
            | What::ShutdownBegan { .. }
            | What::Exited(_) => {}
        }
    }
    events
}

/// Compares expected with actual events. A simulation that was cut off says nothing about later ones.
pub(super) fn compare(
    expected: &[Event],
    found: &[Event],
    tolerance: Duration,
    cut_off: Option<Duration>,
) -> Agreement {
    let mut agreement = Agreement { events: expected.len(), ..Agreement::default() };
    let mut by_name: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    found.iter().for_each(|event| by_name.entry(&event.name).or_default().push(event));
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    // The lateness, in seconds, of all events so far, with their time in the simulation.
    let mut history: Vec<(&Event, f64)> = Vec::new();
    for event in expected {
        let position = next.entry(&event.name).or_default();
        let there = by_name.get(event.name.as_str()).and_then(|events| events.get(*position));
        *position += 1;
        let Some(there) = there else {
            agreement.differences.push(format!(
                "{:>8.3}  {} {}: did not come",
                seconds(event.at),
                event.name,
                event.what
            ));
            return agreement;
        };
        let lateness = seconds(there.at) - seconds(event.at);
        agreement.described.push(described(event, there, lateness));
        if there.what != event.what {
            let difference =
                format!("{:>8.3}  {}: expected {}, found {}", seconds(event.at), event.name, event.what, there.what);
            agreement.differences.push(difference);
            return agreement;
        }
        let after = causes(event, &history).map(|cause| (lateness - cause).abs()).fold(lateness.abs(), f64::min);
        agreement.latest = agreement.latest.max(Duration::from_secs_f64(after));
        agreement.drift = agreement.drift.max(Duration::from_secs_f64(lateness.abs()));
        if after > seconds(tolerance) {
            let words = if lateness > 0.0 { "late" } else { "early" };
            agreement.differences.push(format!(
                "{:>8.3}  {} {}: {:.0} ms too {words}",
                seconds(event.at),
                event.name,
                event.what,
                after * 1000.0
            ));
        }
        history.push((event, lateness));
    }
    let is_beyond = |event: &Event| {
        let late = history.iter().rev().find(|(earlier, _)| earlier.name == event.name).map_or(0.0, |(_, late)| *late);
        cut_off.is_some_and(|end| seconds(event.at) - late >= seconds(end))
    };
    agreement.differences.extend(surplus(&by_name, &next, is_beyond));
    agreement
}

/// The lateness of the events that an event may follow from.
fn causes<'a>(event: &'a Event, history: &'a [(&Event, f64)]) -> impl Iterator<Item = f64> {
    let own = history.iter().rev().find(|(earlier, _)| earlier.name == event.name).map(|(_, lateness)| *lateness);
    let latest = history.last().map(|(last, _)| last.at);
    let others = history.iter().rev().take_while(move |(earlier, _)| Some(earlier.at) == latest);
    own.into_iter().chain(others.map(|(_, lateness)| *lateness))
}

fn surplus(
    found: &BTreeMap<&str, Vec<&Event>>,
    next: &BTreeMap<&str, usize>,
    is_beyond: impl Fn(&Event) -> bool,
) -> Vec<String> {
    let mut surplus = Vec::new();
    for (name, events) in found {
        let compared = next.get(name).copied().unwrap_or(0);
        for event in events.iter().skip(compared).take_while(|event| !is_beyond(event)) {
            surplus.push(format!("{:>8.3}  {name} {}: not in the simulation", seconds(event.at), event.what));
        }
    }
    surplus
}

fn described(expected: &Event, found: &Event, lateness: f64) -> String {
    format!(
        "{:>8.3}  {:>8.3}  {:>+7.1} ms  {} {}",
        seconds(expected.at),
        seconds(found.at),
        lateness * 1000.0,
        expected.name,
        found.what
    )
}

fn seconds(span: Duration) -> f64 {
    span.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(ms: u64, name: &str, state: &str) -> Event {
        Event { at: Duration::from_millis(ms), name: name.to_owned(), what: Occurrence::State(state.to_owned()) }
    }

    fn differences(found: &[Event]) -> Vec<String> {
        let expected = [
            event(0, "a", "STARTING"),
            event(100, "a", "BACKOFF"),
            event(300, "a", "STARTING"),
            event(300, "b", "STOPPING"),
        ];
        compare(&expected, found, Duration::from_millis(50), Some(Duration::from_millis(500))).differences
    }

    #[test]
    fn what_comes_after_the_simulation_was_cut_off_is_not_judged() {
        let mut found = vec![
            event(0, "a", "STARTING"),
            event(140, "a", "BACKOFF"),
            event(340, "a", "STARTING"),
            event(340, "b", "STOPPING"),
            event(545, "b", "STOPPED"),
        ];
        assert_eq!(differences(&found), [""; 0]);
        // If all were in time, it would have come earlier.
        found[4] = event(535, "b", "STOPPED");
        assert_eq!(differences(&found), ["   0.535  b STOPPED: not in the simulation"]);
    }

    #[test]
    fn what_is_late_makes_what_follows_late_without_harm() {
        let found = [
            event(0, "a", "STARTING"),
            event(140, "a", "BACKOFF"),
            event(380, "a", "STARTING"),
            event(381, "b", "STOPPING"),
        ];
        assert_eq!(differences(&found), [""; 0]);
    }

    #[test]
    fn what_comes_late_after_its_cause_is_told() {
        let found = [
            event(0, "a", "STARTING"),
            event(100, "a", "BACKOFF"),
            event(360, "a", "STARTING"),
            event(360, "b", "STOPPING"),
        ];
        assert_eq!(differences(&found), ["   0.300  a STARTING: 60 ms too late"]);
    }

    #[test]
    fn what_happens_otherwise_not_at_all_or_besides_is_told() {
        let mut found = vec![
            event(0, "a", "STARTING"),
            event(100, "a", "BACKOFF"),
            event(300, "a", "STARTING"),
            event(300, "b", "STOPPING"),
        ];
        found.push(event(400, "b", "STOPPED"));
        assert_eq!(differences(&found), ["   0.400  b STOPPED: not in the simulation"]);
        found.truncate(3);
        assert_eq!(differences(&found), ["   0.300  b STOPPING: did not come"]);
        found[1] = event(100, "a", "FATAL");
        assert_eq!(differences(&found), ["   0.100  a: expected BACKOFF, found FATAL"]);
    }
}
