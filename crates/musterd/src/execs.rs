//! The commands that clients execute in the context of programs: which there are.
//!
//! Each has a serial number that is never reused, unlike the id of its process tree. It counts until nothing of that
//! tree is left, so commands that cannot be killed do not make room for others.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_core::Principal;
use muster_secrets::Prepared;
use muster_spec::{InstanceSpec, ProcessSpec, RunId};
use muster_sys::pty;

/// Maximum number of commands at a time.
pub(crate) const MOST: usize = 16;

/// A command that a client wants to execute.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The instance in whose context it is to run.
    pub(crate) spec: Arc<InstanceSpec>,
    /// That context with the command.
    pub(crate) process: ProcessSpec,
    /// The size of its terminal, if it is to have one.
    pub(crate) terminal: Option<pty::Size>,
    /// Whether it gets input.
    pub(crate) stdin: bool,
    /// The client that asks.
    pub(crate) by: Principal,
    /// The secrets and copies read for it.
    pub(crate) prepared: Prepared,
}

/// A command with processes.
#[derive(Clone, Debug)]
pub(crate) struct Exec {
    /// The id of its tree.
    pub(crate) id: RunId,
    /// The instance.
    pub(crate) program: String,
    /// The client that asked for it.
    pub(crate) by: Principal,
    /// Its name, without arguments.
    pub(crate) command: String,
}

/// Why no command was started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// There are [`MOST`] already.
    TooMany,
    /// The daemon is shutting down.
    ShuttingDown,
    /// There is no process.
    Failed(muster_spec::SpawnError),
}

/// All commands with processes.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    by_serial: BTreeMap<u64, Exec>,
    last: u64,
    /// The number of clients that have, or wait for, a command.
    attached: usize,
}

impl Execs {
    /// A number for the command of another client, unless there are too many: each keeps a place in the queue of orders.
    pub(crate) fn attach(&mut self) -> Option<u64> {
        if self.attached >= MOST {
            return None;
        }
        (self.attached, self.last) = (self.attached + 1, self.last + 1);
        Some(self.last)
    }

    /// A client has left.
    pub(crate) fn detach(&mut self) {
        self.attached = self.attached.saturating_sub(1);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.by_serial.len() >= MOST
    }

    pub(crate) fn begin(&mut self, serial: u64, exec: Exec) {
        self.by_serial.insert(serial, exec);
    }

    /// The id of a command's tree, while it has processes.
    pub(crate) fn id(&self, serial: u64) -> Option<RunId> {
        self.by_serial.get(&serial).map(|exec| exec.id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Exec> {
        self.by_serial.values()
    }

    /// Forgets the command of a tree without remaining processes, if it is one.
    pub(crate) fn forget(&mut self, id: RunId) -> Option<Exec> {
        let serial = self.by_serial.iter().find(|(_, exec)| exec.id == id).map(|(&serial, _)| serial)?;
        self.by_serial.remove(&serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_never_names_the_command_that_got_the_same_tree_later() {
        let exec =
            |id| Exec { id: RunId(id), program: "web".to_owned(), by: Principal::Uid(0), command: "sh".to_owned() };
        let mut execs = Execs::default();
        let (first, second) = (execs.attach().unwrap(), execs.attach().unwrap());
        execs.begin(first, exec(7));
        assert!(execs.forget(RunId(8)).is_none());
        assert!(execs.forget(RunId(7)).is_some());
        execs.begin(second, exec(7));
        assert_eq!((execs.id(first), execs.id(second)), (None, Some(RunId(7))));
        (0..MOST as u64).for_each(|id| execs.begin(100 + id, exec(id)));
        assert!(execs.is_full());
        assert_eq!(std::iter::from_fn(|| execs.attach()).count(), MOST - 2);
        execs.detach();
        assert!(execs.attach().is_some_and(|serial| serial > second));
    }
}
