//! The only place where the clock is read.
//!
//! Decisions use the monotonic clock only. The wall clock is used to convert a point in time into a date for display.

use std::time::{Instant, SystemTime};

use muster_core::Time;

/// The daemon's clock, counted from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    pub(crate) fn now(self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    /// The timer's instant of a point in time. A deadline centuries ahead is never reached.
    pub(crate) fn instant(self, at: Time) -> Option<Instant> {
        self.origin.checked_add(at.since_origin())
    }

    /// The seconds since 1970 on the wall clock.
    pub(crate) fn wall_seconds(self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    /// The date of a point in time, according to the current wall clock.
    pub(crate) fn date(self, at: Time) -> SystemTime {
        let (now, wall) = (self.now(), SystemTime::now());
        let date = if at > now { wall.checked_add(at.since(now)) } else { wall.checked_sub(now.since(at)) };
        date.unwrap_or(SystemTime::UNIX_EPOCH)
    }
}
