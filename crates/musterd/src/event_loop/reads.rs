//! Starts, hooks and checks that wait until files are read: `secrets` and `credentials`.
//!
//! The loop goes on meanwhile. A run that is to be stopped before it has a process ends as one that could not be started.

use std::collections::HashMap;
use std::sync::Arc;

use muster_core::{AfterRun, Input, ProbeOutcome};
use muster_secrets::{PATIENCE, Prepared, Wanted};
use muster_server::turn_clock::spawn;
use muster_spec::{CheckSpec, Hook, InstanceSpec, RunId, SpawnError, SpawnStep};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{EventLoop, answered};
use crate::children::secrets;
use crate::{feeds, listeners, main_log_events};

/// Capacity of the queue of results; one that finds it full waits.
const RESULTS: usize = 64;

/// A start, a hook or a check that waits for files.
#[derive(Debug)]
enum Waiting {
    Run { run: RunId, spec: Arc<InstanceSpec> },
    Hook { run: RunId, hook: Hook, spec: Arc<InstanceSpec>, after: Option<Box<AfterRun>> },
    Check { run: RunId, probe: usize, spec: Arc<InstanceSpec>, began: Instant },
}

/// Files that were read, or why not.
pub(super) struct Read {
    serial: u64,
    result: Result<Prepared, SpawnError>,
}

/// Everything that waits for files.
pub(super) struct Reads {
    waiting: HashMap<u64, Waiting>,
    last: u64,
    tell: mpsc::Sender<Read>,
}

impl Reads {
    /// Nothing yet, and the receiver of results.
    pub(super) fn new() -> (Reads, mpsc::Receiver<Read>) {
        let (tell, results) = mpsc::channel(RESULTS);
        (Reads { waiting: HashMap::new(), last: 0, tell }, results)
    }

    fn begin(&mut self, waiting: Waiting, wanted: Wanted) {
        self.last += 1;
        let (serial, tell) = (self.last, self.tell.clone());
        let patience = match &waiting {
            Waiting::Run { .. } | Waiting::Hook { .. } => PATIENCE,
            Waiting::Check { probe, spec, .. } => spec.check(*probe).map_or(PATIENCE, |due| due.timeout.min(PATIENCE)),
        };
        self.waiting.insert(serial, waiting);
        spawn(async move {
            let result = secrets::read(wanted, patience).await;
            // The receiver is gone only while the daemon exits.
            let _ = tell.send(Read { serial, result }).await;
        });
    }

    /// Gives up a start. Returns whether there was one.
    fn give_up(&mut self, run: RunId) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|_, waiting| !matches!(waiting, Waiting::Run { run: of, .. } if *of == run));
        self.waiting.len() < before
    }

    /// Gives up a hook. Returns whether there was one.
    fn give_up_hook(&mut self, run: RunId, hook: Hook) -> bool {
        let before = self.waiting.len();
        let is_it =
            |waiting: &Waiting| matches!(waiting, Waiting::Hook { run: of, hook: it, .. } if (*of, *it) == (run, hook));
        self.waiting.retain(|_, waiting| !is_it(waiting));
        self.waiting.len() < before
    }

    /// Gives up the checks of a run.
    pub(super) fn give_up_checks(&mut self, run: RunId) {
        self.waiting.retain(|_, waiting| !matches!(waiting, Waiting::Check { run: of, .. } if *of == run));
    }
}

impl EventLoop {
    /// Starts a run, at once if no file has to be read for it.
    pub(super) fn start_run(&mut self, run: RunId, spec: Arc<InstanceSpec>) {
        self.memory.expect(&spec);
        let wanted = self.shared.children.borrow_mut().wanted(&spec.process);
        match wanted {
            Ok(None) => self.spawn(run, &spec, Prepared::default()),
            Ok(Some(wanted)) => self.reads.begin(Waiting::Run { run, spec }, wanted),
            Err(error) => self.inputs.of_programs.push_back(Input::SpawnFailed { run, error }),
        }
    }

    fn spawn(&mut self, run: RunId, spec: &InstanceSpec, prepared: Prepared) {
        let spawned = self.shared.children.borrow_mut().spawn(run, spec, prepared);
        match spawned {
            Ok(()) => {
                listeners::started(&self.shared, run, spec);
                feeds::started(&self.shared, run, spec);
                main_log_events::created(&self.shared, run);
            }
            Err(error) => self.inputs.of_programs.push_back(Input::SpawnFailed { run, error }),
        }
    }

