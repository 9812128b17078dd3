//! What a log file has lost since it could last be written, for the words about it.

use std::time::Instant;

use memchr::memchr_iter;

use super::counters::Counters;

/// What has been lost since it could last be written.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) ends_line: bool,
    pub(super) retry_at: Instant,
    pub(super) is_told: bool,
}

impl Loss {
    pub(super) fn add(&mut self, lost: &[u8], counters: &Counters) {
        let Some(&last) = lost.last() else { return };
        let lines = memchr_iter(b'\n', lost).count() as u64;
        self.lines += lines;
        self.bytes += lost.len() as u64;
        self.ends_line = last == b'\n';
        counters.count_dropped(lines, lost.len());
    }
}
