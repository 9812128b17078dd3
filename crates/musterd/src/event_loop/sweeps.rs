//! Trees that are to go: signals to what is left of them, and the inputs that report that nothing is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_core::{Input, LeftBehind};
use muster_spec::{RunId, Signal};

use super::EventLoop;
use crate::children::Children;
use crate::children::commands::is_command;
use crate::log_events;

/// How soon SIGKILL is sent again to a tree of which some processes have died, in case it has grown.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// How soon a signal that has not reached all of a tree goes on. Other sources come first.
const KILL_ON: Duration = Duration::from_millis(1);

/// How long a client's command may go on after SIGHUP.
const HANGING_UP: Duration = Duration::from_secs(5);

/// How long trees are looked through at a time.
const ASKING: Duration = Duration::from_millis(5);

/// Trees that are to go.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    by_run: BTreeMap<RunId, Sweep>,
    /// When there is more to be sent.
    again: Option<Instant>,
    /// When to kill the trees that were asked to end, in that order.
    to_kill: Vec<(Instant, RunId)>,
}

/// The signals still to be sent to a tree.
#[derive(Clone, Copy, Debug, Default)]
struct Sweep {
    unsent: Option<Signal>,
    is_killing: bool,
    /// Whether only the group of the main process is to go.
    is_group: bool,
    /// Whether the core wants the processes named first, and whether they are killed then.
    to_name: Option<bool>,
}

impl Sweeps {
    /// Orders a signal to what is left of a tree.
    pub(super) fn order(&mut self, run: RunId, signal: Signal) {
        let sweep = self.by_run.entry(run).or_default();
        sweep.unsent = Some(signal);
        sweep.is_killing |= signal == Signal::KILL;
    }

    /// Orders a signal to what is left of the group of a main process, and to report when nothing is.
    pub(super) fn order_group(&mut self, run: RunId, signal: Option<Signal>) {
        let sweep = self.by_run.entry(run).or_default();
        sweep.is_group = true;
        sweep.unsent = signal.or(sweep.unsent);
        sweep.is_killing |= signal == Some(Signal::KILL);
    }

    /// Orders the processes of a tree to be named before the next signal. `killed` is whether that kills them.
    pub(super) fn name_first(&mut self, run: RunId, killed: bool) {
        self.by_run.entry(run).or_default().to_name = Some(killed);
    }

    /// Asks a command to end, unless it is being killed.
    pub(super) fn ask(&mut self, command: RunId, signal: Signal) {
        let sweep = self.by_run.entry(command).or_default();
        if !sweep.is_killing {
            sweep.unsent = Some(signal);
        }
    }

    /// Asks a command to end, and kills what is left of it a while later.
    pub(super) fn hang_up(&mut self, command: RunId) {
        self.ask(command, Signal::HUP);
        self.to_kill.push((Instant::now() + HANGING_UP, command));
    }

    /// Kills what is left of the trees of these commands.
    pub(super) fn kill(&mut self, commands: impl IntoIterator<Item = RunId>) {
        let killing = Sweep { unsent: Some(Signal::KILL), is_killing: true, ..Sweep::default() };
        self.by_run.extend(commands.into_iter().map(|command| (command, killing)));
    }

    /// Schedules another SIGKILL after children were reaped. A large tree loses a few processes at a time, and looking through
    /// all the others each time would take too long.
    pub(super) fn look_for_growth(&mut self) {
        if self.by_run.values().any(|sweep| sweep.is_killing) {
            self.again.get_or_insert_with(|| Instant::now() + KILL_AGAIN);
        }
    }

    /// When there is more to be sent.
    pub(super) fn due(&self) -> Option<Instant> {
        self.to_kill.first().map(|&(at, _)| at).into_iter().chain(self.again).min()
    }

    /// Orders another SIGKILL to every tree that is being killed, since it may have grown since the last one.
    pub(super) fn handle_deadline(&mut self, now: Instant) {
        let due = self.to_kill.partition_point(|&(at, _)| at <= now);
        let due: Vec<RunId> = self.to_kill.drain(..due).map(|(_, command)| command).collect();
        self.kill(due);
        if self.again.is_some_and(|at| at <= now) {
            self.again = None;
            for sweep in self.by_run.values_mut().filter(|sweep| sweep.is_killing) {
                sweep.unsent = Some(Signal::KILL);
            }
        }
    }

    /// Names the processes that are about to be signalled, where the core wants to know.
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

    /// Takes the trees of which nothing is left. One look serves all that ended together.
    fn take_gone(&mut self, children: &mut Children) -> Vec<RunId> {
        if self.by_run.is_empty() {
            return Vec::new();
        }
        let ended = self.by_run.iter().filter(|&(&run, _)| !children.has_main(run));
        let (groups, trees): (Vec<_>, Vec<_>) = ended.map(|(&run, sweep)| (run, sweep.is_group)).partition(|it| it.1);
        let [groups, trees] = [groups, trees].map(|runs| runs.into_iter().map(|(run, _)| run).collect::<Vec<_>>());
        let mut gone = Vec::new();
        for some in [children.take_gone_groups(&groups), children.take_gone(&trees)] {
            match some {
                Some(some) => gone.extend(some),
                None => drop(self.again.get_or_insert_with(|| Instant::now() + KILL_ON)),
            }
        }
        for run in &gone {
            self.by_run.remove(run);
        }
        // The next command may get the same id.
        self.to_kill.retain(|(_, command)| !gone.contains(command));
        gone
    }

    /// Signals what is left of the trees, all that get the same signal together.
    fn send(&mut self, children: &mut Children) {
        let mut by_signal: BTreeMap<Signal, Vec<RunId>> = BTreeMap::new();
        for (&run, sweep) in &mut self.by_run {
            if let Some(signal) = sweep.unsent.take() {
                if sweep.is_group {
                    children.sweep_group(run, signal);
                    continue;
                }
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
    /// Reports trees of which nothing is left to the core.
    pub(super) fn take_gone_trees(&mut self) {
        let gone = self.sweeps.take_gone(&mut self.shared.children.borrow_mut());
        for run in gone {
            if is_command(run) {
                self.probes.command_gone(run);
                self.end_exec(run);
                self.messenger_is_gone(run);
                self.hook_is_gone(run);
            } else {
                self.inputs.of_programs.push_back(Input::TreeGone { run });
            }
        }
    }

    /// Signals what is left of the trees that are to go.
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
