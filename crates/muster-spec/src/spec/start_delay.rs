//! How long a start waits before the first run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The wait between a start and the first run: not before retries and restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartDelay {
    /// The wait of the instance with the number 0.
    pub delay: Duration,
    /// How much longer each further instance waits than the one before.
    pub stagger: Duration,
}

impl StartDelay {
    /// No wait.
    pub const NONE: StartDelay = StartDelay { delay: Duration::ZERO, stagger: Duration::ZERO };

    /// The wait of the instance with this number.
    pub fn of(self, index: u32) -> Duration {
        self.delay.saturating_add(self.stagger.saturating_mul(index))
    }
}
