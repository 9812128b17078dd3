//! Handlers that change something: they send an order to the event loop and wait for its reply.

use std::rc::Rc;
use std::time::Duration;

use hyper::StatusCode;
use muster_api as api;
use muster_api::{Problem, ProblemKind, ShutdownBody, SignalBody};
use muster_core::{Awaited, Done, Failure, Outcome, Principal, RequestId, Verb};
use muster_spec::{InstanceId, Selector, Signal, SignalScope};
use tokio::sync::oneshot;

use super::response::{self, Answer};
use super::view;
use super::{body, queries};
use crate::shared::{Order, Shared};

/// start, stop, restart, signal.
pub(super) async fn act(
    shared: &Rc<Shared>,
    by: Principal,
    (verb, select): (api::Verb, &str),
    wait: Duration,
    body: &[u8],
) -> Result<Answer, Problem> {
    let selector = parse_selector(select)?;
    let verb = match verb {
        api::Verb::Start => Verb::Start,
        api::Verb::Stop => Verb::Stop,
        api::Verb::Restart => Verb::Restart,
        api::Verb::Reload => Verb::Reload,
        api::Verb::Signal => parse_signal(body::parse(body)?)?,
    };
    let results = command(shared, by, selector, verb, wait).await?;
    let is_accepted = results.iter().any(|result| result.outcome == api::Outcome::Accepted);
    let status = if is_accepted { StatusCode::ACCEPTED } else { StatusCode::OK };
    finish(results, status)
}

/// Answers when the instances are where they are wanted.
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
    let mut results = command(shared, by, parse_selector(select)?, Verb::Await(awaited), timeout).await?;
    for result in &mut results {
        // A look without waiting found it elsewhere: that is a wait that timed out.
        if result.outcome == api::Outcome::Accepted {
            result.outcome = api::Outcome::Pending;
        }
    }
    // One that failed has ended the wait for all.
    if results.iter().any(|result| result.outcome == api::Outcome::Error) {
        return Ok(response::json(StatusCode::OK, &api::ActionReport { results }));
    }
    finish(results, StatusCode::OK)
}

fn finish(results: Vec<api::ActionResult>, status: StatusCode) -> Result<Answer, Problem> {
    if results.iter().any(|result| result.outcome == api::Outcome::Pending) {
        let problem = Problem::new(ProblemKind::TimedOut, "not done when the wait was over");
        return Err(problem.with_hint("it goes on all the same; status tells how far it is").with_results(results));
    }
    Ok(response::json(status, &api::ActionReport { results }))
}

/// Stops everything and exits.
pub(super) async fn shutdown(shared: &Rc<Shared>, by: Principal, body: &[u8]) -> Result<Answer, Problem> {
    let body: ShutdownBody = body::parse(body)?.unwrap_or_default();
    let timeout = body
        .timeout
        .map(Duration::try_from_secs_f64)
        .transpose()
        .map_err(|_| Problem::new(ProblemKind::BadBody, "\"timeout\" must be a number of seconds, 0 or more"))?;
    send(shared, Order::Shutdown { timeout, by }).await?;
    let mut answer = queries::info(shared);
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}

pub(super) fn parse_selector(text: &str) -> Result<Selector, Problem> {
    text.parse().map_err(|error: muster_spec::InvalidSelector| {
        Problem::new(ProblemKind::BadParameter, error.to_string())
            .with_hint("such as web, web:0, web:*, w*, all, or several with commas")
    })
}

