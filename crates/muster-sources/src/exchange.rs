//! One HTTP exchange over a connection of its own.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use muster_spec::{Authority, HostPort};
use tokio::task::JoinHandle;

use crate::dial::Stream;
use crate::edition::Failure;

/// A response whose body is still to be read. Dropping it closes the connection.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
    _connection: Connection,
}

struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request.
pub struct Question<'a> {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub target: &'a str,
    /// Its headers, besides those of every request.
    pub headers: Vec<(&'a str, String)>,
    /// Its body.
    pub body: Bytes,
}

/// Sends a request and waits for the head of the response.
pub async fn ask(
    stream: Box<dyn Stream>,
    (server, usual_port): (&HostPort, u16),
    question: Question<'_>,
) -> Result<Answer, Failure> {
    let failed = |error: hyper::Error| Failure::new(format!("{server}: {}", words(&error)));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(64 * 1024).max_headers(64);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = Connection(tokio::task::spawn_local(async move {
        // The exchange reports the same error.
        let _ = connection.await;
    }));
    let authority = Authority { host: server.host.clone(), port: Some(server.port).filter(|&port| port != usual_port) };
    let mut request = Request::builder().method(question.method).uri(question.target);
    request = request.header("Host", authority.to_string()).header("Connection", "close");
    request = request.header("User-Agent", concat!("musterd/", env!("CARGO_PKG_VERSION")));
    for (name, value) in question.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(question.body)).map_err(|error| Failure::new(error.to_string()))?;
    let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
    Ok(Answer { status: head.status, headers: head.headers, body, _connection: connection })
}

fn words(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "the server closed the connection in the middle of its answer".to_owned();
    }
    if error.is_parse() {
        return "the server's answer is not valid HTTP".to_owned();
    }
    error.to_string()
}

impl Answer {
    /// The next piece of the body; `None` at its end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => return Ok(Some(piece)),
                    // Trailers mean nothing here.
                    Err(_) => continue,
                },
                Some(Err(_)) => return Err(Failure::new("the answer ended before it was complete")),
            }
        }
    }

    /// The whole body, of at most this size.
    pub(crate) async fn whole(mut self, most: usize) -> Result<Vec<u8>, Failure> {
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            if whole.len() + piece.len() > most {
                return Err(Failure::new(format!("the answer is larger than {} KiB", most / 1024)));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}
