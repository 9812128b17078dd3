//! Inputs that the core has not heard yet.

use std::collections::VecDeque;

use muster_core::Input;

/// While so many inputs of programs wait for the core, nothing is taken in but signals and orders: children wait as zombies,
/// and messages in their sockets.
const MOST_WAITING: usize = 256;

/// Inputs that wait for the core.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// What programs did, and what the loop found out about them.
    pub(super) of_programs: VecDeque<Input>,
    /// What was asked for. It takes turns with the others, so it does not wait behind all that programs do.
    pub(super) ordered: VecDeque<Input>,
    /// Whether the last input was an ordered one.
    was_ordered: bool,
}

impl Inputs {
    pub(super) fn is_empty(&self) -> bool {
        self.of_programs.is_empty() && self.ordered.is_empty()
    }

    /// Whether no more is to be taken in of what programs do.
    pub(super) fn is_crowded(&self) -> bool {
        self.of_programs.len() >= MOST_WAITING
    }

    /// The next input for the core.
    pub(super) fn next(&mut self) -> Option<Input> {
        let (first, second) = match self.was_ordered {
            true => (&mut self.of_programs, &mut self.ordered),
            false => (&mut self.ordered, &mut self.of_programs),
        };
        let is_first = !first.is_empty();
        let input = first.pop_front().or_else(|| second.pop_front());
        self.was_ordered = is_first != self.was_ordered;
        input
    }
}
