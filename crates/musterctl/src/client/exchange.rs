//! One HTTP/1.1 request and its response, limited to what musterd uses.
//!
//! Accepts bodies with a length, in chunks, or up to the end of the connection, skips informational responses, and refuses
//! malformed, oversized or late ones. Knows nothing of the content.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::time::Instant;

use super::transport::Connection;
use super::{Target, tls};
use crate::failure::{Exit, Failure};

/// Maximum size of the status line and headers.
pub(crate) const HEAD_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// Maximum size of a body; the list of a thousand programs is 400 kB.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// The daemon's response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The words behind the status.
    pub(crate) reason: String,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    /// It did not arrive in time.
    TimedOut,
    /// The connection was closed before the response was complete.
    ClosedEarly,
    /// It is not HTTP, or exceeds a limit.
    Malformed(&'static str),
    /// The kernel reported an error.
    Broken(io::Error),
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> ExchangeError {
        match error.kind() {
            // A read or write timeout is reported as one or the other, depending on the platform.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ExchangeError::TimedOut,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                ExchangeError::ClosedEarly
            }
            _ => ExchangeError::Broken(error),
        }
    }
}

impl ExchangeError {
    /// The message for the user; `None` if the daemon exists but does not respond.
    pub(super) fn into_failure(self, target: &Target) -> Option<Failure> {
        Some(match self {
            ExchangeError::TimedOut => return None,
            ExchangeError::ClosedEarly => {
                let message = format!("the daemon on {target} closed the connection before it responded");
                Failure::new(Exit::NoDaemon, message).with_hint("if it exited, its log has the reason")
            }
            ExchangeError::Malformed(what) => {
                let message = format!("what listens on {target} is not musterd: {what}");
                Failure::new(Exit::Failed, message).with_hint("`--socket` or $MUSTER_SOCKET points elsewhere")
            }
            ExchangeError::Broken(error) => tls::failure(target, &error).unwrap_or_else(|| {
                Failure::new(Exit::Failed, format!("cannot communicate with the daemon on {target}: {error}"))
            }),
        })
    }
}

/// Sends a request and reads the response, all before the deadline.
pub(super) fn exchange(stream: Connection, deadline: Instant, request: &[u8]) -> Result<Answer, ExchangeError> {
    let mut timed = Timed { stream, deadline };
    match timed.write_all(request).and_then(|()| timed.flush()) {
        Ok(()) => {}
        // A server may respond and close before it has read everything: its response matters more than the error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(error.into()),
    }
    read_answer(&mut timed)
}

/// Formats a request to this daemon, with a body of this media type.
pub(super) fn request(target: &Target, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut request = head(target, method, path).into_bytes();
    if let Some((media_type, body)) = body {
        let headers = format!("content-type: {media_type}\r\ncontent-length: {}\r\n\r\n", body.len());
        request.extend_from_slice(headers.as_bytes());
        request.extend_from_slice(body);
    } else if method != "GET" {
        request.extend_from_slice(b"content-length: 0\r\n\r\n");
    } else {
        request.extend_from_slice(b"\r\n");
    }
    request
}

/// Formats a request of another client, with these further headers and this body.
pub(super) fn forwarded(target: &Target, method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut head = head(target, method, path) + headers;
    if method != "GET" && method != "HEAD" || !body.is_empty() {
        write!(head, "content-length: {}\r\n", body.len()).expect("writing to a String cannot fail");
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// Formats a request with a JSON body that asks for another protocol.
pub(super) fn upgrading(target: &Target, method: &str, path: &str, protocol: &str, body: &[u8]) -> Vec<u8> {
    let mut head = head_with(target, method, path, &format!("upgrade\r\nupgrade: {protocol}"));
    let json = muster_api::JSON;
    write!(head, "content-type: {json}\r\ncontent-length: {}\r\n\r\n", body.len())
        .expect("writing to a String cannot fail");
    [head.as_bytes(), body].concat()
}

fn head(target: &Target, method: &str, path: &str) -> String {
    head_with(target, method, path, "close")
}

fn head_with(target: &Target, method: &str, path: &str, connection: &str) -> String {
    let host = target.host();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: {connection}\r\n");
    if let Some(login) = target.login() {
        write!(head, "authorization: {}\r\n", login.header()).expect("writing to a String cannot fail");
    }
    head
}

/// A stream with one deadline for all operations together, however slowly the bytes arrive.
pub(super) struct Timed {
    pub(super) stream: Connection,
    pub(super) deadline: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Option<std::time::Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.flush()
    }
}

/// How the end of a body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

/// The status line and headers.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) length: Length,
    /// Its size in bytes in the buffer.
    pub(crate) size: usize,
}

