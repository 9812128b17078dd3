//! The lines about new processes, in the order in which they were created.
//!
//! A process is announced once it has executed its program, and one that cannot is not. A line waits for those of
//! processes that were created before, but not longer than until there is another line about its own process. So there
//! is at most one waiting line for each live run.

use std::collections::VecDeque;

use muster_spec::RunId;

/// The processes that have not been announced, in the order of their creation.
#[derive(Debug, Default)]
pub(crate) struct Announced(VecDeque<Waiting>);

#[derive(Debug)]
struct Waiting {
    run: RunId,
    is_executed: bool,
}

impl Announced {
    /// A process was created.
    pub(crate) fn created(&mut self, run: RunId) {
        self.0.push_back(Waiting { run, is_executed: false });
    }

    /// It has executed its program. Returns the processes to be announced now.
    pub(crate) fn executed(&mut self, run: RunId) -> Vec<RunId> {
        self.0.iter_mut().filter(|it| it.run == run).for_each(|it| it.is_executed = true);
        self.first()
    }

    /// It could not execute its program. Returns the processes to be announced now.
    pub(crate) fn failed(&mut self, run: RunId) -> Vec<RunId> {
        self.0.retain(|it| it.run != run);
        self.first()
    }

    /// Whether it is to be announced now, because there is another line about it.
    pub(crate) fn is_due(&mut self, run: RunId) -> bool {
        let place = self.0.iter().position(|it| it.run == run && it.is_executed);
        place.is_some_and(|place| self.0.remove(place).is_some())
    }

    fn first(&mut self) -> Vec<RunId> {
        let count = self.0.iter().take_while(|it| it.is_executed).count();
        self.0.drain(..count).map(|it| it.run).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_in_the_order_of_creation_and_before_any_other_line() {
        let mut announced = Announced::default();
        let [a, b, c, d] = [1, 2, 3, 4].map(RunId);
        [a, b, c, d].into_iter().for_each(|run| announced.created(run));
        assert_eq!(announced.executed(b), []);
        assert_eq!(announced.executed(a), [a, b]);
        assert_eq!(announced.executed(d), []);
        assert!(!announced.is_due(c) && announced.is_due(d) && !announced.is_due(d));
        assert_eq!(announced.failed(c), []);
        assert!(announced.0.is_empty());
    }
}
