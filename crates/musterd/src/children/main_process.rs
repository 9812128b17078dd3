//! Which process a run is: the one that was made for it, until it says that another one is (`MAINPID=` of sd_notify).
//!
//! A run ends with its main process, and only a parent hears how that was. A main process that is our child is the run. One
//! that is not yet, because whoever started it lives, has one of ours above it, as a rule the run's first process. When that
//! ends, the main process comes to us and is the run from then on. Where the main process ends before, unheard, the run
//! goes on with who is above it.
//!
//! A main process that lives, but below a child of ours that is not known to be the run's, stands for the run no longer:
//! nobody here would hear how it ends. The core is told that it is lost, and what is left of the run is swept, it included.

use std::collections::VecDeque;

use muster_core::Input;
use muster_spec::{RunId, Signal};
use muster_sys::reap::Reaped;
use muster_sys::signal::{self, Pid};
use muster_sys::tree::ProcessHandle;
use tracing::{info, warn};

use super::{Child, Children};
use crate::limit::{Notice, unless_none};

/// A main process that is not the first process of its run.
pub(super) struct Main {
    held: ProcessHandle,
    /// The child of ours that it hangs below, or itself.
    above: Pid,
}

impl Main {
    fn is_ours(&self) -> bool {
        self.above == self.held.pid()
    }

    /// Whether it has ended and its parent alone knows how. Who is ours has its number until we reap it.
    fn is_lost(&self) -> bool {
        !self.is_ours() && self.held.has_ended()
    }
}

impl Child {
    /// The process that stands for the run.
    pub(super) fn main_pid(&self) -> Pid {
        match &self.main {
            None => self.pid,
            Some(main) if main.is_lost() => main.above,
            Some(main) => main.held.pid(),
        }
    }
}

impl Children {
    /// The run says that another process is its main one. If the run is being stopped, that one is asked to as well.
    pub(super) fn change_main(&mut self, run: RunId, pid: Pid) {
        let Some(child) = self.children.get(&run).filter(|child| child.main_pid() != pid) else { return };
        let is_first = child.pid == pid && self.runs.get(&pid) == Some(&run);
        let main = if is_first { None } else { self.hold_main(run, pid) };
        if !is_first && main.is_none() {
            return self.notify.refuse_main(run, pid);
        }
        let above = main.as_ref().map(|main| main.above);
        let Some(child) = self.children.get_mut(&run) else { return };
        self.notify.tell_main(run, pid, child.main_pid());
        let replaced = std::mem::replace(&mut child.main, main).filter(|main| main.is_ours());
        replaced.map(|replaced| self.runs.remove(&replaced.held.pid()));
        above.map(|above| self.runs.insert(above, run));
        self.has_mains = true;
        if let Some((main, signal)) = child.main.as_ref().zip(child.stop_signal) {
            let _ = self.trees.send(&main.held, signal);
        }
        self.remember_pid(run, pid);
    }

    fn hold_main(&mut self, run: RunId, pid: Pid) -> Option<Box<Main>> {
        let held = self.trees.hold(run, pid)?;
        let above = self.trees.child_above(&held)?;
        // It may have moved since it was held.
        if !self.trees.is_child_of(run, above) {
            return None;
        }
        Some(Box::new(Main { held, above }))
    }

    /// Finds main processes that have become our children since the last look, and runs that have lost theirs. To be called
    /// before anything is reaped: then a number is known to be theirs.
    pub(super) fn look_for_mains(&mut self) -> Vec<RunId> {
        let mut lost = Vec::new();
        if !self.has_mains {
            return lost;
        }
        for (&run, child) in &mut self.children {
            let Some(main) = child.main.as_mut().filter(|main| !main.is_ours()) else { continue };
            let Some(above) = self.trees.child_above(&main.held).filter(|&above| above != main.above) else { continue };
            if self.trees.is_child_of(run, above) {
                main.above = above;
                self.runs.insert(above, run);
            } else {
                lost.push(run);
            }
        }
        lost
    }

    /// Gives up a run whose main process lives, but stands for it no longer: its end is not another run's, nor the other way
    /// round. It is still the process that was held as the run's, so it is swept with what is left.
    /// The caller has what the run wrote delivered, as after any end.
    pub(super) fn lose_main(&mut self, run: RunId, inputs: &mut VecDeque<Input>) {
        let Some(child) = self.children.remove(&run) else { return };
        let Some(main) = child.main else { return };
        let (program, pid) = (self.notify.name_of(run), main.held.pid());
        if let Some(suppressed) = self.limits.pass(program, Notice::MainLost).map(unless_none) {
            warn!(%program, %run, %pid, suppressed, "its main process is no longer its own, what is left of the run is stopped");
        }
        if let Some(spawning) = &child.spawning {
            self.unwatch(spawning);
        }
        self.notify.close(run);
        self.runs.retain(|_, of| *of != run);
        if let Some(descriptor) = main.held.descriptor() {
            // Where it cannot be watched it is looked at when a stop signal's patience is over.
            let _ = self.statuses.get_ref().add(descriptor, run.0);
        }
        self.lost.insert(run, main.held);
        inputs.push_back(Input::MainLost { run });
    }

