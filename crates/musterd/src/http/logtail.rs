//! `GET /logtail/NAME[/stdout|/stderr]` and `GET /mainlogtail`: the end of a log as text, and everything that is added to
//! it until the client disconnects, as `supervisorctl tail -f` reads it.

use std::io::ErrorKind;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use muster_access::Client;
use muster_api::{LogFormat, LogQuery, LogStream};
use muster_logs::{FilePart, PartialLog, Source};
use muster_spec::descriptor_of;
use muster_supervisord::tail::{LogPath, incomplete, joined};

use super::log_body::{LogBody, Writer};
use super::xmlrpc::page;
use crate::operations::logs::{self, Reading};
use crate::operations::supervisord::key_of;
use crate::shared::Shared;
use muster_server::body::{Body, Pieces};
use muster_server::response::{self, Answer};
use muster_server::tickets::Desk;

/// How much of a log comes first.
const FIRST: u64 = 1024;

/// The log of a stream.
enum Place {
    File(FilePart),
    Memory,
}

/// Answers a request.
pub(super) async fn answer(shared: &Rc<Shared>, desk: &Desk, client: Client, head: &Parts) -> Answer {
    if head.method != Method::GET {
        return page(StatusCode::BAD_REQUEST);
    }
    let who = (desk, client);
    let query = |stream| LogQuery { stream, lines: Some(0), since: None, follow: true, format: LogFormat::Raw };
    let (key, stream, place) = match LogPath::parse(head.uri.path()) {
        Some(LogPath::Main) => (None, LogStream::Both, main_place(shared)),
        Some(LogPath::Of { name, is_stderr }) => {
            let found = key_of(shared, &name).and_then(|key| Some((place(shared, &key, is_stderr)?, key)));
            let Some((place, key)) = found else { return page(StatusCode::NOT_FOUND) };
            (Some(key), if is_stderr { LogStream::Stderr } else { LogStream::Stdout }, place)
        }
        None => return page(StatusCode::NOT_FOUND),
    };
    // Following begins here: whatever is written while the file is read comes later.
    let read = match &key {
        None => logs::read_daemons(shared, who, &query(stream)),
        Some(key) => logs::read(shared, who, key, &query(stream)),
    };
    let Ok(reading) = read else { return page(StatusCode::SERVICE_UNAVAILABLE) };
    let source = if stream == LogStream::Stdout { Source::Stdout } else { Source::Stderr };
    let end = |size: u64| (size.saturating_sub(FIRST), FIRST);
    let before = reading.memory.read_part(source, end);
    let first = match place {
        Place::Memory => before.bytes,
        Place::File(file) => {
            // A disk may take long.
            let Ok(_ticket) = desk.searches.take(client, "read log files") else {
                return page(StatusCode::SERVICE_UNAVAILABLE);
            };
            match file.read(end).await {
                Ok(file) => {
                    let from = before.size.saturating_sub(FIRST);
                    let around = reading.memory.read_part(source, |size| (from, size.saturating_sub(from)));
                    let kept_from = (around.size.saturating_sub(around.bytes.len() as u64)).max(from);
                    let at = usize::try_from(before.size.saturating_sub(kept_from)).unwrap_or(usize::MAX);
                    joined(&file.bytes, &around.bytes, at)
                }
                Err(error) if error.kind() == ErrorKind::NotFound => return page(StatusCode::NOT_FOUND),
                Err(_) => before.bytes,
            }
        }
    };
    let mut answer = response::streaming("text/plain;charset=utf-8", body(reading, &first));
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    answer.headers_mut().insert(unbuffered.0, unbuffered.1);
    // Programs write it: a browser must not take it for HTML.
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

fn place(shared: &Shared, key: &str, is_stderr: bool) -> Option<Place> {
    let source = if is_stderr { Source::Stderr } else { Source::Stdout };
    let supervisor = shared.supervisor.borrow();
    match PartialLog::of(supervisor.find(key)?.spec(), source) {
        PartialLog::File(file) => Some(Place::File(file)),
        PartialLog::Memory(_) => Some(Place::Memory),
        PartialLog::None => None,
    }
}

fn main_place(shared: &Shared) -> Place {
    let file = shared.configuration.in_force().daemon.log_file.clone();
    let file = file.filter(|path| descriptor_of(path).is_none());
    file.map_or(Place::Memory, |path| Place::File(FilePart::own(&path)))
}

fn body(reading: Reading, first: &[u8]) -> Body {
    let Reading { memory, wanted, located, follower, tickets, .. } = reading;
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
