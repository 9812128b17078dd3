//! Trees that are to go: the signals to what is left of them, and the news that nothing is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_core::{Input, LeftBehind};
use muster_spec::{RunId, Signal};

use super::EventLoop;
use crate::children::Children;
use crate::children::commands::is_command;
use crate::log_events;

/// How soon SIGKILL is sent again to a tree of which some have died, in case it has grown meanwhile.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// How soon a signal goes on that is not through with a tree. Everybody else has their turn meanwhile.
const KILL_ON: Duration = Duration::from_millis(1);

/// How long trees are asked at a time.
const ASKING: Duration = Duration::from_millis(5);

/// Trees that are to go.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    by_run: BTreeMap<RunId, Sweep>,
    /// When there is more to be sent.
    again: Option<Instant>,
}

/// What is still to be sent to a tree.
#[derive(Clone, Copy, Debug, Default)]
struct Sweep {
    unsent: Option<Signal>,
    is_killing: bool,
    /// Whether the core wants to know first who they are, and whether they are killed then.
    to_name: Option<bool>,
}

impl Sweeps {
    /// Has what is left of a tree get a signal.
    pub(super) fn order(&mut self, run: RunId, signal: Signal) {
        let sweep = self.by_run.entry(run).or_default();
        sweep.unsent = Some(signal);
        sweep.is_killing |= signal == Signal::KILL;
    }

    /// Has the core know who they are before the next signal, and whether they are killed by it.
    pub(super) fn name_first(&mut self, run: RunId, killed: bool) {
        self.by_run.entry(run).or_default().to_name = Some(killed);
    }

    /// Has what is left of the trees of these commands killed.
    pub(super) fn kill(&mut self, commands: impl IntoIterator<Item = RunId>) {
        let killing = Sweep { unsent: Some(Signal::KILL), is_killing: true, to_name: None };
        self.by_run.extend(commands.into_iter().map(|command| (command, killing)));
    }

    /// After children were reaped. Of a large tree that is a few at a time, and to look at all the others each time would take
    /// for ever.
    pub(super) fn look_for_growth(&mut self) {
        if self.by_run.values().any(|sweep| sweep.is_killing) {
            self.again.get_or_insert_with(|| Instant::now() + KILL_AGAIN);
        }
    }

    /// When there is more to be sent.
    pub(super) fn due(&self) -> Option<Instant> {
        self.again
    }

    /// A tree may have grown since its last SIGKILL: whoever is left of it when this is settled gets another.
    pub(super) fn handle_deadline(&mut self, now: Instant) {
        if self.again.is_some_and(|at| at <= now) {
            self.again = None;
            for sweep in self.by_run.values_mut().filter(|sweep| sweep.is_killing) {
                sweep.unsent = Some(Signal::KILL);
            }
        }
    }

    /// Those that are about to be signalled, where the core wants to know who they are.
    fn take_leftovers(&mut self, children: &mut Children) -> Vec<Input> {
        let wanted = self.by_run.iter_mut().filter_map(|(&run, sweep)| Some((run, sweep.to_name.take()?)));
        let wanted: BTreeMap<RunId, bool> = wanted.collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        let runs: Vec<RunId> = wanted.keys().copied().collect();
        let left = children.left_of(&runs).into_iter();
        left.map(|(run, left)| Input::LeftBehind { run, left: LeftBehind { killed: wanted[&run], ..left } }).collect()
    }

    /// The trees of which nothing is left; one look serves all that ended together.
    fn take_gone(&mut self, children: &mut Children) -> Vec<RunId> {
        if self.by_run.is_empty() {
            return Vec::new();
        }
        let ended: Vec<RunId> = self.by_run.keys().copied().filter(|&run| !children.has_main(run)).collect();
        let Some(gone) = children.take_gone(&ended) else {
            self.again.get_or_insert_with(|| Instant::now() + KILL_ON);
            return Vec::new();
        };
        for run in &gone {
            self.by_run.remove(run);
        }
        gone
    }

    /// Signals what is still there of the trees, all that get the same signal at once.
    fn send(&mut self, children: &mut Children) {
        let mut by_signal: BTreeMap<Signal, Vec<RunId>> = BTreeMap::new();
        for (&run, sweep) in &mut self.by_run {
            if let Some(signal) = sweep.unsent.take() {
                by_signal.entry(signal).or_default().push(run);
            }
        }
        for (signal, runs) in by_signal {
            if children.sweep(&runs, signal) {
                self.again = Some(Instant::now() + KILL_ON);
            }
        }
        if !children.go_on_asking(Instant::now() + ASKING) {
            self.again = Some(Instant::now() + KILL_ON);
        }
    }
}

impl EventLoop {
    /// Tells the core of trees of which nothing is left.
    pub(super) fn take_gone_trees(&mut self) {
        for run in self.sweeps.take_gone(&mut self.shared.children.borrow_mut()) {
            if is_command(run) {
                self.probes.command_gone(run);
            } else {
                self.inputs.of_programs.push_back(Input::TreeGone { run });
            }
        }
    }

    /// Signals what is still there of the trees that are to go.
    pub(super) fn send_sweeps(&mut self) {
        let mut children = self.shared.children.borrow_mut();
        self.inputs.of_programs.extend(self.sweeps.take_leftovers(&mut children));
        self.sweeps.send(&mut children);
        drop(children);
        self.tell_refused();
    }

    /// Logs the processes that may not be signalled.
    pub(super) fn tell_refused(&self) {
        let refused = self.shared.children.borrow_mut().take_refused();
        refused.iter().for_each(|(run, refused)| log_events::write_refused(&self.shared, *run, refused));
    }
}
