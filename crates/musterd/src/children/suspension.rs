//! Main processes that a signal has stopped: SIGSTOP of a debugger or an operator, SIGTTIN of a terminal.
//!
//! A stopped process goes on to count as alive, and its deadlines as its own; a stop signal is followed by SIGCONT. The kernel
//! reports stops with the signal that reports exits, so nothing is polled.

use muster_spec::{RunId, Signal};
use muster_sys::reap::{Change, Reaped};
use muster_sys::signal::Pid;

use super::Children;
use super::commands::is_command;

/// The number of changes that are kept to be logged. More in one reaping are not logged.
const MOST: usize = 64;

/// A main process was stopped by a signal, or continued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspension {
    pub(crate) run: RunId,
    pub(crate) pid: Pid,
    pub(crate) by: Option<Signal>,
}

impl Children {
    /// Notes that a main process was stopped or continued. Returns what is left to handle: an exit.
    pub(super) fn note_suspension(&mut self, change: Change) -> Option<Reaped> {
        match change {
            Change::Exited(reaped) => return Some(reaped),
            Change::Stopped { pid, signal } => self.suspend(pid, Some(signal)),
            Change::Continued { pid } => self.suspend(pid, None),
        }
        None
    }

    fn suspend(&mut self, pid: Pid, by: Option<Signal>) {
        self.trees.note_stopped(pid, by.is_some());
        let Some(&run) = self.runs.get(&pid).filter(|&&run| !is_command(run)) else { return };
        let Some(child) = self.children.get_mut(&run).filter(|child| child.main_pid() == pid) else { return };
        if std::mem::replace(&mut child.suspended, by) != by && self.suspensions.len() < MOST {
            self.suspensions.push(Suspension { run, pid, by });
        }
    }

    /// The changes since the last call.
    pub(crate) fn take_suspensions(&mut self) -> Vec<Suspension> {
        std::mem::take(&mut self.suspensions)
    }

    /// The signal that has stopped the main process of this run.
    pub(crate) fn suspended_by(&self, run: RunId) -> Option<Signal> {
        self.children.get(&run)?.suspended
    }
}
