//! Other systems' policies under their names, each as its original decides: which ends are followed by another run, after
//! which delay, and when it is given up.
//!
//! What the originals add to these times by working or polling (dockerd some 0.2 s, supervisord up to a second, the kubelet
//! more) is not part of it.

use std::time::Duration;

use super::{
    Backoff, Exceeded, Forget, Growth, Jitter, Judged, Limit, Reset, RestartPolicy, RestartWhen, StartFailures,
    Successes,
};
use crate::signal::{Signal, SignalSet};

/// Another system's policy under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// moby's restart manager: 100 ms doubling, at most a minute, from the start again after a run of 10 s; unlimited, or so
    /// many in a container's life. A start that fails is the last.
    Docker,
    /// The kubelet's CrashLoopBackOff: at once, then 10 s doubling to 5 min, from the start again after a run of more than
    /// 10 min, unlimited.
    Kubernetes,
    /// supervisord: 1, 2, 3 … s for starts that fail, whatever their status, three retries; after RUNNING at once and
    /// without limit.
    Supervisord,
    /// systemd: `RestartSec=100ms`, `StartLimitBurst=5`, `StartLimitIntervalSec=10s`, looked at when the next run is to
    /// begin. Dying of HUP, INT, TERM or PIPE is a success.
    Systemd,
}

/// Which of a preset's delays were configured otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed(u8);

impl Changed {
    const WORDS: [&'static str; 5] = ["delay", "factor", "max", "jitter", "reset_after"];

    /// The keys, in the order of the reference.
    pub fn keys(self) -> impl Iterator<Item = &'static str> {
        Changed::WORDS.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, word)| word)
    }
}

impl Backoff {
    /// What differs from this preset.
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
    /// Its delays.
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
                // supervisord looks at its processes once a second, so it starts none more often.
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

    /// The whole of it.
    pub const fn policy(self, when: RestartWhen) -> RestartPolicy {
        RestartPolicy {
            when,
            limit: self.limit(),
            backoff: self.backoff(),
            forget: match self {
                Preset::Docker => Forget::Never,
                _ => Forget::WithDelay,
            },
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
