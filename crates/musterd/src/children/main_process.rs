//! The main process of a run: the one that was spawned for it, until it names another one (`MAINPID=` of sd_notify).
//!
//! A run ends with its main process, and only a parent receives an exit status. A main process that is our child is
//! the run. One that is not yet our child, because the process that started it lives, has one of our children as an
//! ancestor, usually the run's first process. When that one exits, the main process is reparented to the daemon and is
//! the run from then on. If the main process exits first, its exit status is lost to us and the run goes on with that
//! ancestor.
//!
//! A main process that lives below a child of ours that is not known to be the run's no longer represents the run: the
//! daemon would not receive its exit status. The core gets `MainLost`, and what is left of the run is swept, including
//! that process.

use std::collections::VecDeque;

use muster_core::Input;
use muster_spec::{RunId, Signal, SignalScope};
use muster_sys::reap::Reaped;
use muster_sys::signal::{self, Pid};
use muster_sys::tree::ProcessHandle;
use tracing::{info, warn};

use super::{Child, Children};
use muster_logging::limit::{Notice, unless_none};

/// How many new main processes of a run are taken in a row before the loop polls other sources.
const MAINS_A_TURN: usize = 16;

/// A main process that is not the first process of its run.
pub(super) struct Main {
    held: ProcessHandle,
    /// The child of ours that is its ancestor, or itself.
    above: Pid,
}

impl Main {
    fn is_ours(&self) -> bool {
        self.above == self.held.pid()
    }

    /// Whether it has exited and only its parent knows how. If it is ours, its pid stays valid until we reap it.
    fn is_lost(&self) -> bool {
        !self.is_ours() && self.held.has_ended()
    }
}

impl Child {
    /// The process that represents the run.
    pub(super) fn main_pid(&self) -> Pid {
        match &self.main {
            None => self.pid,
            Some(main) if main.is_lost() => main.above,
            Some(main) => main.held.pid(),
        }
    }
}

