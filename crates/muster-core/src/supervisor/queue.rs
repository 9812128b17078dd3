//! Turns to start: at most `max_parallel_starts` instances are STARTING at a time.
//!
//! Which of those that wait is next is looked up when one is done, so nothing has to be kept in order while configurations
//! change.

use muster_spec::InstanceId;

use super::Supervisor;
use crate::program::Instance;

impl Supervisor {
    /// The number of instances that are STARTING.
    pub fn starting(&self) -> usize {
        self.starting
    }

    /// Whether one more instance may be STARTING, and none waits for that.
    pub(super) fn has_room(&self) -> bool {
        self.queued == 0 && self.has_free_turn()
    }

    fn has_free_turn(&self) -> bool {
        let most = self.settings.max_parallel_starts;
        most == 0 || self.starting < most as usize
    }

    /// The instance whose turn it is.
    pub(super) fn next_in_queue(&self) -> Option<InstanceId> {
        if self.queued == 0 || !self.has_free_turn() {
            return None;
        }
        let place = |instance: &Instance| {
            Some((instance.queued()?, instance.program().start_order(), instance.id())).filter(|_| !self.has_exited)
        };
        self.instances.iter().filter_map(place).min().map(|(.., id)| id)
    }
}
