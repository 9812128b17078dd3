//! The order in which instances start and stop.
//!
//! Instances start by ascending priority; dependents wait until their conditions hold. Stopping is the reverse: in
//! waves, the highest rank first, and a wave begins once the previous one is gone. An instance's rank is its priority,
//! or the highest one of its dependencies, so dependencies never stop before their dependents. Within a wave each
//! program stops as soon as its dependents in the wave are gone, and all others stop at the same time, those of the
//! highest priority first. If its group has a priority of its own ([`muster_spec::GroupOrder`]), the rank is that one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use muster_spec::InstanceId;

use crate::graph::Graph;

/// The members of a wave that stop at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) members: Vec<InstanceId>,
    /// Number of groups of the wave that must be gone before.
    pub(crate) waits_for: u32,
    /// The groups that wait for this one.
    pub(crate) outlived_by: Vec<u32>,
}

/// Instances that stop together by priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wave {
    pub(crate) rank: i64,
    pub(crate) groups: Vec<Group>,
}

/// An instance that is to be stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) id: InstanceId,
    /// Its place in the graph.
    pub(crate) place: usize,
    /// The rank of its program, without its dependencies.
    pub(crate) rank: i64,
    /// The priority of its program.
    pub(crate) priority: i64,
}

/// Divides instances into the waves in which they stop. The first wave is the last element, ready to be popped.
pub(crate) fn stop_waves(graph: &Graph, members: impl IntoIterator<Item = Member>) -> Vec<Wave> {
    let mut members: Vec<Member> = members.into_iter().collect();
    members.sort_by_key(|member| Reverse(member.priority));
    let mut waves: BTreeMap<i64, Vec<(InstanceId, usize)>> = BTreeMap::new();
    for Member { id, place, rank, .. } in members {
        waves.entry(graph.rank(place).unwrap_or(rank)).or_default().push((id, place));
    }
    waves.into_iter().map(|(rank, members)| Wave { rank, groups: groups(graph, &members) }).collect()
}

/// The members of a wave by program if any of them depends on another; otherwise a single group.
fn groups(graph: &Graph, members: &[(InstanceId, usize)]) -> Vec<Group> {
    let all = || Group { members: members.iter().map(|&(id, _)| id).collect(), ..Group::default() };
    if !graph.has_needs() {
        return vec![all()];
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut of_node: BTreeMap<Option<usize>, u32> = BTreeMap::new();
    for &(id, place) in members {
        let group = *of_node.entry(graph.node(place)).or_insert_with(|| {
            groups.push(Group::default());
            groups.len() as u32 - 1
        });
        groups[group as usize].members.push(id);
    }
    let mut are_ordered = false;
    for (&node, &group) in &of_node {
        for need in node.into_iter().flat_map(|node| graph.outlived_by(node)) {
            if let Some(&other) = of_node.get(&Some(need)) {
                groups[group as usize].outlived_by.push(other);
                groups[other as usize].waits_for += 1;
                are_ordered = true;
            }
        }
    }
    if are_ordered { groups } else { vec![all()] }
}

/// Sorts instances into the order in which they start: by their keys, ascending, and in the order of the configuration.
pub fn start_order<K: Ord + Copy>(members: impl IntoIterator<Item = (InstanceId, K)>) -> Vec<InstanceId> {
    let mut members: Vec<_> = members.into_iter().collect();
    members.sort_by_key(|&(id, key)| (key, id));
    members.into_iter().map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: InstanceId, rank: i64, priority: i64) -> Member {
        Member { id, place: id.0 as usize, rank, priority }
    }

    #[test]
    fn the_highest_priority_of_a_wave_is_signalled_first() {
        let members = [(0, 5, 1), (1, 5, 999), (2, 7, 0), (3, 5, 1)];
        let graph = Graph::new(&[], members.map(|_| "gone"));
        let mut waves = stop_waves(&graph, members.map(|(id, rank, priority)| member(InstanceId(id), rank, priority)));
        let mut next = || waves.pop().map(|wave| wave.groups.into_iter().flat_map(|group| group.members).collect());
        assert_eq!(next(), Some(vec![InstanceId(2)]));
        assert_eq!(next(), Some([1, 0, 3].map(InstanceId).to_vec()));
        assert_eq!(next(), None);
    }

    #[test]
    fn stopping_is_the_reverse_of_starting() {
        let members = [(InstanceId(0), 999), (InstanceId(1), 1), (InstanceId(2), 999), (InstanceId(3), -5)];
        assert_eq!(start_order(members), [3, 1, 0, 2].map(InstanceId));
        let graph = Graph::new(&[], members.map(|_| "gone"));
        let mut waves = stop_waves(&graph, members.map(|(id, rank)| member(id, rank, rank)));
        let mut next = || waves.pop().map(|wave| wave.groups.into_iter().flat_map(|group| group.members).collect());
        assert_eq!(next(), Some(vec![InstanceId(0), InstanceId(2)]));
        assert_eq!(next(), Some(vec![InstanceId(1)]));
        assert_eq!(next(), Some(vec![InstanceId(3)]));
        assert_eq!(next(), None);
    }
}
