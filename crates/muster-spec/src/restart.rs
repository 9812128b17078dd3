//! When a run that ended is followed by another, after which delay, and when to give up: the policy as configured.
//!
//! The rule that reads it is `muster_core::restart`. Other systems' policies under their names are in [`preset`].

mod preset;

use std::time::Duration;

use crate::signal::SignalSet;

pub use preset::{Changed, Preset};

/// After which ends a program is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartWhen {
    /// Never, not even after a start that failed.
    Never,
    /// After an end that was not a success.
    OnFailure,
    /// After every end that was not asked for.
    Always,
    /// As always; and what the operator stopped stays down across reloads.
    UnlessStopped,
}

/// How many restarts there may be before giving up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Any number.
    Unlimited,
    /// So many; [`RestartPolicy::forget`] says when the count goes back to zero.
    Retries(u32),
    /// So many starts within a window that the first of them opens, as systemd counts (`StartLimitBurst`). The window
    /// closes when more than its length has passed.
    Rate {
        /// Starts allowed in a window.
        starts: u32,
        /// How long the window is.
        within: Duration,
        /// When it is looked at.
        judged: Judged,
        /// What happens when it is used up.
        then: Exceeded,
    },
}

/// When a rate limit is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// When a run ends: there is no delay before giving up.
    AtEnd,
    /// When the next run is to begin, as in systemd: the delay comes before giving up.
    AtStart,
}

/// What happens when a rate limit is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// The instance is given up.
    Fatal,
    /// The next run waits until the window has closed, as in Nomad (`mode = "delay"`).
    WaitOut,
}

/// When the count of retries goes back to zero, besides a manual start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// Together with the delay: [`Reset`].
    WithDelay,
    /// Never: the retries are for the whole life of the instance, as in Docker.
    Never,
}

/// What becomes of a run that never came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFailures {
    /// It is an end like any other.
    Policy,
    /// An end before RUNNING, whatever its status, is a failure and retried up to the limit, also with `restart = "no"`: as
    /// in supervisord.
    Retry,
    /// A run that could not be spawned is not followed by another, also with `always`: as in Docker.
    Final,
}

/// What a success means to the counter, where `restart` follows it with another run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Successes {
    /// It resets the counter, and the next run comes after the first delay: a worker may end well without limit.
    Forgive,
    /// It is counted like a failure, as other systems do.
    Count,
}

/// When the delay goes back to the first one, besides a manual start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Once a run that became RUNNING has been up for so long.
    AfterUp(Duration),
    /// When a run becomes RUNNING, as in supervisord: what was RUNNING is restarted at once and without limit.
    OnRunning,
    /// Once a run lasted so long, whether it became RUNNING or not, as in Docker; with `beyond`, longer than that, as in
    /// Kubernetes.
    SinceStart {
        /// How long.
        over: Duration,
        /// Whether exactly so long is too short.
        beyond: bool,
    },
    /// By nothing else, as in systemd.
    Never,
}

/// How the delay grows from one failure to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Growth {
    /// Multiplied by this each time.
    Factor(f64),
    /// By the first delay each time: 1, 2, 3 … s.
    Linear,
    /// To the maximum in so many steps of equal ratio, as in systemd (`RestartSteps`).
    Steps(u32),
}

/// What chance does to a delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Jitter {
    /// Up to this part of the delay is added, 0 to 1.
    Add(f64),
    /// Up to so much is added.
    UpTo(Duration),
    /// Anything from nothing to the delay.
    Full,
    /// Anything from half the delay to the delay.
    Equal,
    /// Anything from the first delay to three times the last one, at most the maximum.
    Decorrelated,
}

/// The delay before the next run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first delay.
    pub delay: Duration,
    /// How it grows.
    pub growth: Growth,
    /// Where it ends.
    pub max: Duration,
    /// What chance does to it.
    pub jitter: Jitter,
    /// Whether the first restart comes without any delay, and the first delay with the second, as in Kubernetes.
    pub first_at_once: bool,
    /// How long after a run's begin the next one begins at the earliest.
    pub min_interval: Duration,
    /// When it starts from the first delay again.
    pub reset: Reset,
}

/// The whole policy of a program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartPolicy {
    /// After which ends.
    pub when: RestartWhen,
    /// How often.
    pub limit: Limit,
    /// After which delay.
    pub backoff: Backoff,
    /// When the count of [`Limit::Retries`] goes back to zero.
    pub forget: Forget,
    /// What becomes of runs that never came up.
    pub start_failures: StartFailures,
    /// What a success means to the counter.
    pub successes: Successes,
    /// The signals whose death is a success of a service.
    pub clean_signals: SignalSet,
    /// The system whose rules were asked for by name.
    pub preset: Option<Preset>,
}

impl Backoff {
    /// Our own: 500 ms doubling to a minute, reset after 10 s up.
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
    /// Our own: on failure, ten retries, [`Backoff::DEFAULT`].
    pub const DEFAULT: RestartPolicy = RestartPolicy {
        when: RestartWhen::OnFailure,
        limit: Limit::Retries(10),
        backoff: Backoff::DEFAULT,
        forget: Forget::WithDelay,
        start_failures: StartFailures::Policy,
        successes: Successes::Forgive,
        clean_signals: SignalSet::NONE,
        preset: None,
    };

    /// How many retries are allowed, where the limit is such a number.
    pub fn retries(&self) -> Option<u32> {
        match self.limit {
            Limit::Retries(retries) => Some(retries),
            Limit::Unlimited | Limit::Rate { .. } => None,
        }
    }
}
