//! Inputs that wait for the core.

use std::collections::VecDeque;

use muster_core::Input;

/// At this many queued inputs from programs, only signals and orders are taken. Children wait as zombies, and notifications in
/// their sockets.
const MOST_WAITING: usize = 256;

/// Inputs that wait for the core.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// Inputs from programs and from the loop's own checks, in order.
    pub(super) of_programs: VecDeque<Input>,
    /// Commands, reloads and shutdowns. They alternate with the others, so a busy program cannot delay them.
    pub(super) ordered: VecDeque<Input>,
    /// Whether the last input was an ordered one.
    was_ordered: bool,
}

impl Inputs {
    pub(super) fn is_empty(&self) -> bool {
        self.of_programs.is_empty() && self.ordered.is_empty()
    }

    /// Whether no more inputs from programs are to be taken.
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
        if self.of_programs.is_empty() && self.of_programs.capacity() > MOST_WAITING {
            // All programs have started at the same time, or have been reported in one answer.
            self.of_programs = VecDeque::new();
        }
        input
    }
}
