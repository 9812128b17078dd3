//! Responses: JSON, streams, and errors as RFC 9457 problems.

use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use muster_api::{JSON, PROBLEM_JSON, Problem, ProblemKind, RouteError};
use serde::Serialize;

use crate::body::Body;

/// A response.
pub type Answer = Response<Body>;

/// A body as JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(text) => with_type(status, JSON, text),
        Err(error) => problem(&Problem::new(ProblemKind::Internal, format!("cannot write the response: {error}"))),
    }
}

/// A body of serialized JSON.
pub fn json_text(status: StatusCode, text: Vec<u8>) -> Answer {
    with_type(status, JSON, text)
}

/// A body that is produced while it is sent.
pub fn streaming(media_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    describe(answer.headers_mut(), media_type);
    answer
}

/// A response without a body.
pub fn nothing(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::whole(Vec::new()));
    *answer.status_mut() = status;
    answer
}

/// A response with a problem.
pub fn problem(problem: &Problem) -> Answer {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // A problem consists of strings and numbers; serializing it to memory cannot fail.
    let mut answer = with_type(status, PROBLEM_JSON, serde_json::to_vec(problem).unwrap_or_default());
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"muster\""));
    }
    answer
}

/// The problem of an invalid path, method or parameter.
pub fn route_error(error: RouteError) -> Answer {
    let allow = match &error {
        RouteError::MethodNotAllowed { allow } => Some(*allow),
        _ => None,
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
    describe(answer.headers_mut(), media_type);
    answer
}

/// Says what a body is. A browser must not take text of programs for a page or a script, nor leave a copy on its disk.
fn describe(headers: &mut HeaderMap, media_type: &'static str) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
