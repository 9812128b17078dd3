//! When a run that ended is restarted, after which delay, and when to give up.
//!
//! One counter, one delay, one limit for failed spawns, early exits and crashes alike. The policy is configured
//! ([`muster_spec::RestartPolicy`]), the [`Tally`] is the per-instance state, and [`judge()`] is the rule. [`delay`]
//! computes the length of a delay. Independent of instance states: the caller reports what happened.

pub mod delay;
mod judge;
mod verdict;
mod words;

use std::time::Duration;

use crate::time::Time;

pub use judge::{
    Tally, decide, judge, judge_by_rule, judge_failed_start, judge_shortage, refuse_start, used, would_reset,
};
pub use verdict::{Again, Bound, CountReset, DelayRule, Ruled, Verdict};

/// The end of a run, as input to the policy.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Time of the end.
    pub at: Time,
    /// How long the run lasted; zero if its spawn failed.
    pub uptime: Duration,
    /// Whether a process was spawned.
    pub was_spawned: bool,
    /// Whether it had been RUNNING.
    pub was_running: bool,
    /// Whether the end was a success.
    pub success: bool,
}

/// The decision of the policy about an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Restart after this delay, which includes jitter.
    Restart {
        /// Delay before the next run.
        delay: Duration,
    },
    /// The end is final: the policy does not restart it.
    Stay,
    /// The retries are used up: give up.
    GiveUp,
}
