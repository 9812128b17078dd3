//! Batches: instances that are stopped together, wave by wave, and within a wave dependents before their dependencies.
//!
//! An instance is in at most one batch; a newer command takes it over. The supervisor asks which members to stop next
//! and reports which are down. Knows nothing of states or time.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use muster_spec::InstanceId;

use crate::cause::{Asker, StopCause};
use crate::order::{Group, Wave};

/// Identifies a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct BatchId(u64);

/// Why the members are stopped, and what follows once all of them are down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// Nothing follows.
    Stop(Asker),
    /// Members with goal up start again.
    Restart(Asker),
    /// The same, in the order of a boot.
    Boot(Asker),
    /// The daemon exits.
    Shutdown,
}

impl Purpose {
    pub(crate) fn cause(&self) -> StopCause {
        match self {
            Purpose::Stop(asker) | Purpose::Restart(asker) | Purpose::Boot(asker) => StopCause::Asked(asker.clone()),
            Purpose::Shutdown => StopCause::Shutdown,
        }
    }
}

/// The next step of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait until a member is down.
    Wait,
    /// A wave of this rank begins.
    Wave(i64),
    /// Stop these members now. None follow after the last ones.
    Stop { members: Vec<InstanceId>, are_last: bool },
    /// All members were signalled; none is pending.
    End,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Batch {
    purpose: Purpose,
    members: BTreeSet<InstanceId>,
    /// Waves still to come, the next one last.
    waves: Vec<Wave>,
    /// Groups of the current wave.
    groups: Vec<Group>,
    /// Number of its groups that have not begun.
    to_begin: usize,
    /// Groups that may begin.
    ready: Vec<u32>,
    /// Number of pending members by group.
    left: Vec<usize>,
    /// Members that were signalled and are not down yet, each with its group.
    current: BTreeMap<InstanceId, u32>,
}

impl Batch {
    fn begin_wave(&mut self, wave: Wave) -> i64 {
        self.to_begin = wave.groups.len();
        self.left = vec![0; wave.groups.len()];
        self.groups = wave.groups;
        let free = |(_, group): &(u32, &Group)| group.waits_for == 0;
        self.ready = (0..).zip(&self.groups).filter(free).map(|(place, _)| place).collect();
        wave.rank
    }

    /// Begins the groups that are ready, and returns their members that are alive. A group without any unblocks the
    /// next ones.
    fn begin_groups(&mut self, is_live: impl Fn(InstanceId) -> bool) -> Vec<InstanceId> {
        let mut begun = Vec::new();
        while !self.ready.is_empty() {
            for place in std::mem::take(&mut self.ready) {
                self.to_begin -= 1;
                let members = std::mem::take(&mut self.groups[place as usize].members);
                let before = begun.len();
                begun.extend(members.into_iter().filter(|member| self.members.contains(member) && is_live(*member)));
                self.left[place as usize] = begun.len() - before;
                self.current.extend(begun[before..].iter().map(|&member| (member, place)));
                if begun.len() == before {
                    self.group_is_down(place);
                }
            }
        }
        begun
    }

    fn is_down(&mut self, member: InstanceId) -> bool {
        let Some(place) = self.current.remove(&member) else { return false };
        self.left[place as usize] -= 1;
        if self.left[place as usize] == 0 {
            self.group_is_down(place);
        }
        self.current.is_empty() || !self.ready.is_empty()
    }

    fn group_is_down(&mut self, place: u32) {
        for next in std::mem::take(&mut self.groups[place as usize].outlived_by) {
            let group = &mut self.groups[next as usize];
            group.waits_for -= 1;
            if group.waits_for == 0 {
                self.ready.push(next);
            }
        }
    }
}

/// All active batches.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Batches {
    batches: BTreeMap<BatchId, Batch>,
    next: u64,
}

impl Batches {
    /// Begins a batch of instances that are in no other.
    pub(crate) fn begin(&mut self, waves: Vec<Wave>, purpose: Purpose) -> BatchId {
        self.next += 1;
        let id = BatchId(self.next);
        let members = waves.iter().flat_map(|wave| &wave.groups).flat_map(|group| group.members.iter().copied());
        let batch = Batch {
            purpose,
            members: members.collect(),
            waves,
            groups: Vec::new(),
            to_begin: 0,
            ready: Vec::new(),
            left: Vec::new(),
            current: BTreeMap::new(),
        };
        self.batches.insert(id, batch);
        id
    }

    /// Removes an instance from its batch. Returns whether the batch may now advance.
    pub(crate) fn leave(&mut self, id: BatchId, member: InstanceId) -> bool {
        let Some(batch) = self.batches.get_mut(&id) else { return false };
        batch.members.remove(&member);
        batch.is_down(member)
    }

    /// Records that an instance is down. Returns whether its batch may now advance.
    pub(crate) fn is_down(&mut self, id: BatchId, member: InstanceId) -> bool {
        self.batches.get_mut(&id).is_some_and(|batch| batch.is_down(member))
    }

    /// Members that were signalled and are not down yet.
    pub(crate) fn current(&self, id: BatchId) -> impl Iterator<Item = InstanceId> {
        self.batches.get(&id).into_iter().flat_map(|batch| batch.current.keys().copied())
    }

    /// Whether this member was signalled and is not down yet.
    pub(crate) fn is_pending(&self, id: BatchId, member: InstanceId) -> bool {
        self.batches.get(&id).is_some_and(|batch| batch.current.contains_key(&member))
    }

    /// Whether members remain to be signalled.
    pub(crate) fn has_more(&self, id: BatchId) -> bool {
        self.batches.get(&id).is_some_and(|batch| batch.to_begin > 0 || !batch.waves.is_empty())
    }

    pub(crate) fn purpose(&self, id: BatchId) -> Option<Purpose> {
        self.batches.get(&id).map(|batch| batch.purpose.clone())
    }

    /// The next step.
    pub(crate) fn next(&mut self, id: BatchId, is_live: impl Fn(InstanceId) -> bool) -> Next {
        let Some(batch) = self.batches.get_mut(&id) else { return Next::Wait };
        if !batch.ready.is_empty() {
            let members = batch.begin_groups(is_live);
            return Next::Stop { members, are_last: batch.to_begin == 0 && batch.waves.is_empty() };
        }
        if !batch.current.is_empty() {
            return Next::Wait;
        }
        // The configuration rejects dependency cycles; the members of one would never become ready, so they are stopped
        // together.
        if batch.to_begin > 0 {
            let stuck = (0..).zip(&batch.groups).filter(|(_, group)| group.waits_for > 0);
            batch.ready = stuck.map(|(place, _)| place).collect();
            batch.groups.iter_mut().for_each(|group| group.outlived_by.clear());
            batch.groups.iter_mut().for_each(|group| group.waits_for = 0);
            return Next::Stop { members: batch.begin_groups(is_live), are_last: batch.waves.is_empty() };
        }
        match batch.waves.pop() {
            Some(wave) => Next::Wave(batch.begin_wave(wave)),
            None => Next::End,
        }
    }

    /// Ends a batch and returns its remaining members.
    pub(crate) fn end(&mut self, id: BatchId) -> Vec<InstanceId> {
        self.batches.remove(&id).map_or_else(Vec::new, |batch| batch.members.into_iter().collect())
    }
}
