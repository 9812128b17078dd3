//! Calls to the core, each of which is noted while the daemon can be looked into.

use muster_core::recording::Call;
use muster_core::{Effect, Input, Time};
use muster_spec::{Exit, RunEnd, RunId};

use super::EventLoop;
use crate::core_dumps::CoreDump;
use crate::exit_evidence::OutOfMemory;

impl EventLoop {
    /// The same input, or before the end of a run that memory ran out for, that news: `on_exit` may have a rule for it. Only
    /// ends that musterd did not cause are looked into, once.
    pub(super) fn with_evidence(&mut self, input: Input) -> Input {
        let Input::Exited { run, exit } = input else { return input };
        self.keep_core(run, exit);
        let found = {
            let supervisor = self.shared.supervisor.borrow();
            let mut evidence = self.shared.exit_evidence.borrow_mut();
            match supervisor.instance_of(run).filter(|instance| instance.ends_by_itself()) {
                Some(instance) if evidence.memory(run).is_none() => {
                    evidence.look_into(run, &RunEnd::Exited(exit), instance.signalled())
                }
                _ => None,
            }
        };
        match found {
            Some(OutOfMemory::Killed(_)) => {
                self.inputs.of_programs.push_front(input);
                Input::OutOfMemory { run }
            }
            _ => input,
        }
    }

    fn keep_core(&self, run: RunId, exit: Exit) {
        let supervisor = self.shared.supervisor.borrow();
        let pid = self.shared.children.borrow().pid_of(run);
        let dump = supervisor.instance_of(run).and_then(|instance| CoreDump::of(exit, pid, instance.spec()));
        dump.into_iter().for_each(|dump| self.shared.exit_evidence.borrow_mut().keep_core(run, dump));
    }

    /// Passes an input to the core.
    pub(super) fn hand(&self, now: Time, input: Input) {
        self.call(now, Call::Input(input));
    }

    /// Lets the core handle at most this number of deadlines.
    pub(super) fn hand_deadlines(&self, now: Time, most: usize) {
        let is_due = self.shared.supervisor.borrow().poll_timeout().is_some_and(|at| at <= now);
        if is_due {
            self.call(now, Call::Deadlines(most));
        }
    }

    fn call(&self, now: Time, call: Call) {
        let mut supervisor = self.shared.supervisor.borrow_mut();
        if self.is_looked_into() {
            self.shared.inspection.note_call(self.shared.clock, now, &call, &supervisor);
        } else {
            self.shared.inspection.stop();
        }
        call.apply(&mut supervisor, now);
    }

    /// Notes an effect.
    pub(super) fn note_effect(&self, effect: &Effect) {
        if self.is_looked_into() {
            self.shared.inspection.note_effect(self.shared.clock, effect, &self.shared.supervisor.borrow());
        }
    }

    /// Notes that the effects of the last call have been carried out.
    pub(super) fn note_done(&self) {
        if self.is_looked_into() {
            self.shared.inspection.note_done(self.shared.clock.now());
        }
    }

    fn is_looked_into(&self) -> bool {
        self.shared.configuration.in_force().control.debug
    }
}
