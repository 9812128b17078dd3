//! supervisord's interface: `POST /RPC2`, with its status codes and pages of errors.
//!
//! A path belongs to it by its beginning, as there. Each method declares the role that it needs.

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use muster_access::{Client, Surface};
use muster_api::Problem;
use muster_supervisord::methods;
use muster_supervisord::xmlrpc::{Call, parse_request, write_response};

use super::admission::ask;
use crate::operations::supervisord::Supervisord;
use crate::reload;
use crate::shared::Shared;
use muster_server::body::Body;
use muster_server::request_body;
use muster_server::response::Answer;
use muster_server::tickets::Desk;

/// The largest body, in bytes.
const MAX_BODY: usize = 16 << 20;

/// Answers a request. An error is a body that was refused.
pub(super) async fn answer(
    shared: &Rc<Shared>,
    desk: &Desk,
    client: Client,
    (head, incoming): (&Parts, &mut Incoming),
) -> Result<Answer, Problem> {
    // One large body at a time, so that all of them together are bounded.
    let is_large = request_body::is_large(incoming);
    let _room = if is_large { desk.bodies.acquire().await.ok() } else { None };
    let bytes = request_body::collect_within(incoming, if is_large { MAX_BODY } else { muster_api::MAX_BODY }).await?;
    if head.method != Method::POST {
        return Ok(page(StatusCode::BAD_REQUEST));
    }
    if !head.headers.contains_key(CONTENT_LENGTH) {
        return Ok(page(StatusCode::LENGTH_REQUIRED));
    }
    let parsed = match is_large {
        true => reload::on_a_thread(move || parse_request(&bytes)).await?,
        false => parse_request(&bytes),
    };
    let Ok(call) = parsed else { return Ok(page(StatusCode::BAD_REQUEST)) };
    Ok(make(shared, desk, client, call).await)
}

async fn make(shared: &Rc<Shared>, desk: &Desk, client: Client, call: Call) -> Answer {
    if client.role < Some(methods::needs(&call)) {
        return refuse(client);
    }
    let ticket = methods::is_large(&call).then(|| desk.answers.take(client, "request large responses"));
    let Ok(ticket) = ticket.transpose() else { return page(StatusCode::SERVICE_UNAVAILABLE) };
    let outcome = methods::answer(&Supervisord { shared, desk, client }, call).await;
    let body = Body::whole(write_response(&outcome));
    typed(StatusCode::OK, "text/xml", ticket.into_iter().fold(body, Body::with_ticket))
}

/// The answer to a client without the role that it needs.
pub(super) fn refuse(client: Client) -> Answer {
    if client.may_log_in() { ask(Surface::Supervisord, true) } else { page(StatusCode::FORBIDDEN) }
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

pub(super) fn typed(status: StatusCode, media_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    // The original has no such header, and its clients ignore it: browsers must not guess another type.
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
