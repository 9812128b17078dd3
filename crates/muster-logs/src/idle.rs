//! Emits the beginning of an incomplete line after [`IDLE`] without a byte of its stream.
//!
//! There is one queue for all streams, with at most one entry for each, and none for a stream whose last byte was a newline: so the
//! [`pump`](super::pump) has no timer while nothing is pending, and a busy stream never delays another one's part. An entry
//! is not moved when more bytes arrive; when it is due, the stream reports whether it was silent or since when it is waiting.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// A stream that wrote nothing for this long emits the beginning of its line.
pub(super) const IDLE: Duration = Duration::from_millis(200);

/// The streams with an open line, by the time of their next check.
#[derive(Debug, Default)]
pub(super) struct IdleQueue(BinaryHeap<Reverse<(Instant, u64)>>);

impl IdleQueue {
    /// Schedules a check of this stream. It must not be in the queue.
    pub(super) fn push(&mut self, token: u64, at: Instant) {
        self.0.push(Reverse((at, token)));
    }

    /// Removes the next stream that is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u64> {
        let Reverse((at, _)) = self.0.peek()?;
        if *at > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, token))| token)
    }

    /// The time until the next check; `None` while no line is open.
    pub(super) fn time_left(&self) -> Option<Duration> {
        self.0.peek().map(|Reverse((at, _))| at.saturating_duration_since(Instant::now()))
    }
}

/// The state of a stream's current line.
#[derive(Debug, Default)]
pub(super) struct OpenLine {
    /// When the last byte was read, unless that was a newline or everything has been emitted.
    since: Option<Instant>,
    /// Whether it contains a carriage return: progress output that is redrawn continuously.
    is_redrawn: bool,
    /// Whether the stream is in the queue.
    pub(super) is_queued: bool,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its line is complete.
    Closed,
    /// It wrote meanwhile: check again at this time.
    LookAgain(Instant),
    GiveOut,
}

impl OpenLine {
    /// Records bytes that were read.
    pub(super) fn note(&mut self, bytes: &[u8], now: Instant) {
        if bytes.last() == Some(&b'\n') {
            self.close();
        } else {
            self.since = Some(now);
            if let Some(last) = memchr::memrchr2(b'\n', b'\r', bytes) {
                self.is_redrawn = bytes[last] == b'\r';
            }
        }
    }

    /// Whether the stream must be queued now: a line is open, and it is not in the queue.
    pub(super) fn enters_queue(&mut self) -> bool {
        let enters = self.since.is_some() && !self.is_queued;
        self.is_queued |= enters;
        enters
    }

    /// Records that no part of a line is pending.
    pub(super) fn close(&mut self) {
        self.since = None;
        self.is_redrawn = false;
    }

    /// Decides once the check is due.
    pub(super) fn judge(&self, now: Instant) -> Verdict {
        match self.since {
            None => Verdict::Closed,
            Some(since) if since + IDLE > now && !self.is_redrawn => Verdict::LookAgain(since + IDLE),
            Some(_) => Verdict::GiveOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_at_their_moments_and_there_is_no_timer_without_one() {
        let (mut queue, start) = (IdleQueue::default(), Instant::now());
        assert_eq!(queue.time_left(), None);
        queue.push(7, start + IDLE);
        queue.push(8, start + IDLE / 2);
        assert_eq!(queue.pop_due(start), None);
        assert_eq!(queue.pop_due(start + IDLE / 2), Some(8));
        assert_eq!(queue.pop_due(start + IDLE / 2), None);
        assert_eq!(queue.pop_due(start + IDLE), Some(7));
        assert_eq!(queue.time_left(), None);
    }

    #[test]
    fn a_part_is_given_out_after_the_silence_of_its_own_stream() {
        let (mut line, start) = (OpenLine::default(), Instant::now());
        assert_eq!(line.judge(start), Verdict::Closed);
        line.note(b"one\ntw", start);
        line.note(b"o", start + IDLE / 2);
        assert_eq!(line.judge(start + IDLE), Verdict::LookAgain(start + IDLE / 2 + IDLE));
        assert_eq!(line.judge(start + IDLE / 2 + IDLE), Verdict::GiveOut);
        line.note(b" end\n", start + IDLE);
        assert_eq!(line.judge(start + 9 * IDLE), Verdict::Closed);
    }

    #[test]
    fn progress_is_given_out_without_a_silence() {
        let (mut line, start) = (OpenLine::default(), Instant::now());
        line.note(b"done\n10%\r11%", start);
        assert_eq!(line.judge(start), Verdict::GiveOut);
        line.note(b"\r\nnext", start);
        assert_eq!(line.judge(start), Verdict::LookAgain(start + IDLE));
    }
}
