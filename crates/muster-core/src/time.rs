//! A point on the monotonic clock, as passed to the core.
//!
//! The origin is arbitrary: the shell counts from its own start, a simulation from zero. Wall-clock time never reaches
//! the core, so suspends and clock steps change no decision.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How late the daemon may wake up before the delay counts as lost time. Less is normal on a busy machine.
pub const LATE: Duration = Duration::from_millis(250);

/// A point on the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(Duration);

impl Time {
    /// The origin of the clock.
    pub const ZERO: Time = Time(Duration::ZERO);

    /// The point `since_origin` after the origin.
    pub const fn from_origin(since_origin: Duration) -> Time {
        Time(since_origin)
    }

    /// Time since the origin.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// Time since `earlier`; zero if that is later.
    pub const fn since(self, earlier: Time) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Saturates: a deadline too far to represent is never reached.
    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(span))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(span))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}
