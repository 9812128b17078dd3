//! The wait before the first run after a start: `start_delay`.
//!
//! It begins when nothing else is missing, and applies to a start of an instance that is down: by the start of the daemon, a
//! command, a reload or another program's need. Retries, restarts and times of a schedule have none. The instance is WAITING
//! meanwhile, so a stop has it STOPPED at once; another start by command ends the wait.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::State;

use super::{Instance, Turn};
use crate::time::Time;

/// How far the wait has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StartDelay {
    /// There is none, or it is over.
    #[default]
    Over,
    /// It begins when nothing else is missing.
    Pending,
    /// It began then.
    Since(Time),
}

/// The effect of a start on the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// An instance that is down waits, and one that waits does so no longer: a command.
    Anew,
    /// An instance that is down waits, and one that waits continues.
    Once,
    /// No wait: a restart.
    Never,
}

impl Instance {
    /// Its goal was raised, or it is started again.
    pub(super) fn consider_start_delay(&mut self, was_wanted: bool, waits: Waits) {
        let is_down = match self.state {
            State::Stopped | State::Exited | State::Fatal => true,
            State::Starting | State::Running => false,
            State::Waiting | State::Backoff | State::Stopping => !was_wanted,
        };
        self.start_delay = match waits {
            Waits::Anew | Waits::Once if is_down => StartDelay::Pending,
            Waits::Once => self.start_delay,
            Waits::Anew | Waits::Never => StartDelay::Over,
        };
    }

    /// Whether it waits now. Nothing else is missing, so the wait begins if it has not.
    pub(super) fn waits_to_start(&mut self, now: Time) -> bool {
        if self.start_delay == StartDelay::Pending {
            self.start_delay = StartDelay::Since(now);
        }
        let waits = self.start_delay_until().is_some_and(|until| until > now);
        if !waits {
            self.start_delay = StartDelay::Over;
        }
        waits
    }

    /// When the wait is over, if it has begun.
    pub fn start_delay_until(&self) -> Option<Time> {
        match self.start_delay {
            StartDelay::Since(began) => Some(began + self.own_start_delay()),
            StartDelay::Pending | StartDelay::Over => None,
        }
    }

    fn own_start_delay(&self) -> Duration {
        self.program.start_delay.of(self.spec.index)
    }

    /// Ends the wait if it is over. Returns false if it is not.
    pub(super) fn start_delay_deadline(&mut self, turn: &mut Turn<'_>) -> bool {
        let is_over = self.start_delay_until().is_some_and(|until| until <= turn.now);
        if is_over {
            self.start_delay = StartDelay::Over;
            if self.state == State::Waiting {
                self.begin_run_or_wait(turn);
            }
        }
        is_over
    }

    pub(super) fn lose_time_of_start(&mut self, by: Duration) {
        if let StartDelay::Since(began) = &mut self.start_delay {
            *began = *began + by;
        }
    }
}
