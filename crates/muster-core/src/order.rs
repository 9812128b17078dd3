//! In which order instances start and stop.
//!
//! Starting goes by ascending priority; who depends on others waits until their conditions hold. Stopping is the reverse:
//! in waves, the highest rank first, and a wave begins when nothing of the one before is left. An instance's rank is its
//! priority, or the highest one of what it depends on, so dependencies never stop before their dependents. Within a wave
//! each program stops as soon as those of it that depend on it are gone, and all others at the same time.

use std::collections::BTreeMap;

use muster_spec::InstanceId;

use crate::graph::Graph;

/// A part of a wave that stops at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) members: Vec<InstanceId>,
    /// How many groups of the wave must be gone before.
    pub(crate) waits_for: u32,
    /// The groups that wait for this one.
    pub(crate) outlived_by: Vec<u32>,
}

/// What stops together, as far as priorities say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wave {
    pub(crate) rank: i64,
    pub(crate) groups: Vec<Group>,
}

/// Groups instances, each with its place in the graph and its priority, into the waves in which they stop. The first wave
/// is the last element, ready to be popped.
pub(crate) fn stop_waves(graph: &Graph, members: impl IntoIterator<Item = (InstanceId, usize, i64)>) -> Vec<Wave> {
    let mut waves: BTreeMap<i64, Vec<(InstanceId, usize)>> = BTreeMap::new();
    for (id, place, priority) in members {
        waves.entry(graph.rank(place).unwrap_or(priority)).or_default().push((id, place));
    }
    waves.into_iter().map(|(rank, members)| Wave { rank, groups: groups(graph, &members) }).collect()
}

/// The members of a wave program by program, where any of them depends on another; one group otherwise.
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

/// Sorts instances into the order in which they start.
pub fn start_order(members: impl IntoIterator<Item = (InstanceId, i64)>) -> Vec<InstanceId> {
    let mut members: Vec<_> = members.into_iter().collect();
    members.sort_by_key(|&(id, priority)| (priority, id));
    members.into_iter().map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_is_the_reverse_of_starting() {
        let members = [(InstanceId(0), 999), (InstanceId(1), 1), (InstanceId(2), 999), (InstanceId(3), -5)];
        assert_eq!(start_order(members), [3, 1, 0, 2].map(InstanceId));
        let graph = Graph::new(&[], members.map(|_| "gone"));
        let mut waves = stop_waves(&graph, members.map(|(id, priority)| (id, id.0 as usize, priority)));
        let mut next = || waves.pop().map(|wave| wave.groups.into_iter().flat_map(|group| group.members).collect());
        assert_eq!(next(), Some(vec![InstanceId(0), InstanceId(2)]));
        assert_eq!(next(), Some(vec![InstanceId(1)]));
        assert_eq!(next(), Some(vec![InstanceId(3)]));
        assert_eq!(next(), None);
    }
}
