//! `POST /v1/simulate`: lets a copy of the living rules live on, on a thread of its own.
//!
//! The loop only copies the supervisor. At most one simulation runs, for a second and some thousand changes at most, and then none
//! for as long as it took, so that clients take at most half of a processor for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use muster_api::{LONGEST_SCRIPT, LONGEST_SIMULATION, MOST_SCRIPTS, Problem, ProblemKind, SimulateBody, Simulation};
use muster_core::Supervisor;
use muster_server::request_body;
use muster_server::response::{self, Answer};
use muster_server::turn_clock::spawn;
use muster_simulate::scenario::Script;
use muster_simulate::{Stopped, WhatIf, what_if};
use tokio::sync::oneshot;

use super::view;
use crate::operations::select;
use crate::shared::Shared;

/// The most changes of a simulation.
const MOST: usize = 20_000;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far it looks if the request does not say.
const HORIZON: Duration = Duration::from_secs(60 * 60);

pub(super) async fn simulate(shared: &Shared, body: &[u8]) -> Result<Answer, Problem> {
    let asked = request_body::parse::<SimulateBody>(body)?.unwrap_or_default();
    let until = horizon(asked.until)?;
    let scripts = scripts(&shared.supervisor.borrow(), &asked.runs)?;
    let Ok(turn) = Arc::clone(&shared.simulation).try_acquire_owned() else {
        let problem = Problem::new(ProblemKind::Busy, "another simulation is running");
        return Err(problem.with_hint("try again in a second"));
    };
    let now = shared.clock.now();
    let (supervisor, agenda) = (shared.supervisor.borrow().clone(), shared.agenda.borrow().clone());
    let (at, mask) = (view::date(shared, now), muster_load::secrets::mask as fn(&str) -> String);
    let question = WhatIf { supervisor, now, at, agenda, scripts, until, mask };
    let internal = |why: String| Problem::new(ProblemKind::Internal, format!("cannot simulate: {why}"));
    let (sender, answer) = oneshot::channel();
    let thread = std::thread::Builder::new().name("simulation".to_owned());
    let began = Instant::now();
    let started = thread.spawn(move || {
        let end = Instant::now() + PATIENCE;
        let simulated = what_if(question, MOST, &|| Instant::now() < end && !sender.is_closed());
        // The client may have disconnected.
        let _ = sender.send(simulated.map(|simulated: Simulation| serde_json::to_vec(&simulated)));
    });
    started.map_err(|error| internal(error.to_string()))?;
    // The turn is over only after a pause, also if the client is gone meanwhile.
    let (tell, told) = oneshot::channel();
    spawn(async move {
        let simulated = answer.await;
        let took = began.elapsed();
        let is_there = tell.send(simulated).is_ok();
        tokio::time::sleep(if is_there { took } else { PATIENCE }).await;
        drop(turn);
    });
    let simulated = told.await.ok().and_then(Result::ok).ok_or_else(|| internal("its thread panicked".to_owned()))?;
    let text = simulated.map_err(|stopped| too_long(stopped, until))?;
    Ok(response::json_text(StatusCode::OK, text.map_err(|error| internal(error.to_string()))?))
}

fn too_long(stopped: Stopped, until: Duration) -> Problem {
    let problem = match stopped {
        Stopped::TooMany(at) => {
            let (at, until) = (at.as_secs_f64(), until.as_secs_f64());
            format!("more than {MOST} changes within {at:.3} of {until} s")
        }
        Stopped::Unwanted => format!("it takes longer than {} s", PATIENCE.as_secs()),
    };
    Problem::new(ProblemKind::TooLong, problem).with_hint("look at less time, with `until`")
}

fn horizon(until: Option<f64>) -> Result<Duration, Problem> {
    let Some(seconds) = until else { return Ok(HORIZON) };
    let span = Duration::try_from_secs_f64(seconds).ok().filter(|_| seconds <= LONGEST_SIMULATION);
    span.ok_or_else(|| {
        let problem = Problem::new(ProblemKind::BadBody, format!("`until` is no time to look ahead: {seconds}"));
        problem.with_hint("a number of seconds, at most a year")
    })
}

fn scripts(supervisor: &Supervisor, runs: &BTreeMap<String, String>) -> Result<BTreeMap<String, Script>, Problem> {
    let bad = |detail: String| Problem::new(ProblemKind::BadBody, detail);
    if runs.len() > MOST_SCRIPTS {
        return Err(bad(format!("`runs` has more than {MOST_SCRIPTS} scripts")));
    }
    let script = |(name, text): (&String, &String)| {
        let is_known = |name: &str| {
            let instances = supervisor.snapshot().iter();
            { instances }.any(|instance| instance.name() == name || instance.program().name == name)
        };
        if !is_known(name) {
            return Err(select::no_such_program(supervisor, name));
        }
        if text.len() > LONGEST_SCRIPT {
            return Err(bad(format!("the script of {name:?} is longer than {LONGEST_SCRIPT} bytes")));
        }
        let script = Script::parse(text)
            .map_err(|error| bad(format!("runs of {name:?}: {}", error.message)).with_hint(error.hint))?;
        Ok((name.clone(), script))
    };
    runs.iter().map(script).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_horizon_is_a_number_of_seconds_within_a_year() {
        assert_eq!(horizon(None).ok(), Some(HORIZON));
        assert_eq!(horizon(Some(1.5)).ok(), Some(Duration::from_millis(1500)));
        assert_eq!(horizon(Some(0.0)).ok(), Some(Duration::ZERO));
        for wrong in [-1.0, LONGEST_SIMULATION + 1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(horizon(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
