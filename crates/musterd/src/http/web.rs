//! The addresses of supervisord's web page: `/`, `index.html`, `tail.html`, `ok.html`.
//!
//! [`muster_supervisord::web`] writes the pages and decides which site may act; here are rights, tickets and headers.

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, EXPIRES, HOST, HeaderName, HeaderValue, LOCATION, ORIGIN, PRAGMA, REFERER,
    REFERRER_POLICY, USER_AGENT, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};
use muster_access::Client;
use muster_api::{Problem, Right, Timestamp};
use muster_supervisord::web::{self, Form, POLICY, Reply, Sender, View};
use muster_sys::local_time;

use super::xmlrpc::{page, refuse, typed};
use crate::operations::supervisord::Supervisord;
use crate::shared::Shared;
use muster_server::body::Body;
use muster_server::request_body;
use muster_server::response::Answer;
use muster_server::tickets::Desk;

/// The headers of every page.
const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (PRAGMA, "no-cache"),
    (CACHE_CONTROL, "no-cache"),
    (EXPIRES, "Thu, 01 Jan 1970 00:00:00 GMT"),
];

/// Answers a request. An error is a body that was refused.
pub(super) async fn answer(
    shared: &Rc<Shared>,
    desk: &Desk,
    client: Client,
    (head, incoming): (&Parts, &mut Incoming),
) -> Result<Answer, Problem> {
    let Some(view) = View::at(head.uri.path()) else { return Ok(page(StatusCode::NOT_FOUND)) };
    let bytes = request_body::collect(incoming).await?;
    let is_post = head.method == Method::POST;
    let form = Form::read(head.uri.query().unwrap_or_default(), if is_post { &bytes } else { &[] });
    drop(bytes);
    let acts = view == View::Status && form.action().is_some();
    if acts && !client.may(Right::Control) {
        return Ok(refuse(client));
    }
    if acts && !sender(&head.headers).is_some_and(|sender| sender.may_act(is_post)) {
        return Ok(page(StatusCode::FORBIDDEN));
    }
    let Ok(ticket) = desk.answers.take(client, "request large responses") else {
        return Ok(page(StatusCode::SERVICE_UNAVAILABLE));
    };
    let host = one(&head.headers, &HOST).flatten();
    let now = Timestamp::from(shared.clock.date(shared.clock.now())).unix_ms().div_euclid(1000);
    let local = now + i64::from(local_time::offset(now));
    // An action may wait for a program for long, and its answer is small.
    let held = (!acts).then_some(ticket);
    let reply = web::answer(&Supervisord { shared, desk, client }, view, &form, (host, local)).await;
    let mut answer = match reply {
        Reply::Html(text) => {
            let body = held.into_iter().fold(Body::whole(text), Body::with_ticket);
            typed(StatusCode::OK, "text/html;charset=utf-8", body)
        }
        Reply::Plain(word) => return Ok(typed(StatusCode::OK, "text/plain", Body::whole(word))),
        Reply::BadRequest => return Ok(page(StatusCode::BAD_REQUEST)),
        Reply::Moved(location) => {
            let mut answer = page(StatusCode::MOVED_PERMANENTLY);
            // It consists of characters that every header may have.
            let location = HeaderValue::try_from(location).unwrap_or(HeaderValue::from_static("/"));
            answer.headers_mut().insert(LOCATION, location);
            answer
        }
    };
    answer.headers_mut().extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    Ok(answer)
}

/// The headers that say where the request comes from. `None` if one of them is there twice, or is no text.
fn sender(headers: &HeaderMap) -> Option<Sender<'_>> {
    Some(Sender {
        host: one(headers, &HOST)?,
        origin: one(headers, &ORIGIN)?,
        referer: one(headers, &REFERER)?,
        fetch_site: one(headers, &HeaderName::from_static("sec-fetch-site"))?,
        agent: one(headers, &USER_AGENT)?,
    })
}

fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => value.to_str().ok().map(Some),
        (Some(_), Some(_)) => None,
    }
}
