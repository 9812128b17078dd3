//! The hooks that the core has ordered: starting and ending them, and reporting how each ended.
//!
//! A hook has ended when no process of its tree is left: processes that outlive its main process are killed. One that has
//! failed is reported with the last line it wrote, so its output is delivered first.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use muster_core::{AfterRun, Input};
use muster_logs::DRAIN_PATIENCE;
use muster_secrets::Prepared;
use muster_spec::{Exit, Hook, InstanceSpec, RunId, Signal, SpawnError, SpawnStep};
use tokio::sync::oneshot;
use tracing::debug;

use super::EventLoop;

type Ended = Result<Exit, SpawnError>;

/// The longest last line in a message, in bytes.
const SHOWN: usize = 256;

/// The hooks that are running, and those that have failed and wait for their last line.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// By the id of its tree.
    running: HashMap<RunId, Running>,
    failed: Vec<Failed>,
}

#[derive(Debug)]
struct Running {
    run: RunId,
    hook: Hook,
    ended: oneshot::Receiver<Ended>,
}

#[derive(Debug)]
struct Failed {
    run: RunId,
    hook: Hook,
    end: Ended,
    drain: u64,
    until: Instant,
}

impl Hooks {
    /// Whether any waits for its last line.
    pub(super) fn await_lines(&self) -> bool {
        !self.failed.is_empty()
    }

    /// When the first of them has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.failed.iter().map(|failed| failed.until).min()
    }

    /// The daemon was not running for so long.
    pub(super) fn lose(&mut self, by: Duration) {
        self.failed.iter_mut().for_each(|failed| failed.until += by);
    }
}

impl EventLoop {
    /// Runs a hook with what was read for it.
    pub(super) fn spawn_hook(
        &mut self,
        (run, hook): (RunId, Hook),
        spec: &InstanceSpec,
        given: (Option<&AfterRun>, Prepared),
    ) {
        let spawned = self.shared.children.borrow_mut().spawn_hook((run, hook), spec, given);
        match spawned {
            Ok((id, ended)) => {
                let pid = self.shared.children.borrow().pid_of(id);
                debug!(program = %spec.name, %run, hook = hook.name(), pid, "running a hook");
                self.hooks.running.insert(id, Running { run, hook, ended });
            }
            Err(error) => self.tell_end_of_hook(run, hook, Err(error), String::new()),
        }
    }

    pub(super) fn end_hook(&mut self, run: RunId, hook: Hook, signal: Signal) {
        let of = |it: &Running| (it.run, it.hook) == (run, hook);
        let Some(id) = self.hooks.running.iter().find(|(_, it)| of(it)).map(|(&id, _)| id) else {
            return self.give_up_hook(run, hook);
        };
        match signal {
            Signal::KILL => self.sweeps.kill([id]),
            _ => self.sweeps.ask(id, signal),
        }
    }

    /// No process of this command is left, which may be a hook.
    pub(super) fn hook_is_gone(&mut self, id: RunId) {
        let Some(Running { run, hook, mut ended }) = self.hooks.running.remove(&id) else { return };
        let lost = || SpawnError { step: SpawnStep::Exec, errno: 0, message: "its end is not known".to_owned() };
        let end = ended.try_recv().unwrap_or_else(|_| Err(lost()));
        let children = self.shared.children.borrow();
        children.logs().drain(vec![hook.output_of(run)]);
        let pending = children.logs().pending_drain();
        drop(children);
        match pending.filter(|_| end != Ok(Exit::Code(0))) {
            Some(drain) => {
                let until = Instant::now() + DRAIN_PATIENCE;
                self.hooks.failed.push(Failed { run, hook, end, drain, until });
            }
            None => {
                let said = if end == Ok(Exit::Code(0)) { String::new() } else { self.last_line_of(run, hook) };
                self.tell_end_of_hook(run, hook, end, said);
            }
        }
    }

    /// Reports the failed hooks whose output has been delivered, or that have waited long enough.
    pub(super) fn finish_hooks(&mut self, now: Instant) {
        let delivered = self.replies.delivered();
        let is_due = |failed: &mut Failed| failed.drain <= delivered || failed.until <= now;
        let due: Vec<Failed> = self.hooks.failed.extract_if(.., is_due).collect();
        for Failed { run, hook, end, .. } in due {
            let said = self.last_line_of(run, hook);
            self.tell_end_of_hook(run, hook, end, said);
        }
    }

    fn last_line_of(&self, run: RunId, hook: Hook) -> String {
        let supervisor = self.shared.supervisor.borrow();
        let Some(instance) = supervisor.instance_of(run) else { return String::new() };
        let lines = self.shared.children.borrow().logs().last_lines(instance.name(), hook.output_of(run));
        let Some(last) = lines.last() else { return String::new() };
        let text = String::from_utf8_lossy(&last.text);
        let text = text.trim();
        if text.len() > SHOWN { format!("{}…", &text[..text.floor_char_boundary(SHOWN)]) } else { text.to_owned() }
    }

    pub(super) fn tell_end_of_hook(&mut self, run: RunId, hook: Hook, end: Ended, said: String) {
        self.inputs.of_programs.push_back(Input::HookFinished { run, hook, end, said: said.into() });
    }
}
