//! Lines about lost events: one for each, as the original has them, as long as they are not a flood.

use std::time::{Duration, Instant};

/// The number of lines in a second. Beyond it, losses are counted.
const MOST: u32 = 1000;

const SECOND: Duration = Duration::from_secs(1);

/// The lines about losses that were written lately.
#[derive(Debug, Default)]
pub struct Losses {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Losses {
    /// Counts a loss. Returns the number of earlier ones without a line, if there is to be a line for this one.
    pub fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= SECOND) {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines == MOST {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_has_a_line_or_is_counted() {
        let (mut losses, now) = (Losses::default(), Instant::now());
        assert!((0..MOST).all(|_| losses.pass(now) == Some(0)));
        assert!((0..500).all(|_| losses.pass(now + SECOND / 2).is_none()));
        assert_eq!(losses.pass(now + SECOND), Some(500));
        assert_eq!(losses.pass(now + SECOND), Some(0));
    }
}
