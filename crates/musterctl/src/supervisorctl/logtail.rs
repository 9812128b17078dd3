//! A log that grows, as the server sends it: the answer's head, then chunks without end.
//!
//! Pure: bytes in, text out. A chunk that is not UTF-8 is written as Python's client writes it.

use muster_supervisord::python::bytes_repr;

use crate::client::exchange::{HEAD_MAX, Length, parse_head};

/// The largest chunk that is kept in one piece.
const PIECE: usize = 1 << 20;

/// The state of one answer.
#[derive(Debug)]
pub(super) struct Logtail {
    part: Part,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    Size,
    /// This many bytes of a chunk are still to come.
    Chunk(usize),
    /// Up to the end of the connection.
    Plain,
    /// Behind the last chunk: the original's client waits for the end of the connection, too.
    Over,
}

impl Logtail {
    pub(super) fn new() -> Logtail {
        Logtail { part: Part::Head, buffer: Vec::new() }
    }

    /// Takes bytes of the connection and returns the text that is complete. An error says why there will be none.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<String, String> {
        self.buffer.extend_from_slice(bytes);
        let (mut text, mut used) = (String::new(), 0);
        while let Some(taken) = self.step(used, &mut text)? {
            used += taken;
        }
        self.buffer.drain(..used);
        Ok(text)
    }

    /// Takes the next element; `None` if it is incomplete.
    fn step(&mut self, used: usize, text: &mut String) -> Result<Option<usize>, String> {
        let rest = &self.buffer[used..];
        match self.part {
            Part::Head => self.head(used),
            Part::Size => {
                let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                    return if rest.len() > HEAD_MAX { Err(BROKEN.to_owned()) } else { Ok(None) };
                };
                let line = rest[..end].trim_ascii();
                if !line.is_empty() {
                    self.part = match size(line).ok_or(BROKEN)? {
                        0 => Part::Over,
                        size => Part::Chunk(size),
                    };
                }
                Ok(Some(end + 1))
            }
            Part::Chunk(left) => {
                let taken = left.min(PIECE);
                if rest.len() < taken {
                    return Ok(None);
                }
                push(&rest[..taken], text);
                self.part = if taken == left { Part::Size } else { Part::Chunk(left - taken) };
                Ok(Some(taken))
            }
            Part::Plain if !rest.is_empty() => {
                push(rest, text);
                Ok(Some(rest.len()))
            }
            Part::Over if !rest.is_empty() => Ok(Some(rest.len())),
            Part::Plain | Part::Over => Ok(None),
        }
    }

    fn head(&mut self, used: usize) -> Result<Option<usize>, String> {
        let rest = &self.buffer[used..];
        let Some(head) = parse_head(rest).map_err(|_| BROKEN)? else {
            return if rest.len() > HEAD_MAX { Err(BROKEN.to_owned()) } else { Ok(None) };
        };
        if head.status != 200 {
            return Err(format!("Cannot read, status code {}", head.status));
        }
        self.part = if head.length == Length::Chunked { Part::Size } else { Part::Plain };
        Ok(Some(head.size))
    }
}

const BROKEN: &str = "Cannot read, the answer is malformed";

/// The size of a chunk; extensions may follow it.
fn size(line: &[u8]) -> Option<usize> {
    let digits = line.split(|byte| matches!(byte, b';' | b' ')).next()?;
    usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn push(bytes: &[u8], text: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(chunk) => text.push_str(chunk),
        Err(_) => {
            text.push_str("Undecodable: ");
            text.push_str(&bytes_repr(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// The text of an answer; the same in pieces of any size.
    fn check(body: &[u8], expected: &str) {
        let answer = [HEAD, body].concat();
        for size in [1, 2, 7, answer.len()] {
            let mut tail = Logtail::new();
            let text: Result<String, String> = answer.chunks(size).map(|piece| tail.feed(piece)).collect();
            assert_eq!(text.as_deref(), Ok(expected), "in pieces of {size}");
        }
    }

    #[test]
    fn chunks_are_text() {
        check(b"3\r\nhel\r\n2\r\nlo\r\n", "hello");
        check(b"3;x=y\r\nhel\r\n0\r\n\r\nmore", "hel");
        check(b"3\r\na\xffb\r\n2\r\n\xc3\xa4\r\n", "Undecodable: b'a\\xffb'\u{e4}");
        check(b"", "");
    }

    #[test]
    fn a_large_chunk_is_not_kept_whole() {
        let mut tail = Logtail::new();
        tail.feed(HEAD).unwrap();
        tail.feed(b"10000000\r\n").unwrap();
        let piece = vec![b'x'; PIECE];
        for _ in 0..20 {
            assert_eq!(tail.feed(&piece).unwrap().len(), PIECE);
            assert!(tail.buffer.len() <= PIECE);
        }
    }

    #[test]
    fn other_answers_are_refused() {
        for (answer, expected) in [
            ("HTTP/1.1 404 Not Found\r\n\r\n", "Cannot read, status code 404"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", BROKEN),
            ("220 smtp\r\n\r\n", BROKEN),
        ] {
            assert_eq!(Logtail::new().feed(answer.as_bytes()), Err(expected.to_owned()));
        }
        assert_eq!(Logtail::new().feed(b"HTTP/1.0 200 OK\r\n\r\nplain").as_deref(), Ok("plain"));
    }
}
