//! supervisord's interface: `POST /RPC2`, with its status codes and pages of errors.
//!
//! A path belongs to it by its beginning, as there. Each method declares the right that it needs.

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use muster_api::{Problem, Right};
use muster_core::Principal;
use muster_supervisord::methods;
use muster_supervisord::xmlrpc::{Call, parse_request, write_response};

use super::body;
use super::response::Answer;
use super::stream::Body;
use crate::operations::supervisord::Supervisord;
use crate::shared::Shared;
use crate::tickets::Desk;

/// Whether a request is for this interface.
pub(super) fn is_for(head: &Parts) -> bool {
    head.uri.path().starts_with("/RPC2")
}

/// Answers a request. An error is a body that was refused.
pub(super) async fn answer(
    shared: &Rc<Shared>,
    desk: &Desk,
    principal: Principal,
    (head, incoming): (&Parts, &mut Incoming),
) -> Result<Answer, Problem> {
    let bytes = body::collect(incoming).await?;
    if head.method != Method::POST {
        return Ok(page(StatusCode::BAD_REQUEST));
    }
    if !head.headers.contains_key(CONTENT_LENGTH) {
        return Ok(page(StatusCode::LENGTH_REQUIRED));
    }
    let Ok(call) = parse_request(&bytes) else { return Ok(page(StatusCode::BAD_REQUEST)) };
    drop(bytes);
    Ok(make(shared, desk, principal, call).await)
}

async fn make(shared: &Rc<Shared>, desk: &Desk, principal: Principal, call: Call) -> Answer {
    let needed = match methods::needs(&call) {
        methods::Right::Look => Right::Look,
        methods::Right::Control => Right::Control,
    };
    let allowed = shared.access.borrow().check(principal, needed);
    if allowed.is_err() {
        return page(StatusCode::FORBIDDEN);
    }
    let client = shared.access.borrow().client(principal);
    let ticket = methods::is_large(&call).then(|| desk.answers.take(client, "request large responses"));
    let Ok(ticket) = ticket.transpose() else { return page(StatusCode::SERVICE_UNAVAILABLE) };
    let outcome = methods::answer(&Supervisord { shared, desk, client }, call).await;
    let body = Body::whole(write_response(&outcome));
    typed(StatusCode::OK, "text/xml", ticket.into_iter().fold(body, Body::with_ticket))
}

/// A page with an error.
pub(super) fn page(status: StatusCode) -> Answer {
    let (code, reason) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
    let lines = [
        "<head>\r\n<title>Error response</title>\r\n</head>\r\n<body>\r\n<h1>Error response</h1>\r\n",
        &format!("<p>Error code {code}.\r\n<p>Message: {reason}.\r\n</body>\r\n"),
    ];
    typed(status, "text/html", Body::whole(lines.concat()))
}

fn typed(status: StatusCode, media_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}
