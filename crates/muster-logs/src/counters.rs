//! Counters of an instance's output that any thread may read.
//!
//! Updated by the thread that reads the pipes, one addition per read. Totals since the daemon's start, over
//! all runs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counters of one instance.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    lines: AtomicU64,
    bytes: AtomicU64,
    dropped_lines: AtomicU64,
    dropped_bytes: AtomicU64,
}

/// Their values at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines read.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Lines that a destination did not get: its reader was too slow, the disk was full, the rate limit was exceeded. A line that
    /// two destinations miss counts twice.
    pub dropped_lines: u64,
    /// The bytes of those lines.
    pub dropped_bytes: u64,
}

impl Counters {
    pub(super) fn count_read(&self, lines: u64, bytes: usize) {
        self.lines.fetch_add(lines, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn count_dropped(&self, lines: u64, bytes: usize) {
        self.dropped_lines.fetch_add(lines, Relaxed);
        self.dropped_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            lines: self.lines.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            dropped_lines: self.dropped_lines.load(Relaxed),
            dropped_bytes: self.dropped_bytes.load(Relaxed),
        }
    }
}
