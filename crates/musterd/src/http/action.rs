//! Handlers of commands: parse the request, call [`crate::operations::command`], and convert the result to the API's
//! types.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use hyper::StatusCode;
use muster_api as api;
use muster_api::{Problem, ProblemKind, ShutdownBody, SignalBody};
use muster_core::{Awaited, Done, Failure, Instance, Principal, Supervisor, Verb};
use muster_spec::{Goal, InstanceId, Kind, ShutdownBudget, Signal, SignalScope};

use super::queries;
use super::view;
use crate::operations::command::{Commanded, command, shut_down};
use crate::shared::Shared;
use muster_server::request_body;
use muster_server::response::{self, Answer};

/// Handles start, stop, restart, reload and signal.
pub(super) async fn act(
    shared: &Rc<Shared>,
    by: Principal,
    (verb, select, rolling): (api::Verb, &str, Option<NonZeroU32>),
    wait: Duration,
    body: &[u8],
) -> Result<Answer, Problem> {
    let verb = match verb {
        api::Verb::Start => Verb::Start,
        api::Verb::Arm => Verb::StartLater,
        api::Verb::Stop => Verb::Stop,
        api::Verb::Restart => rolling.map_or(Verb::Restart, |parallel| Verb::Roll { parallel }),
        api::Verb::Reload => Verb::Reload,
        api::Verb::Signal => parse_signal(request_body::parse(body)?)?,
    };
    let commanded = command(shared, by, select, verb, wait).await?;
    let failed_roll = failed_roll(shared, &commanded);
    let results = results(shared, commanded);
    if let Some(detail) = failed_roll {
        let problem = Problem::new(ProblemKind::RollFailed, detail);
        return Err(problem.with_hint("the others keep their processes; `why` says more").with_results(results));
    }
    let is_accepted = results.iter().any(|result| result.outcome == api::Outcome::Accepted);
    let status = if is_accepted { StatusCode::ACCEPTED } else { StatusCode::OK };
    finish(results, status)
}

/// Waits until the instances have reached the requested state.
pub(super) async fn wait(
    shared: &Rc<Shared>,
    by: Principal,
    select: &str,
    until: api::WaitFor,
    timeout: Duration,
) -> Result<Answer, Problem> {
    let awaited = match until {
        api::WaitFor::Running => Awaited::Running,
        api::WaitFor::Ready => Awaited::Ready,
        api::WaitFor::Healthy => Awaited::Healthy,
        api::WaitFor::Exited => Awaited::Exited,
        api::WaitFor::Stopped => Awaited::Stopped,
    };
    let mut results = results(shared, command(shared, by, select, Verb::Await(awaited), timeout).await?);
    for result in &mut results {
        // A request without a timeout found it in another state: report that as a wait that timed out.
        if result.outcome == api::Outcome::Accepted {
            result.outcome = api::Outcome::Pending;
        }
    }
    // A failure has ended the wait for all instances.
    if results.iter().any(|result| result.outcome == api::Outcome::Error) {
        return Ok(response::json(StatusCode::OK, &api::ActionReport { results }));
    }
    finish(results, StatusCode::OK)
}

/// How a rolling restart has failed, if it has: `rolled 2 of 4; web:2: start_timeout`.
fn failed_roll(shared: &Shared, Commanded { results, .. }: &Commanded) -> Option<String> {
    let supervisor = shared.supervisor.borrow();
    let by = results.iter().find_map(|(id, result)| match result {
        Err(Failure::RollFailed(why)) => Some(format!("{}: {why}", supervisor.get(*id).map_or("", Instance::name))),
        Err(Failure::RollEnded { by }) => Some(by.clone()),
        _ => None,
    })?;
    let rolled = results.iter().filter(|(_, result)| *result == Ok(Done::Restarted)).count();
    let of = results.iter().filter(|(_, result)| *result != Ok(Done::NotRunning)).count();
    Some(format!("rolled {rolled} of {of}; {by}"))
}

fn finish(results: Vec<api::ActionResult>, status: StatusCode) -> Result<Answer, Problem> {
    if results.iter().any(|result| result.outcome == api::Outcome::Pending) {
        let problem = Problem::new(ProblemKind::TimedOut, "not done within the timeout");
        return Err(problem.with_hint("the operation continues; status shows its progress").with_results(results));
    }
    Ok(response::json(status, &api::ActionReport { results }))
}

/// Stops all programs and exits.
pub(super) async fn shutdown(shared: &Rc<Shared>, by: Principal, body: &[u8]) -> Result<Answer, Problem> {
    let body: ShutdownBody = request_body::parse(body)?.unwrap_or_default();
    let timeout = body
        .timeout
        .map(Duration::try_from_secs_f64)
        .transpose()
        .map_err(|_| Problem::new(ProblemKind::BadBody, "\"timeout\" must be a number of seconds, 0 or more"))?;
    let budget = match (timeout, body.unlimited) {
        (Some(_), true) => {
            return Err(Problem::new(ProblemKind::BadBody, "\"timeout\" and \"unlimited\" exclude each other"));
        }
        (None, true) => Some(ShutdownBudget::Unlimited),
        (timeout, false) => timeout.map(ShutdownBudget::Within),
    };
    shut_down(shared, by, budget).await?;
    let mut answer = queries::info(shared);
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}