    /// Whether a signal to this run finds it without a process, since its files are still being read: then its start has
    /// failed.
    pub(super) fn gives_up_start(&mut self, run: RunId) -> bool {
        let is_given_up = self.reads.give_up(run);
        if is_given_up {
            let message = "stopped before its secrets were read".to_owned();
            let error = SpawnError { step: SpawnStep::Secret, errno: 0, message };
            self.inputs.of_programs.push_back(Input::SpawnFailed { run, error });
        }
        is_given_up
    }

    /// Runs a hook, at once if no file has to be read for it.
    pub(super) fn run_hook(
        &mut self,
        (run, hook): (RunId, Hook),
        spec: Arc<InstanceSpec>,
        after: Option<Box<AfterRun>>,
    ) {
        let wanted = match spec.hooks.get(hook) {
            Some(configured) => self.shared.children.borrow_mut().wanted(&configured.process(&spec.process)),
            None => Ok(None),
        };
        match wanted {
            Ok(None) => self.spawn_hook((run, hook), &spec, (after.as_deref(), Prepared::default())),
            Ok(Some(wanted)) => self.reads.begin(Waiting::Hook { run, hook, spec, after }, wanted),
            Err(error) => self.tell_end_of_hook(run, hook, Err(error), String::new()),
        }
    }

    /// Ends a hook that waits for its files.
    pub(super) fn give_up_hook(&mut self, run: RunId, hook: Hook) {
        if self.reads.give_up_hook(run, hook) {
            let message = "ended before its secrets were read".to_owned();
            let error = SpawnError { step: SpawnStep::Secret, errno: 0, message };
            self.tell_end_of_hook(run, hook, Err(error), String::new());
        }
    }

    /// Starts a check, at once if no file has to be read for it.
    pub(super) fn start_check(&mut self, run: RunId, probe: usize, spec: Arc<InstanceSpec>) {
        let is_command = spec.check(probe).is_some_and(|due| matches!(due.check, CheckSpec::Exec(_)));
        let wanted = match is_command {
            true => self.shared.children.borrow_mut().wanted_beside(&spec.process),
            false => Ok(None),
        };
        let began = Instant::now();
        match wanted {
            Ok(None) => self.check(run, probe, &spec, (began, Prepared::default())),
            Ok(Some(wanted)) => self.reads.begin(Waiting::Check { run, probe, spec, began }, wanted),
            Err(error) => self.fail_check(run, probe, error),
        }
    }

    fn check(&mut self, run: RunId, probe: usize, spec: &InstanceSpec, since: (Instant, Prepared)) {
        let mut children = self.shared.children.borrow_mut();
        if let Some(outcome) = self.probes.start((run, probe), spec, &mut children, since) {
            self.inputs.of_programs.push_back(answered(run, probe, outcome));
        }
    }

    fn fail_check(&mut self, run: RunId, probe: usize, error: SpawnError) {
        let outcome = (!error.is_shortage()).then_some(ProbeOutcome { success: false, detail: error.message });
        self.inputs.of_programs.push_back(answered(run, probe, outcome));
    }

    /// Goes on with what waited for these files, unless it was given up.
    pub(super) fn handle_read(&mut self, Read { serial, result }: Read) {
        match (self.reads.waiting.remove(&serial), result) {
            (None, _) => {}
            (Some(Waiting::Run { run, spec }), Ok(prepared)) => self.spawn(run, &spec, prepared),
            (Some(Waiting::Run { run, .. }), Err(error)) => {
                self.inputs.of_programs.push_back(Input::SpawnFailed { run, error });
            }
            (Some(Waiting::Hook { run, hook, spec, after }), Ok(prepared)) => {
                self.spawn_hook((run, hook), &spec, (after.as_deref(), prepared));
            }
            (Some(Waiting::Hook { run, hook, .. }), Err(error)) => {
                self.tell_end_of_hook(run, hook, Err(error), String::new());
            }
            (Some(Waiting::Check { run, probe, spec, began }), Ok(prepared)) => {
                self.check(run, probe, &spec, (began, prepared));
            }
            (Some(Waiting::Check { run, probe, .. }), Err(error)) => self.fail_check(run, probe, error),
        }
    }
}
