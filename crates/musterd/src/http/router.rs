//! Routes a request to its handler.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, EXPECT, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, StatusCode};
use muster_access::{Client, Rank};
use muster_api::{
    API_HEADER, API_VERSION, Alive, Compatible, Problem, Right, Route, RouteError, StdinReport, compatible,
};
use tracing::debug;

use super::cors::Cors;
use super::{
    action, admission, config, debug, events, exec, logs, logtail, metrics, page, processes, queries, schedule,
    session, simulate, stats, terminal, trace, web, xmlrpc,
};
use crate::access::reader;
use crate::operations;
use crate::reload;
use crate::shared::Shared;
use muster_logging::limit::{DAEMON, Notice, unless_none};
use muster_server::Seat;
use muster_server::request_body;
use muster_server::response::{self, Answer};
use muster_server::tickets::Desk;
use muster_server::turn_clock::spawn;

/// The maximum length of a path in the request log.
const SHOWN: usize = 256;

/// Handles one request on this connection.
pub(super) async fn answer(shared: Rc<Shared>, desk: Desk, seat: Seat, request: Request<Incoming>) -> Answer {
    let (head, incoming) = request.into_parts();
    let cors = Cors::of(&shared, &seat, &head);
    let is_supervisords = shared.gate.access.borrow().is_of_supervisord(&seat.peer);
    let interface = compatible(head.method.as_str(), target(&head), is_supervisords);
    let mut answer = by_interface(&shared, &desk, (&seat, interface), (&cors, &head, incoming)).await;
    cors.dress(&mut answer);
    admission::ask_no_user(&head.headers, &mut answer);
    // supervisord's interfaces have its headers and no others.
    if interface.is_none() {
        let (name, version) = (HeaderName::from_static(API_HEADER), HeaderValue::from_static(API_VERSION));
        answer.headers_mut().insert(name, version);
    }
    answer
}

fn target(head: &Parts) -> &str {
    head.uri.path_and_query().map_or("", |target| target.as_str())
}

async fn by_interface(
    shared: &Rc<Shared>,
    desk: &Desk,
    (seat, interface): (&Seat, Option<(Compatible, Right)>),
    (cors, head, mut incoming): (&Cors, &Parts, Incoming),
) -> Answer {
    let (began, limits) = (Instant::now(), shared.limits.clone());
    let (target, kind) = (target(head), interface.map(|(kind, _)| kind));
    if let Err(refusal) = admission::check_browser(shared, seat, kind, head, &incoming) {
        return closing(refusal, &head.headers, incoming);
    }
    if let Some(preflight) = cors.preflight(head) {
        return preflight;
    }
    let route = Route::parse(head.method.as_str(), target);
    let needs_right = kind.is_some() || !route.as_ref().is_ok_and(|route| route.endpoint().needs == Right::None);
    let client = match admission::admit(shared, seat, (admission::surface(kind), needs_right), head).await {
        Ok(client) => client.of_process(seat.peer.pid),
        Err(refusal) => return closing(refusal, &head.headers, incoming),
    };
    seat.client.set(client);
    let may_control = client.rank > Rank::Onlooker;
    let answered = match interface {
        None => by_route(shared, desk, (client, seat), (head, route, &mut incoming)).await,
        Some((_, needs)) if !client.may(needs) => match request_body::ignore(&mut incoming).await {
            Ok(()) => Ok(xmlrpc::refuse(client)),
            Err(problem) => Err(problem),
        },
        Some((Compatible::Page, _)) => web::answer(shared, desk, client, (head, &mut incoming)).await,
        Some((Compatible::Rpc, _)) => xmlrpc::answer(shared, desk, client, (head, &mut incoming)).await,
        Some((Compatible::Log, _)) => match request_body::ignore(&mut incoming).await {
            Ok(()) => Ok(logtail::answer(shared, desk, client, head).await),
            Err(problem) => Err(problem),
        },
    };
    let answer = answered.unwrap_or_else(|problem| refuse_body(&problem, &head.headers, incoming));
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (method, path) = (head.method.as_str(), &target[..target.floor_char_boundary(SHOWN)]);
    // Clients with the right to control may fill the log as well.
    let said = if may_control { Some(0) } else { limits.pass(DAEMON, Notice::Answer) };
    if let Some(suppressed) = said.map(unless_none) {
        let status = answer.status().as_u16();
        let client = client.principal;
        debug!(%client, method, path, status, duration_ms, suppressed, "answered a request");
    }
    answer
}

/// Answers a request of the API. An error is a body that was refused.
async fn by_route(
    shared: &Rc<Shared>,
    desk: &Desk,
    (client, seat): (Client, &Seat),
    (head, route, incoming): (&Parts, Result<Route, RouteError>, &mut Incoming),
) -> Result<Answer, Problem> {
    let route = allowed(shared, client, route);
    // The body must be read in any case, otherwise the client fails while writing it.
    let bytes = if route.as_ref().is_ok_and(|route| route.endpoint().body.is_some()) {
        request_body::collect(incoming).await?
    } else {
        request_body::ignore(incoming).await?;
        Bytes::new()
    };
    let route = match route {
        Ok(route) => route,
        Err(refused) => return Ok(*refused),
    };
    let asked = Asked { shared, desk, client, seat, headers: &head.headers, body: &bytes };
    Ok(asked.dispatch(route).await)
}

