//! Batches: instances that are stopped together, wave by wave.
//!
//! An instance is in one batch at most; a newer command takes it over. The supervisor asks whose turn it is and reports
//! who is down. Knows nothing of states or time.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::InstanceId;
use crate::order::stop_waves;

/// Which batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchId(u64);

/// What follows when all members are down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Nothing.
    Stop,
    /// They start again.
    Restart,
    /// The daemon ends.
    Shutdown,
}

#[derive(Clone, Debug)]
struct Batch {
    purpose: Purpose,
    members: BTreeSet<InstanceId>,
    /// What is still to come, the next wave last.
    waves: Vec<Vec<InstanceId>>,
    /// Who of the current wave is not down yet.
    current: BTreeSet<InstanceId>,
}

/// All batches under way.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    batches: BTreeMap<BatchId, Batch>,
    membership: Vec<Option<BatchId>>,
    next: u64,
}

impl Batches {
    pub(crate) fn new(instances: usize) -> Batches {
        Batches { batches: BTreeMap::new(), membership: vec![None; instances], next: 0 }
    }

    /// Begins a batch of instances that are in no other, with their priorities.
    pub(crate) fn begin(&mut self, members: &[(InstanceId, i64)], purpose: Purpose) -> BatchId {
        self.next += 1;
        let id = BatchId(self.next);
        for (member, _) in members {
            self.membership[member.0 as usize] = Some(id);
        }
        let waves = stop_waves(members.iter().copied());
        let members = members.iter().map(|&(member, _)| member).collect();
        self.batches.insert(id, Batch { purpose, members, waves, current: BTreeSet::new() });
        id
    }

    /// Takes an instance out of its batch, which may now go on.
    pub(crate) fn leave(&mut self, member: InstanceId) -> Option<BatchId> {
        let id = self.membership[member.0 as usize].take()?;
        let batch = self.batches.get_mut(&id)?;
        batch.members.remove(&member);
        batch.current.remove(&member).then_some(id)
    }

    /// An instance is down; its batch may now go on.
    pub(crate) fn is_down(&mut self, member: InstanceId) -> Option<BatchId> {
        let id = self.membership[member.0 as usize]?;
        self.batches.get_mut(&id)?.current.remove(&member).then_some(id)
    }

    /// Who of the current wave is not down yet.
    pub(crate) fn current(&self, id: BatchId) -> impl Iterator<Item = InstanceId> {
        self.batches.get(&id).into_iter().flat_map(|batch| batch.current.iter().copied())
    }

    /// The batch waits no longer for those of the current wave that are not down.
    pub(crate) fn pass_over(&mut self, id: BatchId) {
        self.batches.get_mut(&id).into_iter().for_each(|batch| batch.current.clear());
    }

    /// Whether the batch is still there and waits for nobody.
    pub(crate) fn is_between_waves(&self, id: BatchId) -> bool {
        self.batches.get(&id).is_some_and(|batch| batch.current.is_empty())
    }

    /// Whether no wave comes after the current one.
    pub(crate) fn is_last_wave(&self, id: BatchId) -> bool {
        self.batches.get(&id).is_some_and(|batch| batch.waves.is_empty())
    }

    pub(crate) fn purpose(&self, id: BatchId) -> Option<Purpose> {
        self.batches.get(&id).map(|batch| batch.purpose)
    }

    /// Begins the next wave and gives those of it that are still members and alive; `None` when there is no wave left.
    pub(crate) fn begin_wave(&mut self, id: BatchId, is_live: impl Fn(InstanceId) -> bool) -> Option<Vec<InstanceId>> {
        let batch = self.batches.get_mut(&id)?;
        let wave = batch.waves.pop()?;
        let members = &batch.members;
        let wave: Vec<_> = wave.into_iter().filter(|member| members.contains(member) && is_live(*member)).collect();
        batch.current.extend(&wave);
        Some(wave)
    }

    /// Ends a batch and gives who is still in it.
    pub(crate) fn end(&mut self, id: BatchId) -> Vec<InstanceId> {
        let Some(batch) = self.batches.remove(&id) else { return Vec::new() };
        for member in &batch.members {
            self.membership[member.0 as usize] = None;
        }
        batch.members.into_iter().collect()
    }
}
