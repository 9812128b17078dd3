//! Sorting and collecting whose machine code is small, for lists that are sorted seldom.
//!
//! The library's stable sort is compiled again for each type and each order, 4 kB at a time, and collecting into a `BTreeMap`
//! sorts as well, in code of its own for each iterator. Here one sort of indices serves all. It takes an allocation and calls
//! through a pointer, so the event loop's own lists keep the library's sort.

use std::cmp::Ordering;

/// Sorts by a comparison; equal elements keep their order.
pub fn sort_by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    let mut from = sorted_indices(items.len(), &mut |one, other| compare(&items[one], &items[other]));
    for start in 0..items.len() {
        let mut at = start;
        // Each swap brings one element to its place; a place that points to itself is done.
        while from[at] != start {
            let next = from[at];
            items.swap(at, next);
            from[at] = at;
            at = next;
        }
        from[at] = at;
    }
}

/// Sorts by a key; elements of equal keys keep their order.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], mut key: impl FnMut(&T) -> K) {
    sort_by(items, |one, other| key(one).cmp(&key(other)));
}

/// For each place in the sorted list, where its element is now.
fn sorted_indices(count: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..count).collect();
    indices.sort_by(|&one, &other| compare(one, other));
    indices
}

/// Collecting into a map or a set by insertion.
pub trait Gather: Iterator + Sized {
    /// Inserts each element; of elements with the same key the last stays, as with `collect`.
    fn gather<C: Default + Extend<Self::Item>>(self) -> C {
        let mut all = C::default();
        all.extend(self);
        all
    }
}

impl<I: Iterator> Gather for I {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn sorts_like_the_library_and_keeps_the_order_of_equals() {
        let mut seed = 7u32;
        for count in 0..200 {
            let next = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed >> 24
            };
            let numbered: Vec<(u32, usize)> = std::iter::repeat_with(next).map(|key| key % 16).zip(0..count).collect();
            let (mut ours, mut theirs) = (numbered.clone(), numbered);
            sort_by_key(&mut ours, |&(key, _)| key);
            theirs.sort_by_key(|&(key, _)| key);
            assert_eq!(ours, theirs);
            sort_by(&mut ours, |one, other| other.0.cmp(&one.0));
            theirs.sort_by_key(|&(key, _)| std::cmp::Reverse(key));
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn gathering_keeps_the_last_of_each_key() {
        let gathered: BTreeMap<&str, u8> = [("b", 1), ("a", 2), ("b", 3)].into_iter().gather();
        assert_eq!(gathered.into_iter().collect::<Vec<_>>(), [("a", 2), ("b", 3)]);
    }
}
