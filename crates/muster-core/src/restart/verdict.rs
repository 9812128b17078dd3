//! Why the policy decided as it did: the rule behind a decision as data, and the sentence that says it.
//!
//! A [`Verdict`] is made with every decision and kept with the run it is about. It holds numbers only and allocates
//! nothing; the words are made when they are asked for ([`super::words`]).

use std::time::Duration;

use muster_spec::{Changed, Jitter, Limit, Preset, RestartWhen};

/// What came of an end, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It was being stopped, so the policy was not asked.
    Stopped,
    /// It waits for others that are restarted with it, so the policy was not asked.
    Held,
    /// `restart` does not ask for another run after such an end.
    Final {
        /// The word of `restart`.
        when: RestartWhen,
        /// Whether the end was a success.
        success: bool,
    },
    /// It is started again.
    Again(Again),
    /// It could not be spawned, and under this policy such a run is the last (`start_failures = "final"`).
    NeverStarted,
    /// It would be started again, but the limit is used up.
    GivenUp {
        /// The limit.
        limit: Limit,
        /// How much of it was used: restarts in a row, or starts in the window.
        used: u32,
        /// How long ago the window of a rate limit was opened, when the next start would come.
        window: Duration,
        /// Why the count had gone back to zero with this very end, if it had.
        reset: Option<CountReset>,
    },
}

/// How a restart was worked out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Again {
    /// The delay before the next run, jitter included.
    pub delay: Duration,
    /// The shortest that jitter could have made it.
    pub delay_min: Duration,
    /// The longest that jitter could have made it.
    pub delay_max: Duration,
    /// How far apart starts must be, where that made the delay longer.
    pub min_interval: Option<Duration>,
    /// The window of a rate limit, where the next run waits for its end.
    pub waits_out: Option<Duration>,
    /// How many of the restarts that the limit counts are used with it, from 1; 0 where it is not counted.
    pub attempt: u32,
    /// How many there may be.
    pub limit: Limit,
    /// Which start within the window of a rate limit it will be, from 1.
    pub start_in_window: u32,
    /// Where the delay comes from.
    pub rule: DelayRule,
    /// What chance does to it.
    pub jitter: Jitter,
    /// The system whose rules were asked for by name, and what of its delays was configured otherwise.
    pub preset: Option<(Preset, Changed)>,
    /// Why the count went back to zero with this end, if it did and was not zero before.
    pub reset: Option<CountReset>,
    /// The word of `restart`.
    pub when: RestartWhen,
    /// Whether the end was a success, which only `always` and `unless-stopped` restart.
    pub success: bool,
    /// Whether it is restarted only because a run that never came up counts as failed, whatever its status and `restart`.
    pub is_failed_start: bool,
}

/// Where a delay comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DelayRule {
    /// It had been RUNNING: at once, and not counted, as in supervisord.
    AtOnceAfterRunning,
    /// The first restart comes without delay.
    FirstAtOnce,
    /// The first delay, not counted: the end was a success.
    AfterSuccess(Duration),
    /// One of several steps of equal ratio from `delay` to `max`.
    Steps {
        /// The first delay.
        delay: Duration,
        /// The last one.
        max: Duration,
        /// Which step.
        step: u32,
        /// Of how many.
        of: u32,
    },
    /// The least delay after a start that failed, where the policy has a shorter one.
    FailedStart,
    /// The daemon had nothing left to start it with, which is not counted.
    Shortage,
    /// `delay × factor^step`, at most `max`.
    Power {
        /// The first delay.
        delay: Duration,
        /// What it is multiplied by.
        factor: f64,
        /// How often.
        step: u32,
        /// The cap, where it was reached.
        capped: Option<Duration>,
    },
    /// `delay × n`, at most `max`.
    Linear {
        /// The first delay.
        delay: Duration,
        /// How many of it.
        times: u32,
        /// The cap, where it was reached.
        capped: Option<Duration>,
    },
}

/// Why the count of failures went back to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountReset {
    /// The run had been up for so long.
    Up {
        /// How long it was up.
        uptime: Duration,
        /// How long was enough.
        reset_after: Duration,
    },
    /// The run had been RUNNING.
    WasRunning,
    /// The run had lasted so long, whether it came up or not.
    Lasted {
        /// How long it lasted.
        uptime: Duration,
        /// How long was enough.
        over: Duration,
        /// Whether it had to last longer than that.
        beyond: bool,
    },
}

impl Verdict {
    /// Whether the policy was asked at all.
    pub const fn is_policys(&self) -> bool {
        !matches!(self, Verdict::Stopped | Verdict::Held)
    }
}