fn parse_signal(body: Option<SignalBody>) -> Result<Verb, Problem> {
    let body = body.ok_or_else(|| {
        Problem::new(ProblemKind::BadBody, "which signal is missing")
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

async fn send(shared: &Rc<Shared>, order: Order) -> Result<(), Problem> {
    let gone = |_| Problem::new(ProblemKind::ShuttingDown, "the daemon is about to exit");
    shared.orders.send(order).await.map_err(gone)
}

/// Has the loop carry something out, and waits for the reply no longer than `patience`.
async fn command(
    shared: &Rc<Shared>,
    by: Principal,
    select: Selector,
    verb: Verb,
    patience: Duration,
) -> Result<Vec<api::ActionResult>, Problem> {
    let request = shared.new_request();
    let (reply, mut replied) = oneshot::channel();
    let waits = !patience.is_zero();
    // A connection that is closed takes its request with it, however far that has come. A client that only hangs up is not
    // noticed while it waits: one that has finished sending looks the same, and gets its answer.
    let _abandoned = Abandon { shared: Rc::clone(shared), request };
    send(shared, Order::Command { request, select, verb, wait: waits, by, reply }).await?;
    let gone = |_| Problem::new(ProblemKind::ShuttingDown, "the daemon is about to exit");
    let outcome = match waits {
        false => replied.await.map_err(gone)?,
        true => match tokio::time::timeout(patience, &mut replied).await {
            Ok(outcome) => outcome.map_err(gone)?,
            Err(_) => {
                send(shared, Order::Expire { request }).await?;
                replied.await.map_err(gone)?
            }
        },
    };
    match outcome {
        Outcome::Reloaded(_) => Ok(Vec::new()),
        Outcome::ShuttingDown => Err(Problem::new(ProblemKind::ShuttingDown, "the daemon is shutting down")),
        Outcome::NoSuchProgram(pattern) => Err(queries::no_such_program(&shared.supervisor.borrow(), &pattern)),
        Outcome::Results(results) => {
            Ok(results.into_iter().filter_map(|(id, result)| action_result(shared, id, result, waits)).collect())
        }
    }
}

/// Tells the loop, when it is dropped, that nobody waits for a reply any more. An expired request that was replied to is
/// nothing to the loop.
struct Abandon {
    shared: Rc<Shared>,
    request: RequestId,
}

impl Drop for Abandon {
    fn drop(&mut self) {
        // Where the queue is full the request stays until its instances come to rest, which is bounded as well.
        let _ = self.shared.orders.try_send(Order::Expire { request: self.request });
    }
}

fn action_result(
    shared: &Shared,
    id: InstanceId,
    result: Result<Done, Failure>,
    waited: bool,
) -> Option<api::ActionResult> {
    let supervisor = shared.supervisor.borrow();
    // A reload may have removed it since.
    let instance = supervisor.get(id)?;
    let (outcome, error) = match result {
        Ok(done) => (done_word(done), None),
        Err(Failure::Pending) if waited => (api::Outcome::Pending, None),
        Err(Failure::Pending) => (api::Outcome::Accepted, None),
        Err(Failure::Waiting(_)) if !waited => (api::Outcome::Accepted, None),
        Err(Failure::Waiting(on)) => (api::Outcome::Pending, Some(waiting_for(&on))),
        Err(Failure::InVain(on)) => (api::Outcome::Error, Some(waiting_for(&on))),
        Err(Failure::NotRunning) => (api::Outcome::NotRunning, None),
        Err(Failure::Ended(end)) => (api::Outcome::Error, Some(end.to_string())),
        Err(Failure::Cancelled) => (api::Outcome::Error, Some("somebody asked for the opposite meanwhile".to_owned())),
        Err(Failure::ShuttingDown) => (api::Outcome::Error, Some("the daemon is shutting down".to_owned())),
    };
    let run = instance.run().filter(|_| instance.run_began().is_some());
    Some(api::ActionResult {
        name: instance.name().to_owned(),
        outcome,
        state: view::state(instance.state()),
        pid: run.and_then(|run| shared.children.borrow().pid_of(run)),
        error,
    })
}

fn waiting_for(on: &[String]) -> String {
    format!("waiting for {}", on.join(" and "))
}

fn done_word(done: Done) -> api::Outcome {
    match done {
        Done::Started => api::Outcome::Started,
        Done::AlreadyRunning => api::Outcome::AlreadyStarted,
        Done::Stopped => api::Outcome::Stopped,
        Done::NotRunning => api::Outcome::NotRunning,
        Done::Restarted => api::Outcome::Restarted,
        Done::Signalled => api::Outcome::Signalled,
        Done::Reached => api::Outcome::Reached,
    }
}
