//! TICK events: one whenever the wall clock enters another period of five seconds, a minute or an hour.
//!
//! No clock here: callers pass the time since 1970.

use std::time::Duration;

use muster_spec::EventType;

use super::Announcement;

const PERIODS: [(u64, EventType); 3] = [(5, EventType::Tick5), (60, EventType::Tick60), (3600, EventType::Tick3600)];

/// The periods the clock was in at the last look.
#[derive(Debug)]
pub struct Ticks {
    last: [u64; PERIODS.len()],
}

impl Ticks {
    /// Begins at this time, which itself is no tick.
    pub fn beginning_at(now: Duration) -> Ticks {
        Ticks { last: PERIODS.map(|(period, _)| began(now, period)) }
    }

    /// The ticks since the last look: at most one of each kind, however long that was.
    pub fn pass(&mut self, now: Duration) -> Vec<Announcement> {
        let mut ticks = Vec::new();
        for ((period, kind), last) in PERIODS.into_iter().zip(&mut self.last) {
            let when = began(now, period);
            if when != *last {
                *last = when;
                ticks.push(Announcement { kind, payload: format!("when:{when}") });
            }
        }
        ticks
    }

    /// How long it is until the next tick of a kind that is wanted; `None` if none is.
    pub fn wait(now: Duration, is_wanted: impl Fn(EventType) -> bool) -> Option<Duration> {
        let shortest = PERIODS.into_iter().find(|(_, kind)| is_wanted(*kind));
        shortest.map(|(period, _)| Duration::from_secs(began(now, period) + period).saturating_sub(now))
    }
}

/// When the period began that this time is in, in seconds.
fn began(now: Duration, period: u64) -> u64 {
    now.as_secs() - now.as_secs() % period
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600 * 400_000;

    #[test]
    fn a_tick_comes_with_each_new_period() {
        let mut ticks = Ticks::beginning_at(Duration::from_millis(1000 * (HOUR - 6) + 500));
        let mut names = |seconds: u64| -> Vec<String> {
            let passed = ticks.pass(Duration::from_secs(seconds));
            passed.into_iter().map(|tick| format!("{} {}", tick.kind.name(), tick.payload)).collect()
        };
        assert_eq!(names(HOUR - 6), Vec::<String>::new());
        assert_eq!(names(HOUR - 5), [format!("TICK_5 when:{}", HOUR - 5)]);
        assert_eq!(names(HOUR - 1), Vec::<String>::new());
        assert_eq!(
            names(HOUR + 1),
            [format!("TICK_5 when:{HOUR}"), format!("TICK_60 when:{HOUR}"), format!("TICK_3600 when:{HOUR}")]
        );
        assert_eq!(names(HOUR + 59), [format!("TICK_5 when:{}", HOUR + 55)]);
        // The clock was set back.
        assert_eq!(names(HOUR + 20), [format!("TICK_5 when:{}", HOUR + 20)]);
    }

    #[test]
    fn the_wait_is_for_the_most_frequent_tick_that_is_wanted() {
        let now = Duration::from_millis(1000 * (HOUR + 58) + 250);
        let wait = |wanted: &[EventType]| Ticks::wait(now, |kind| wanted.contains(&kind));
        assert_eq!(wait(&[EventType::Tick5, EventType::Tick3600]), Some(Duration::from_millis(1750)));
        assert_eq!(wait(&[EventType::Tick60]), Some(Duration::from_millis(1750)));
        assert_eq!(wait(&[EventType::Tick3600]), Some(Duration::from_millis(1000 * (3600 - 58) - 250)));
        assert_eq!(wait(&[]), None);
    }
}
