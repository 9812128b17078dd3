//! How a shutdown's budget is divided among its waves.
//!
//! A wave needs as long as the longest patience of its live members. If the budget covers all waves, each gets what it
//! needs; otherwise each gets its proportional share, so that each member of each wave gets its stop signal. Time that
//! a wave does not use is available to the later ones. Knows nothing of states or clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The time needed by the waves still to come, by priority.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(i64, Duration, usize)>", into = "Vec<(i64, Duration, usize)>")]
pub(crate) struct Wants {
    /// Number of members by the time they need.
    waves: BTreeMap<i64, BTreeMap<Duration, usize>>,
    /// Sum of the longest time needed in each wave, in nanoseconds: very long times must not overflow it.
    total: u128,
}

impl From<Wants> for Vec<(i64, Duration, usize)> {
    fn from(wants: Wants) -> Vec<(i64, Duration, usize)> {
        let members =
            |(rank, wave): (i64, BTreeMap<Duration, usize>)| wave.into_iter().map(move |(it, n)| (rank, it, n));
        wants.waves.into_iter().flat_map(members).collect()
    }
}

impl From<Vec<(i64, Duration, usize)>> for Wants {
    fn from(members: Vec<(i64, Duration, usize)>) -> Wants {
        let mut wants = Wants::default();
        for (rank, patience, count) in members {
            (0..count).for_each(|_| wants.add(rank, patience));
        }
        wants
    }
}

impl Wants {
    /// Adds a member of this wave that needs this long.
    pub(crate) fn add(&mut self, priority: i64, patience: Duration) {
        self.change(priority, |wave| *wave.entry(patience).or_default() += 1);
    }

    /// Removes a member from this wave, if it is still to come.
    pub(crate) fn forget(&mut self, priority: i64, patience: Duration) {
        if self.waves.contains_key(&priority) {
            self.change(priority, |wave| {
                let count = wave.remove(&patience).unwrap_or_default();
                if count > 1 {
                    wave.insert(patience, count - 1);
                }
            });
        }
    }

    /// Begins this wave: how much of `remaining` it may take.
    pub(crate) fn take_share(&mut self, priority: i64, remaining: Duration) -> Duration {
        let (total, wave) = (self.total, self.waves.remove(&priority).unwrap_or_default());
        let want = longest(&wave);
        self.total -= want.as_nanos();
        if total <= remaining.as_nanos() {
            return want;
        }
        let part = remaining.as_secs_f64() * (want.as_nanos() as f64 / total as f64);
        Duration::try_from_secs_f64(part).map_or(remaining, |part| part.min(remaining))
    }

    /// How much more than it needs this wave, about to begin, may take if there is time to spare: a killed process
    /// needs a moment to be torn down, and the next member in a chain must not lose that time.
    pub(crate) fn spare_share(&self, priority: i64, remaining: Duration) -> Duration {
        let want = self.waves.get(&priority).map_or(Duration::ZERO, longest);
        let spare = remaining.as_nanos().saturating_sub(self.total);
        if spare == 0 || want.is_zero() {
            return Duration::ZERO;
        }
        let part = want.as_nanos() as f64 / self.total as f64;
        Duration::try_from_secs_f64(spare as f64 / 1e9 * part).map_or(Duration::ZERO, |part| part.min(remaining))
    }

    fn change(&mut self, priority: i64, change: impl FnOnce(&mut BTreeMap<Duration, usize>)) {
        let wave = self.waves.entry(priority).or_default();
        self.total -= longest(wave).as_nanos();
        change(wave);
        self.total += longest(wave).as_nanos();
    }
}

fn longest(wave: &BTreeMap<Duration, usize>) -> Duration {
    wave.last_key_value().map_or(Duration::ZERO, |(&patience, _)| patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// One wave per element; the first one has the highest priority.
    fn wants(wishes: &[Duration]) -> Wants {
        let mut wants = Wants::default();
        (0..).zip(wishes).for_each(|(rank, &wish)| wants.add(-rank, wish));
        wants
    }

    #[test]
    fn what_fits_is_not_shortened() {
        assert_eq!(wants(&[seconds(4), seconds(5)]).take_share(0, seconds(9)), seconds(4));
        assert_eq!(wants(&[seconds(9)]).take_share(0, seconds(9)), seconds(9));
    }

    #[test]
    fn what_does_not_fit_is_shared_in_proportion() {
        assert_eq!(wants(&[seconds(10); 10]).take_share(0, seconds(9)), Duration::from_millis(900));
        assert_eq!(wants(&[seconds(10), seconds(20)]).take_share(0, seconds(9)), seconds(3));
        assert_eq!(wants(&[seconds(10), seconds(20)]).take_share(0, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_wave_wants_as_long_as_its_most_patient_member_that_lives() {
        let mut wants = wants(&[seconds(5), seconds(10)]);
        wants.add(-1, seconds(20));
        wants.add(-1, seconds(20));
        wants.forget(-1, seconds(20));
        assert_eq!(wants.clone().take_share(0, seconds(20)), seconds(4));
        wants.forget(-1, seconds(20));
        assert_eq!(wants.clone().take_share(0, seconds(12)), seconds(4));
        wants.forget(-1, seconds(10));
        assert_eq!(wants.take_share(0, seconds(5)), seconds(5));
    }

    #[test]
    fn what_is_to_spare_is_shared_in_proportion() {
        assert_eq!(wants(&[seconds(10), seconds(20)]).spare_share(0, seconds(60)), seconds(10));
        assert_eq!(wants(&[seconds(10), seconds(20)]).spare_share(0, seconds(30)), Duration::ZERO);
        assert_eq!(wants(&[Duration::MAX; 2]).spare_share(0, seconds(8)), Duration::ZERO);
    }

    #[test]
    fn who_has_had_its_turn_is_not_counted_again() {
        let mut wants = wants(&[seconds(10), seconds(10)]);
        wants.take_share(0, seconds(4));
        wants.forget(0, seconds(10));
        assert_eq!(wants.take_share(-1, seconds(9)), seconds(9));
        assert_eq!(wants.total, 0);
    }

    #[test]
    fn endless_wishes_are_shared_like_others() {
        let mut wants = wants(&[Duration::MAX; 2]);
        assert_eq!(wants.take_share(0, seconds(8)), seconds(4));
        assert_eq!(wants.take_share(-1, Duration::MAX), Duration::MAX);
    }
}