pub(crate) fn read_answer(source: &mut impl Read) -> Result<Answer, ExchangeError> {
    let mut buffer = Buffer { source, bytes: Vec::with_capacity(4096), used: 0 };
    loop {
        let head = buffer.read_head()?;
        buffer.used += head.size;
        // 100 Continue and similar precede the response.
        if (100..200).contains(&head.status) {
            continue;
        }
        let body = match head.length {
            _ if head.status == 204 || head.status == 304 => Vec::new(),
            Length::Known(length) => buffer.read_known(length)?,
            Length::Chunked => buffer.read_chunks()?,
            Length::UntilClose => buffer.read_to_end()?,
        };
        return Ok(Answer { status: head.status, reason: head.reason, body });
    }
}

/// The bytes read so far, and how many of them are consumed.
struct Buffer<'a, R> {
    source: &'a mut R,
    bytes: Vec<u8>,
    used: usize,
}

impl<R: Read> Buffer<'_, R> {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    /// Reads more; returns whether there was more.
    fn fill(&mut self) -> Result<bool, ExchangeError> {
        self.bytes.drain(..std::mem::take(&mut self.used));
        if self.bytes.len() > BODY_MAX + HEAD_MAX {
            return Err(ExchangeError::Malformed("the answer is too large"));
        }
        let mut piece = [0; 64 * 1024];
        loop {
            match self.source.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
                Ok(count) => {
                    self.bytes.extend_from_slice(&piece[..count]);
                    return Ok(count > 0);
                }
            }
        }
    }

    fn fill_more(&mut self) -> Result<(), ExchangeError> {
        if self.fill()? { Ok(()) } else { Err(ExchangeError::ClosedEarly) }
    }

    fn read_head(&mut self) -> Result<Head, ExchangeError> {
        loop {
            if let Some(head) = parse_head(self.rest())? {
                return Ok(head);
            }
            if self.rest().len() > HEAD_MAX {
                return Err(ExchangeError::Malformed("its headers are too large"));
            }
            self.fill_more()?;
        }
    }

    /// Consumes this many bytes.
    fn take(&mut self, length: usize) -> Result<&[u8], ExchangeError> {
        while self.rest().len() < length {
            self.fill_more()?;
        }
        let start = self.used;
        self.used += length;
        Ok(&self.bytes[start..self.used])
    }

    /// Reads a body of this length straight into its final buffer, which pays off for a list of a thousand programs.
    fn read_known(&mut self, length: usize) -> Result<Vec<u8>, ExchangeError> {
        let here = self.rest().len().min(length);
        let mut body = Vec::with_capacity(length);
        body.extend_from_slice(&self.rest()[..here]);
        self.used += here;
        self.source.take((length - here) as u64).read_to_end(&mut body)?;
        if body.len() == length { Ok(body) } else { Err(ExchangeError::ClosedEarly) }
    }

    fn read_to_end(&mut self) -> Result<Vec<u8>, ExchangeError> {
        while self.fill()? {}
        Ok(std::mem::take(&mut self.bytes))
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, ExchangeError> {
        let mut body = Vec::new();
        loop {
            let size = self.read_chunk_size()?;
            if size == 0 {
                // Trailers may follow; they are not needed, and the connection is closed.
                return Ok(body);
            }
            if size > BODY_MAX - body.len() {
                return Err(ExchangeError::Malformed("the answer is too large"));
            }
            body.extend_from_slice(self.take(size)?);
            if self.take(2)? != b"\r\n" {
                return Err(ExchangeError::Malformed("a chunk does not end where its size says"));
            }
        }
    }

    fn read_chunk_size(&mut self) -> Result<usize, ExchangeError> {
        loop {
            match httparse::parse_chunk_size(self.rest()) {
                Ok(httparse::Status::Complete((used, size))) => {
                    self.used += used;
                    return usize::try_from(size).map_err(|_| BAD_CHUNK);
                }
                Ok(httparse::Status::Partial) if self.rest().len() <= HEAD_MAX => self.fill_more()?,
                Ok(httparse::Status::Partial) | Err(_) => return Err(BAD_CHUNK),
            }
        }
    }
}

const BAD_CHUNK: ExchangeError = ExchangeError::Malformed("the size of a chunk is not a number");
const BAD_LENGTH: ExchangeError = ExchangeError::Malformed("the length of the response is not a number, or too large");

/// The head at the start of these bytes; `None` if it is incomplete.
pub(crate) fn parse_head(bytes: &[u8]) -> Result<Option<Head>, ExchangeError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|_| ExchangeError::Malformed("it does not speak HTTP/1.1"))?;
    let httparse::Status::Complete(size) = parsed else { return Ok(None) };
    let status = response.code.ok_or(ExchangeError::Malformed("it does not speak HTTP/1.1"))?;
    let reason = response.reason.unwrap_or_default().to_owned();
    Ok(Some(Head { status, reason, length: body_length(response.headers)?, size }))
}

