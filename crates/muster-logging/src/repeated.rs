//! How much output of programs the daemon's log repeats: a bounded amount in a given time, since formatting it is work of the loop.

use std::time::{Duration, Instant};

/// How much may come at once, in bytes.
const BURST: u64 = 256 * 1024;

/// How much is allowed in a second, in bytes.
const PER_SECOND: u64 = 64 * 1024;

/// The allowance that is left.
#[derive(Debug)]
pub struct Allowance {
    left: u64,
    at: Instant,
    lost: u64,
}

impl Allowance {
    /// A full one.
    pub fn new(now: Instant) -> Allowance {
        Allowance { left: BURST, at: now, lost: 0 }
    }

    /// Uses this many bytes of it. `None` if that is too much: they are lost. Otherwise the number of bytes that were lost since the
    /// last time.
    pub fn take(&mut self, size: usize, now: Instant) -> Option<u64> {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let passed = now.saturating_duration_since(self.at).min(Duration::from_secs(60)).as_millis();
        let grown = u64::try_from(passed).unwrap_or(0) * PER_SECOND / 1000;
        if grown > 0 {
            self.left = (self.left + grown).min(BURST);
            self.at = now;
        }
        match self.left.checked_sub(size) {
            Some(left) => {
                self.left = left;
                Some(std::mem::take(&mut self.lost))
            }
            None => {
                self.lost = self.lost.saturating_add(size);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_it_is_lost_and_counted() {
        let began = Instant::now();
        let mut allowance = Allowance::new(began);
        let piece = 64 * 1024;
        (0..4).for_each(|_| assert_eq!(allowance.take(piece, began), Some(0)));
        assert_eq!(allowance.take(piece, began), None);
        assert_eq!(allowance.take(10, began), None);
        let later = began + Duration::from_secs(1);
        assert_eq!(allowance.take(piece, later), Some(piece as u64 + 10));
        assert_eq!(allowance.take(1, later), None);
        let much_later = began + Duration::from_secs(3600);
        assert_eq!(allowance.take(piece, much_later), Some(1));
        assert_eq!(allowance.left, BURST - PER_SECOND);
    }
}