    /// A lost main process has ended: there is no more to watch for.
    pub(super) fn unwatch_lost(&mut self, run: RunId) {
        if let Some(descriptor) = self.lost.get(&run).and_then(ProcessHandle::descriptor) {
            let _ = self.statuses.get_ref().remove(descriptor);
        }
    }

    /// Signals the lost main processes of these runs.
    pub(super) fn signal_lost(&mut self, runs: &[RunId], signal: Signal) {
        for held in runs.iter().filter_map(|run| self.lost.get(run)) {
            // One that cannot be signalled is told with the rest of its run.
            let _ = self.trees.send(held, signal);
            self.trees.wake(held);
        }
    }

    /// Whether this run's lost main process is still there.
    pub(super) fn has_lost(&self, run: RunId) -> bool {
        self.lost.get(&run).is_some_and(|held| !held.has_ended())
    }

    /// Whether the main process of a run lives, and nothing that stands for it is known to be the run's.
    pub(super) fn has_lost_main(&mut self, run: RunId) -> bool {
        let Some(main) = self.children.get(&run).and_then(|child| child.main.as_ref()) else { return false };
        let above = self.trees.child_above(&main.held);
        !main.held.has_ended() && above.is_some_and(|above| !self.trees.is_child_of(run, above))
    }

    /// Whether a run goes on without this process of it, which was reaped.
    pub(super) fn goes_on_without(&mut self, run: RunId, ended: &Reaped) -> bool {
        let Some(child) = self.children.get_mut(&run) else { return false };
        let (pid, exit) = (ended.pid, ended.exit);
        let Some(main) = &mut child.main else { return pid != child.pid };
        if main.held.pid() == pid {
            return false;
        }
        let above = self.trees.child_above(&main.held).filter(|&above| self.trees.is_child_of(run, above));
        let Some(above) = above else {
            return pid != main.above || self.falls_back(run, pid);
        };
        main.above = above;
        self.runs.insert(above, run);
        let (program, main) = (self.notify.name_of(run), main.held.pid());
        if let Some(suppressed) = self.limits.pass(program, Notice::MainMoved) {
            let suppressed = unless_none(suppressed);
            info!(%program, %run, %pid, %exit, %main, suppressed, "a process ended, and the run goes on with its main one");
        }
        true
    }

    /// The main process has ended below this one, which was reaped: whether the first process is there to go on with.
    fn falls_back(&mut self, run: RunId, ended: Pid) -> bool {
        let Some(child) = self.children.get_mut(&run) else { return false };
        let (program, first) = (self.notify.name_of(run), child.pid);
        let is_there = self.runs.get(&first) == Some(&run);
        if is_there {
            child.main = None;
            if let Some(suppressed) = self.limits.pass(program, Notice::MainGone) {
                let suppressed = unless_none(suppressed);
                warn!(%program, %run, main = %first, suppressed, "its main process is gone, and the run goes on with its first one");
            }
        }
        self.remember_pid(run, if is_there { first } else { ended });
        is_there
    }

    pub(super) fn signal_main(&mut self, run: RunId, signal: Signal) -> std::io::Result<()> {
        let Some(child) = self.children.get_mut(&run) else { return Ok(()) };
        let pid = child.main_pid();
        child.sent = Some((signal, pid));
        match &child.main {
            Some(main) if main.held.pid() == pid => self.trees.send(&main.held, signal).map(drop),
            _ => signal::send(pid, signal),
        }
    }

    /// Continues the main processes of these runs that are stopped: they were asked to stop. Where one is not our child, the
    /// run does not end before who is above it, and so that one is asked as well.
    pub(crate) fn wake(&mut self, runs: &[RunId]) {
        for run in runs {
            let Some(child) = self.children.get_mut(run) else { continue };
            child.stop_signal = child.sent.map(|(signal, _)| signal);
            let Some(main) = &child.main else { continue };
            self.trees.wake(&main.held);
            if let Some((signal, _)) = child.sent.filter(|&(_, to)| to != main.above) {
                // It has not been reaped: another would have taken its place.
                let _ = signal::send(main.above, signal);
            }
        }
        self.trees.wake_leaders(runs);
    }

    /// What a run has told. `ended` is a process of it that was reaped just now.
    pub(super) fn hear(&mut self, run: RunId, ended: Option<Pid>, inputs: &mut VecDeque<Input>) {
        let heard = self.notify.take(run, ended, &mut self.trees);
        if let Some(pid) = heard.main_pid {
            self.change_main(run, pid);
        }
        inputs.extend(heard.inputs);
    }
}
