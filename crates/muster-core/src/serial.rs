//! The order of a serial shutdown: within a wave one unit after another, by descending name.
//!
//! A unit is a program, or the programs that name the same one. Dependencies come first: a unit that waits for another
//! is passed over until that is down, and programs of one unit that depend on each other stop in that order. Otherwise
//! the members of a unit stop at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_spec::InstanceId;

use crate::graph::Graph;
use crate::order::{Group, Wave};

/// A member of a wave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    /// Its place in the graph.
    pub(crate) place: usize,
    /// Its program.
    pub(crate) program: &'a str,
    /// The unit of its program.
    pub(crate) unit: &'a str,
}

/// The program of a member: a node of the graph, or the name of a program that is no longer configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Node(usize),
    Name(&'a str),
}

#[derive(Debug, Default)]
struct Program<'a> {
    unit: &'a str,
    members: Vec<InstanceId>,
    /// Number of its dependents in the wave that have not had their turn.
    waits_for: usize,
    outlived_by: Vec<Key<'a>>,
}

/// Rearranges a wave so that each of its groups waits for the one before.
pub(crate) fn one_after_another<'a>(graph: &Graph, wave: Wave, member: impl Fn(InstanceId) -> Member<'a>) -> Wave {
    let mut programs = programs(graph, &wave, member);
    let mut ready: BTreeSet<(&str, Key<'_>)> = BTreeSet::new();
    ready.extend(programs.iter().filter(|(_, it)| it.waits_for == 0).map(|(&key, it)| (it.unit, key)));
    let (mut steps, mut current): (Vec<Vec<InstanceId>>, Option<&str>) = (Vec::new(), None);
    while let Some(&(last, _)) = ready.last() {
        // A unit that has begun is finished first, if it can be.
        let continues = |unit: &&str| ready.range((*unit, Key::Node(0))..).next().is_some_and(|(next, _)| next == unit);
        let unit = current.filter(continues).unwrap_or(last);
        let keys: Vec<Key<'_>> =
            ready.range((unit, Key::Node(0))..).take_while(|it| it.0 == unit).map(|it| it.1).collect();
        let mut members = Vec::new();
        for key in keys {
            ready.remove(&(unit, key));
            let Some(program) = programs.remove(&key) else { continue };
            members.extend(program.members);
            for next in program.outlived_by {
                let Some(other) = programs.get_mut(&next) else { continue };
                other.waits_for -= 1;
                if other.waits_for == 0 {
                    ready.insert((other.unit, next));
                }
            }
        }
        steps.push(members);
        current = Some(unit);
    }
    // The configuration rejects cycles; the programs of one would never have their turn.
    let stuck: Vec<InstanceId> = programs.into_values().flat_map(|program| program.members).collect();
    if !stuck.is_empty() {
        steps.push(stuck);
    }
    Wave { rank: wave.rank, groups: chain(steps) }
}

fn programs<'a>(
    graph: &Graph,
    wave: &Wave,
    member: impl Fn(InstanceId) -> Member<'a>,
) -> BTreeMap<Key<'a>, Program<'a>> {
    let mut programs: BTreeMap<Key<'_>, Program<'_>> = BTreeMap::new();
    for &id in wave.groups.iter().flat_map(|group| &group.members) {
        let Member { place, program, unit } = member(id);
        let key = graph.node(place).map_or(Key::Name(program), Key::Node);
        programs.entry(key).or_insert_with(|| Program { unit, ..Program::default() }).members.push(id);
    }
    let nodes: Vec<usize> =
        programs.keys().filter_map(|key| if let Key::Node(node) = key { Some(*node) } else { None }).collect();
    for node in nodes {
        for need in graph.outlived_by(node) {
            let Some(other) = programs.get_mut(&Key::Node(need)) else { continue };
            other.waits_for += 1;
            if let Some(program) = programs.get_mut(&Key::Node(node)) {
                program.outlived_by.push(Key::Node(need));
            }
        }
    }
    programs
}

fn chain(steps: Vec<Vec<InstanceId>>) -> Vec<Group> {
    let count = steps.len();
    let group = |(number, members): (usize, Vec<InstanceId>)| Group {
        members,
        waits_for: u32::from(number > 0),
        outlived_by: if number + 1 < count { vec![number as u32 + 1] } else { Vec::new() },
    };
    steps.into_iter().enumerate().map(group).collect()
}

/// For each member how long it and then, one after another, the members after it may take at most.
pub(crate) fn critical(
    wave: &Wave,
    patience: impl Fn(InstanceId) -> Option<Duration>,
) -> impl Iterator<Item = (InstanceId, Duration)> {
    let (mut after, mut critical) = (Duration::ZERO, Vec::new());
    for group in wave.groups.iter().rev() {
        let live: Vec<_> = group.members.iter().filter_map(|&id| Some((id, patience(id)?))).collect();
        critical.extend(live.iter().map(|&(id, own)| (id, own.saturating_add(after))));
        after = live.iter().map(|&(_, own)| own).max().unwrap_or_default().saturating_add(after);
    }
    critical.into_iter()
}
