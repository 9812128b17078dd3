//! Routes a request to its handler.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, StatusCode};
use muster_api::{Alive, Problem, Route, StdinReport, Verb};
use muster_core::Principal;
use tracing::debug;

use super::response::{self, Answer};
use super::{action, body, config, events, logs, logtail, metrics, processes, queries, xmlrpc};
use crate::access::{Client, Rank};
use crate::operations;
use crate::shared::Shared;
use crate::tickets::Desk;
use muster_logging::limit::{DAEMON, Notice, unless_none};

/// The maximum length of a path in the request log.
const SHOWN: usize = 256;

/// Handles one request of this principal.
pub(super) async fn answer(
    shared: Rc<Shared>,
    desk: Desk,
    principal: Principal,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let (began, limits) = (Instant::now(), shared.limits.clone());
    let may_control = shared.access.borrow().client(principal).rank > Rank::Onlooker;
    let (head, mut incoming) = request.into_parts();
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let answered = match () {
        () if xmlrpc::is_for(&head) => xmlrpc::answer(&shared, &desk, principal, (&head, &mut incoming)).await,
        () if logtail::is_for(&head) => {
            body::ignore(&mut incoming).await.map(|()| logtail::answer(&shared, &desk, principal, &head))
        }
        () => by_route(&shared, &desk, principal, (&head, target, &mut incoming)).await,
    };
    let answer = answered.unwrap_or_else(|problem| refuse_body(&problem, &head.headers, incoming));
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (method, path) = (head.method.as_str(), &target[..target.floor_char_boundary(SHOWN)]);
    // Clients with the right to control may fill the log as well.
    let said = if may_control { Some(0) } else { limits.pass(DAEMON, Notice::Answer) };
    if let Some(suppressed) = said.map(unless_none) {
        let status = answer.status().as_u16();
        debug!(uid = principal.uid, method, path, status, duration_ms, suppressed, "answered a request");
    }
    Ok(answer)
}

/// Answers a request of the API. An error is a body that was refused.
async fn by_route(
    shared: &Rc<Shared>,
    desk: &Desk,
    principal: Principal,
    (head, target, incoming): (&Parts, &str, &mut Incoming),
) -> Result<Answer, Problem> {
    let route = route(shared, principal, head.method.as_str(), target);
    // The body must be read in any case, otherwise the client fails while writing it.
    let bytes = if route.as_ref().is_ok_and(reads_body) {
        body::collect(incoming).await?
    } else {
        body::ignore(incoming).await?;
        Bytes::new()
    };
    let route = match route {
        Ok(route) => route,
        Err(refused) => return Ok(*refused),
    };
    let client = shared.access.borrow().client(principal);
    let asked = Asked { shared, desk, client, headers: &head.headers, body: &bytes };
    Ok(asked.dispatch(route).await)
}

fn route(shared: &Shared, principal: Principal, method: &str, target: &str) -> Result<Route, Box<Answer>> {
    let route = Route::parse(method, target).map_err(|error| Box::new(response::route_error(error)))?;
    let allowed = shared.access.borrow().check(principal, route.endpoint().needs);
    allowed.map(|()| route).map_err(|problem| Box::new(response::problem(&problem)))
}

fn reads_body(route: &Route) -> bool {
    matches!(route, Route::Stdin { .. } | Route::Shutdown | Route::Action { verb: Verb::Signal, .. })
}

/// Closes the connection after this response, once the client has had time to read it.
fn refuse_body(problem: &Problem, headers: &HeaderMap, rest: Incoming) -> Answer {
    let mut answer = response::problem(problem);
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    if !headers.contains_key(EXPECT) {
        tokio::task::spawn_local(body::linger(rest));
    }
    answer
}

/// Whether the size of the response grows with the number of programs.
fn is_large(route: &Route) -> bool {
    matches!(
        route,
        Route::Programs { .. }
            | Route::ProgramProcesses { .. }
            | Route::Processes
            | Route::Metrics
            | Route::Config
            | Route::CheckConfig
            | Route::Readyz
            | Route::OpenApi
    )
}

/// An authorized request: the client, the parameters, and the state it needs.
struct Asked<'a> {
    shared: &'a Rc<Shared>,
    desk: &'a Desk,
    client: Client,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Asked<'_> {
    async fn dispatch(self, route: Route) -> Answer {
        let ticket =
            is_large(&route).then(|| self.desk.answers.take(self.client, "request large responses")).transpose();
        let ticket = match ticket {
            Ok(ticket) => ticket,
            Err(problem) => return response::problem(&problem),
        };
        let answer = self.handle(route).await.unwrap_or_else(|problem| response::problem(&problem));
        match ticket {
            Some(ticket) => answer.map(|body| body.with_ticket(ticket)),
            None => answer,
        }
    }

    async fn handle(self, route: Route) -> Result<Answer, Problem> {
        let Asked { shared, desk, client, headers, body } = self;
        let (by, reader) = (client.principal, client.reader());
        match route {
            Route::Info => Ok(queries::info(shared)),
            Route::Programs { select } => queries::programs(shared, select.as_deref()).await,
            Route::Program { name } => queries::program(shared, &name, reader),
            Route::ProgramProcesses { select } => processes::processes(shared, &desk.walk, Some(&select), reader).await,
            Route::Processes => processes::processes(shared, &desk.walk, None, reader).await,
            Route::Logs { name, query } => {
                Ok(logs::answer(&name, &query, operations::logs::read(shared, (desk, client), &name, &query)?))
            }
            Route::ClearLogs { name } => {
                operations::logs::clear(shared, &name).await?;
                Ok(response::nothing(StatusCode::NO_CONTENT))
            }
            Route::DaemonLog { query } => {
                let reading = operations::logs::read_daemons(shared, (desk, client), &query)?;
                Ok(logs::answer(logs::OWN, &query, reading))
            }
            Route::Stdin { name } => {
                let written = operations::stdin::write(shared, &name, body).await?;
                Ok(response::json(StatusCode::OK, &StdinReport { written }))
            }
            Route::Healthz | Route::Livez => Ok(response::json(StatusCode::OK, &Alive { alive: true })),
            Route::Readyz => queries::readiness(shared).await,
            Route::Metrics => Ok(metrics::metrics(shared)),
            Route::OpenApi => Ok(response::json(StatusCode::OK, &muster_api::openapi())),
            Route::Action { verb, select, wait } => action::act(shared, by, (verb, &select), wait, body).await,
            Route::Wait { select, until, timeout } => action::wait(shared, by, &select, until, timeout).await,
            Route::Why { name } => queries::why(shared, &name),
            Route::Events => {
                let ticket = desk.listeners.take(client, "follow events")?;
                Ok(events::follow(shared, headers).map(|body| body.with_ticket(ticket)))
            }
            Route::Config => config::in_force(shared, reader).await,
            Route::CheckConfig => config::check(shared).await,
            Route::Reload { dry_run } => config::reload(shared, by, dry_run).await,
            Route::Shutdown => action::shutdown(shared, by, body).await,
        }
    }
}
