//! Rate-limited log messages about processes.

use std::io;

use muster_spec::{InstanceSpec, RunId, Signal};
use muster_sys::reap::Reaped;
use muster_sys::signal::Pid;
use muster_sys::tree::Whose;
use tracing::{Level, debug, info, warn};

use super::Children;
use muster_logging::limit::{DAEMON, Limits, Notice, unless_none};
use muster_logging::main_log;

impl Children {
    /// The rate limits of messages and events.
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
        main_log::reaped(reaped.pid, reaped.exit);
        if let Some(suppressed) = self.limits.pass(DAEMON, Notice::Orphan) {
            let suppressed = unless_none(suppressed);
            debug!(pid = %reaped.pid, exit = %reaped.exit, suppressed, "reaped an orphan");
        }
    }

    /// `main` is set if only the main process of that run was to be signalled.
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

    /// The run whose tree the process that sent the daemon a signal is in.
    pub(crate) fn run_of_sender(&mut self, sender: Pid) -> Option<RunId> {
        self.trees.run_of_sender(sender)
    }

    /// How many notices of this kind were suppressed, or `None` if this one is suppressed, too. `sender` is the
    /// process whose signal the notice is about: programs and processes that have exited are limited, others need the
    /// right to control the daemon.
    pub(crate) fn pass_signal(&mut self, sender: Option<Pid>, notice: Notice) -> Option<u64> {
        match sender.map(|sender| self.trees.whose(sender)) {
            None | Some(Whose::Nobody) => Some(0),
            Some(Whose::Run(_) | Whose::Gone) => self.limits.pass(DAEMON, notice),
        }
    }
}
