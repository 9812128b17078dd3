//! A point on the monotonic clock, as passed to the core.
//!
//! The origin is arbitrary: the shell counts from its own start, a simulation from zero. Wall-clock time never reaches
//! the core, so suspends and clock steps change no decision.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How late the daemon may wake up before the delay counts as lost time. Less is normal on a busy machine.
pub const LATE: Duration = Duration::from_millis(250);

/// A point on the monotonic clock, in nanoseconds: at most 584 years after the origin.
///
/// One more than those since the origin: an instance has twenty of them, most of them optional, and `None` takes no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Duration", into = "Duration")]
pub struct Time(NonZeroU64);

impl Time {
    /// The origin of the clock.
    pub const ZERO: Time = Time(NonZeroU64::MIN);

    /// The point `since_origin` after the origin.
    pub const fn from_origin(since_origin: Duration) -> Time {
        let nanoseconds = since_origin.as_nanos();
        let known = if nanoseconds < u64::MAX as u128 { nanoseconds as u64 } else { u64::MAX - 1 };
        Time(NonZeroU64::MIN.saturating_add(known))
    }

    /// Time since the origin.
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }

    /// Time since `earlier`; zero if that is later.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Time {
    fn default() -> Time {
        Time::ZERO
    }
}

impl From<Duration> for Time {
    fn from(since_origin: Duration) -> Time {
        Time::from_origin(since_origin)
    }
}

impl From<Time> for Duration {
    fn from(time: Time) -> Duration {
        time.since_origin()
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Saturates: a deadline too far to represent is never reached.
    fn add(self, span: Duration) -> Time {
        Time::from_origin(self.since_origin().saturating_add(span))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, span: Duration) -> Time {
        Time::from_origin(self.since_origin().saturating_sub(span))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.since_origin().as_secs_f64())
    }
}
