//! Checks a scenario's expectations against a timeline.

use std::time::Duration;

use muster_config::scenario::{Expectation, Expected};
use muster_core::Time;
use muster_spec::{Span, State};

use crate::timeline::{Lane, Timeline, What};

/// An expectation that does not hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Miss {
    /// The text of the expectation.
    pub(crate) expected: String,
    /// Its line in the file.
    pub(crate) line: usize,
    /// The actual outcome.
    pub(crate) actual: String,
    /// The time of the expectation, or of the event that contradicts it.
    pub(crate) at: Time,
}

/// The expectations that do not hold.
pub(crate) fn misses(expectations: &[Expectation], timeline: &Timeline) -> Vec<Miss> {
    expectations.iter().flat_map(|expectation| misses_of(expectation, timeline)).collect()
}

fn misses_of(expectation: &Expectation, timeline: &Timeline) -> Vec<Miss> {
    let at = expectation.at.or(expectation.within).map_or(timeline.ended, Time::from_origin);
    let miss = |actual: String| Miss { expected: expectation.text.clone(), line: expectation.line, actual, at };
    let found = expectation.expected.iter().filter_map(|expected| actual(expected, expectation, timeline));
    found.map(miss).collect()
}

/// The actual outcome, if the expectation does not hold.
fn actual(expected: &Expected, expectation: &Expectation, timeline: &Timeline) -> Option<String> {
    let lanes = lanes(expectation, timeline);
    match expected {
        Expected::State(state) => lanes.iter().find_map(|&lane| wrong_state(lane, *state, expectation, timeline)),
        Expected::Never(state) => lanes.iter().find_map(|&(index, lane)| {
            let mut changes = timeline.changes().filter(|(_, change)| change.instance.0 as usize == index);
            let (at, _) = changes.find(|(_, change)| change.to == *state)?;
            Some(format!("{} is {state} at {}", lane.name, time(at)))
        }),
        Expected::Restarts(count) => {
            let found: usize =
                lanes.iter().map(|&(index, _)| starts(index, expectation, timeline).len().saturating_sub(1)).sum();
            (found != *count).then(|| format!("{found} restarts"))
        }
        Expected::Delays(delays) => lanes.iter().find_map(|&(index, lane)| {
            let found = pauses(index, timeline);
            (found != *delays).then(|| format!("{} waits {}", lane.name, list(&found)))
        }),
        Expected::Starts(times) => lanes.iter().find_map(|&(index, lane)| {
            let found: Vec<Duration> =
                starts(index, expectation, timeline).iter().map(|at| at.since_origin()).collect();
            (found != *times).then(|| format!("{} starts at {}", lane.name, list(&found)))
        }),
        Expected::ExitCode(code) => wrong_exit(*code, expectation, timeline),
        Expected::Running(running) => {
            let until = expectation.at.or(expectation.within).map(Time::from_origin);
            let has_exited = timeline.exit.is_some() && until.is_none_or(|until| timeline.ended <= until);
            (has_exited == *running).then(|| exit_in_words(timeline))
        }
        Expected::Killed(killed) => {
            let is_meant = |index: u32| lanes.iter().any(|(lane, _)| *lane == index as usize);
            let found = timeline.moments.iter().find_map(|moment| match &moment.what {
                What::Killed { instance, .. } if is_meant(instance.0) => Some((moment.at, *instance)),
                _ => None,
            });
            (found.is_some() != *killed).then(|| match found {
                Some((at, id)) => format!("{} gets SIGKILL at {}", timeline.lane(id).name, time(at)),
                None => "no program gets SIGKILL".to_owned(),
            })
        }
        Expected::Reason(words) => {
            let holds = timeline.exit.as_ref().is_some_and(|exit| exit.words.contains(words));
            (!holds).then(|| exit_in_words(timeline))
        }
    }
}

/// The instances an expectation applies to, with their numbers.
fn lanes<'a>(expectation: &Expectation, timeline: &'a Timeline) -> Vec<(usize, &'a Lane)> {
    let is_meant = |lane: &Lane| match &expectation.program {
        Some(name) => lane.name == *name || lane.program == *name,
        None => true,
    };
    timeline.instances.iter().enumerate().filter(|(_, lane)| is_meant(lane)).collect()
}

fn wrong_state(
    (index, lane): (usize, &Lane),
    state: State,
    expectation: &Expectation,
    timeline: &Timeline,
) -> Option<String> {
    let changes = || timeline.changes().filter(|(_, change)| change.instance.0 as usize == index);
    if let Some(within) = expectation.within {
        let reached = changes().find(|(_, change)| change.to == state).map(|(at, _)| at);
        return match reached {
            Some(at) if at.since_origin() <= within => None,
            Some(at) => Some(format!("{} is {state} only at {}", lane.name, time(at))),
            None => Some(format!("{} is never {state}", lane.name)),
        };
    }
    let at = expectation.at.map_or(timeline.ended, Time::from_origin);
    let (since, found) = changes()
        .take_while(|(when, _)| *when <= at)
        .last()
        .map_or((Time::ZERO, State::Stopped), |(when, change)| (when, change.to));
    (found != state).then(|| format!("{} is {found} since {}", lane.name, time(since)))
}

/// The start times of an instance's runs, within the time of the expectation.
fn starts(index: usize, expectation: &Expectation, timeline: &Timeline) -> Vec<Time> {
    let until = expectation.at.or(expectation.within).map_or(timeline.ended, Time::from_origin);
    let starts = timeline.changes().filter(|(_, change)| change.instance.0 as usize == index);
    starts.filter(|(at, change)| change.to == State::Starting && *at <= until).map(|(at, _)| at).collect()
}

/// The time from each end to the next start.
fn pauses(index: usize, timeline: &Timeline) -> Vec<Duration> {
    let mut pauses = Vec::new();
    let mut ended = None;
    for (at, change) in timeline.changes().filter(|(_, change)| change.instance.0 as usize == index) {
        if change.ended.is_some() {
            ended = Some(at);
        }
        if let Some(end) = ended.take_if(|_| change.to == State::Starting) {
            pauses.push(at.since(end));
        }
    }
    pauses
}

fn wrong_exit(code: u8, expectation: &Expectation, timeline: &Timeline) -> Option<String> {
    let is_right = match (&timeline.exit, expectation.at, expectation.within) {
        (Some(exit), Some(at), _) => exit.code == code && timeline.ended.since_origin() == at,
        (Some(exit), None, Some(within)) => exit.code == code && timeline.ended.since_origin() <= within,
        (Some(exit), None, None) => exit.code == code,
        (None, ..) => false,
    };
    (!is_right).then(|| exit_in_words(timeline))
}

fn exit_in_words(timeline: &Timeline) -> String {
    match &timeline.exit {
        Some(exit) => {
            format!("the container exits with {} after {}: {}", exit.code, time(timeline.ended), exit.words)
        }
        None => format!("the container is still running after {}", time(timeline.ended)),
    }
}

fn time(at: Time) -> Span {
    Span(at.since_origin())
}

fn list(spans: &[Duration]) -> String {
    const MOST: usize = 15;
    let mut words: Vec<String> = spans.iter().take(MOST).map(|&span| Span(span).to_string()).collect();
    words.extend(spans.len().checked_sub(MOST + 1).map(|more| format!("… {} more", more + 1)));
    format!("[{}]", words.join(", "))
}
