//! Batches at work: stopping in waves, and starting again where that was asked.
//!
//! [`crate::batch`] knows who is in which wave; here waves begin, end, and are passed over when a shutdown has no more time for
//! them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Supervisor;
use crate::batch::{BatchId, Purpose};
use crate::effect::Effect;
use crate::name::InstanceId;
use crate::program::Instance;
use crate::signal::Signal;
use crate::time::Time;

impl Supervisor {
    pub(super) fn begin_batch(&mut self, now: Time, ids: &[InstanceId], purpose: Purpose) {
        let members: Vec<_> = ids.iter().map(|&id| (id, self.instance(id).program().priority)).collect();
        self.leave_batches(now, ids);
        let batch = self.batches.begin(&members, purpose);
        self.advance_batch(now, batch);
    }

    /// All of them leave before any batch goes on: what it does next must not touch who is leaving.
    pub(super) fn leave_batches(&mut self, now: Time, ids: &[InstanceId]) {
        let left: BTreeSet<BatchId> = ids.iter().filter_map(|&id| self.batches.leave(id)).collect();
        for batch in left {
            self.advance_batch(now, batch);
        }
    }

    /// Begins waves until one has something to wait for, or none is left.
    pub(super) fn advance_batch(&mut self, now: Time, batch: BatchId) {
        while self.batches.is_between_waves(batch) {
            let instances = &self.instances;
            let is_live = |id: InstanceId| instances[id.0 as usize].is_live();
            let Some(wave) = self.batches.begin_wave(batch, is_live) else {
                return self.end_batch(now, batch);
            };
            let budget = self.begin_shutdown_wave(now, batch, &wave);
            for id in wave {
                self.tell(now, id, |instance, turn| instance.stop_run(turn, budget));
            }
        }
    }

    /// What goes with a wave where it is one of a shutdown, and how long it may take.
    pub(super) fn begin_shutdown_wave(&mut self, now: Time, batch: BatchId, wave: &[InstanceId]) -> Option<Duration> {
        let is_last = self.batches.is_last_wave(batch);
        let shutdown = self.shutdown.as_mut().filter(|_| self.batches.purpose(batch) == Some(Purpose::Shutdown))?;
        if is_last {
            self.effects.push_back(Effect::SignalStrays { signal: Signal::TERM });
        }
        let priority = self.instances[wave.first()?.0 as usize].program().priority;
        let budget = shutdown.take_share(now, priority);
        if !is_last {
            shutdown.note_wave(now, batch, budget);
        }
        Some(budget)
    }

    /// The share of a shutdown's wave is over and not all of it is gone: the next one must not wait for that. False when
    /// there is no such wave.
    pub(super) fn pass_over_wave(&mut self, now: Time) -> bool {
        let Some(batch) = self.shutdown.as_mut().and_then(|shutdown| shutdown.take_overdue(now)) else { return false };
        let living = self.batches.current(batch).map(|id| self.instance(id)).filter(|instance| !instance.was_killed());
        let last_kill = living.filter_map(Instance::earliest_deadline).max();
        match (last_kill, &mut self.shutdown) {
            // The daemon was late, and gave everyone their patience all the same.
            (Some(at), Some(shutdown)) => shutdown.note_wave(at, batch, Duration::ZERO),
            _ => {
                self.batches.pass_over(batch);
                self.advance_batch(now, batch);
            }
        }
        true
    }

    pub(super) fn end_batch(&mut self, now: Time, batch: BatchId) {
        let members = self.batches.end(batch);
        for id in self.in_start_order(members) {
            self.tell(now, id, |instance, turn| instance.release(turn));
        }
    }
}
