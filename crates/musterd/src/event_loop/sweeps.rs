//! Trees that are to go: the signals to what is left of them, and the news that nothing is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_core::{Input, LeftBehind};
use muster_spec::{RunId, Signal};

use super::EventLoop;
use crate::children::commands::is_command;
use crate::log_events;

/// How soon SIGKILL is sent again to a tree of which some have died, in case it has grown meanwhile.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// How soon a signal goes on that is not through with a tree. Everybody else has their turn meanwhile.
const KILL_ON: Duration = Duration::from_millis(1);

/// How long trees are asked at a time.
const ASKING: Duration = Duration::from_millis(5);

/// What is still to be sent to a tree.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sweep {
    pub(super) unsent: Option<Signal>,
    pub(super) is_killing: bool,
    /// Whether the core wants to know first who they are, and whether they are killed then.
    pub(super) to_name: Option<bool>,
}

impl EventLoop {
    /// After children were reaped. Of a large tree that is a few at a time, and to look at all the others each time would take
    /// for ever.
    pub(super) fn look_for_growth(&mut self) {
        if self.sweeps.values().any(|sweep| sweep.is_killing) {
            self.kill_again.get_or_insert_with(|| Instant::now() + KILL_AGAIN);
        }
    }

    /// A tree may have grown since its last SIGKILL: whoever is left of it when this is settled gets another.
    pub(super) fn kill_what_grew(&mut self) {
        for sweep in self.sweeps.values_mut().filter(|sweep| sweep.is_killing) {
            sweep.unsent = Some(Signal::KILL);
        }
    }

    /// What is left of these trees is killed, and looked after until nothing is.
    pub(super) fn kill(&mut self, commands: impl IntoIterator<Item = RunId>) {
        let killing = Sweep { unsent: Some(Signal::KILL), is_killing: true, to_name: None };
        self.sweeps.extend(commands.into_iter().map(|command| (command, killing)));
    }

    /// Tells the core who they are that are about to be signalled, where it wants to know.
    fn name_leftovers(&mut self) {
        let wanted = self.sweeps.iter_mut().filter_map(|(&run, sweep)| Some((run, sweep.to_name.take()?)));
        let wanted: BTreeMap<RunId, bool> = wanted.collect();
        if wanted.is_empty() {
            return;
        }
        let runs: Vec<RunId> = wanted.keys().copied().collect();
        for (run, left) in self.shared.children.borrow_mut().left_of(&runs) {
            let left = LeftBehind { killed: wanted[&run], ..left };
            self.inputs.push_back(Input::LeftBehind { run, left });
        }
    }

    /// Tells the core of trees of which nothing is left; one look serves all that ended together.
    pub(super) fn take_gone_trees(&mut self) {
        if self.sweeps.is_empty() {
            return;
        }
        let mut children = self.shared.children.borrow_mut();
        let ended: Vec<RunId> = self.sweeps.keys().copied().filter(|&run| !children.has_main(run)).collect();
        let Some(gone) = children.take_gone(&ended) else {
            self.kill_again.get_or_insert_with(|| Instant::now() + KILL_ON);
            return;
        };
        for run in gone {
            self.sweeps.remove(&run);
            if is_command(run) {
                self.probes.command_gone(run);
            } else {
                self.inputs.push_back(Input::TreeGone { run });
            }
        }
    }

    /// Signals what is still there of the trees that are to go, all that get the same signal at once.
    pub(super) fn send_sweeps(&mut self) {
        self.name_leftovers();
        let mut by_signal: BTreeMap<Signal, Vec<RunId>> = BTreeMap::new();
        for (&run, sweep) in &mut self.sweeps {
            if let Some(signal) = sweep.unsent.take() {
                by_signal.entry(signal).or_default().push(run);
            }
        }
        for (signal, runs) in by_signal {
            if self.shared.children.borrow_mut().sweep(&runs, signal) {
                self.kill_again = Some(Instant::now() + KILL_ON);
            }
        }
        if !self.shared.children.borrow_mut().go_on_asking(Instant::now() + ASKING) {
            self.kill_again = Some(Instant::now() + KILL_ON);
        }
        self.tell_refused();
    }

    /// Logs who has been found that may not be signalled.
    pub(super) fn tell_refused(&self) {
        let refused = self.shared.children.borrow_mut().take_refused();
        refused.iter().for_each(|(run, refused)| log_events::write_refused(&self.shared, *run, refused));
    }
}
