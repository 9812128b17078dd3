//! `GET /logtail/NAME[/stdout|/stderr]` and `GET /mainlogtail`: the end of a log as text, and everything that is added to
//! it until the client disconnects, as `supervisorctl tail -f` reads it.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use muster_api::{LogFormat, LogQuery, LogStream, Right};
use muster_core::Principal;
use muster_logs::{PartialLog, Source, Wanted};
use muster_supervisord::tail::{LogPath, incomplete};

use super::log_body::{LogBody, Writer};
use super::response::{self, Answer};
use super::stream::{Body, Pieces};
use super::xmlrpc::page;
use crate::operations::logs::{self, Reading};
use crate::operations::supervisord::key_of;
use crate::shared::Shared;
use crate::tickets::Desk;

/// How much of a log comes first.
const FIRST: u64 = 1024;

/// Whether a request is for a log.
pub(super) fn is_for(head: &Parts) -> bool {
    ["/logtail", "/mainlogtail"].iter().any(|start| head.uri.path().starts_with(start))
}

/// Answers a request.
pub(super) fn answer(shared: &Rc<Shared>, desk: &Desk, principal: Principal, head: &Parts) -> Answer {
    if head.method != Method::GET {
        return page(StatusCode::BAD_REQUEST);
    }
    if shared.access.borrow().check(principal, Right::Look).is_err() {
        return page(StatusCode::FORBIDDEN);
    }
    let client = shared.access.borrow().client(principal);
    let who = (desk, client);
    let query = |stream| LogQuery { stream, lines: Some(0), since: None, follow: true, format: LogFormat::Raw };
    let read = match LogPath::parse(head.uri.path()) {
        Some(LogPath::Main) => logs::read_daemons(shared, who, &query(LogStream::Both)),
        Some(LogPath::Of { name, is_stderr }) => {
            let key = key_of(shared, &name).filter(|key| has_log(shared, key, is_stderr));
            let Some(key) = key else { return page(StatusCode::NOT_FOUND) };
            let stream = if is_stderr { LogStream::Stderr } else { LogStream::Stdout };
            logs::read(shared, who, &key, &query(stream))
        }
        None => return page(StatusCode::NOT_FOUND),
    };
    let Ok(reading) = read else { return page(StatusCode::SERVICE_UNAVAILABLE) };
    let mut answer = response::streaming("text/plain;charset=utf-8", body(reading));
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    answer.headers_mut().insert(unbuffered.0, unbuffered.1);
    answer
}

fn has_log(shared: &Shared, key: &str, is_stderr: bool) -> bool {
    let source = if is_stderr { Source::Stderr } else { Source::Stdout };
    let supervisor = shared.supervisor.borrow();
    let log = supervisor.find(key).map(|instance| PartialLog::of(instance.spec(), source));
    !matches!(log, None | Some(PartialLog::None))
}

fn body(reading: Reading) -> Body {
    let Reading { memory, wanted, located, follower, tickets, .. } = reading;
    let source = if wanted == Wanted::Only(Source::Stdout) { Source::Stdout } else { Source::Stderr };
    // Nothing is awaited in between, so new output continues exactly behind it.
    let first = memory.read_part(source, |size| (size.saturating_sub(FIRST), FIRST)).bytes;
    // From the beginning of a character.
    let cut = first.iter().take_while(|byte| (0x80..0xc0).contains(*byte)).count().min(3);
    let rest = LogBody::new(memory, wanted, located, follower, Writer::new("", LogFormat::Raw));
    let tail = Tail { held: first[cut..].to_vec(), is_first: true, rest };
    tickets.into_iter().fold(Body::streaming(tail), Body::with_ticket)
}

/// Pieces that never end within a character: the client reads each as text.
struct Tail {
    held: Vec<u8>,
    is_first: bool,
    rest: LogBody,
}

impl Pieces for Tail {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if !std::mem::take(&mut self.is_first) {
                match self.rest.poll_piece(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => {
                        let last = std::mem::take(&mut self.held);
                        return Poll::Ready((!last.is_empty()).then(|| Bytes::from(last)));
                    }
                    Poll::Ready(Some(bytes)) => self.held.extend_from_slice(&bytes),
                }
            }
            let cut = self.held.len() - incomplete(&self.held);
            if cut > 0 {
                let rest = self.held.split_off(cut);
                return Poll::Ready(Some(Bytes::from(std::mem::replace(&mut self.held, rest))));
            }
        }
    }
}
