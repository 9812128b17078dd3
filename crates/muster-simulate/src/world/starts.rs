//! The start of a run as its script has it: its hooks, and its spawn.

use std::time::Duration;

use muster_core::{Input, Time};
use muster_spec::{Exit, Hook, InstanceId, InstanceSpec, ReadySpec, RunId, SpawnError, SpawnStep};

use super::{Coming, Run, World};
use crate::scenario::{Missing, Outcome, PlannedHook, PlannedRun};

impl World<'_> {
    /// The plan of a run, which begins with its first hook or its spawn.
    pub(super) fn plan_of(&mut self, run: RunId, instance: InstanceId) -> PlannedRun {
        let index = instance.0 as usize;
        if let Some((_, planned)) = self.latest[index].as_ref().filter(|(of, _)| *of == run) {
            return planned.clone();
        }
        let planned = self.scripts[index].map_or_else(PlannedRun::default, |script| script.run(self.counts[index]));
        self.counts[index] += 1;
        self.latest[index] = Some((run, planned.clone()));
        planned
    }

    pub(super) fn run_hook(&mut self, now: Time, run: RunId, instance: InstanceId, hook: Hook) {
        let planned = self.plan_of(run, instance).hooks[hook as usize];
        self.begin_hook(now, run, hook, planned);
    }

    pub(super) fn begin_hook(&mut self, now: Time, run: RunId, hook: Hook, planned: PlannedHook) {
        self.hooks.insert(run, (hook, planned.ignores));
        match planned.code.map(Exit::Code) {
            Some(exit) if planned.after.is_zero() => self.hook_ends(run, hook, exit),
            Some(exit) => self.expect(now + planned.after, Coming::HookEnd { run, hook, exit }),
            None => {}
        }
    }

    /// A hook exits, unless it has already.
    pub(super) fn hook_ends(&mut self, run: RunId, hook: Hook, exit: Exit) {
        if self.hooks.get(&run).is_some_and(|(running, _)| *running == hook) {
            self.hooks.remove(&run);
            self.inputs.push_back(Input::HookFinished { run, hook, end: Ok(exit), said: "".into() });
        }
    }

    pub(super) fn spawn(&mut self, now: Time, run: RunId, instance: InstanceId, spec: &InstanceSpec) {
        let planned = self.plan_of(run, instance);
        match planned.outcome {
            Outcome::SpawnError(missing) => {
                let command = spec.process.command.first();
                let error = spawn_error(missing, command.map_or("", String::as_str), self.plan.mask);
                return self.births.push_back(Input::SpawnFailed { run, error });
            }
            Outcome::Ends { exit, after } => self.expect(now + after, Coming::Exit { run, exit }),
            Outcome::OutOfMemory { after } => self.expect(now + after, Coming::OutOfMemory { run }),
            Outcome::Hangs => {}
        }
        if let Some(instance) = self.supervisor.get(instance) {
            self.clients.remove(&instance.program().name);
        }
        self.runs.insert(run, Run { began: now, planned, is_over: false, is_leftover_asked: false });
        self.births.push_back(Input::Spawned { run });
        // A check is polled, all other rules report by themselves.
        let tells = spec.ready.as_ref().is_some_and(|rule| !matches!(rule, ReadySpec::Check(_)));
        match self.runs[&run].planned.ready.filter(|_| tells) {
            Some(Duration::ZERO) => self.births.push_back(Input::Ready { run }),
            Some(after) => self.expect(now + after, Coming::Ready { run }),
            None => {}
        }
        if let Some(after) = self.runs[&run].planned.memory.filter(|_| spec.memory_max.is_some()) {
            self.expect(now + after, Coming::Memory { run });
        }
        if let Some(every) = spec.watchdog.map(|interval| interval / 2).filter(|every| !every.is_zero()) {
            self.ping(now, run, every);
        }
    }
}

/// The daemon's message for it.
fn spawn_error(missing: Missing, command: &str, mask: fn(&str) -> String) -> SpawnError {
    let (errno, words) = match missing {
        Missing::NotFound => (2, "no such file"),
        Missing::NotExecutable => (13, "permission denied"),
    };
    let command = mask(command);
    SpawnError { step: SpawnStep::Exec, errno, message: format!("{command}: {words}") }
}
