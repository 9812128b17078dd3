//! Handlers of logs: the response body is produced while it is sent.

use muster_api::{BYTES, JSON_LINES, LogFormat, LogQuery};

use super::log_body::{LogBody, Writer};
use crate::operations::logs::Reading;
use muster_server::body::Body;
use muster_server::response::{self, Answer};

/// The name of the daemon's own log among those of programs.
pub(super) const OWN: &str = "musterd";

/// The response with the log of `name`.
pub(super) fn answer(name: &str, query: &LogQuery, reading: Reading) -> Answer {
    let Reading { memory, wanted, located, follower, older, tickets } = reading;
    let mut body = LogBody::new(memory, wanted, located, follower, Writer::new(name, query.format));
    if let Some((older, streams)) = older {
        body = body.after(older, streams);
    }
    let media_type = if query.format == LogFormat::Json { JSON_LINES } else { BYTES };
    let body = if query.follow { Body::streaming(body) } else { Body::in_pieces(body) };
    response::streaming(media_type, tickets.into_iter().fold(body, Body::with_ticket))
}
