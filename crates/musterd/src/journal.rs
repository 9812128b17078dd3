//! What the core tells onlookers, as messages for the operator at three in the morning.

use muster_core::{Event, Instance, InstanceId, PastRun, RunEnd, ShutdownReason, State};
use tracing::{debug, error, info, warn};

use crate::shared::Shared;
use crate::view::{self, span};

/// Writes one event to the log.
pub(crate) fn write(shared: &Shared, event: &Event) {
    let supervisor = shared.supervisor.borrow();
    let name = |id: InstanceId| supervisor.instance(id).name();
    match event {
        Event::State { instance, from, to } => write_state(shared, *instance, *from, *to),
        // One that was stopped before it came to be is none of the operator's worries.
        Event::Ended { instance, run, end: RunEnd::NotSpawned(error), expected: false, .. } => {
            error!(program = %name(*instance), %run, "cannot spawn: {error}");
        }
        Event::Ended { instance, run, end, uptime, expected } => {
            let (program, uptime) = (name(*instance), span(*uptime));
            if told_when_stopped(supervisor.instance(*instance)).is_some_and(|past| past.run == *run) {
                // Told with "stopped", which comes as soon as nothing of its tree is left.
                debug!(%program, %run, %end, uptime, "ended");
            } else if *expected {
                info!(%program, %run, %end, uptime, "ended");
            } else {
                warn!(%program, %run, %end, uptime, "ended unexpectedly");
            }
        }
        Event::Retry { instance, delay, attempt, limit } => {
            let limit = limit.map_or_else(|| "without limit".to_owned(), |limit| limit.to_string());
            info!(program = %name(*instance), delay = span(*delay), attempt, %limit, "will be started again");
        }
        Event::Killed { instance, run, waited, cut_short } => {
            let why = if *cut_short { "the shutdown left it no more time" } else { "did not stop in time" };
            warn!(program = %name(*instance), %run, signal = "SIGKILL", waited = span(*waited), "{why}");
        }
        Event::Stuck { instance, run, since } => {
            warn!(program = %name(*instance), %run, stopping = span(*since), "still there after SIGKILL");
        }
        Event::ShutdownBegan { reason, timeout } => {
            let timeout = span(*timeout);
            match reason {
                ShutdownReason::Signal(signal) => info!(%signal, timeout, "stopping everything"),
                ShutdownReason::Command => info!(timeout, "stopping everything: asked by musterctl"),
                ShutdownReason::Done => info!("every program has ended"),
                ShutdownReason::Essential(id) => {
                    error!(program = %name(*id), timeout, "an essential program has ended, stopping everything");
                }
            }
        }
        Event::ShutdownHurried => warn!("asked to stop again: SIGKILL to everything"),
        Event::ShutdownEnded { reason, code, killed, left, slowest } => {
            let names = |ids: &[InstanceId]| ids.iter().map(|&id| name(id)).collect::<Vec<_>>().join(",");
            if let Some((slowest, took)) = slowest {
                info!(slowest = name(*slowest), needed = span(*took), "everything has stopped");
            }
            if !killed.is_empty() {
                warn!(programs = names(killed), "had to be killed");
            }
            if !left.is_empty() {
                error!(programs = names(left), "could not be stopped at all");
            }
            write_last_words(shared, reason, *code);
        }
    }
}

/// The end of a run that was being stopped is told with "stopped": one line for a thousand programs each.
fn told_when_stopped(instance: &Instance) -> Option<&PastRun> {
    instance.past().next_back().filter(|past| past.was_stopping)
}

fn write_state(shared: &Shared, id: InstanceId, from: State, to: State) {
    let supervisor = shared.supervisor.borrow();
    let instance = supervisor.instance(id);
    let program = instance.name();
    match to {
        State::Running => info!(%program, "running"),
        State::Stopped => match told_when_stopped(instance).filter(|_| from == State::Stopping) {
            Some(PastRun { run, end, began, ended, .. }) => {
                info!(%program, %run, %end, uptime = span(ended.since(*began)), "stopped");
            }
            None => info!(%program, "stopped"),
        },
        State::Stopping => info!(%program, "stopping"),
        State::Fatal => {
            error!(%program, description = %view::program(shared, instance, shared.clock.now()).description, "gave up");
        }
        State::Starting | State::Waiting | State::Backoff | State::Exited => debug!(%program, %from, %to, "state"),
    }
}

/// Why the container ends as it does: the last line.
fn write_last_words(shared: &Shared, reason: &ShutdownReason, code: u8) {
    let supervisor = shared.supervisor.borrow();
    let why = match reason {
        ShutdownReason::Signal(signal) => format!("stopped by {signal}"),
        ShutdownReason::Command => "stopped by musterctl".to_owned(),
        ShutdownReason::Essential(id) => {
            let instance = supervisor.instance(*id);
            let end = instance.past().next_back().map(|past| past.end.to_string()).unwrap_or_default();
            format!("the essential program {:?} ended: {end}", instance.name())
        }
        ShutdownReason::Done if code == 0 => "every program has ended well".to_owned(),
        ShutdownReason::Done => {
            let failed = supervisor.snapshot().iter().filter_map(|instance| {
                let past = instance.past().next_back()?;
                (!past.success && instance.program().autostart).then_some((past.ended, instance.name(), &past.end))
            });
            let first = failed.min_by_key(|(ended, ..)| *ended);
            first.map_or_else(String::new, |(_, name, end)| format!("{name:?} failed first: {end}"))
        }
    };
    info!(code, "exit: {why}");
}

/// SIGUSR1: where everything is.
pub(crate) fn dump(shared: &Shared) {
    let supervisor = shared.supervisor.borrow();
    let now = shared.clock.now();
    for instance in supervisor.snapshot() {
        let program = view::program(shared, instance, now);
        info!(program = %program.name, state = %instance.state(), description = %program.description, "status");
    }
}
