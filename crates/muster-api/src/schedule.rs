//! The programs that start by a schedule, and when: `GET /v1/schedule`.

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// How many times of each program are listed, if the request does not say.
pub const DEFAULT_TIMES: usize = 1;

/// The most times of each program.
pub const MOST_TIMES: usize = 20;

/// A program with a schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduledProgram {
    /// The instance.
    pub name: String,
    /// Whether it is started at these times: `stop` ends that, and `start` begins it again.
    pub armed: bool,
    /// Its schedule: `TZ=Europe/Berlin 30 2 * * *`, `@every 90s`.
    pub cron: Vec<String>,
    /// What a time does that comes during a run: `skip`, `queue` or `replace`.
    pub overlap: String,
    /// The longest random delay after each time, in seconds.
    pub jitter: f64,
    /// Its next times, without that delay.
    pub times: Vec<ScheduledTime>,
}

/// A time of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledTime {
    /// The time.
    pub at: Timestamp,
    /// The same as the clock of the schedule's time zone shows it.
    pub local: String,
}