impl Children {
    /// Makes another process the main one of a run. If the run is being stopped, the new one gets the stop signal,
    /// too.
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
        child.suspended = None;
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
        // It may have been reparented in the meantime.
        if !self.trees.is_child_of(run, above) {
            return None;
        }
        Some(Box::new(Main { held, above }))
    }

    /// Finds main processes that have become our children since the last look, and returns the runs that have lost
    /// theirs. Must be called before anything is reaped: until then a pid is known to be theirs.
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

    /// Gives up a run whose main process lives but no longer represents it: the exit of one must not be taken for that
    /// of the other. The process is still held as the run's, so it is swept with the rest. The caller has the run's
    /// output delivered, as after any exit.
    pub(super) fn lose_main(&mut self, run: RunId, inputs: &mut VecDeque<Input>) {
        let Some(child) = self.children.remove(&run) else { return };
        let Some(main) = child.main else { return };
        let (program, pid) = (self.notify.name_of(run), main.held.pid());
        if let Some(suppressed) = self.limits.pass(program, Notice::MainLost).map(unless_none) {
            warn!(%program, %run, %pid, suppressed, "the main process no longer belongs to the run, stopping what is left of it");
        }
        if let Some(spawning) = &child.spawning {
            self.unwatch(spawning);
        }
        self.notify.close(run);
        self.runs.retain(|_, of| *of != run);
        if let Some(descriptor) = main.held.descriptor() {
            // If it cannot be watched, it is checked when the timeout of a stop signal expires.
            let _ = self.statuses.get_ref().add(descriptor, run.0);
        }
        self.lost.insert(run, main.held);
        inputs.push_back(Input::MainLost { run });
    }

    /// Stops watching a lost main process, which has exited.
    pub(super) fn unwatch_lost(&mut self, run: RunId) {
        if let Some(descriptor) = self.lost.get(&run).and_then(ProcessHandle::descriptor) {
            let _ = self.statuses.get_ref().remove(descriptor);
        }
    }

    /// Signals the lost main processes of these runs.
    pub(super) fn signal_lost(&mut self, runs: &[RunId], signal: Signal) {
        for held in runs.iter().filter_map(|run| self.lost.get(run)) {
            // A failure is reported with the rest of its run.
            let _ = self.trees.send(held, signal);
            self.trees.wake(held);
        }
    }

    /// Whether this run's lost main process still exists.
    pub(super) fn has_lost(&self, run: RunId) -> bool {
        self.lost.get(&run).is_some_and(|held| !held.has_ended())
    }

    /// Whether the main process of a run lives below no process known to be the run's.
    pub(super) fn has_lost_main(&mut self, run: RunId) -> bool {
        let Some(main) = self.children.get(&run).and_then(|child| child.main.as_ref()) else { return false };
        let above = self.trees.child_above(&main.held);
        !main.held.has_ended() && above.is_some_and(|above| !self.trees.is_child_of(run, above))
    }

    /// Whether a run goes on without this process of its tree, which was reaped.
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
            info!(%program, %run, %pid, %exit, %main, suppressed, "a process exited, the run goes on with its main process");
        }
        true
    }

    /// Whether the run can go on with its first process, after its main process has exited below this one, which was
    /// reaped.
    fn falls_back(&mut self, run: RunId, ended: Pid) -> bool {
        let Some(child) = self.children.get_mut(&run) else { return false };
        let (program, first) = (self.notify.name_of(run), child.pid);
        let is_there = self.runs.get(&first) == Some(&run);
        if is_there {
            child.main = None;
            if let Some(suppressed) = self.limits.pass(program, Notice::MainGone) {
                let suppressed = unless_none(suppressed);
                warn!(%program, %run, main = %first, suppressed, "the main process is gone, the run goes on with its first process");
            }
        }
        self.remember_pid(run, if is_there { first } else { ended });
        is_there
    }

    /// Signals the main process, or its group if it is the first process of its run, which leads one.
    pub(super) fn signal_main(&mut self, run: RunId, signal: Signal, scope: SignalScope) -> std::io::Result<()> {
        let Some(child) = self.children.get_mut(&run) else { return Ok(()) };
        let pid = child.main_pid();
        child.sent = Some((signal, pid));
        match &child.main {
            Some(main) if main.held.pid() == pid => self.trees.send(&main.held, signal).map(drop),
            None if scope == SignalScope::MainGroup => self.trees.signal_group(run, signal).map(drop),
            _ => signal::send(pid, signal),
        }
    }

    /// Continues the stopped main processes of these runs, which were asked to stop. If one is not our child, the run
    /// does not end before its ancestor, which therefore gets the signal as well.
    pub(crate) fn wake(&mut self, runs: &[RunId]) {
        for run in runs {
            let Some(child) = self.children.get_mut(run) else { continue };
            child.stop_signal = child.sent.map(|(signal, _)| signal);
            let Some(main) = &child.main else { continue };
            self.trees.wake(&main.held);
            if let Some((signal, _)) = child.sent.filter(|&(_, to)| to != main.above) {
                // It has not been reaped yet: otherwise another would have taken its place.
                let _ = signal::send(main.above, signal);
            }
        }
        self.trees.wake_leaders(runs);
    }

    /// Receives the notifications of a run. `ended` is a process of its tree that was just reaped.
    pub(super) fn hear(&mut self, run: RunId, ended: Option<Pid>, inputs: &mut VecDeque<Input>) {
        // A new main process is known before the next message is read: its sender may wait for that with BARRIER=1, and
        // may have exited by now.
        for _ in 0..MAINS_A_TURN {
            let heard = self.notify.take(run, ended, &mut self.trees);
            inputs.extend(heard.inputs);
            let Some(pid) = heard.main_pid else { break };
            self.change_main(run, pid);
        }
    }
}
