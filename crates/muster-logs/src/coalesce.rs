//! Detects single lines that arrive without a pause.
//!
//! They are then coalesced for a moment between two turns of the [`pump`](super::pump): reading each at once would
//! cost its writer a wake-up and us three system calls per line.

use std::time::{Duration, Instant};

/// How long they are coalesced.
pub(super) const GATHERING: Duration = Duration::from_micros(50);

/// A turn that reads less than `SMALL_READ` has met small pieces; a turn after coalescing that reads less than `SMALL_GATHERED`
/// has not met a writer that was blocked meanwhile.
const SMALL_READ: usize = 4096;
const SMALL_GATHERED: usize = 192 * 1024;

/// A shorter gap counts as continuous output.
const WITHOUT_PAUSE: Duration = Duration::from_micros(60);

/// This many turns without a pause start it, and somewhat more are remembered, so that a single pause or large piece does not end it.
const ENOUGH: u32 = 64;
const MOST: u32 = 4 * ENOUGH;

/// Statistics of the last turns.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the thread began to wait for input.
    waits_since: Option<Instant>,
    turns: u32,
    read: usize,
}

impl Pace {
    /// Records that a turn begins.
    pub(super) fn begin(&mut self, now: Instant) {
        let is_soon = self.waits_since.is_some_and(|since| now.saturating_duration_since(since) < WITHOUT_PAUSE);
        let small = if self.is_fast() { SMALL_GATHERED } else { SMALL_READ };
        let is_small = (1..small).contains(&self.read);
        self.turns = if is_soon && is_small { (self.turns + 1).min(MOST) } else { self.turns / 2 };
        self.waits_since = Some(now);
        self.read = 0;
    }

    /// Records the number of bytes read in this turn.
    pub(super) fn has_read(&mut self, count: usize) {
        self.read += count;
    }

    /// Records that coalescing ended now. It may have taken longer than intended, which is not a pause of the writer.
    pub(super) fn has_gathered(&mut self, now: Instant) {
        self.waits_since = Some(now);
    }

    pub(super) fn is_fast(&self) -> bool {
        self.turns >= ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(5);
    const SLOW: Duration = Duration::from_millis(2);

    /// A pace, and the time of its next turn.
    struct Scene {
        pace: Pace,
        now: Instant,
    }

    impl Scene {
        fn new() -> Scene {
            Scene { pace: Pace::default(), now: Instant::now() }
        }

        /// Turns that each read this much, after waiting this long.
        fn turns(&mut self, count: u32, read: usize, waiting: Duration) -> bool {
            for _ in 0..count {
                self.now += waiting;
                self.pace.begin(self.now);
                self.pace.has_read(read);
            }
            self.pace.is_fast()
        }

        /// Turns each followed by coalescing for this long.
        fn gathering_turns(&mut self, count: u32, read: usize, gathering: Duration) -> bool {
            (0..count).for_each(|_| {
                self.turns(1, read, QUICK);
                self.now += gathering;
                self.pace.has_gathered(self.now);
            });
            self.pace.is_fast()
        }
    }

    #[test]
    fn lines_without_a_pause_are_fast_and_lines_with_pauses_are_not() {
        let mut scene = Scene::new();
        assert!(!scene.turns(1000, 100, SLOW));
        assert!(!scene.turns(ENOUGH - 1, 100, QUICK));
        assert!(scene.turns(1, 100, QUICK));
        assert!(!scene.turns(3, 100, SLOW));
    }

    #[test]
    fn large_pieces_are_not_left_to_gather() {
        let mut scene = Scene::new();
        assert!(!scene.turns(1000, 64 * 1024, QUICK));
        scene.turns(1000, 100, QUICK);
        assert!(!scene.gathering_turns(5, 256 * 1024, GATHERING));
    }

    #[test]
    fn gathering_may_take_long_and_give_much_and_one_pause_ends_nothing() {
        let mut scene = Scene::new();
        scene.turns(1000, 100, QUICK);
        assert!(scene.gathering_turns(1000, 150 * 1024, SLOW));
        assert!(scene.turns(1, 100, SLOW));
        assert!(scene.gathering_turns(1000, 100, GATHERING));
    }
}
