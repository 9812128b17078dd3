//! Schedules: from the text of the configuration to the next times, and which of them are due.
//!
//! [`parse`] checks a text and says where in it a mistake is. [`Cron`] computes times in a time zone; the arithmetic is
//! croner's and the zones are jiff's. [`Agenda`] follows a wall clock that may be set at any moment, and decides which times
//! are due and which were missed. Nothing here reads a clock or waits: callers pass the seconds since 1970.

mod agenda;
mod cron;
mod expression;
mod text;
mod zone;

use std::ops::Range;

pub use agenda::{Agenda, Due};
pub use cron::Cron;
pub use text::parse;
pub use zone::{check as check_zone, local, seconds_of};

/// A mistake in the text of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The part of the text, in bytes.
    pub at: Range<usize>,
    /// The mistake in words, as the rest of a sentence that begins with the name of the key.
    pub message: String,
    /// A way out; empty if there is none.
    pub hint: String,
}

impl Mistake {
    pub(crate) fn new(at: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Mistake {
        Mistake { at, message: message.into(), hint: hint.into() }
    }

    /// The same in a longer text, in which this one begins later.
    pub(crate) fn moved(self, by: usize) -> Mistake {
        Mistake { at: self.at.start + by..self.at.end + by, ..self }
    }
}
