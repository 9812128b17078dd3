//! One slot per kind of timer.
//!
//! Arming a slot replaces its deadline, and leaving a state clears all slots, so an old deadline can never act on a new
//! run. Knows nothing of clocks: callers pass times.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// The kind of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The run must have executed its program, or has been up for `startsecs`.
    Start,
    /// The delay before the next run is over.
    Delay,
    /// The wait after the last stop signal is over.
    Stop,
    /// The run must have become ready.
    Ready,
    /// The run must have sent a watchdog notification.
    Watchdog,
    /// A check of the run is due.
    Check,
    /// A hook of the run must have ended.
    Hook,
    /// The run is to be recycled.
    Recycle,
}

const SLOTS: [Slot; 8] =
    [Slot::Start, Slot::Delay, Slot::Stop, Slot::Ready, Slot::Watchdog, Slot::Check, Slot::Hook, Slot::Recycle];

/// Those that stay with a run while it is up.
const OF_RUNNING: [Slot; 3] = [Slot::Watchdog, Slot::Check, Slot::Recycle];

/// The deadlines of one instance.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Timers {
    slots: [Option<Time>; SLOTS.len()],
}

impl Timers {
    /// Sets a slot, replacing its deadline.
    pub fn arm(&mut self, slot: Slot, at: Time) {
        self.slots[slot as usize] = Some(at);
    }

    /// Clears a slot.
    pub fn disarm(&mut self, slot: Slot) {
        self.slots[slot as usize] = None;
    }

    /// The deadline of a slot.
    pub fn get(&self, slot: Slot) -> Option<Time> {
        self.slots[slot as usize]
    }

    /// Clears all slots except those that stay with a run while it is up.
    pub fn clear_for_running(&mut self) {
        for slot in SLOTS.into_iter().filter(|slot| !OF_RUNNING.contains(slot)) {
            self.disarm(slot);
        }
    }

    /// Clears all slots.
    pub fn clear(&mut self) {
        self.slots = Default::default();
    }

    /// Postpones all deadlines by this much.
    pub fn lose(&mut self, by: Duration) {
        self.slots.iter_mut().flatten().for_each(|at| *at = *at + by);
    }

    /// The earliest deadline.
    pub fn earliest(&self) -> Option<Time> {
        self.slots.iter().flatten().min().copied()
    }

    /// Takes one slot that is due, the earliest first.
    pub fn take_due(&mut self, now: Time) -> Option<Slot> {
        let due = SLOTS.into_iter().filter(|&slot| self.get(slot).is_some_and(|at| at <= now));
        let slot = due.min_by_key(|&slot| self.get(slot))?;
        self.slots[slot as usize] = None;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn due_slots_are_taken_once_and_in_order() {
        let mut timers = Timers::default();
        timers.arm(Slot::Stop, at(1));
        timers.arm(Slot::Delay, at(9));
        timers.arm(Slot::Delay, at(2));
        timers.arm(Slot::Start, at(4));
        assert_eq!(timers.earliest(), Some(at(1)));
        assert_eq!(timers.take_due(at(3)), Some(Slot::Stop));
        assert_eq!(timers.take_due(at(3)), Some(Slot::Delay));
        assert_eq!(timers.take_due(at(3)), None);
        assert_eq!(timers.earliest(), Some(at(4)));
    }
}
