//! The wait for a turn to start: `max_parallel_starts`.
//!
//! An instance for which nothing else is missing waits in WAITING while as many are STARTING as may be. The supervisor gives
//! the next turn to the first in order: by rank, and those that retry after all others, the longest wait first, so that a
//! program that fails at once keeps no other from starting.

use serde::{Deserialize, Serialize};

use super::{Instance, Turn};
use crate::time::Time;

/// A place among those that wait, the first the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Queued {
    /// It has not failed since it was started.
    First,
    /// It starts again after a failure, and waits since then.
    Retry(Time),
}

impl Instance {
    /// Its place in the queue, if it waits for its turn to start.
    pub(crate) fn queued(&self) -> Option<Queued> {
        self.queued
    }

    /// Whether it waits for its turn to start and for nothing else.
    pub fn awaits_turn(&self) -> bool {
        self.queued.is_some()
    }

    /// The place it gets now.
    pub(super) fn place_in_queue(&self, now: Time) -> Queued {
        if self.is_retry { Queued::Retry(now) } else { Queued::First }
    }

    /// Its turn has come. If something else is missing by now, it waits for that.
    pub(crate) fn take_turn(&mut self, turn: &mut Turn<'_>) {
        if self.queued.is_some() && self.may_begin(turn) {
            return self.begin_run(turn);
        }
        self.queued = None;
    }
}
