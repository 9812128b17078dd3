//! Whether a reader takes enough lines for programs to wait.
//!
//! A program whose lines have no room waits in its write for as long as [`ENOUGH`] of the queue is taken within
//! [`PATIENCE`]. If less is, the reader counts as stalled: programs do not wait for it, and lines are lost, until it has
//! taken that much again. So a slow reader costs time, a stopped one costs lines, and one that takes a byte now
//! and then delays a program for at most that long at a time. Knows nothing of clocks: callers pass `now`.

use std::time::{Duration, Instant};

/// How long programs wait for a reader that takes less than enough.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How much is enough.
pub(super) const ENOUGH: usize = 128 * 1024;

/// The recent progress of a reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// When enough was last taken, and how much since then.
    enough_at: Instant,
    taken: usize,
    last_at: Instant,
}

impl Progress {
    /// Starts when the queue was empty until now.
    pub(super) fn begin(now: Instant) -> Progress {
        Progress { enough_at: now, taken: 0, last_at: now }
    }

    /// Records that this much more has been taken.
    pub(super) fn note(&mut self, taken: usize, now: Instant) {
        self.taken += taken;
        if taken > 0 {
            self.last_at = now;
        }
        if self.taken >= ENOUGH {
            *self = Progress::begin(now);
        }
    }

    /// When anything was last taken.
    pub(super) fn last_at(&self) -> Instant {
        self.last_at
    }

    /// Until when programs wait, if the reader takes nothing more.
    pub(super) fn patience_ends(&self) -> Instant {
        self.enough_at + PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether programs still wait after a minute in which the reader took this much at a time, this often.
    fn is_waited_for(at_once: usize, every: Duration) -> bool {
        let began = Instant::now();
        let (mut progress, mut now) = (Progress::begin(began), began);
        while now < began + Duration::from_secs(60) {
            now += every;
            if now >= progress.patience_ends() {
                return false;
            }
            progress.note(at_once, now);
        }
        true
    }

    #[test]
    fn a_reader_is_waited_for_as_long_as_it_takes_enough() {
        assert!(is_waited_for(ENOUGH, Duration::from_millis(1999)));
        assert!(is_waited_for(ENOUGH / 64, Duration::from_millis(31)));
        assert!(is_waited_for(20 << 20, Duration::from_millis(1000)));
        assert!(!is_waited_for(ENOUGH, Duration::from_millis(2000)));
        assert!(!is_waited_for(ENOUGH / 64, Duration::from_millis(32)));
        assert!(!is_waited_for(1, Duration::from_millis(1)));
    }

    #[test]
    fn a_reader_that_had_stopped_is_waited_for_again_when_it_has_taken_enough() {
        let began = Instant::now();
        let late = began + 10 * PATIENCE;
        let mut progress = Progress::begin(began);
        progress.note(ENOUGH - 1, late);
        assert!(progress.patience_ends() < late);
        progress.note(1, late);
        assert_eq!(progress.patience_ends(), late + PATIENCE);
    }
}
