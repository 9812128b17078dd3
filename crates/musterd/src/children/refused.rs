//! Processes that the daemon has no permission to signal: a set-user-id program below a daemon that is not root, a program
//! of another user below one without CAP_KILL.
//!
//! Each run is reported once, with the process that could not be signalled: signals continue to be sent, and the
//! reason stays the same.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use muster_core::{leftover::LeftBehind, leftover::MOST_NAMED};
use muster_spec::{RunId, Signal};
use muster_sys::tree::{Names, Refused};

use super::Children;

/// Maximum time spent at once on naming the processes.
const NAMING: Duration = Duration::from_millis(5);

/// The runs known to have such processes, and those of them not reported yet.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    known: HashSet<RunId>,
    untold: Vec<(RunId, Refused)>,
}

impl Refusals {
    pub(super) fn forget(&mut self, run: RunId) {
        self.known.remove(&run);
    }
}

impl Children {
    /// Whether the daemon may not signal some process of this run.
    pub(crate) fn is_refused(&self, run: RunId) -> bool {
        self.refused.known.contains(&run)
    }

    /// Returns what was found since the last call.
    pub(crate) fn take_refused(&mut self) -> Vec<(RunId, Refused)> {
        std::mem::take(&mut self.refused.untold)
    }

    /// Records that not all processes of these runs could be signalled.
    pub(super) fn note_refused(&mut self, runs: &[RunId], signal: Signal, error: Option<&io::Error>) {
        let new: Vec<RunId> = runs.iter().copied().filter(|run| !self.refused.known.contains(run)).collect();
        if new.is_empty() {
            return;
        }
        let found: Vec<(RunId, Refused)> = self
            .trees
            .names(&new, 0, Instant::now() + NAMING)
            .into_iter()
            .filter_map(|(run, names)| Some((run, names.refused?)))
            .collect();
        if let Some(error) = error.filter(|_| found.is_empty()) {
            // The reason will be the same each time.
            self.refused.known.extend(&new);
            self.say_refused(None, &new, signal, error);
        }
        self.refused.known.extend(found.iter().map(|(run, _)| *run));
        self.refused.untold.extend(found);
    }

    /// The remaining processes of these runs that can be signalled; runs without any are left out.
    pub(crate) fn left_of(&mut self, runs: &[RunId]) -> Vec<(RunId, LeftBehind)> {
        let as_told = |(run, Names { count, first, .. })| {
            let named = first.into_iter().filter_map(|(name, pid)| Some((name, u32::try_from(pid.0).ok()?)));
            (run, LeftBehind { named: named.collect(), count, ..LeftBehind::default() })
        };
        let all = self.trees.names(runs, MOST_NAMED, Instant::now() + NAMING).into_iter();
        all.filter(|(_, names)| names.count > 0).map(as_told).collect()
    }
}