fn allowed(shared: &Shared, client: Client, route: Result<Route, RouteError>) -> Result<Route, Box<Answer>> {
    let route = route.map_err(|error| Box::new(response::route_error(error)))?;
    if matches!(route, Route::Debug { .. } | Route::Trace { .. }) && !debug::is_on(shared) {
        return Err(Box::new(debug::missing()));
    }
    let allowed = client.check(route.endpoint().needs);
    allowed.map(|()| route).map_err(|problem| Box::new(response::problem(&problem)))
}

/// Refuses a request because of its body.
fn refuse_body(problem: &Problem, headers: &HeaderMap, rest: Incoming) -> Answer {
    closing(response::problem(problem), headers, rest)
}

/// Closes the connection after this response, once the client has had time to read it.
fn closing(mut answer: Answer, headers: &HeaderMap, rest: Incoming) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    if !headers.contains_key(EXPECT) {
        spawn(request_body::linger(rest));
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
            | Route::Schedule { .. }
            | Route::Config
            | Route::Stats { .. }
            | Route::Runs { .. }
            | Route::Simulate
            | Route::CheckConfig
            | Route::Readyz
            | Route::OpenApi
            | Route::Debug { .. }
    )
}

/// An authorized request: the client, the parameters, and the state it needs.
struct Asked<'a> {
    shared: &'a Rc<Shared>,
    desk: &'a Desk,
    client: Client,
    seat: &'a Seat,
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
        let Asked { shared, desk, client, seat, headers, body } = self;
        let (by, reader) = (client.principal, reader(client));
        match route {
            Route::Info => Ok(queries::info(shared)),
            Route::Programs { select, fields } => queries::programs(shared, select.as_deref(), fields).await,
            Route::Program { name } => queries::program(shared, &name, reader),
            Route::ProgramProcesses { select } => processes::processes(shared, &desk.walk, Some(&select), reader).await,
            Route::Processes => processes::processes(shared, &desk.walk, None, reader).await,
            Route::Logs { name, query } => {
                Ok(logs::answer(&name, &query, operations::logs::read(shared, (desk, client), &name, &query)?))
            }
            Route::ClearLogs { name } => {
                reload::started(shared, Duration::ZERO).await?;
                operations::logs::clear(shared, &name).await?;
                Ok(response::nothing(StatusCode::NO_CONTENT))
            }
            Route::DaemonLog { query } => {
                let reading = operations::logs::read_daemons(shared, (desk, client), &query)?;
                Ok(logs::answer(logs::OWN, &query, reading))
            }
            Route::Stdin { name } => {
                reload::started(shared, Duration::ZERO).await?;
                let written = operations::stdin::write(shared, &name, body).await?;
                Ok(response::json(StatusCode::OK, &StdinReport { written }))
            }
            Route::Exec { name } => exec::upgrade(shared, (client, seat), headers, &name, body).await,
            Route::Terminal { name } => terminal::upgrade(shared, (client, seat), headers, &name, body).await,
            Route::Healthz | Route::Livez => Ok(response::json(StatusCode::OK, &Alive { alive: true })),
            Route::Readyz => queries::readiness(shared, client.may(Right::Metrics)).await,
            Route::Metrics => Ok(metrics::metrics(shared)),
            Route::OpenApi => Ok(response::json(StatusCode::OK, &muster_api::openapi())),
            Route::Action { verb, select, wait, rolling } => {
                action::act(shared, by, (verb, &select, rolling), wait, body).await
            }
            Route::Wait { select, until, timeout } => action::wait(shared, by, &select, until, timeout).await,
            Route::Why { name } => queries::why(shared, &name).await,
            Route::Events => {
                let ticket = desk.listeners.take(client, "follow events")?;
                Ok(events::follow(shared, headers).map(|body| body.with_ticket(ticket)))
            }
            Route::Config => config::in_force(shared, reader).await,
            Route::CheckConfig => config::check(shared).await,
            Route::Reload { dry_run, reset_scale } => {
                config::reload(shared, (by, reader), (dry_run, reset_scale)).await
            }
            Route::Scale { name, wait } => config::scale(shared, by, (name, wait), body).await,
            Route::Schedule { times } => schedule::schedule(shared, times).await,
            Route::Sources => Ok(config::sources(shared)),
            Route::Source { verb, name, span } => config::act_on_source(shared, (verb, &name), span).await,
            Route::Debug { part } => debug::show(shared, part).await,
            Route::Trace { span } => {
                let ticket = desk.listeners.take(client, "follow events")?;
                Ok(trace::follow(shared, span).map(|body| body.with_ticket(ticket)))
            }
            Route::Shutdown => action::shutdown(shared, by, body).await,
            Route::Session => Ok(session::show(shared, client, seat)),
            Route::LogIn => session::log_in(shared, (client, seat), headers, body).await,
            Route::LogOut => Ok(session::log_out(shared, client, seat, headers)),
            Route::Stats { select } => stats::stats(shared, select.as_deref()).await,
            Route::Runs { select, since } => stats::list(shared, select.as_deref(), since).await,
            Route::Simulate => simulate::simulate(shared, body).await,
            Route::Page { .. } => Ok(page::page(shared, desk, client, headers).await),
            Route::PageFile { file } => page::file(headers, &file),
        }
    }
}
