//! When a source is asked again: the period, longer after failures, and never the same for a whole fleet.

use std::time::Duration;

/// The longest delay between two polls of a failing HTTP server, unless its period is longer.
const LONGEST_POLL: Duration = Duration::from_secs(300);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Random numbers that differ between containers. They are not secret.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Begins with this seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Begins with the time and the process.
    pub fn seeded() -> Dice {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Dice(since.map_or(0, |span| span.as_nanos() as u64) ^ u64::from(std::process::id()))
    }

    /// A number from 0 up to 1 (splitmix64).
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// This span, longer or shorter by up to a part of it.
    pub fn around(&mut self, span: Duration, part: f64) -> Duration {
        span.mul_f64(1.0 - part + 2.0 * part * self.unit())
    }

    /// A random part of this span.
    pub fn part_of(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.unit())
    }
}

/// The delay before an HTTP server is asked again.
pub fn poll_delay(period: Duration, failures: u32, retry_after: Option<Duration>, dice: &mut Dice) -> Duration {
    if failures == 0 {
        return dice.around(period, 0.1);
    }
    let longest = LONGEST_POLL.max(period);
    let doubled = period.saturating_mul(1 << failures.min(16)).min(longest);
    dice.around(doubled.max(retry_after.unwrap_or_default()).min(longest), 0.1)
}

/// The delay before the next member of etcd is asked.
pub fn retry_delay(failures: u32, dice: &mut Dice) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_RETRY);
    dice.around(doubled, 0.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(span: Duration, middle: f64, part: f64) -> bool {
        (middle * (1.0 - part)..=middle * (1.0 + part)).contains(&span.as_secs_f64())
    }

    #[test]
    fn a_failing_server_is_asked_less_often_up_to_five_minutes() {
        let mut dice = Dice::new(1);
        let mut delay = |period, failures, after: Option<u64>| {
            poll_delay(Duration::from_secs(period), failures, after.map(Duration::from_secs), &mut dice)
        };
        for (period, failures, after, expected) in [
            (20, 0, None, 20.0),
            (20, 1, None, 40.0),
            (20, 3, None, 160.0),
            (20, 4, None, 300.0),
            (20, 99, None, 300.0),
            (20, 1, Some(120), 120.0),
            (20, 1, Some(99_999), 300.0),
            (3600, 5, None, 3600.0),
        ] {
            let found = delay(period, failures, after);
            assert!(within(found, expected, 0.1), "{period} {failures} {after:?}: {found:?}");
        }
    }

    #[test]
    fn a_fleet_does_not_ask_at_once() {
        let delays: std::collections::BTreeSet<Duration> =
            (0..100).map(|seed| poll_delay(Duration::from_secs(20), 0, None, &mut Dice::new(seed))).collect();
        assert!(delays.len() > 95);
        for failures in 1..40 {
            let expected = (0.5 * 2_f64.powi(failures - 1)).min(30.0);
            assert!(within(retry_delay(failures as u32, &mut Dice::new(7)), expected, 0.2), "{failures}");
        }
    }
}
