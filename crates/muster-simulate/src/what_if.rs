//! Simulations of a living daemon: a copy of its supervisor under a virtual clock, as data for its API.
//!
//! Nothing here reads a clock or knows of requests: the caller says when to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_api::{SimulatedMoment, SimulatedProgram, Simulation, Timestamp};
use muster_core::{Supervisor, Time, restart::Verdict};
use muster_schedule::Agenda;
use muster_spec::{InstanceId, ProgramSpec};

use crate::replay::programs;
use crate::scenario::{Script, Ties};
use crate::text::line;
use crate::timeline::{Lane, Moment, Over, Timeline, What};
use crate::world::SimulationPlan;
use crate::world::living::{Living, go_on};

/// A daemon at one moment, and the question.
pub struct WhatIf {
    /// A copy of its supervisor, between two inputs.
    pub supervisor: Supervisor,
    /// The time on its clock.
    pub now: Time,
    /// The same on the wall clock.
    pub at: Timestamp,
    /// Its schedules.
    pub agenda: Agenda<InstanceId>,
    /// The scripts of runs by instance or program; a present run is the first.
    pub scripts: BTreeMap<String, Script>,
    /// How long to look ahead.
    pub until: Duration,
    /// Masks secrets.
    pub mask: fn(&str) -> String,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// There are more events than allowed: until this time.
    TooMany(Duration),
    /// The caller does not want it any longer.
    Unwanted,
}

/// Lets the daemon live on, for at most this number of events and as long as the result is wanted.
pub fn what_if(asked: WhatIf, most: usize, is_wanted: &dyn Fn() -> bool) -> Result<Simulation, Stopped> {
    let WhatIf { supervisor, now, at, agenda, scripts, until, mask } = asked;
    let since_start = i64::try_from(now.since_origin().as_secs()).unwrap_or(i64::MAX);
    let plan = SimulationPlan {
        scripts,
        stop_at: None,
        pauses: Vec::new(),
        connects: Vec::new(),
        until: (now + until).since_origin(),
        from: at.unix_ms().div_euclid(1000).saturating_sub(since_start),
        // The supervisor has its own random numbers.
        seed: 0,
        ties: Ties::default(),
        mask,
    };
    let programs = programs(&supervisor);
    let timeline = go_on(Living { supervisor, now, agenda }, &plan, most, is_wanted);
    match timeline.over {
        Over::Unwanted => Err(Stopped::Unwanted),
        Over::Cut(_) | Over::CutAtOnce(_) => Err(Stopped::TooMany(timeline.ended.since(now))),
        Over::Exited | Over::AtRest | Over::TimeUp => Ok(simulation(at, now, &timeline, &programs)),
    }
}

fn simulation(at: Timestamp, now: Time, timeline: &Timeline, programs: &[Arc<ProgramSpec>]) -> Simulation {
    let exit = timeline.exit.as_ref();
    let because_of = exit.and_then(|exit| exit.cause).map(|id| timeline.lane(id).name.clone());
    Simulation {
        at,
        timeline: timeline.moments.iter().map(|it| moment(it, now, timeline, programs)).collect(),
        programs: timeline.lanes().map(program).collect(),
        ended_at: seconds(timeline.ended.since(now)),
        exit_code: exit.map(|exit| exit.code),
        reason: exit.map(|exit| exit.words.clone()),
        because_of,
    }
}

fn moment(moment: &Moment, now: Time, timeline: &Timeline, programs: &[Arc<ProgramSpec>]) -> SimulatedMoment {
    let line = line(moment, timeline, programs);
    let change = match &moment.what {
        What::Changed(change) => Some(change),
        _ => None,
    };
    let delay = change.and_then(|change| match change.verdict {
        Some(Verdict::Again(again)) => Some(seconds(again.delay)),
        _ => None,
    });
    SimulatedMoment {
        at: seconds(moment.at.since(now)),
        program: Some(line.who).filter(|who| !who.is_empty()),
        state: line.state,
        happened: line.happened,
        decided: line.decided,
        from: change.map(|change| change.from.name().to_owned()),
        run: change.map(|change| change.run as u64),
        end: change.and_then(|change| change.ended.as_ref()).map(|(end, _)| end.to_string()),
        delay,
    }
}

fn program(lane: &Lane) -> SimulatedProgram {
    SimulatedProgram {
        name: lane.name.clone(),
        state: lane.state.name().to_owned(),
        runs: lane.runs as u64,
        restarts: lane.runs.saturating_sub(1) as u64,
        essential: lane.is_essential,
        last_end: lane.last.as_ref().map(|(end, _)| end.to_string()),
        decided: lane.last.as_ref().map(|(_, decided)| decided.clone()),
    }
}

/// Seconds with microseconds, without trailing digits.
fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e6
}
