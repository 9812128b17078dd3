//! How a program is restarted one instance after another, and when its processes are recycled.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A rolling restart: a few instances at a time, while the others serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rolling {
    /// How many instances are restarted at a time.
    pub parallel: NonZeroU32,
    /// How long to wait after a step before the next one.
    pub pause: Duration,
    /// The condition that a new run must meet before the next step.
    pub wait: RollingWait,
}

impl Rolling {
    /// One instance at a time, as soon as the one before is ready.
    pub const DEFAULT: Rolling = Rolling { parallel: NonZeroU32::MIN, pause: Duration::ZERO, wait: RollingWait::Ready };
}

/// The condition that a new run must meet before the next instance is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollingWait {
    /// RUNNING and ready.
    Ready,
    /// The same, and its probes have passed.
    Healthy,
    /// RUNNING.
    Running,
}

/// When a service gets a new process although nothing is wrong with the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recycle {
    /// How long a run may last.
    pub after: Duration,
    /// At most this much longer, by chance.
    pub jitter: Duration,
}

impl Recycle {
    /// Without jitter.
    pub const fn after(after: Duration) -> Recycle {
        Recycle { after, jitter: Duration::ZERO }
    }
}