fn parse_signal(body: Option<SignalBody>) -> Result<Verb, Problem> {
    let body = body.ok_or_else(|| {
        Problem::new(ProblemKind::BadBody, "the signal is missing")
            .with_hint(r#"send a body such as {"signal": "HUP"}"#)
    })?;
    let signal: Signal = body.signal.parse().map_err(|error: muster_spec::UnknownSignal| {
        Problem::new(ProblemKind::BadBody, error.to_string()).with_hint("such as HUP, SIGUSR1, 10 or RTMIN+3")
    })?;
    let scope = match body.scope {
        api::SignalScope::Main => SignalScope::Main,
        api::SignalScope::Group => SignalScope::Group,
        api::SignalScope::Tree => SignalScope::Tree,
    };
    Ok(Verb::Signal { signal, scope })
}

/// The results in the API's types, without instances that a reload has removed in the meantime.
fn results(shared: &Shared, Commanded { results, was_awaited }: Commanded) -> Vec<api::ActionResult> {
    results.into_iter().filter_map(|(id, result)| action_result(shared, id, result, was_awaited)).collect()
}

fn action_result(
    shared: &Shared,
    id: InstanceId,
    result: Result<Done, Failure>,
    waited: bool,
) -> Option<api::ActionResult> {
    let supervisor = shared.supervisor.borrow();
    // A reload may have removed it in the meantime.
    let instance = supervisor.get(id)?;
    let note = (result == Ok(Done::RestartedAtOnce)).then(|| why_not_rolled(&supervisor, instance).to_owned());
    let (outcome, error) = match result {
        Ok(done) => (done_word(done), None),
        Err(Failure::Pending) if waited => (api::Outcome::Pending, None),
        Err(Failure::Pending) => (api::Outcome::Accepted, None),
        Err(Failure::Waiting(_)) if !waited => (api::Outcome::Accepted, None),
        Err(Failure::Waiting(on)) => (api::Outcome::Pending, Some(waiting_for(&on))),
        Err(Failure::InVain(on)) => (api::Outcome::Error, Some(waiting_for(&on))),
        Err(Failure::RollFailed(why)) => (api::Outcome::Error, Some(why)),
        Err(Failure::RollEnded { by }) => {
            (api::Outcome::Error, Some(format!("not restarted, since the rolling restart ended: {by}")))
        }
        Err(Failure::NotRunning) => (api::Outcome::NotRunning, None),
        Err(Failure::NotScheduled) => (api::Outcome::Error, Some("it has no schedule".to_owned())),
        Err(Failure::Ended(end)) => (api::Outcome::Error, Some(end.to_string())),
        Err(Failure::Cancelled) => (api::Outcome::Error, Some("cancelled by an opposite request".to_owned())),
        Err(Failure::ShuttingDown) => (api::Outcome::Error, Some("the daemon is shutting down".to_owned())),
    };
    let run = instance.run().filter(|_| instance.run_began().is_some());
    Some(api::ActionResult {
        name: instance.name().to_owned(),
        outcome,
        state: view::state(instance.state()),
        pid: run.and_then(|run| shared.children.borrow().pid_of(run)),
        error,
        note,
    })
}

/// Why an instance has had no turn in a rolling restart.
fn why_not_rolled(supervisor: &Supervisor, instance: &Instance) -> &'static str {
    let is_of_program = |one: &&Instance| one.program().name == instance.program().name && one.goal() == Goal::Up;
    match instance.program().kind {
        Kind::Oneshot => "not rolling: it is no service",
        Kind::Service if supervisor.snapshot().iter().filter(is_of_program).count() < 2 => {
            "not rolling: no other instance of it is up"
        }
        Kind::Service => "not rolling: it was to be restarted alone, or at once with others",
    }
}

fn waiting_for(on: &[String]) -> String {
    format!("waiting for {}", on.join(" and "))
}

fn done_word(done: Done) -> api::Outcome {
    match done {
        Done::Started => api::Outcome::Started,
        Done::AlreadyRunning => api::Outcome::AlreadyStarted,
        Done::Armed => api::Outcome::Armed,
        Done::Stopped => api::Outcome::Stopped,
        Done::NotRunning => api::Outcome::NotRunning,
        Done::Restarted | Done::RestartedAtOnce => api::Outcome::Restarted,
        Done::AwaitsContact => api::Outcome::Waiting,
        Done::Signalled => api::Outcome::Signalled,
        Done::Reached => api::Outcome::Reached,
    }
}
