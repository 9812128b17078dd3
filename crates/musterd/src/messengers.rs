//! The commands of notifiers: which there are.
//!
//! Each has a serial number that is never reused, unlike the id of its process tree, and counts until nothing of that tree is left.

use std::collections::BTreeMap;

use muster_spec::{ProcessSpec, RunId, SpawnError};
use tokio::sync::oneshot;

use crate::children::commands::Command;
use crate::children::stdin::StdinPipe;

/// A command that a notifier wants to execute.
#[derive(Debug)]
pub(crate) struct Messenger {
    /// The notifier.
    pub(crate) notifier: String,
    /// The command, in the context of the daemon.
    pub(crate) process: ProcessSpec,
    /// Variables that it gets.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// A command that is running.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) serial: u64,
    pub(crate) command: Command,
    /// Writes to its standard input.
    pub(crate) stdin: StdinPipe,
    /// Completes when no process of it is left.
    pub(crate) ended: oneshot::Receiver<()>,
}

/// The answer to an order to execute a command.
pub(crate) type Reply = oneshot::Sender<Result<Begun, SpawnError>>;

/// All commands of notifiers that have processes.
#[derive(Debug, Default)]
pub(crate) struct Messengers {
    by_serial: BTreeMap<u64, (RunId, oneshot::Sender<()>)>,
    last: u64,
}

impl Messengers {
    /// Begins a command with this tree; returns its serial number, and the receiver of its end.
    pub(crate) fn begin(&mut self, id: RunId) -> (u64, oneshot::Receiver<()>) {
        let (tell, ended) = oneshot::channel();
        self.last += 1;
        self.by_serial.insert(self.last, (id, tell));
        (self.last, ended)
    }

    /// The id of a command's tree, while it has processes.
    pub(crate) fn id(&self, serial: u64) -> Option<RunId> {
        self.by_serial.get(&serial).map(|(id, _)| *id)
    }

    /// The ids of all trees.
    pub(crate) fn ids(&self) -> Vec<RunId> {
        self.by_serial.values().map(|(id, _)| *id).collect()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_serial.is_empty()
    }

    /// Forgets the command of a tree without remaining processes, if it is one.
    pub(crate) fn forget(&mut self, id: RunId) {
        let serial = self.by_serial.iter().find(|(_, (of, _))| *of == id).map(|(&serial, _)| serial);
        if let Some((_, tell)) = serial.and_then(|serial| self.by_serial.remove(&serial)) {
            // Its notifier may have been removed.
            let _ = tell.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_never_names_the_command_that_got_the_same_tree_later() {
        let mut messengers = Messengers::default();
        let (first, mut ended) = messengers.begin(RunId(7));
        assert_eq!((messengers.id(first), messengers.ids()), (Some(RunId(7)), vec![RunId(7)]));
        assert!(ended.try_recv().is_err());
        messengers.forget(RunId(8));
        messengers.forget(RunId(7));
        assert_eq!((ended.try_recv(), messengers.id(first)), (Ok(()), None));
        let (second, _ended) = messengers.begin(RunId(7));
        assert!(second > first && messengers.id(first).is_none());
    }
}
