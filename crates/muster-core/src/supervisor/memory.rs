//! The daemon's memory of instances: taken over by those that are there, and by those of the first configuration that
//! follows.

use muster_spec::InstanceId;

use super::Supervisor;
use crate::memory::Memory;
use crate::time::Time;

impl Supervisor {
    /// Keeps what is known until there is a configuration to apply it to.
    pub(super) fn remember(&mut self, now: Time, instances: Vec<Memory>) {
        self.remembered = instances;
        self.recall(now);
    }

    /// The same for the instances of the first configuration; what concerns none of them is forgotten. Returns those that stay
    /// down.
    pub(super) fn recall_last(&mut self, now: Time) -> Vec<InstanceId> {
        let recalled = self.recall(now);
        self.remembered = Vec::new();
        recalled.into_iter().filter(|&id| self.instance(id).stays_down()).collect()
    }

    /// Has instances take over what is known of them, and returns these.
    fn recall(&mut self, now: Time) -> Vec<InstanceId> {
        let mut recalled = Vec::new();
        for memory in std::mem::take(&mut self.remembered) {
            match self.names.get(&memory.name) {
                Some(&id) => {
                    self.tell(now, id, |instance, _| instance.recall(&memory));
                    recalled.push(id);
                }
                None => self.remembered.push(memory),
            }
        }
        recalled
    }
}
