//! The number of a program's instances, which a running daemon can change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The number of instances that a configuration asks for, and the bounds of a change at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numprocs {
    /// The number in the configuration.
    pub configured: u32,
    /// The least number at run time.
    pub least: u32,
    /// The greatest number at run time.
    pub most: u32,
}

impl Numprocs {
    /// The greatest number of instances of a program.
    pub const MOST: u32 = 1000;

    /// This number, with default bounds.
    pub const fn of(configured: u32) -> Numprocs {
        Numprocs { configured, least: 1, most: Numprocs::MOST }
    }

    /// Whether a program may have so many at run time.
    pub const fn allows(self, number: u32) -> bool {
        self.least <= number && number <= self.most
    }
}

/// A number of instances that was chosen at run time. It holds as long as the configured number is the one that it replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The chosen number.
    pub numprocs: u32,
    /// The configured number at that time.
    pub replaced: u32,
}

impl Scale {
    /// Whether it still holds for a program with these numbers.
    pub fn holds(self, numprocs: Numprocs) -> bool {
        self.replaced == numprocs.configured && numprocs.allows(self.numprocs)
    }
}

/// The scaled programs, by name.
pub type Scales = BTreeMap<String, Scale>;
