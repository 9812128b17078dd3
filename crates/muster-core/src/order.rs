//! In which order instances start and stop.
//!
//! Starting goes by ascending priority without waiting. Stopping goes in waves, the highest priority first: a wave begins
//! when nothing of the one before is left, and its members stop at the same time.

use std::collections::BTreeMap;

use crate::name::InstanceId;

/// Groups instances into the waves in which they stop; the first wave is the last element, ready to be popped.
pub fn stop_waves(members: impl IntoIterator<Item = (InstanceId, i64)>) -> Vec<Vec<InstanceId>> {
    let mut waves: BTreeMap<i64, Vec<InstanceId>> = BTreeMap::new();
    for (id, priority) in members {
        waves.entry(priority).or_default().push(id);
    }
    waves.into_values().collect()
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
        let mut waves = stop_waves(members);
        assert_eq!(waves.pop(), Some(vec![InstanceId(0), InstanceId(2)]));
        assert_eq!(waves.pop(), Some(vec![InstanceId(1)]));
        assert_eq!(waves.pop(), Some(vec![InstanceId(3)]));
        assert_eq!(waves.pop(), None);
    }
}
