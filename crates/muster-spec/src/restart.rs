//! The restart policy as configured: when a run is restarted, after which delay, and when to give up.
//!
//! `muster_core::restart` implements it. Other systems' policies, by name, are in [`preset`].

mod on_exit;
mod preset;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::signal::SignalSet;

pub use on_exit::{ExitAction, ExitMatch, ExitRule, ExitRules};
pub use preset::{Changed, Preset};

/// The ends of a run after which a program is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartWhen {
    /// None, not even a failed start.
    Never,
    /// Ends that are not a success.
    OnFailure,
    /// All ends that were not requested.
    Always,
    /// As always, and a program stopped by the operator stays stopped across reloads.
    UnlessStopped,
}

/// How many restarts are allowed before giving up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Any number.
    Unlimited,
    /// This number; [`RestartPolicy::forget`] says when the count is reset to zero.
    Retries(u32),
    /// A number of starts within a window that opens with the first of them, as systemd counts (`StartLimitBurst`). The
    /// window closes when more than its length has passed.
    Rate {
        /// Starts allowed in a window.
        starts: u32,
        /// Length of the window.
        within: Duration,
        /// When the limit is checked.
        judged: Judged,
        /// The consequence of reaching the limit.
        then: Exceeded,
    },
}

/// When a rate limit is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    /// When a run ends: an instance is given up without a delay.
    AtEnd,
    /// When the next run is due, as in systemd: the delay passes before an instance is given up.
    AtStart,
}

/// The consequence of reaching a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exceeded {
    /// The instance becomes FATAL.
    Fatal,
    /// The next run is postponed until the window has closed, as in Nomad (`mode = "delay"`).
    WaitOut,
}

/// When the retry count is reset to zero, besides a manual start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forget {
    /// Together with the delay: [`Reset`].
    WithDelay,
    /// Never: the retries count for the lifetime of the instance, as in Docker.
    Never,
}

/// How a run that ends before it is RUNNING is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartFailures {
    /// Like any other end.
    Policy,
    /// An end before RUNNING is a failure whatever the exit status, and is retried up to the limit even with `restart =
    /// "no"`, as in supervisord.
    Retry,
    /// A failed spawn is not retried, not even with `always`, as in Docker.
    Final,
}

/// How a success affects the retry count, if `restart` restarts the program after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Successes {
    /// It resets the count, and the next run starts after the first delay: a worker may succeed any number of times.
    Forgive,
    /// It counts like a failure, as in other systems.
    Count,
}

/// When the delay is reset to the first one, besides a manual start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// Once a run has been up for this long after it became RUNNING.
    AfterUp(Duration),
    /// When a run becomes RUNNING, as in supervisord: a program that was RUNNING is restarted at once and without
    /// limit.
    OnRunning,
    /// Once a run has lasted this long, whether it became RUNNING or not, as in Docker; with `beyond`, longer than
    /// that, as in Kubernetes.
    SinceStart {
        /// Required duration.
        over: Duration,
        /// Whether a run of exactly this duration is too short.
        beyond: bool,
    },
    /// Never, as in systemd.
    Never,
}

/// How the delay grows from one failure to the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// Multiplied by this factor each time.
    Factor(f64),
    /// By the first delay each time: 1, 2, 3 … s.
    Linear,
    /// To the maximum in this number of steps of equal ratio, as in systemd (`RestartSteps`).
    Steps(u32),
}

/// How a delay is randomized.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Up to this fraction of the delay is added, 0 to 1.
    Add(f64),
    /// Up to this span is added.
    UpTo(Duration),
    /// Anything from zero to the delay.
    Full,
    /// Anything from half the delay to the delay.
    Equal,
    /// Anything from the first delay to three times the previous one, at most the maximum.
    Decorrelated,
}

/// The delay before the next run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// The first delay.
    pub delay: Duration,
    /// How it grows.
    pub growth: Growth,
    /// The longest delay.
    pub max: Duration,
    /// How it is randomized.
    pub jitter: Jitter,
    /// Whether the first restart has no delay and the second the first delay, as in Kubernetes.
    pub first_at_once: bool,
    /// Minimum time between the starts of two consecutive runs.
    pub min_interval: Duration,
    /// When it is reset to the first delay.
    pub reset: Reset,
}

/// The complete restart policy of a program.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// The ends after which it is restarted.
    pub when: RestartWhen,
    /// How many restarts are allowed.
    pub limit: Limit,
    /// The delay before a restart.
    pub backoff: Backoff,
    /// When the count of [`Limit::Retries`] is reset to zero.
    pub forget: Forget,
    /// Whether a manual start resets the retry count and the delay. Otherwise only one after giving up does.
    pub forgive_on_start: bool,
    /// How a run that ends before it is RUNNING is treated.
    pub start_failures: StartFailures,
    /// How a success affects the retry count.
    pub successes: Successes,
    /// Signals that count as a success when they kill a service.
    pub clean_signals: SignalSet,
    /// The preset that was configured by name.
    pub preset: Option<Preset>,
}

impl Backoff {
    /// The default: 500 ms doubling to a minute, reset after 10 s up.
    pub const DEFAULT: Backoff = Backoff {
        delay: Duration::from_millis(500),
        growth: Growth::Factor(2.0),
        max: Duration::from_secs(60),
        jitter: Jitter::Add(0.0),
        first_at_once: false,
        min_interval: Duration::ZERO,
        reset: Reset::AfterUp(Duration::from_secs(10)),
    };
}

impl RestartPolicy {
    /// The default: on failure, ten retries, [`Backoff::DEFAULT`].
    pub const DEFAULT: RestartPolicy = RestartPolicy {
        when: RestartWhen::OnFailure,
        limit: Limit::Retries(10),
        backoff: Backoff::DEFAULT,
        forget: Forget::WithDelay,
        forgive_on_start: true,
        start_failures: StartFailures::Policy,
        successes: Successes::Forgive,
        clean_signals: SignalSet::NONE,
        preset: None,
    };

    /// The number of retries allowed, if the limit is one of retries.
    pub fn retries(&self) -> Option<u32> {
        match self.limit {
            Limit::Retries(retries) => Some(retries),
            Limit::Unlimited | Limit::Rate { .. } => None,
        }
    }
}
