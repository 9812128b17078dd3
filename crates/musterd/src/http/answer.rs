//! From a request to its answer.

use std::convert::Infallible;
use std::rc::Rc;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use muster_api::{Alive, Route};

use super::access::Access;
use super::response::{self, Answer};
use super::{action, look};
use crate::shared::Shared;

/// Answers one request of this user.
pub(super) async fn answer(
    shared: Rc<Shared>,
    access: Rc<Access>,
    uid: u32,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let answer = match Route::parse(request.method().as_str(), target) {
        Err(error) => response::route_error(error),
        Ok(route) => match access.check(uid, route.method()) {
            Err(problem) => response::problem(&problem),
            Ok(()) => dispatch(&shared, route, request).await,
        },
    };
    Ok(answer)
}

async fn dispatch(shared: &Rc<Shared>, route: Route, request: Request<Incoming>) -> Answer {
    let answered = match route {
        Route::Info => Ok(look::info(shared)),
        Route::Programs { select } => look::programs(shared, select.as_deref()),
        Route::Program { name } => look::program(shared, &name),
        Route::ProgramProcesses { select } => look::processes(shared, Some(&select)),
        Route::Processes => look::processes(shared, None),
        Route::Healthz | Route::Livez => Ok(response::json(StatusCode::OK, &Alive { alive: true })),
        Route::Readyz => Ok(look::readiness(shared)),
        Route::OpenApi => Ok(response::json(StatusCode::OK, &muster_api::openapi())),
        Route::Action { verb, select, wait } => action::act(shared, verb, &select, wait, request.into_body()).await,
        Route::Wait { select, until, timeout } => action::wait(shared, &select, until, timeout).await,
        Route::Shutdown => action::shutdown(shared, request.into_body()).await,
    };
    answered.unwrap_or_else(|problem| response::problem(&problem))
}
