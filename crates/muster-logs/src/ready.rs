//! Readiness by a line of output: `ready = { log = "regex" }`.
//!
//! Runs on the thread that reads the pipes. A match is reported like s6's readiness, by a newline on a pipe, which
//! ends matching for this run. A line is matched when it is complete, and so far as it is there when its stream is silent; a line
//! that does not end is matched in pieces.

use std::io::{PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::memchr;
use regex_lite::Regex;

/// The longest line that is matched in one piece.
const LONGEST: usize = 8 * 1024;

/// Matches lines of one stream of a run. Clones match its other stream.
#[derive(Clone, Debug)]
pub struct ReadyMatcher {
    pattern: Arc<Regex>,
    found: Arc<Found>,
    line: Vec<u8>,
}

#[derive(Debug)]
struct Found {
    is_told: AtomicBool,
    pipe: PipeWriter,
}

impl ReadyMatcher {
    /// The first match is reported on `pipe`.
    pub fn new(pattern: &str, pipe: OwnedFd) -> Result<ReadyMatcher, regex_lite::Error> {
        let found = Found { is_told: AtomicBool::new(false), pipe: PipeWriter::from(pipe) };
        Ok(ReadyMatcher { pattern: Arc::new(Regex::new(pattern)?), found: Arc::new(found), line: Vec::new() })
    }

    /// Consumes bytes. Returns true when matching is over.
    pub fn saw(&mut self, mut bytes: &[u8]) -> bool {
        while !self.found.is_told.load(Ordering::Relaxed) {
            let end = memchr(b'\n', bytes);
            let room = LONGEST - self.line.len();
            let taken = end.unwrap_or(bytes.len()).min(room);
            self.line.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            let is_full = self.line.len() == LONGEST;
            if end.is_none() && !is_full {
                return false;
            }
            self.match_line();
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        true
    }

    /// Nothing has arrived for a while: matches the line so far, for example a prompt. It is matched again
    /// when it is complete. Returns true when matching is over.
    pub(crate) fn saw_silence(&mut self) -> bool {
        if !self.line.is_empty() && !self.found.is_told.load(Ordering::Relaxed) {
            let line = self.line.clone();
            self.match_line();
            self.line = line;
        }
        self.found.is_told.load(Ordering::Relaxed)
    }

    fn match_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        if self.pattern.is_match(line.strip_suffix('\r').unwrap_or(&line)) {
            self.found.is_told.store(true, Ordering::Relaxed);
            // If the run is over, nothing reads it.
            let _ = (&self.found.pipe).write_all(b"\n");
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn matcher(pattern: &str) -> (ReadyMatcher, std::io::PipeReader) {
        let (reader, writer) = std::io::pipe().unwrap();
        (ReadyMatcher::new(pattern, writer.into()).unwrap(), reader)
    }

    #[test]
    fn a_complete_line_that_matches_is_told_once() {
        let (mut stdout, mut told) = matcher("^ready to serve$");
        let mut stderr = stdout.clone();
        assert!(!stdout.saw(b"not ready to serve\nready to"));
        assert!(!stderr.saw(b" serve\n"), "the other stream has lines of its own");
        assert!(stdout.saw(b" serve\r\nready to serve\n"));
        assert!(stderr.saw(b"ready to serve\n"), "matching is over");
        drop((stdout, stderr));
        let mut all = Vec::new();
        told.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"\n");
    }

    #[test]
    fn a_prompt_is_matched_when_its_stream_is_silent() {
        let (mut stdout, _told) = matcher("^ready> $");
        assert!(!stdout.saw_silence());
        assert!(!stdout.saw(b"starting\nready"));
        assert!(!stdout.saw_silence());
        assert!(!stdout.saw(b"> "));
        assert!(stdout.saw_silence());
        let (mut stdout, _told) = super::tests::matcher("^ready to serve$");
        assert!(!stdout.saw(b"ready to"));
        assert!(!stdout.saw_silence());
        assert!(stdout.saw(b" serve\n"), "the line goes on");
    }

    #[test]
    fn a_line_without_end_is_matched_in_pieces_and_kept_in_bounds() {
        let (mut matcher, _told) = matcher("needle");
        assert!(!matcher.saw(&vec![b'x'; 100_000]));
        assert!(matcher.line.capacity() <= 2 * LONGEST);
        assert!(!matcher.saw(b"\n\n\xff\xfe\n"));
        let (mut matcher, _told) = super::tests::matcher("needle");
        assert!(matcher.saw(&[vec![b'x'; 5_000], b"needle".to_vec(), vec![b'x'; 5_000]].concat()));
    }

    #[test]
    fn an_end_without_a_match_is_told_as_an_end() {
        let (matcher, mut told) = matcher("never");
        drop(matcher);
        assert_eq!(told.read(&mut [0]).unwrap(), 0);
    }
}
