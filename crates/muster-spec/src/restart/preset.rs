//! Other systems' restart policies by name, each deciding as the original does: which ends are restarted, after which
//! delay, and when to give up.
//!
//! The originals add time by their own work or polling (dockerd about 0.2 s, supervisord up to a second, the kubelet
//! more); this is not reproduced.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Backoff, Exceeded, Forget, Growth, Jitter, Judged, Limit, Reset, RestartPolicy, RestartWhen, StartFailures,
    Successes,
};
use crate::signal::{Signal, SignalSet};

/// Another system's restart policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// moby's restart manager: 100 ms doubling to a minute, reset after a run of 10 s; unlimited, or a number of
    /// retries in the lifetime of a container. A failed start is final.
    Docker,
    /// The kubelet's CrashLoopBackOff: at once, then 10 s doubling to 5 min, reset after a run of more than 10 min;
    /// unlimited.
    Kubernetes,
    /// supervisord: 1, 2, 3 … s for failed starts, whatever the exit status, three retries; after RUNNING at once and
    /// without limit.
    Supervisord,
    /// systemd: `RestartSec=100ms`, `StartLimitBurst=5`, `StartLimitIntervalSec=10s`, checked when the next run is due.
    /// Being killed by HUP, INT, TERM or PIPE is a success.
    Systemd,
}

/// The delays of a preset that the configuration overrides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed(u8);

impl Changed {
    const WORDS: [&'static str; 5] = ["delay", "factor", "max", "jitter", "reset_after"];

    /// The overridden keys, in the order of the reference.
    pub fn keys(self) -> impl Iterator<Item = &'static str> {
        Changed::WORDS.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, word)| word)
    }
}

impl Backoff {
    /// The delays that differ from this preset.
    pub fn changed_from(&self, preset: Preset) -> Changed {
        let original = preset.backoff();
        let differs = [
            self.delay != original.delay || self.first_at_once != original.first_at_once,
            self.growth != original.growth,
            self.max != original.max,
            self.jitter != original.jitter,
            self.reset != original.reset,
        ];
        Changed((0..).zip(differs).fold(0, |bits, (bit, differs)| bits | u8::from(differs) << bit))
    }
}

impl Preset {
    /// Its backoff.
    pub const fn backoff(self) -> Backoff {
        match self {
            Preset::Docker => Backoff {
                delay: Duration::from_millis(100),
                reset: Reset::SinceStart { over: Duration::from_secs(10), beyond: false },
                ..Backoff::DEFAULT
            },
            Preset::Kubernetes => Backoff {
                delay: Duration::from_secs(10),
                max: Duration::from_secs(300),
                first_at_once: true,
                reset: Reset::SinceStart { over: Duration::from_secs(600), beyond: true },
                ..Backoff::DEFAULT
            },
            Preset::Supervisord => Backoff {
                delay: Duration::from_secs(1),
                growth: Growth::Linear,
                max: Duration::MAX,
                // supervisord polls its processes once a second, so it starts one at most that often.
                min_interval: Duration::from_secs(1),
                reset: Reset::OnRunning,
                ..Backoff::DEFAULT
            },
            Preset::Systemd => Backoff {
                delay: Duration::from_millis(100),
                growth: Growth::Factor(1.0),
                reset: Reset::Never,
                jitter: Jitter::Add(0.0),
                ..Backoff::DEFAULT
            },
        }
    }

    /// Its limit.
    pub const fn limit(self) -> Limit {
        match self {
            Preset::Docker | Preset::Kubernetes => Limit::Unlimited,
            Preset::Supervisord => Limit::Retries(3),
            Preset::Systemd => Limit::Rate {
                starts: 5,
                within: Duration::from_secs(10),
                judged: Judged::AtStart,
                then: Exceeded::Fatal,
            },
        }
    }

    /// The complete policy.
    pub const fn policy(self, when: RestartWhen) -> RestartPolicy {
        RestartPolicy {
            when,
            limit: self.limit(),
            backoff: self.backoff(),
            forget: match self {
                Preset::Docker => Forget::Never,
                _ => Forget::WithDelay,
            },
            forgive_on_start: true,
            start_failures: match self {
                Preset::Docker => StartFailures::Final,
                Preset::Supervisord => StartFailures::Retry,
                Preset::Kubernetes | Preset::Systemd => StartFailures::Policy,
            },
            successes: Successes::Count,
            clean_signals: match self {
                Preset::Systemd => SignalSet::of(&[Signal::HUP, Signal::INT, Signal::TERM, Signal::PIPE]),
                _ => SignalSet::NONE,
            },
            preset: Some(self),
        }
    }
}
