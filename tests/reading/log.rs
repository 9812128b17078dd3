//! A client of log streams that makes no assumptions: chunks in, entries and bytes out.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::harness::Daemon;

/// A program that runs this script once.
pub(super) fn script(name: &str, script: &str, more: &str) -> String {
    format!("[program.{name}]\ntype = \"oneshot\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n{more}\n")
}

/// The body of an answer, chunk by chunk.
pub(super) struct Stream {
    source: BufReader<UnixStream>,
    left: usize,
    is_over: bool,
}

impl Stream {
    /// Requests this path and reads the head of the answer.
    pub(super) fn of(daemon: &Daemon, path: &str) -> Stream {
        let mut socket = daemon.client.connect().expect("the daemon takes connections");
        write!(socket, "GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").expect("the daemon reads requests");
        let mut source = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(source.read_line(&mut head).expect("the daemon answers") > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        Stream { source, left: 0, is_over: false }
    }

    /// The next entry; `None` at the regular end of the answer.
    pub(super) fn entry(&mut self) -> Option<Value> {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.last() != Some(&b'\n') {
            match self.read(&mut byte).expect("the answer continues or ends regularly") {
                0 => break,
                _ => line.push(byte[0]),
            }
        }
        (!line.is_empty()).then(|| serde_json::from_slice(&line).expect("entries are JSON"))
    }

    /// The text of the next line; other entries are skipped.
    pub(super) fn line(&mut self) -> Option<String> {
        loop {
            let entry = self.entry()?;
            assert_ne!(entry["kind"], "missed", "{entry}");
            if entry["kind"] == "line" {
                return entry["line"].as_str().map(str::to_owned);
            }
        }
    }

    /// Skips everything up to new output.
    pub(super) fn go_live(&mut self) {
        while self.entry().expect("the stream continues")["kind"] != "live" {}
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.left == 0 && !self.is_over {
            let mut size = String::new();
            if self.source.read_line(&mut size)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if size.trim().is_empty() {
                continue;
            }
            self.left = usize::from_str_radix(size.trim(), 16).expect("the size of a chunk is a number");
            self.is_over = self.left == 0;
        }
        let wanted = buffer.len().min(self.left);
        let count = self.source.read(&mut buffer[..wanted])?;
        self.left -= count;
        Ok(count)
    }
}
