//! From a request to its answer.

use std::convert::Infallible;
use std::rc::Rc;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use muster_api::{Alive, Route};

use super::response::{self, Answer};
use super::{action, config, events, logs, look, metrics, stdin};
use crate::shared::Shared;

/// Answers one request of this user.
pub(super) async fn answer(shared: Rc<Shared>, uid: u32, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let answer = match Route::parse(request.method().as_str(), target) {
        Err(error) => response::route_error(error),
        Ok(route) => {
            let allowed = shared.access.borrow().check(uid, route.method());
            match allowed {
                Err(problem) => response::problem(&problem),
                Ok(()) => dispatch(&shared, route, uid, request).await,
            }
        }
    };
    Ok(answer)
}

async fn dispatch(shared: &Rc<Shared>, route: Route, uid: u32, request: Request<Incoming>) -> Answer {
    let reader = shared.access.borrow().reader(uid);
    let answered = match route {
        Route::Info => Ok(look::info(shared)),
        Route::Programs { select } => look::programs(shared, select.as_deref()),
        Route::Program { name } => look::program(shared, &name, reader),
        Route::ProgramProcesses { select } => look::processes(shared, Some(&select), reader),
        Route::Processes => look::processes(shared, None, reader),
        Route::Logs { name, query } => logs::read(shared, &name, &query),
        Route::ClearLogs { name } => logs::clear(shared, &name).await,
        Route::DaemonLog { query } => logs::read_daemons(shared, &query),
        Route::Stdin { name } => stdin::write(shared, &name, request.into_body()).await,
        Route::Healthz | Route::Livez => Ok(response::json(StatusCode::OK, &Alive { alive: true })),
        Route::Readyz => Ok(look::readiness(shared)),
        Route::Metrics => Ok(metrics::metrics(shared)),
        Route::OpenApi => Ok(response::json(StatusCode::OK, &muster_api::openapi())),
        Route::Action { verb, select, wait } => {
            action::act(shared, uid, (verb, &select), wait, request.into_body()).await
        }
        Route::Wait { select, until, timeout } => action::wait(shared, &select, until, timeout).await,
        Route::Why { name } => look::why(shared, &name),
        Route::Events => events::follow(shared, request.headers()),
        Route::Config => Ok(config::in_force(shared, reader)),
        Route::CheckConfig => config::check(shared).await,
        Route::Reload { dry_run } => config::reload(shared, dry_run).await,
        Route::Shutdown => action::shutdown(shared, request.into_body()).await,
    };
    answered.unwrap_or_else(|problem| response::problem(&problem))
}
