//! Probes: what the core asks to be checked, and what comes of it.
//!
//! A check is a task that touches nothing but its own connection or pipe, and tells its result once. The core says when one
//! is started and what follows from it; here is how. A check is never started again before it has answered, so they cannot
//! pile up: a command that cannot be killed makes the checks after it fail.

mod connect;
mod exec;
pub(crate) mod http;
mod redirect;
mod tcp;
#[cfg(test)]
pub(crate) mod testing;

use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use muster_core::ProbeOutcome;
use muster_spec::{CheckSpec, InstanceSpec, RunId, Span};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use self::connect::Resolver;
use crate::children::Children;
use crate::limit::{Limits, Notice, unless_none};

/// Results that the loop has not taken yet; a check that finds the queue full waits.
const RESULTS: usize = 256;

/// The words for a check that had no answer in its time. How long that was is configured.
const LATE: &str = "timed out";

/// Which probe of which run.
type Key = (RunId, usize);

/// A result.
#[derive(Debug)]
pub(crate) struct Finished {
    run: RunId,
    probe: usize,
    /// `None` where the check could not be made, by no fault of the program.
    outcome: Option<ProbeOutcome>,
}

/// How much later than its deadline a check may be ended and still count: after that the daemon, and not the program, was away.
const AWAY: Duration = Duration::from_millis(250);

/// Checks under way.
#[derive(Debug)]
pub(crate) struct Probes {
    running: HashMap<Key, Running>,
    /// Commands of which something is left, and whose they are.
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
    /// Nothing under way, and where results come out.
    pub(crate) fn new(limits: Limits) -> (Probes, mpsc::Receiver<Finished>) {
        let (tell, results) = mpsc::channel(RESULTS);
        let probes =
            Probes { running: HashMap::new(), commands: HashMap::new(), resolver: Resolver::default(), tell, limits };
        (probes, results)
    }

    /// Starts a check. Where there is nothing to wait for, what came of it is returned: see [`Finished`].
    pub(crate) fn start(
        &mut self,
        run: RunId,
        probe: usize,
        spec: &InstanceSpec,
        children: &mut Children,
    ) -> Option<Option<ProbeOutcome>> {
        let Some(due) = spec.check(probe) else {
            return counted(outcome(Err("there is no such probe".to_owned())));
        };
        let deadline = Instant::now() + due.timeout;
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
                match children.spawn_command(spec, &command) {
                    Ok((id, command)) => {
                        self.commands.insert(id, key);
                        let noted = Rc::clone(&lacks);
                        self.launch((key, name), Some(id), (deadline, lacks), async move {
                            let checked = exec::check(command, deadline, &noted).await;
                            checked.map_err(|told| told.replacen(LATE, &late, 1))
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
        let task = tokio::task::spawn_local(async move {
            let outcome = outcome(check.await);
            let is_away = Instant::now().saturating_duration_since(deadline) > AWAY;
            let was_made = outcome.success || !(is_away || lacks.get());
            if !was_made {
                say_not_made(&limits, &name, run, probe, &outcome.detail);
            }
            let outcome = was_made.then_some(outcome);
            // Nobody takes it when the daemon is at its end.
            let _ = tell.send(Finished { run, probe, outcome }).await;
        });
        self.running.insert((run, probe), Running { task: task.abort_handle(), command });
    }

    /// Takes a result in, unless its run is over. The second is a command that is to be killed.
    pub(crate) fn finish(&mut self, finished: Finished) -> Option<(RunId, usize, Option<ProbeOutcome>, Option<RunId>)> {
        let Finished { run, probe, outcome } = finished;
        let running = self.running.remove(&(run, probe))?;
        Some((run, probe, outcome, running.command.filter(|command| self.commands.contains_key(command))))
    }

    /// Ends all checks of a run without an answer, and gives the commands that are to be killed.
    pub(crate) fn stop(&mut self, run: RunId) -> Vec<RunId> {
        self.running.retain(|(of, _), running| {
            if *of == run {
                running.task.abort();
            }
            *of != run
        });
        self.commands.iter().filter(|(_, (of, _))| *of == run).map(|(&command, _)| command).collect()
    }

    /// Nothing is left of a command.
    pub(crate) fn command_gone(&mut self, command: RunId) {
        self.commands.remove(&command);
    }
}

fn say_not_made(limits: &Limits, program: &str, run: RunId, probe: usize, detail: &str) {
    if let Some(suppressed) = limits.pass(program, Notice::CheckNotMade).map(unless_none) {
        debug!(program, %run, probe, detail, suppressed, "a check could not be made, and is made again");
    }
}

async fn within(
    deadline: Instant,
    late: String,
    check: impl Future<Output = Result<String, String>>,
) -> Result<String, String> {
    timeout_at(deadline, check).await.unwrap_or(Err(late))
}

fn late(timeout: Duration) -> String {
    format!("{LATE} after {}", Span(timeout))
}

/// An outcome that is there at once.
fn counted(outcome: ProbeOutcome) -> Option<Option<ProbeOutcome>> {
    Some(Some(outcome))
}

fn outcome(result: Result<String, String>) -> ProbeOutcome {
    let success = result.is_ok();
    let (Ok(detail) | Err(detail)) = result;
    ProbeOutcome { success, detail }
}
