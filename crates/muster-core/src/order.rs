//! In which order instances start and stop, and how a shutdown's budget is shared among the steps.
//!
//! Starting goes by ascending priority without waiting. Stopping goes in waves, the highest priority first: a wave begins
//! when nothing of the one before is left, and its members stop at the same time.

use std::collections::BTreeMap;
use std::time::Duration;

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

/// How much of `remaining` the first of several waves may take, given how long each of them may want, the first one first.
///
/// Where all of them fit, each may take what it wants. Otherwise every wave gets its part of the whole, so that each member
/// of each wave gets its stop signal; what a wave does not use is there for the later ones.
pub fn share(remaining: Duration, wants: &[Duration]) -> Duration {
    let Some(&first) = wants.first() else { return Duration::ZERO };
    let total = wants.iter().fold(Duration::ZERO, |total, &want| total.saturating_add(want));
    if total <= remaining {
        return first;
    }
    Duration::try_from_secs_f64(remaining.as_secs_f64() * (first.as_secs_f64() / total.as_secs_f64()))
        .map_or(remaining, |part| part.min(remaining))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

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

    #[test]
    fn what_fits_is_not_shortened() {
        assert_eq!(share(seconds(9), &[seconds(4), seconds(5)]), seconds(4));
        assert_eq!(share(seconds(9), &[seconds(9)]), seconds(9));
    }

    #[test]
    fn what_does_not_fit_is_shared_in_proportion() {
        assert_eq!(share(seconds(9), &[seconds(10); 10]), Duration::from_millis(900));
        assert_eq!(share(seconds(9), &[seconds(10), seconds(20)]), seconds(3));
        assert_eq!(share(Duration::ZERO, &[seconds(10), seconds(20)]), Duration::ZERO);
    }
}
