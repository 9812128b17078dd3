//! When a program is started by itself: `schedule`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The schedule of a program. Expressions and zones are text here, checked when the configuration is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// Its times: it is due at each time of each of them.
    pub times: Vec<ScheduleTimes>,
    /// The effect of a time that comes during a run.
    pub overlap: Overlap,
    /// The longest random delay after each time.
    pub jitter: Duration,
    /// The consequence of a time that the clock left out, or that came while the daemon did not run.
    pub missed: Missed,
    /// Whether it also runs when it starts with the daemon.
    pub run_on_start: bool,
}

impl ScheduleSpec {
    /// These times, with defaults for everything else.
    pub fn of(times: Vec<ScheduleTimes>) -> ScheduleSpec {
        let (overlap, missed) = (Overlap::default(), Missed::default());
        ScheduleSpec { times, overlap, jitter: Duration::ZERO, missed, run_on_start: false }
    }

    /// The intervals among its times.
    pub fn intervals(&self) -> impl Iterator<Item = Duration> {
        self.times.iter().filter_map(|times| match times {
            ScheduleTimes::Every(interval) => Some(*interval),
            ScheduleTimes::Cron { .. } => None,
        })
    }
}

/// Times of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleTimes {
    /// Times of the wall clock.
    Cron {
        /// Five fields; six begin with seconds.
        expression: String,
        /// The time zone: a name, or an offset such as `+02:00`.
        timezone: String,
    },
    /// Each time this interval has passed since the program was armed, by the monotonic clock.
    Every(Duration),
}

/// The effect of a scheduled time that comes during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Nothing: it is counted as skipped.
    #[default]
    Skip,
    /// One more run follows; further times are skipped.
    Queue,
    /// The run is stopped, and another one follows.
    Replace,
}

impl Overlap {
    /// Each by its word in the configuration.
    pub const ALL: [(&'static str, Overlap); 3] =
        [("skip", Overlap::Skip), ("queue", Overlap::Queue), ("replace", Overlap::Replace)];
    /// The words.
    pub const WORDS: [&'static str; 3] = ["skip", "queue", "replace"];

    /// Its word in the configuration.
    pub const fn name(self) -> &'static str {
        Overlap::WORDS[self as usize]
    }
}

/// The consequence of a scheduled time that was missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Nothing: it is counted as missed.
    #[default]
    Skip,
    /// One run as soon as the daemon can, however many there were.
    Once,
}

impl Missed {
    /// Each by its word in the configuration.
    pub const ALL: [(&'static str, Missed); 2] = [("skip", Missed::Skip), ("once", Missed::Once)];

    /// Its word in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Missed::Skip => "skip",
            Missed::Once => "once",
        }
    }
}
