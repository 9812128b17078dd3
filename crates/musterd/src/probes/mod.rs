//! Probes: carries out the checks that the core requests.
//!
//! A check is a task that uses nothing but its own connection or pipe, and reports its result once. The core decides
//! when a check is started and what follows from its result. A check is not started again before it has finished, so
//! checks cannot pile up: while a command cannot be killed, the checks after it fail.

pub(crate) mod exec;
#[cfg(test)]
pub(crate) mod testing;

use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use muster_core::ProbeOutcome;
use muster_probes::connect::Resolver;
use muster_probes::{http, tcp};
use muster_secrets::Prepared;
use muster_server::turn_clock::spawn;
use muster_spec::{CheckSpec, InstanceSpec, RunId, Span};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::children::Children;
use muster_logging::limit::{Limits, Notice, unless_none};

/// Capacity of the queue of results; a check that finds it full waits.
const RESULTS: usize = 256;

/// The run, and the index of its probe.
type Key = (RunId, usize);

/// The result of a check.
#[derive(Debug)]
pub(crate) struct Finished {
    run: RunId,
    probe: usize,
    /// `None` if the check could not be made, for reasons that are not the program's.
    outcome: Option<ProbeOutcome>,
}

/// How long after its deadline a check may finish and still count. A longer delay means that the daemon did not get to
/// run, so the program is not to blame.
const AWAY: Duration = Duration::from_millis(250);

/// The checks that are running.
#[derive(Debug)]
pub(crate) struct Probes {
    running: HashMap<Key, Running>,
    /// Commands that have processes left, and the probe each belongs to.
    commands: HashMap<RunId, Key>,
    resolver: Resolver,
    tell: mpsc::Sender<Finished>,
    limits: Limits,
}

#[derive(Debug)]
struct Running {
    task: AbortHandle,
    command: Option<RunId>,
}

impl Probes {
    /// No checks yet, and the receiver of their results.
    pub(crate) fn new(limits: Limits) -> (Probes, mpsc::Receiver<Finished>) {
        let (tell, results) = mpsc::channel(RESULTS);
        let probes =
            Probes { running: HashMap::new(), commands: HashMap::new(), resolver: Resolver::default(), tell, limits };
        (probes, results)
    }

    /// Starts a check that began then, with what was read for it. If it fails without waiting for anything, its outcome is
    /// returned: see [`Finished`].
    pub(crate) fn start(
        &mut self,
        (run, probe): Key,
        spec: &InstanceSpec,
        children: &mut Children,
        (began, prepared): (Instant, Prepared),
    ) -> Option<Option<ProbeOutcome>> {
        let Some(due) = spec.check(probe) else {
            return counted(outcome(Err("no such probe".to_owned())));
        };
        let deadline = began + due.timeout;
        let late = late(due.timeout);
        let (key, name) = ((run, probe), spec.name.as_str());
        let resolver = self.resolver.for_a_check();
        let lacks = resolver.lacks();
        match due.check.clone() {
            CheckSpec::Tcp(address) => {
                self.launch(
                    (key, name),
                    None,
                    (deadline, lacks),
                    within(deadline, late, async move { tcp::check(&resolver, &address).await }),
                );
            }
            CheckSpec::Http(check) => {
                let get = async move { http::check(&resolver, &check, deadline).await };
                self.launch((key, name), None, (deadline, lacks), within(deadline, late, get));
            }
            CheckSpec::Exec(command) => {
                if self.commands.values().any(|of| *of == key) {
                    return counted(outcome(Err("the command of an earlier check cannot be killed".to_owned())));
                }
                match children.spawn_command((run, spec), &command, &prepared) {
                    Ok((id, command)) => {
                        self.commands.insert(id, key);
                        let noted = Rc::clone(&lacks);
                        self.launch((key, name), Some(id), (deadline, lacks), async move {
                            exec::check(command, (deadline, late), &noted).await
                        });
                    }
                    Err(error) if error.is_shortage() => {
                        say_not_made(&self.limits, name, run, probe, &error.message);
                        return Some(None);
                    }
                    Err(error) => return counted(outcome(Err(error.message))),
                }
            }
        }
        None
    }

    fn launch(
        &mut self,
        ((run, probe), name): (Key, &str),
        command: Option<RunId>,
        (deadline, lacks): (Instant, Rc<Cell<bool>>),
        check: impl Future<Output = Result<String, String>> + 'static,
    ) {
        let (tell, limits, name) = (self.tell.clone(), self.limits.clone(), name.to_owned());
        let task = spawn(async move {
            let outcome = outcome(check.await);
            let is_away = Instant::now().saturating_duration_since(deadline) > AWAY;
            let was_made = outcome.success || !(is_away || lacks.get());
            if !was_made {
                say_not_made(&limits, &name, run, probe, &outcome.detail);
            }
            let outcome = was_made.then_some(outcome);
            // The receiver is gone only while the daemon exits.
            let _ = tell.send(Finished { run, probe, outcome }).await;
        });
        self.running.insert((run, probe), Running { task: task.abort_handle(), command });
    }

    /// Takes the result of a check, unless its run has ended. The last value is a command to be killed.
    pub(crate) fn finish(&mut self, finished: Finished) -> Option<(RunId, usize, Option<ProbeOutcome>, Option<RunId>)> {
        let Finished { run, probe, outcome } = finished;
        let running = self.running.remove(&(run, probe))?;
        Some((run, probe, outcome, running.command.filter(|command| self.commands.contains_key(command))))
    }

    /// Aborts all checks of a run, and returns the commands to be killed.
    pub(crate) fn stop(&mut self, run: RunId) -> Vec<RunId> {
        self.running.retain(|(of, _), running| {
            if *of == run {
                running.task.abort();
            }
            *of != run
        });
        self.commands.iter().filter(|(_, (of, _))| *of == run).map(|(&command, _)| command).collect()
    }

    /// Forgets a command that has no processes left.
    pub(crate) fn command_gone(&mut self, command: RunId) {
        self.commands.remove(&command);
    }
}

fn say_not_made(limits: &Limits, program: &str, run: RunId, probe: usize, detail: &str) {
    if let Some(suppressed) = limits.pass(program, Notice::CheckNotMade).map(unless_none) {
        debug!(program, %run, probe, detail, suppressed, "cannot make a check, retrying");
    }
}

async fn within(
    deadline: Instant,
    late: String,
    check: impl Future<Output = Result<String, String>>,
) -> Result<String, String> {
    timeout_at(deadline, check).await.unwrap_or(Err(late))
}

/// The reason of a check that took too long.
pub(crate) fn late(timeout: Duration) -> String {
    format!("timed out after {}", Span(timeout))
}

/// An outcome that is known at once.
fn counted(outcome: ProbeOutcome) -> Option<Option<ProbeOutcome>> {
    Some(Some(outcome))
}

fn outcome(result: Result<String, String>) -> ProbeOutcome {
    let success = result.is_ok();
    let (Ok(detail) | Err(detail)) = result;
    ProbeOutcome { success, detail }
}
