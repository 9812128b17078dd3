//! Responses: JSON, streams, and errors as RFC 9457 problems.

use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use muster_api::{JSON, PROBLEM_JSON, Problem, ProblemKind, RouteError};
use serde::Serialize;

use super::stream::Body;

/// A response.
pub(super) type Answer = Response<Body>;

/// A body as JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(text) => with_type(status, JSON, text),
        Err(error) => problem(&Problem::new(ProblemKind::Internal, format!("cannot write the response: {error}"))),
    }
}

/// A body of serialized JSON.
pub(super) fn json_text(status: StatusCode, text: Vec<u8>) -> Answer {
    with_type(status, JSON, text)
}

/// A body that is produced while it is sent.
pub(super) fn streaming(media_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A response without a body.
pub(super) fn nothing(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::whole(Vec::new()));
    *answer.status_mut() = status;
    answer
}

/// A response with a problem.
pub(super) fn problem(problem: &Problem) -> Answer {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // A problem consists of strings and numbers; serializing it to memory cannot fail.
    with_type(status, PROBLEM_JSON, serde_json::to_vec(problem).unwrap_or_default())
}

/// The problem of an invalid path, method or parameter.
pub(super) fn route_error(error: RouteError) -> Answer {
    let allow = match &error {
        RouteError::MethodNotAllowed { allow } => Some(*allow),
        RouteError::NotFound | RouteError::BadParameter { .. } => None,
    };
    let mut answer = problem(&Problem::from(error));
    if let Some(allow) = allow {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    answer
}

fn with_type(status: StatusCode, media_type: &'static str, text: Vec<u8>) -> Answer {
    let mut answer = Response::new(Body::whole(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}
