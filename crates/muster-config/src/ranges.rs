//! A set of bytes of a text, kept as ranges, that answers in logarithmic time.

use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges that neither overlap nor touch, by where they start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges(BTreeMap<usize, usize>);

impl Ranges {
    /// Adds a range; one that overlaps or touches others is merged with them.
    pub(crate) fn insert(&mut self, range: Range<usize>) {
        let Range { mut start, mut end } = range;
        while let Some((&other, &other_end)) = self.0.range(..=end).next_back().filter(|(_, other)| **other >= start) {
            (start, end) = (start.min(other), end.max(other_end));
            self.0.remove(&other);
        }
        self.0.insert(start, end);
    }

    /// Adds all ranges of another set.
    pub(crate) fn extend(&mut self, other: Ranges) {
        other.0.into_iter().for_each(|(start, end)| self.insert(start..end));
    }

    /// Whether one of the ranges contains this byte.
    pub(crate) fn contains(&self, at: usize) -> bool {
        self.0.range(..=at).next_back().is_some_and(|(_, &end)| at < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_has_the_bytes_of_every_range_in_any_order() {
        let all = [3..5, 10..12, 4..7, 0..1, 11..20, 12..13, 6..7, 30..31];
        for first in 0..all.len() {
            let mut ranges = Ranges::default();
            let chosen: Vec<_> = all.iter().cycle().skip(first).take(all.len() - 1).cloned().collect();
            chosen.iter().cloned().for_each(|range| ranges.insert(range));
            for at in 0..40 {
                assert_eq!(ranges.contains(at), chosen.iter().any(|range| range.contains(&at)), "{first} {at}");
            }
            assert!(ranges.0.iter().zip(ranges.0.iter().skip(1)).all(|((_, end), (next, _))| end < next));
        }
    }
}
