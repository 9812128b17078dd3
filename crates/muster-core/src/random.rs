//! A small deterministic random number generator, for jitter.
//!
//! The same seed gives the same delays, so that a simulation is reproducible. SplitMix64 (Steele, Lea, Flood 2014).

use serde::{Deserialize, Serialize};

/// A seeded generator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Random(u64);

impl Random {
    /// A generator whose sequence depends only on the seed.
    pub fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number from 0 up to, but not including, 1.
    pub fn next_unit(&mut self) -> f64 {
        (self.next_bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}
