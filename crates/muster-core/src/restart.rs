//! When a run that ended is followed by another, after which delay, and when to give up.
//!
//! One counter, one delay, one limit, the same for failed spawns, early exits and crashes. The policy is configured
//! ([`muster_spec::RestartPolicy`]), the [`Tally`] is what an instance remembers of its past, and [`judge()`] is the whole
//! rule. How long a delay is says [`delay`]. Knows nothing of states: its caller says what happened.

pub mod delay;
mod judge;
mod verdict;
mod words;

use std::time::Duration;

use crate::time::Time;

pub use judge::{Tally, decide, judge, judge_failed_start, judge_shortage, refuse_start, used, would_reset};
pub use verdict::{Again, CountReset, DelayRule, Verdict};

/// An end of a run, as the policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// When.
    pub at: Time,
    /// How long the run lasted; zero if there never was one.
    pub uptime: Duration,
    /// Whether there was a process at all.
    pub was_spawned: bool,
    /// Whether it had been RUNNING.
    pub was_running: bool,
    /// Whether the end was a success.
    pub success: bool,
}

/// What the policy makes of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start again after this delay, which includes the jitter.
    Restart {
        /// How long to wait.
        delay: Duration,
    },
    /// The end is final: the policy does not restart it.
    Stay,
    /// The retries are used up.
    GiveUp,
}
