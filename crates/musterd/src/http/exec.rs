//! `POST /v1/programs/{name}/exec`: the request becomes the streams of a command.

use std::rc::Rc;

use hyper::header::{CONNECTION, COOKIE, HeaderMap, HeaderName, HeaderValue, ORIGIN, UPGRADE};
use hyper::{Response, StatusCode};
use muster_access::Client;
use muster_api::{ExecBody, Problem, ProblemKind};
use muster_exec::PROTOCOL;
use muster_exec::relay;
use muster_server::body::Body;
use muster_server::response::Answer;
use muster_server::{Seat, TakeOver, request_body};

use crate::operations;
use crate::shared::Shared;

/// Headers of browsers. No page has a use for this, and one that could use it would have the rights of its reader.
const OF_BROWSERS: [HeaderName; 4] =
    [ORIGIN, COOKIE, HeaderName::from_static("sec-fetch-site"), HeaderName::from_static("sec-fetch-mode")];

/// Starts the command. The connection is handed over once the response has been sent.
pub(super) async fn upgrade(
    shared: &Rc<Shared>,
    (client, seat): (Client, &Seat),
    headers: &HeaderMap,
    name: &str,
    body: &[u8],
) -> Result<Answer, Problem> {
    check_upgrade(headers, "execute commands", "`musterctl exec` sends them")?;
    let body: Option<ExecBody> = request_body::parse(body)?;
    let body = body.ok_or_else(|| Problem::new(ProblemKind::BadBody, "the request has no body"))?;
    let (attached, command) = operations::exec::begin(shared, (client, &seat.peer), name, body).await?;
    let take_over: TakeOver = Box::new(move |stream, early| {
        Box::pin(async move {
            // An error is of the descriptors of the command; dropping them ends it like a client that is gone.
            let _ = relay::serve(stream, &early, command, async |signal| attached.signal(signal).await).await;
        })
    });
    Ok(switch(seat, take_over))
}

/// Whether the connection may become one of frames. `deed` is what a browser may not do.
pub(super) fn check_upgrade(headers: &HeaderMap, deed: &str, hint: &str) -> Result<(), Problem> {
    if let Some(header) = OF_BROWSERS.iter().find(|&header| headers.contains_key(header)) {
        let detail = format!("a browser may not {deed}: the request has the header {header}");
        return Err(Problem::new(ProblemKind::NotAllowed, detail));
    }
    if !asks_for_upgrade(headers) {
        let detail = format!("the request needs the headers Connection: Upgrade and Upgrade: {PROTOCOL}");
        return Err(Problem::new(ProblemKind::UpgradeRequired, detail).with_hint(hint));
    }
    Ok(())
}

/// The response after which the connection is handed over.
pub(super) fn switch(seat: &Seat, take_over: TakeOver) -> Answer {
    *seat.take_over.borrow_mut() = Some(take_over);
    let mut answer = Response::new(Body::whole(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    answer
}

fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    let has = |name: HeaderName, wanted: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    has(CONNECTION, "upgrade") && has(UPGRADE, PROTOCOL)
}
