//! What a program can make the daemon say is said a few times at once and once a minute from then on, with how often it was
//! not said.
//!
//! One limit for each instance and kind of notice, not for each run: a program that is restarted begins no new burst.
//! Knows no clock: callers pass `now`. Bounded by the number of instances, since [`Limits::retain`] forgets those that left.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// So many notices of a kind are said before the limit holds.
const BURST: u32 = 5;

/// From then on there is one in this time.
const INTERVAL: Duration = Duration::from_secs(60);

/// What a program can make the daemon say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Notice {
    Status,
    Error,
    Reloading,
    Garbage,
    Store,
    Stranger,
    MainPid,
    MainPidRefused,
}

/// The limit of one kind of notice.
#[derive(Debug, Default)]
struct Limiter {
    said: u32,
    last: Option<Instant>,
    suppressed: u64,
}

impl Limiter {
    /// How many were suppressed since the last one that was said, if this one is to be said.
    fn pass(&mut self, now: Instant) -> Option<u64> {
        let is_rested = self.last.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL);
        if self.said >= BURST && !is_rested {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.said = self.said.saturating_add(1);
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// The limits of all instances, by their names.
#[derive(Debug, Default)]
pub(super) struct Limits {
    limiters: HashMap<String, HashMap<Notice, Limiter>>,
}

impl Limits {
    /// How many notices of this kind were suppressed since the last one that was said, if this one is to be said.
    pub(super) fn pass(&mut self, name: &str, notice: Notice, now: Instant) -> Option<u64> {
        if !self.limiters.contains_key(name) {
            self.limiters.insert(name.to_owned(), HashMap::new());
        }
        self.limiters.get_mut(name)?.entry(notice).or_default().pass(now)
    }

    /// Forgets the instances that are gone.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.limiters.retain(|name, _| is_there(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_a_minute_with_the_count() {
        let (mut limits, start) = (Limits::default(), Instant::now());
        let mut pass = |name, notice, seconds| limits.pass(name, notice, start + Duration::from_secs(seconds));
        for _ in 0..BURST {
            assert_eq!(pass("web", Notice::Error, 0), Some(0));
        }
        for second in 0..60 {
            assert_eq!(pass("web", Notice::Error, second), None);
        }
        assert_eq!(pass("web", Notice::Error, 60), Some(60));
        assert_eq!(pass("web", Notice::Error, 60), None);
        assert_eq!(pass("web", Notice::Stranger, 61), Some(0), "another kind has its own limit");
        assert_eq!(pass("db", Notice::Error, 61), Some(0), "and so has another program");
        assert_eq!(pass("web", Notice::Error, 1000), Some(1));
        limits.retain(|name| name == "db");
        assert_eq!(limits.limiters.len(), 1);
    }
}
