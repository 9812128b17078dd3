//! The order of a serial shutdown, by trying all that is left at each step: slow, simple and independent of the core.

use std::collections::BTreeMap;

use crate::common::kinship::Kinship;

/// A program whose instances are to be stopped.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) rank: i64,
}

/// The step in which each of these programs stops.
pub(super) fn turns(order: &Kinship, mut left: Vec<Candidate>) -> BTreeMap<String, usize> {
    let (mut turns, mut current) = (BTreeMap::new(), String::new());
    while let Some(highest) = left.iter().map(|one| one.rank).max() {
        let is_needed = |one: &Candidate| {
            let mut others = left.iter().filter(|other| other.rank == highest && other.name != one.name);
            others.any(|other| order.needs(&other.name).any(|(need, _)| need == one.name))
        };
        let ready: Vec<Candidate> = left.iter().filter(|one| one.rank == highest && !is_needed(one)).cloned().collect();
        let Some(last) = ready.iter().map(|one| one.unit.clone()).max() else { return turns };
        let continues = ready.iter().any(|one| one.unit == current);
        let unit = if continues { current } else { last };
        let step = turns.values().max().map_or(0, |last| last + 1);
        for one in ready.iter().filter(|one| one.unit == unit) {
            turns.insert(one.name.clone(), step);
            left.retain(|other| other.name != one.name);
        }
        current = if left.iter().any(|one| one.rank == highest) { unit } else { String::new() };
    }
    turns
}
