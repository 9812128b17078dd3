//! The one place where the clock is read.
//!
//! Decisions are made on the monotonic clock alone. The wall clock only turns a point of it into a date to show.

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

    /// The timer's view of a point, as far as it can be told: a deadline centuries ahead is never reached.
    pub(crate) fn instant(self, at: Time) -> Option<Instant> {
        self.origin.checked_add(at.since_origin())
    }

    /// The date of a point, by what the wall clock says now.
    pub(crate) fn date(self, at: Time) -> SystemTime {
        let (now, wall) = (self.now(), SystemTime::now());
        let date = if at > now { wall.checked_add(at.since(now)) } else { wall.checked_sub(now.since(at)) };
        date.unwrap_or(SystemTime::UNIX_EPOCH)
    }
}
