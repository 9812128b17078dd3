//! New processes, from their creation until it is known whether they have executed their program.
//!
//! Their status pipes are in one poll set. A process that shares the daemon's descriptors reports that it has left them only if the
//! daemon is about to wait by then.

use std::collections::VecDeque;

use muster_core::Input;
use muster_spec::{RunId, SpawnError};
use muster_sys::spawn::{Spawner, Spawning};

use super::Children;

impl Children {
    /// The number of processes that have not executed their program yet. Commands of probes are not watched, so where it
    /// matters they are looked at here: they may run for as long as the probe allows.
    pub(crate) fn in_flight(&mut self) -> usize {
        if self.spawner.in_flight() >= Spawner::AT_ONCE {
            for id in self.commands.unended() {
                let Some(child) = self.children.get_mut(&id) else { continue };
                child.spawning.take_if(|spawning| spawning.outcome() == Some(Ok(())));
            }
        }
        self.spawner.in_flight()
    }

    /// Before the loop waits, or lets others run: the log thread gets its orders, and new processes report their progress.
    pub(crate) fn before_waiting(&mut self) {
        self.logs.ring();
        for run in self.unawaited.drain(..) {
            let spawning = self.children.get(&run).and_then(|child| child.spawning.as_ref());
            spawning.into_iter().for_each(|spawning| spawning.prepare_to_wait());
        }
    }

    /// Returns the results of spawning that are known since the last call.
    pub(crate) fn take_outcomes(&mut self, ready: &[u64]) -> Vec<Input> {
        ready.iter().filter_map(|&token| self.take_outcome(RunId(token))).collect()
    }

    fn take_outcome(&mut self, run: RunId) -> Option<Input> {
        self.unwatch_lost(run);
        let child = self.children.get_mut(&run)?;
        match child.spawning.as_mut()?.outcome()? {
            Ok(()) => {
                let spawning = child.spawning.take()?;
                self.unwatch(&spawning);
                // Recording its tag now saves doing so when it is stopped, perhaps together with a thousand others.
                self.trees.observe(run);
                Some(Input::Spawned { run })
            }
            // The process is about to exit; the run has ended only when it has been reaped.
            Err(_) => {
                let spawning = child.spawning.as_ref()?;
                let _ = self.statuses.get_ref().remove(spawning.descriptor());
                None
            }
        }
    }

    pub(super) fn unwatch(&self, spawning: &Spawning) {
        // It may have been removed before, which is the only possible error.
        let _ = self.statuses.get_ref().remove(spawning.descriptor());
    }

    /// The process exited before its spawning was checked.
    pub(super) fn spawn_error(
        &self,
        run: RunId,
        mut spawning: Spawning,
        inputs: &mut VecDeque<Input>,
    ) -> Option<SpawnError> {
        self.unwatch(&spawning);
        let outcome = spawning.outcome_after_exit();
        inputs.extend(outcome.is_ok().then_some(Input::Spawned { run }));
        outcome.err()
    }
}
