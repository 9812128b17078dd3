//! A client that follows the events of a daemon, byte for byte.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use serde_json::Value;

use super::daemon::Daemon;

/// A connection that follows `GET /v1/events`.
pub struct Listener {
    reader: BufReader<UnixStream>,
    pub status: u16,
    pub head: String,
    /// Received bytes of the body that were not taken yet.
    text: String,
}

impl Listener {
    /// Follows from now on, or from the event with this id.
    pub fn of(daemon: &Daemon, last: Option<&str>) -> Listener {
        let mut stream = daemon.client.connect().expect("the daemon listens");
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let request = format!("GET /v1/events HTTP/1.1\r\nhost: test\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).expect("the daemon reads requests");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("an answer arrives") > 0, "no answer: {head}");
        }
        let status = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_default();
        Listener { reader, status, head: head.to_ascii_lowercase(), text: String::new() }
    }

    /// The next chunk of the body. `None` at its end.
    fn chunk(&mut self) -> io::Result<Option<String>> {
        let mut size = String::new();
        if self.reader.read_line(&mut size)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = usize::from_str_radix(size.trim(), 16).expect("chunks begin with their size");
        let mut bytes = vec![0; size + 2];
        self.reader.read_exact(&mut bytes)?;
        bytes.truncate(size);
        Ok((size > 0).then(|| String::from_utf8(bytes).expect("events are text")))
    }

    /// Waits for the next event. `None` when the daemon ends the stream.
    pub fn try_next(&mut self) -> Option<Value> {
        let began = Instant::now();
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
            }
            // Comments arrive even when there are no events.
            assert!(began.elapsed() < super::PATIENCE, "no event came");
            let piece = self.chunk().expect("the stream continues or ends regularly")?;
            self.text.push_str(&piece);
        }
    }

    pub fn next(&mut self) -> Value {
        self.try_next().expect("the stream continues")
    }

    /// Events up to and including the first that matches.
    pub fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            seen.push(self.next());
            if seen.last().is_some_and(&is_it) {
                return seen;
            }
        }
    }
}

/// Parses one block of lines; a comment is no event. The fields before the data must agree with it.
fn parse(block: &str) -> Option<Value> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let event: Value = serde_json::from_str(field("data")?).expect("the data is JSON");
    assert_eq!(field("id"), event["id"].as_u64().map(|id| id.to_string()).as_deref(), "{block}");
    assert_eq!(field("event"), event["kind"].as_str(), "{block}");
    Some(event)
}
