//! Carrying out batches: stopping in waves, and starting again if requested.
//!
//! [`crate::batch`] tracks the members of each wave; this module starts and ends waves, and skips ahead when a shutdown
//! runs out of time for slow members.

use std::collections::{BTreeMap, BTreeSet};

use muster_spec::{InstanceId, ShutdownOrder, Signal};

use super::Supervisor;
use crate::batch::{BatchId, Next, Purpose};
use crate::effect::Effect;
use crate::event::Event;
use crate::order::{Member, Wave, stop_waves};
use crate::program::Instance;
use crate::serial::{self, one_after_another};
use crate::time::Time;

impl Supervisor {
    pub(super) fn begin_batch(&mut self, now: Time, ids: &[InstanceId], purpose: Purpose) {
        let waves = self.stop_waves(ids);
        self.begin_waves(now, ids, waves, purpose);
    }

    pub(super) fn stop_waves(&self, ids: &[InstanceId]) -> Vec<Wave> {
        let member = |&id: &InstanceId| {
            let program = self.instance(id).program();
            Member { id, place: self.place(id), rank: program.rank(), priority: program.priority }
        };
        stop_waves(&self.graph, ids.iter().map(member))
    }

    /// The waves of a shutdown, in the configured order.
    pub(super) fn shutdown_waves(&self, ids: &[InstanceId]) -> Vec<Wave> {
        let waves = self.stop_waves(ids);
        if self.settings.shutdown_order == ShutdownOrder::Parallel {
            return waves;
        }
        let member = |id: InstanceId| {
            let program = self.instance(id).program();
            serial::Member { place: self.place(id), program: &program.name, unit: program.stop_unit() }
        };
        waves.into_iter().map(|wave| one_after_another(&self.graph, wave, member)).collect()
    }

    pub(super) fn begin_waves(&mut self, now: Time, ids: &[InstanceId], waves: Vec<Wave>, purpose: Purpose) {
        self.leave_batches(now, ids);
        let batch = self.batches.begin(waves, purpose);
        for &id in ids {
            self.instance_mut(id).batch = Some(batch);
        }
        self.advance_batch(now, batch);
    }

    /// Removes all of these from their batches before any batch advances: its next step must not affect them.
    pub(super) fn leave_batches(&mut self, now: Time, ids: &[InstanceId]) {
        let mut left = BTreeSet::new();
        for &id in ids {
            if let Some(batch) = self.instance_mut(id).batch.take()
                && self.batches.leave(batch, id)
            {
                left.insert(batch);
            }
        }
        for batch in left {
            self.advance_batch(now, batch);
        }
    }

    /// Stops members as their turn comes, until the batch has to wait for one, or ends.
    pub(super) fn advance_batch(&mut self, now: Time, batch: BatchId) {
        loop {
            let (instances, places) = (&self.instances, &self.places);
            let is_live = |id: InstanceId| instances[places[id.0 as usize] as usize].is_live();
            match self.batches.next(batch, is_live) {
                Next::Wait => return,
                Next::End => return self.end_batch(now, batch),
                Next::Wave(rank) => self.begin_shutdown_wave(now, batch, rank),
                Next::Stop { members, are_last } => self.stop_members(now, batch, &members, are_last),
            }
        }
    }

    /// Sets the time limit of a wave that belongs to a shutdown.
    fn begin_shutdown_wave(&mut self, now: Time, batch: BatchId, rank: i64) {
        if self.batches.purpose(batch) == Some(Purpose::Shutdown)
            && let Some(shutdown) = &mut self.shutdown
        {
            shutdown.begin_wave(now, rank);
        }
    }

    fn stop_members(&mut self, now: Time, batch: BatchId, members: &[InstanceId], are_last: bool) {
        let Some(purpose) = self.batches.purpose(batch) else { return };
        let is_shutdown = purpose == Purpose::Shutdown;
        if is_shutdown && are_last {
            self.effects.push_back(Effect::SignalStrays { signal: Signal::TERM });
        }
        for &id in members {
            let (place, patience) = (self.place(id), self.instance(id).patience(now));
            let shutdown = self.shutdown.as_mut().filter(|_| is_shutdown);
            let budget = shutdown.and_then(|shutdown| {
                if !are_last {
                    let share = shutdown.share_of(now, place, patience);
                    shutdown.note_stopping(now, batch, id, share, patience);
                }
                shutdown.time_left(now)
            });
            self.tell(now, id, |instance, turn| instance.stop_run(turn, budget, purpose.cause()));
        }
    }

    /// Passes over members of a shutdown that have used up their share of the budget, so that the others still get
    /// their stop signal. They may continue for as long as configured, within the budget. Returns false if there are
    /// none.
    pub(super) fn pass_over(&mut self, now: Time) -> bool {
        let (mut overdue, mut is_any): (BTreeMap<BatchId, Vec<InstanceId>>, bool) = (BTreeMap::new(), false);
        while let Some(share) = self.shutdown.as_mut().and_then(|shutdown| shutdown.take_overdue(now)) {
            is_any = true;
            let was_killed = self.get(share.id).is_some_and(Instance::was_killed);
            if share.is_used_up || was_killed {
                overdue.entry(share.batch).or_default().push(share.id);
            } else if self.batches.is_pending(share.batch, share.id)
                && let Some(patience) = self.get(share.id).map(|instance| instance.patience(now))
                && let Some(shutdown) = self.shutdown.as_mut().filter(|shutdown| shutdown.waits_again())
            {
                shutdown.note_stopping(now, share.batch, share.id, None, patience);
            }
        }
        for (batch, mut late) in overdue {
            let current: BTreeSet<InstanceId> = self.batches.current(batch).collect();
            late.retain(|id| current.contains(id));
            for &id in &late {
                self.batches.is_down(batch, id);
            }
            let living = late.into_iter().filter(|&id| !self.instance(id).was_killed());
            let living: Vec<InstanceId> = living.collect();
            if !living.is_empty() && self.batches.has_more(batch) {
                self.effects.push_back(Effect::Publish(Event::ShutdownOverlaps { living }));
            }
            self.advance_batch(now, batch);
        }
        is_any
    }

    pub(super) fn end_batch(&mut self, now: Time, batch: BatchId) {
        let is_boot = matches!(self.batches.purpose(batch), Some(Purpose::Boot(_)));
        let members = self.batches.end(batch);
        for &id in &members {
            self.instance_mut(id).batch = None;
        }
        for id in if is_boot { self.in_boot_order(members) } else { self.in_start_order(members) } {
            self.tell(now, id, |instance, turn| instance.release(turn));
        }
    }
}