/// RFC 9112, section 6.3: chunks take precedence over a length; a length that is not a number, or differs when repeated, is an
/// error.
fn body_length(headers: &[httparse::Header<'_>]) -> Result<Length, ExchangeError> {
    let mut length = Length::UntilClose;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            let chunked = header.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            return if chunked { Ok(Length::Chunked) } else { Err(BAD_LENGTH) };
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let told = Length::Known(parse_length(header.value).ok_or(BAD_LENGTH)?);
            if length != Length::UntilClose && length != told {
                return Err(BAD_LENGTH);
            }
            length = told;
        }
    }
    Ok(length)
}

fn parse_length(value: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(value.trim_ascii()).ok()?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let length = if all_digits { digits.parse().ok() } else { None };
    length.filter(|&length: &usize| length <= BODY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns its bytes in pieces of this size, so that everything is split somewhere.
    struct Dripping<'a> {
        bytes: &'a [u8],
        piece: usize,
    }

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.piece.min(self.bytes.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.bytes[..count]);
            self.bytes = &self.bytes[count..];
            Ok(count)
        }
    }

    /// Reads the text whole and in every piece size; the result must be the same each time.
    fn read(text: &str) -> Result<(u16, String), String> {
        let in_pieces_of = |piece| {
            let answer = read_answer(&mut Dripping { bytes: text.as_bytes(), piece });
            answer
                .map(|answer| (answer.status, String::from_utf8(answer.body).unwrap()))
                .map_err(|error| format!("{error:?}"))
        };
        let whole = in_pieces_of(usize::MAX);
        for piece in [1, 2, 3, 7] {
            assert_eq!(in_pieces_of(piece), whole, "in pieces of {piece}");
        }
        whole
    }

    #[test]
    fn bodies_end_by_length_by_chunks_or_by_the_connection() {
        for (text, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello more", "hello"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", "hello"),
            ("HTTP/1.1 200 \r\n\r\nhello", "hello"),
            ("HTTP/1.0 200 OK\r\n\r\n", ""),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "hello"),
        ] {
            assert_eq!(read(text), Ok((200, body.to_owned())), "{text}");
        }
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n"), Ok((204, String::new())));
    }

    #[test]
    fn a_connection_that_ends_early_is_told_from_an_answer() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Le",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhe",
            "HTTP/1.1 100 Continue\r\n\r\n",
        ] {
            assert_eq!(read(text), Err("ClosedEarly".to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_http_is_refused() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\nhello",
            "HTTP/1.1 twohundred OK\r\n\r\n",
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with("Malformed"), "{text}: {error}");
        }
    }

    #[test]
    fn endless_headers_and_chunk_extensions_are_cut_off() {
        let header = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(10 * HEAD_MAX));
        let answer = read_answer(&mut Dripping { bytes: header.as_bytes(), piece: 4096 });
        assert!(matches!(answer, Err(ExchangeError::Malformed(_))), "{answer:?}");
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(HEADERS_MAX + 1));
        assert!(matches!(read_answer(&mut many.as_bytes()), Err(ExchangeError::Malformed(_))));
        let chunk = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;{}", "y".repeat(10 * HEAD_MAX));
        let answer = read_answer(&mut Dripping { bytes: chunk.as_bytes(), piece: 4096 });
        assert!(matches!(answer, Err(ExchangeError::Malformed(_))), "{answer:?}");
    }

    /// Random changes to valid responses; a failure names the seed.
    #[test]
    fn whatever_listens_there_is_answered_or_refused() {
        let good = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        ];
        for seed in 1..20_000_u64 {
            let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut next = |bound: usize| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random % bound as u64) as usize
            };
            let mut bytes = good[next(2)].as_bytes().to_vec();
            for _ in 0..=next(3) {
                let place = next(bytes.len());
                bytes[place] = next(256) as u8;
            }
            let piece = 1 + next(20);
            let told = std::panic::catch_unwind(|| read_answer(&mut Dripping { bytes: &bytes, piece }).is_ok());
            assert!(told.is_ok(), "seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn requests_are_http_and_say_that_no_other_follows() {
        let target = Target::new(crate::client::Place::Unix("/x".into()));
        let text = |body| String::from_utf8(request(&target, "POST", "/v1/x", body)).unwrap();
        let head = "POST /v1/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
        assert_eq!(text(None), format!("{head}content-length: 0\r\n\r\n"));
        let with_body = format!("{head}content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}");
        assert_eq!(text(Some((muster_api::JSON, b"{}"))), with_body);
        assert!(request(&target, "GET", "/", None).ends_with(b"close\r\n\r\n"));
    }
}
