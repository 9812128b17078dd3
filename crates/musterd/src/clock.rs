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

    /// The timer's instant of a point in time; `None` if the clock has none.
    pub(crate) fn instant(self, at: Time) -> Option<Instant> {
        self.origin.checked_add(at.since_origin())
    }

    /// The seconds since 1970 on the wall clock.
    pub(crate) fn wall_seconds(self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    /// Reads both clocks.
    pub(crate) fn read(self) -> Moment {
        Moment { now: self.now(), wall: SystemTime::now() }
    }

    /// The date of a point in time, according to the current wall clock.
    pub(crate) fn date(self, at: Time) -> SystemTime {
        self.read().date(at)
    }
}

/// One moment on both clocks, for many dates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// On the daemon's clock.
    pub(crate) now: Time,
    wall: SystemTime,
}

impl Moment {
    /// The date of a point in time, according to the wall clock at this moment.
    pub(crate) fn date(self, at: Time) -> SystemTime {
        let Moment { now, wall } = self;
        let date = if at > now { wall.checked_add(at.since(now)) } else { wall.checked_sub(now.since(at)) };
        date.unwrap_or(SystemTime::UNIX_EPOCH)
    }
}
