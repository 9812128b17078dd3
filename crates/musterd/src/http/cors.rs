//! Web pages of other origins that may read answers: those in `allow_origins`, over TCP.
//!
//! Without such an origin no header about it is ever sent, and `OPTIONS` is a method like any other. An origin is named, never
//! `*`, and browsers send it no login of theirs by themselves.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use muster_server::Seat;
use muster_server::response::{self, Answer};

use crate::shared::Shared;

/// The headers that a page may send, besides those that any form can.
const SENT: HeaderValue = HeaderValue::from_static("authorization, content-type, last-event-id");

/// The headers that a page may read, besides those that any can.
const READ: HeaderValue = HeaderValue::from_static("muster-api, retry-after, allow");

/// How long a browser may remember a preflight, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// How an answer depends on the origin of its request.
pub(super) enum Cors {
    /// It does not.
    Same,
    /// Others may read it, this one may not.
    Other,
    /// The page of this origin may read it.
    Allowed(HeaderValue),
}

impl Cors {
    /// For the client in this seat.
    pub(super) fn of(shared: &Shared, seat: &Seat, head: &Parts) -> Cors {
        let access = shared.gate.access.borrow();
        if !access.has_origins(&seat.peer) {
            return Cors::Same;
        }
        let mut origins = head.headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) if access.allows_origin(origin.as_bytes()) => Cors::Allowed(origin.clone()),
            _ => Cors::Other,
        }
    }

    /// The answer to the question of a browser whether a page may make a request. It has no login.
    pub(super) fn preflight(&self, head: &Parts) -> Option<Answer> {
        let asks = head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || !matches!(self, Cors::Allowed(_)) {
            return None;
        }
        let mut answer = response::nothing(StatusCode::NO_CONTENT);
        let headers = answer.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, DELETE"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, SENT);
        headers.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
        Some(answer)
    }

    /// Adds the headers to an answer.
    pub(super) fn dress(self, answer: &mut Answer) {
        if matches!(self, Cors::Same) {
            return;
        }
        let headers = answer.headers_mut();
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Cors::Allowed(origin) = self {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READ);
        }
    }
}
