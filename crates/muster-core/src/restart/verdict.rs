//! Why the policy decided as it did: the rule behind a decision, as data.
//!
//! A [`Verdict`] is created with every decision and kept with its run. It holds numbers only and allocates nothing;
//! [`super::words`] renders it as a sentence on demand.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{Changed, ExitRule, Jitter, Limit, Preset, RestartWhen};

/// The decision about an end, and the rule behind it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was being stopped, so the policy was not consulted.
    Stopped,
    /// It waits for others that are restarted with it, so the policy was not consulted.
    Held,
    /// It waits for the next client, whatever `restart` says.
    Idle,
    /// `restart` excludes a restart after such an end.
    Final {
        /// The configured `restart`.
        when: RestartWhen,
        /// Whether the end was a success.
        success: bool,
        /// The rule of `on_exit` that said so, if one did.
        by: Option<ExitRule>,
    },
    /// A rule of `on_exit` excludes a restart.
    Ruled {
        /// The rule.
        rule: ExitRule,
        /// Whether the end was a success.
        success: bool,
    },
    /// It is restarted.
    Again(Again),
    /// It could not be spawned, and the policy does not retry failed spawns (`start_failures = "final"`).
    NeverStarted,
    /// It would be restarted, but the limit is reached.
    GivenUp {
        /// The limit.
        limit: Limit,
        /// How much of it was used: consecutive restarts, or starts in the window.
        used: u32,
        /// How long ago, at the time of the next start, the window of a rate limit opened.
        window: Duration,
        /// Why the count was reset by this end, if it was.
        reset: Option<CountReset>,
        /// The rule of `on_exit` about the end, if there is one.
        by: Option<ExitRule>,
    },
}

/// How a restart was computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Again {
    /// The delay before the next run, jitter included.
    pub delay: Duration,
    /// The shortest delay jitter could have chosen.
    pub delay_min: Duration,
    /// The longest delay jitter could have chosen.
    pub delay_max: Duration,
    /// The minimum time between starts, if that made the delay longer.
    pub min_interval: Option<Duration>,
    /// The window of a rate limit, if the next run waits for its end.
    pub waits_out: Option<Duration>,
    /// Number of this restart as counted by the limit, from 1; 0 if it is not counted.
    pub attempt: u32,
    /// The configured limit.
    pub limit: Limit,
    /// Number of the next start within the window of a rate limit, from 1.
    pub start_in_window: u32,
    /// How the delay was computed.
    pub rule: DelayRule,
    /// How it was randomized.
    pub jitter: Jitter,
    /// The preset configured by name, and which of its delays are overridden.
    pub preset: Option<(Preset, Changed)>,
    /// Why the count was reset by this end, if it was and had not been zero.
    pub reset: Option<CountReset>,
    /// The configured `restart`.
    pub when: RestartWhen,
    /// Whether the end was a success, which only `always` and `unless-stopped` restart.
    pub success: bool,
    /// Whether it is restarted only because an end before RUNNING counts as failed, whatever its status and `restart`.
    pub is_failed_start: bool,
    /// The rule of `on_exit` about the end, if there is one.
    pub ruled: Option<Ruled>,
}

/// A rule of `on_exit`, and whether it holds to the letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruled {
    /// The rule.
    pub rule: ExitRule,
    /// Why it is restarted by the policy instead, if it is.
    pub bound: Option<Bound>,
}

/// The bound of a rule that restarts without a delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// It was restarted at once a few times in a row.
    OftenEnough,
    /// All programs were restarted a short time ago.
    AllRestarted {
        /// How long ago.
        ago: Duration,
        /// How long it has to be.
        apart: Duration,
    },
}

/// How a delay was computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DelayRule {
    /// It had been RUNNING: at once, and not counted, as in supervisord.
    AtOnceAfterRunning,
    /// At once and not counted, by a rule of `on_exit`.
    RestartNow,
    /// Together with all other programs, by a rule of `on_exit`.
    RestartAll,
    /// The first restart has no delay.
    FirstAtOnce,
    /// The first delay, not counted: the end was a success.
    AfterSuccess(Duration),
    /// One of several steps of equal ratio from `delay` to `max`.
    Steps {
        /// The first delay.
        delay: Duration,
        /// The last one.
        max: Duration,
        /// Number of this step.
        step: u32,
        /// Number of steps.
        of: u32,
    },
    /// The minimum delay after a failed spawn, if the policy has a shorter one.
    FailedStart,
    /// The daemon lacked the resources to spawn it, which is not counted.
    Shortage,
    /// `delay × factor^step`, at most `max`.
    Power {
        /// The first delay.
        delay: Duration,
        /// The growth factor.
        factor: f64,
        /// The exponent.
        step: u32,
        /// The cap, if it was reached.
        capped: Option<Duration>,
    },
    /// `delay × n`, at most `max`.
    Linear {
        /// The first delay.
        delay: Duration,
        /// The multiplier.
        times: u32,
        /// The cap, if it was reached.
        capped: Option<Duration>,
    },
}

/// Why the count of failures was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountReset {
    /// The run had been up long enough.
    Up {
        /// How long it was up.
        uptime: Duration,
        /// How long was required.
        reset_after: Duration,
    },
    /// The run had been RUNNING.
    WasRunning,
    /// The run had lasted long enough, whether or not it came up.
    Lasted {
        /// How long it lasted.
        uptime: Duration,
        /// How long was required.
        over: Duration,
        /// Whether exactly that long is too short.
        beyond: bool,
    },
}

impl Verdict {
    /// Whether the policy was consulted.
    pub const fn is_policys(&self) -> bool {
        !matches!(self, Verdict::Stopped | Verdict::Held | Verdict::Idle)
    }
}
