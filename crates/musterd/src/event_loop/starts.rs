//! Limits how many processes may be between fork and exec at a time.
//!
//! A process shares the daemon's memory until it executes its program. If hundreds do so at once and are not scheduled, the
//! kernel makes the daemon wait for them, and signals wait, too. So a start waits for an earlier one to finish. A program that
//! hangs before exec, on a slow file system for example, delays the others by one [`PATIENCE`] and then no longer counts.

use std::time::{Duration, Instant};

use muster_sys::spawn::Spawner;

use super::{EventLoop, Happened};

/// How long a start waits for an earlier one.
const PATIENCE: Duration = Duration::from_millis(20);

/// The processes between fork and exec.
#[derive(Debug)]
pub(super) struct Starts {
    /// How many there may be: more than [`Spawner::AT_ONCE`] after some of them took longer than [`PATIENCE`].
    allowed: usize,
    /// The deadline of the start that is waiting.
    waits_until: Option<Instant>,
}

impl Starts {
    pub(super) fn new() -> Starts {
        Starts { allowed: Spawner::AT_ONCE, waits_until: None }
    }

    /// Whether another process may be created, with this many between fork and exec.
    fn may_start(&mut self, in_flight: usize, now: Instant) -> bool {
        if in_flight < Spawner::AT_ONCE {
            self.allowed = Spawner::AT_ONCE;
        }
        if in_flight >= self.allowed {
            let until = *self.waits_until.get_or_insert_with(|| now + PATIENCE);
            if now < until {
                return false;
            }
            self.allowed = in_flight + Spawner::AT_ONCE;
        }
        self.waits_until = None;
        true
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waits_until.is_some()
    }
}

impl EventLoop {
    pub(super) fn may_start(&mut self) -> bool {
        let mut in_flight = self.shared.children.borrow_mut().in_flight();
        if in_flight >= self.starts.allowed {
            self.take_statuses();
            self.reap();
            in_flight = self.shared.children.borrow_mut().in_flight();
        }
        self.starts.may_start(in_flight, Instant::now())
    }

    /// Waits until one of the processes has executed its program or a signal came, for what is left of the patience.
    pub(super) async fn wait_to_start(&mut self) {
        let Some(until) = self.starts.waits_until else { return };
        match self.sources.wait_for_starts(until).await {
            Happened::Signal(Ok(received)) => self.handle_signals(received),
            Happened::Statuses(Ok(tokens)) => self.take_outcomes(&tokens),
            // A source that fails is reported when the loop waits for everything.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = Spawner::AT_ONCE;

    #[test]
    fn a_start_waits_for_an_earlier_one_and_not_for_one_that_hangs() {
        let (mut starts, now) = (Starts::new(), Instant::now());
        assert!(starts.may_start(MANY - 1, now) && !starts.is_waiting());
        assert!(!starts.may_start(MANY, now) && starts.is_waiting());
        assert!(!starts.may_start(MANY, now + PATIENCE / 2));
        // One is over: no more waiting, and the next wait is a whole one again.
        assert!(starts.may_start(MANY - 1, now + PATIENCE / 2) && !starts.is_waiting());
        let later = now + PATIENCE;
        assert!(!starts.may_start(MANY, later));
        // All of them hang: as many again may start at once.
        let late = later + PATIENCE;
        assert!((MANY..2 * MANY).all(|in_flight| starts.may_start(in_flight, late)));
        assert!(!starts.may_start(2 * MANY, late));
        // They went on after all.
        assert!(starts.may_start(0, late) && !starts.may_start(MANY, late));
    }
}
