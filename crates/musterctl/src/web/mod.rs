//! `musterctl web`: the daemon's API and page for a browser on this machine, through whatever way musterctl takes.
//!
//! `gate.rs` decides which requests pass; the others never reach the daemon. Each request has a connection of its own, on both
//! sides. Next: `client/`.

mod gate;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use self::gate::{Gate, HEAD_MAX, Passed, Reply};
use crate::client::{Client, Connection};

/// Connections at a time; the next one is closed at once.
const CONNECTIONS_MAX: usize = 64;

/// Maximum size of a request's body, as in the daemon.
const BODY_MAX: usize = 1024 * 1024;

/// How long a request may take to arrive, and how long a write may make no progress.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a silent answer is checked for a browser that has left.
const GLANCE: Duration = Duration::from_secs(2);

/// Reads a request and an answer from memory, for the fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn read_foreign(bytes: &[u8]) {
    let _ = Gate::new(7, "/", "key", "cookie").judge(bytes);
    let _ = gate::answer_head(bytes);
}

/// The listener and the key that opens it.
pub(crate) struct Web {
    listener: TcpListener,
    gate: Arc<Gate>,
}

/// A connection that counts.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Web {
    /// Listens on this port of the loopback interface; 0 is any free one. The page is at `landing`.
    pub(crate) fn bind(port: u16, landing: &'static str) -> io::Result<Web> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let gate = Arc::new(Gate::new(listener.local_addr()?.port(), landing, &random()?, &random()?));
        Ok(Web { listener, gate })
    }

    /// The address that opens the page, once.
    pub(crate) fn url(&self) -> String {
        self.gate.url()
    }

    /// Serves until the process ends.
    pub(crate) fn serve(&self, client: &Client) -> io::Error {
        let open = Arc::new(AtomicUsize::new(0));
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                // The browser has left before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return error,
            };
            let is_free = open.fetch_add(1, Ordering::AcqRel) < CONNECTIONS_MAX;
            let counted = Counted(Arc::clone(&open));
            let (gate, client) = (Arc::clone(&self.gate), client.clone());
            if is_free {
                // Without a thread the connection is closed.
                let _ = std::thread::Builder::new().spawn(move || {
                    let _counted = counted;
                    // An error means that the browser has left.
                    let _ = handle(&stream, &gate, &client);
                });
            }
        }
    }
}

/// Sixteen random bytes in hexadecimal digits.
fn random() -> io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn handle(stream: &TcpStream, gate: &Gate, client: &Client) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (head, mut body) = read_head(stream, until)?;
    match gate.judge(&head) {
        Err(reply) => answer(stream, &reply),
        Ok(passed) if passed.length > BODY_MAX => answer(stream, &Reply::of(413, "the body is too large")),
        Ok(passed) => {
            while body.len() < passed.length {
                read_more(stream, until, &mut body)?;
            }
            body.truncate(passed.length);
            forward(stream, &passed, &body, client)
        }
    }
}

/// The head of a request, and what came after it.
fn read_head(stream: &TcpStream, until: Instant) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((bytes, rest));
        }
        if bytes.len() > HEAD_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        read_more(stream, until, &mut bytes)?;
    }
}

fn read_more(mut stream: &TcpStream, until: Instant, bytes: &mut Vec<u8>) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    let mut piece = [0; 8192];
    match stream.read(&mut piece)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => {
            bytes.extend_from_slice(&piece[..count]);
            Ok(())
        }
    }
}

fn answer(mut stream: &TcpStream, reply: &Reply) -> io::Result<()> {
    let body = json!({"title": reply.text, "status": reply.status}).to_string();
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         referrer-policy: no-referrer\r\n{}connection: close\r\n\r\n{body}",
        reply.status,
        reply.text,
        body.len(),
        reply.headers
    );
    stream.write_all(head.as_bytes())
}

/// Sends the request to the daemon, and its answer to the browser, as it comes.
fn forward(mut stream: &TcpStream, passed: &Passed, body: &[u8], client: &Client) -> io::Result<()> {
    let mut answered = match client.forward(&passed.method, &passed.path, &passed.headers, body) {
        Ok(answered) => answered,
        Err(failure) => return answer(stream, &Reply::of(502, &failure.message)),
    };
    let mut bytes = Vec::new();
    let mut piece = vec![0; 32 * 1024];
    let head = loop {
        match gate::answer_head(&bytes) {
            Ok(Some(head)) => break head,
            Ok(None) if bytes.len() <= HEAD_MAX => {}
            _ => return answer(stream, &Reply::of(502, "the answer of the daemon is not HTTP")),
        }
        match read_while_there(&mut answered, &mut piece, stream) {
            Ok(0) | Err(_) => return answer(stream, &Reply::of(502, "the daemon did not answer")),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
    };
    stream.write_all(head.text.as_bytes())?;
    stream.write_all(&bytes[head.size..])?;
    loop {
        match read_while_there(&mut answered, &mut piece, stream)? {
            0 => return Ok(()),
            count => stream.write_all(&piece[..count])?,
        }
    }
}

/// Reads what the daemon sends, for as long as the browser is there: an answer may be silent for days.
fn read_while_there(answered: &mut Connection, piece: &mut [u8], stream: &TcpStream) -> io::Result<usize> {
    loop {
        answered.set_read_timeout(Some(GLANCE))?;
        match answered.read(piece) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if has_left(stream)? {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Whether the browser has closed its connection.
fn has_left(stream: &TcpStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    match peeked {
        Ok(count) => Ok(count == 0),
        Err(error) => Ok(error.kind() != io::ErrorKind::WouldBlock),
    }
}
