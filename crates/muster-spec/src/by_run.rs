//! Maps by run. Their keys are numbers that the core counts up: a short hash serves them. That of the standard library defends against
//! keys that others choose.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::RunId;

/// Something of each run.
pub type ByRun<T> = HashMap<RunId, T, BuildHasherDefault<Counted>>;

/// The hash of a counted number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted(u64);

impl Hasher for Counted {
    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing mixes into the highest bits, and a table takes its place from the lowest.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64((self.0 << 8) ^ u64::from(byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn numbers_in_a_row_are_spread_over_a_table_and_over_its_tags() {
        let hash = |number| BuildHasherDefault::<Counted>::default().hash_one(RunId(number));
        for first in [0, 1_000, 1 << 40] {
            let places: HashSet<u64> = (first..first + 256).map(|number| hash(number) % 256).collect();
            let tags: HashSet<u64> = (first..first + 256).map(|number| hash(number) >> 57).collect();
            assert!(places.len() > 128 && tags.len() > 64, "{first}: {} places, {} tags", places.len(), tags.len());
        }
    }
}
