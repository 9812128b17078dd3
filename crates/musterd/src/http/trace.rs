//! `GET /v1/debug/trace`: every input and effect of the core as lines of JSON, until the time is over or the client disconnects.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use muster_api::JSON_LINES;
use muster_server::body::{Body, Pieces};
use muster_server::response::{self, Answer};
use serde_json::json;
use tokio::time::Sleep;

use crate::inspection::Trace;
use crate::shared::Shared;

struct Follower {
    trace: Rc<Trace>,
    /// The first line, until it is sent: the client sees at once that it follows.
    first: Option<Bytes>,
    end: Pin<Box<Sleep>>,
}

pub(super) fn follow(shared: &Shared, span: Duration) -> Answer {
    let first =
        format!("{}\n", json!({"at": shared.clock.now().since_origin().as_secs_f64(), "seconds": span.as_secs_f64()}));
    let follower = Follower {
        trace: shared.inspection.trace(),
        first: Some(Bytes::from(first)),
        end: Box::pin(tokio::time::sleep(span)),
    };
    response::streaming(JSON_LINES, Body::streaming(follower))
}

impl Pieces for Follower {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        // Before the lines: a busy daemon always has some.
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        let lines = ready!(self.trace.poll_lines(context));
        Poll::Ready(lines.map(Bytes::from))
    }
}
