//! What is said of processes, within the limits.

use std::io;

use muster_spec::{InstanceSpec, RunId, Signal};
use muster_sys::reap::Reaped;
use muster_sys::signal::Pid;
use muster_sys::tree::Whose;
use tracing::{Level, debug, info, warn};

use super::Children;
use crate::limit::{DAEMON, Limits, Notice, unless_none};

impl Children {
    /// The limits on what is said of programs.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn say_start(&self, run: RunId, spec: &InstanceSpec, pid: Pid) {
        let said = self.limits.pass_run(&spec.name, run);
        if said.is_some() || tracing::enabled!(Level::DEBUG) {
            info!(program = %spec.name, %run, %pid, suppressed = said.and_then(unless_none), "starting");
        }
    }

    pub(super) fn say_orphan(&self, reaped: &Reaped) {
        if let Some(suppressed) = self.limits.pass(DAEMON, Notice::Orphan) {
            let suppressed = unless_none(suppressed);
            debug!(pid = %reaped.pid, exit = %reaped.exit, suppressed, "reaped an orphan");
        }
    }

    /// `main` where only the main process of that run was to be signalled.
    pub(super) fn say_refused(&self, main: Option<RunId>, runs: &[RunId], signal: Signal, error: &io::Error) {
        if let Some(suppressed) = self.limits.pass(DAEMON, Notice::Refused) {
            let suppressed = unless_none(suppressed);
            match main {
                Some(run) => {
                    let pid = self.pid_of(run);
                    warn!(%run, pid, %signal, %error, suppressed, "cannot signal a program");
                }
                None => warn!(?runs, %signal, %error, suppressed, "cannot signal the processes of a program"),
            }
        }
    }

    /// The number of notices of this kind that were suppressed, if what a signal from this process brings about is to be
    /// said. That is limited for programs, and for processes that have ended; others need the right to control.
    pub(crate) fn pass_signal(&mut self, sender: Option<Pid>, notice: Notice) -> Option<u64> {
        match sender.map(|sender| self.trees.whose(sender)) {
            None | Some(Whose::Nobody) => Some(0),
            Some(Whose::Run(_) | Whose::Gone) => self.limits.pass(DAEMON, notice),
        }
    }
}
