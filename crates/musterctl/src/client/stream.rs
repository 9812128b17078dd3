//! A response that is read as it arrives, for as long as the daemon continues it.
//!
//! The head must arrive within the timeout; after that there is none: a log may be silent for days.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read, Write};
use std::time::Instant;

use super::exchange::{Answer, ExchangeError, HEAD_MAX, Head, Length, Timed, parse_head};
use super::transport::Connection;

/// The body of a successful response.
#[derive(Debug)]
pub(crate) struct Stream {
    source: BufReader<Chain<Cursor<Vec<u8>>, Connection>>,
    length: Length,
    /// How much of the chunk, or of the whole body, is still to come.
    left: usize,
    is_over: bool,
}

/// Why there is no stream.
#[derive(Debug)]
pub(super) enum NoStream {
    /// An error response.
    Refused(Answer),
    /// No response.
    Failed(ExchangeError),
}

impl<E: Into<ExchangeError>> From<E> for NoStream {
    fn from(error: E) -> NoStream {
        NoStream::Failed(error.into())
    }
}

/// Sends a request and reads the head of its response, and perhaps some bytes behind it.
fn begin(timed: &mut Timed, request: &[u8]) -> Result<(Head, Vec<u8>), ExchangeError> {
    timed.write_all(request)?;
    timed.flush()?;
    let mut bytes = Vec::with_capacity(4096);
    loop {
        if let Some(head) = parse_head(&bytes)? {
            let rest = bytes.split_off(head.size);
            return Ok((head, rest));
        }
        if bytes.len() > HEAD_MAX {
            return Err(ExchangeError::Malformed("its headers are too large"));
        }
        let mut piece = [0; 4096];
        match timed.read(&mut piece)? {
            0 => return Err(ExchangeError::ClosedEarly),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

/// Sends a request and returns the body as soon as the head has arrived.
pub(super) fn open(stream: Connection, deadline: Instant, request: &[u8]) -> Result<Stream, NoStream> {
    let mut timed = Timed { stream, deadline };
    let (head, rest) = begin(&mut timed, request)?;
    let is_good = head.status == 200;
    let mut source = timed.stream;
    // An error arrives at once; the body of a success may take any time.
    source.set_read_timeout(if is_good { None } else { Some(deadline.saturating_duration_since(Instant::now())) })?;
    let mut stream = Stream::of(&head, rest, source);
    if is_good {
        return Ok(stream);
    }
    Err(stream.refusal(head)?)
}

/// Sends a request for another protocol, and returns the connection once the server has switched.
pub(super) fn switch(stream: Connection, deadline: Instant, request: &[u8]) -> Result<(Connection, Vec<u8>), NoStream> {
    let mut timed = Timed { stream, deadline };
    let (head, rest) = begin(&mut timed, request)?;
    let mut source = timed.stream;
    if head.status == 101 {
        source.set_read_timeout(None)?;
        source.set_write_timeout(None)?;
        return Ok((source, rest));
    }
    source.set_read_timeout(Some(deadline.saturating_duration_since(Instant::now())))?;
    let mut stream = Stream::of(&head, rest, source);
    Err(stream.refusal(head)?)
}

impl Stream {
    fn of(head: &Head, rest: Vec<u8>, source: Connection) -> Stream {
        let left = if let Length::Known(length) = head.length { length } else { 0 };
        let source = BufReader::with_capacity(64 * 1024, Cursor::new(rest).chain(source));
        Stream { source, length: head.length, left, is_over: false }
    }

    /// Reads an error response whole.
    fn refusal(&mut self, head: Head) -> io::Result<NoStream> {
        let mut body = Vec::new();
        self.take(HEAD_MAX as u64 * 4).read_to_end(&mut body)?;
        Ok(NoStream::Refused(Answer { status: head.status, reason: head.reason, body }))
    }

    /// Reads the size of the next chunk. The last one has size zero.
    fn next_chunk(&mut self) -> io::Result<()> {
        let mut line = Vec::new();
        while line.trim_ascii().is_empty() {
            line.clear();
            if self.source.by_ref().take(HEAD_MAX as u64).read_until(b'\n', &mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        match httparse::parse_chunk_size(&line) {
            Ok(httparse::Status::Complete((_, size))) => {
                self.left = usize::try_from(size).unwrap_or(usize::MAX);
                self.is_over = size == 0;
                Ok(())
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the size of a chunk is not a number")),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.length == Length::UntilClose {
            return self.source.read(buffer);
        }
        if self.left == 0 && self.length == Length::Chunked && !self.is_over {
            self.next_chunk()?;
        }
        let wanted = self.left.min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        match self.source.read(&mut buffer[..wanted])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.left -= count;
                Ok(count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    /// The body, or the error, of a response that the daemon sends in these pieces.
    fn read(pieces: &[&str]) -> Result<String, String> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let pieces: Vec<String> = pieces.iter().map(|&piece| piece.to_owned()).collect();
        let daemon = std::thread::spawn(move || {
            let mut request = [0; 1024];
            let _ = theirs.read(&mut request);
            pieces.iter().for_each(|piece| theirs.write_all(piece.as_bytes()).unwrap());
        });
        let opened = open(Connection::Unix(ours), Instant::now() + Duration::from_secs(20), b"GET /x HTTP/1.1\r\n\r\n");
        let mut body = String::new();
        let ended = match opened {
            Err(NoStream::Refused(answer)) => {
                Err(format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)))
            }
            Err(NoStream::Failed(error)) => Err(format!("{error:?}")),
            Ok(mut stream) => stream.read_to_string(&mut body).map_err(|error| format!("{body:?} {:?}", error.kind())),
        };
        daemon.join().unwrap();
        ended.map(|_| body)
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

    #[test]
    fn chunks_are_joined_however_they_are_cut() {
        assert_eq!(read(&[OK, "3\r\nhel\r\n", "2\r\nlo\r\n0\r\n\r\n"]), Ok("hello".to_owned()));
        assert_eq!(read(&[OK, "5", "\r\nhe", "llo\r", "\n0\r\n\r\n"]), Ok("hello".to_owned()));
        assert_eq!(read(&["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", "lo"]), Ok("hello".to_owned()));
        assert_eq!(read(&[OK, "0\r\n\r\n"]), Ok(String::new()));
    }

    #[test]
    fn a_stream_that_breaks_off_is_told_from_one_that_ends() {
        assert_eq!(read(&[OK, "5\r\nhel"]), Err("\"hel\" UnexpectedEof".to_owned()));
        assert_eq!(read(&[OK, "3\r\nhel\r\n"]), Err("\"hel\" UnexpectedEof".to_owned()));
        assert_eq!(read(&[OK, "zz\r\n"]), Err("\"\" InvalidData".to_owned()));
    }

    #[test]
    fn an_error_is_read_whole() {
        let refused = "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(read(&[refused]), Err("404 {}".to_owned()));
        assert_eq!(read(&["HTTP/1.1 200"]), Err("ClosedEarly".to_owned()));
    }
}
