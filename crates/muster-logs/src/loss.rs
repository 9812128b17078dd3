//! The losses of a log file since it could last be written, for the log messages about them.

use std::time::Instant;

use memchr::memchr_iter;

use super::TELL_AGAIN;
use super::counters::Counters;

/// Losses since the file could last be written.
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

/// Limits reports of refusals, or of anything else that a program's user or a client can cause at any time.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    told_at: Option<Instant>,
    pub(super) untold: u64,
    pub(super) is_told: bool,
}

impl Refusals {
    /// Whether this one is reported: one a minute, with the number of those before it.
    pub(super) fn is_to_be_told(&mut self, now: Instant) -> bool {
        self.is_told = self.told_at.is_none_or(|at| now >= at + TELL_AGAIN);
        if self.is_told {
            self.told_at = Some(now);
        } else {
            self.untold += 1;
        }
        self.is_told
    }

    /// The number of unreported ones since the last report, for a field that is omitted if there are none.
    pub(super) fn take_untold(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.untold)).filter(|untold| *untold > 0)
    }
}
