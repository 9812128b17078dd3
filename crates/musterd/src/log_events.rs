//! Logs the core's events, as messages for an operator.

use std::time::Instant;

use muster_core::{
    Account, EndedHook, EndedRun, Event, Health, Instance, PastRun, RollingStep, ShutdownReason, Skipped, StepOutcome,
    StopCause,
};
use muster_spec::{InstanceId, RunEnd, RunId, Span, SpawnStep, State};
use muster_sys::rights::{Capability, Rights};
use muster_sys::tree::Refused;
use tracing::{Level, debug, error, info, warn};

use crate::children::suspension::Suspension;
use crate::describe::describe;
use crate::exit_evidence::OutOfMemory;
use crate::publish::publish;
use crate::shared::Shared;
use muster_logging::limit::{Notice, unless_none};

/// Logs that a signal has stopped a program, or that it was continued.
pub(crate) fn write_suspension(shared: &Shared, Suspension { run, pid, by }: Suspension) {
    let supervisor = shared.supervisor.borrow();
    let Some(program) = supervisor.instance_of(run).map(Instance::name) else { return };
    let Some(suppressed) = shared.limits.pass(program, Notice::Suspended).map(unless_none) else { return };
    match by {
        Some(signal) => warn!(%program, %run, %pid, %signal, suppressed, "stopped by a signal"),
        None => info!(%program, %run, %pid, suppressed, "continued"),
    }
}

/// Logs one event. `said` is the number suppressed before it; `None` if it is suppressed itself, so that it is only
/// logged at level debug.
pub(crate) fn write(shared: &Shared, event: &Event, said: Option<u64>) {
    if said.is_none() && !tracing::enabled!(Level::DEBUG) {
        return;
    }
    let suppressed = said.and_then(unless_none);
    let supervisor = shared.supervisor.borrow();
    let name = |id: InstanceId| supervisor.instance(id).name();
    match event {
        Event::State { instance, from, to, .. } => write_state(shared, *instance, *from, *to),
        // A run that was stopped before it was spawned needs no attention.
        Event::Ended(ended) => {
            let EndedRun { instance, run, end, uptime, expected, cause } = &**ended;
            let (program, uptime) = (name(*instance), Span::about(*uptime));
            if let (RunEnd::NotSpawned(error), false) = (end, *expected) {
                if error.step == SpawnStep::PreStart {
                    return error!(%program, %run, suppressed, "cannot start: {error}");
                }
                error!(%program, %run, suppressed, "cannot spawn: {error}");
            } else if told_when_stopped(supervisor.instance(*instance)).is_some_and(|past| past.run == *run) {
                // Logged with "stopped", which follows once nothing of its tree is left.
                debug!(%program, %run, %end, %uptime, "ended");
            } else if *expected {
                info!(%program, %run, %end, %uptime, suppressed, "ended");
            } else if let Some(cause @ StopCause::Unserved) = cause {
                warn!(%program, %run, %end, %uptime, suppressed, "ended unexpectedly: {cause}");
            } else if let Some(cause) = cause {
                warn!(%program, %run, %end, %uptime, %cause, suppressed, "ended by musterd");
            } else if let Some(OutOfMemory::Killed(kills)) = shared.exit_evidence.borrow().memory(*run) {
                warn!(%program, %run, %end, %uptime, kills, suppressed, "ended unexpectedly, out of memory");
            } else {
                warn!(%program, %run, %end, %uptime, suppressed, "ended unexpectedly");
            }
        }
        Event::Retry { instance, delay, attempt, limit, verdict } => {
            let limit = limit.map_or_else(|| "without limit".to_owned(), |limit| limit.to_string());
            let program = name(*instance);
            info!(%program, delay = %Span(*delay), attempt, %limit, why = %verdict, "will be started again");
        }
        Event::Final { instance, run, verdict } => {
            debug!(program = %name(*instance), %run, why = %verdict, "will not be started again");
        }
        Event::Killed { instance, run, waited, cut_short, left_behind } => {
            let is_refused = shared.children.borrow().is_refused(*run);
            let why = match (cut_short, left_behind) {
                _ if is_refused => "did not stop in time, and musterd may not kill all of its processes",
                (true, _) => "no time left in the shutdown timeout",
                (false, false) => "did not stop in time",
                (false, true) => "its leftover processes did not stop in time",
            };
            warn!(program = %name(*instance), %run, signal = "SIGKILL", waited = %Span::about(*waited), "{why}");
        }
        Event::LeftBehind { instance, run, left } => {
            warn!(program = %name(*instance), %run, "{}", left.of_run(*run));
        }
        // The reason has been logged: none of its processes could be killed.
        Event::Stuck { run, .. } if shared.children.borrow().is_refused(*run) => {}
        Event::Stuck { instance, run, since } => {
            let stopping = Span::about(*since);
            warn!(program = %name(*instance), %run, %stopping, suppressed, "still alive after SIGKILL");
        }
        Event::ShutdownBegan { reason, timeout, .. } => match reason {
            ShutdownReason::Program { signal, sender } => {
                let sender = sender.map(name);
                let signal = signal.map(tracing::field::display);
                info!(signal, program = sender, %timeout, "stopping all programs, asked by one of them")
            }
            ShutdownReason::Signal(signal) => info!(%signal, %timeout, "stopping all programs"),
            ShutdownReason::Command(by) => {
                info!(%timeout, client = %by, "stopping all programs, requested by a client")
            }
            ShutdownReason::Done => info!("all programs have ended"),
            ShutdownReason::Probe(id) => {
                error!(program = %name(*id), %timeout, "a probe failed for good, stopping all programs");
            }
            ShutdownReason::Memory(id) => {
                error!(program = %name(*id), %timeout, "a program had too much memory, stopping all programs");
            }
            ShutdownReason::OnExit(id) => {
                info!(program = %name(*id), %timeout, "a program has ended and on_exit ends all, stopping all programs");
            }
            ShutdownReason::Essential(id) => {
                error!(program = %name(*id), %timeout, "an essential program has ended, stopping all programs");
            }
        },
        Event::Ready { instance, run, is_ready: true } => info!(program = %name(*instance), %run, suppressed, "ready"),
        Event::Ready { instance, run, is_ready: false } => {
            warn!(program = %name(*instance), %run, suppressed, "not ready")
        }
        Event::Health { instance, run, health, probe, detail } => {
            let probe = probe_name(supervisor.instance(*instance), *probe);
            match health {
                Health::Unhealthy => warn!(program = %name(*instance), %run, probe, %detail, suppressed, "unhealthy"),
                _ => info!(program = %name(*instance), %run, probe, suppressed, "healthy"),
            }
        }
        Event::ProbeFailed { instance, run, probe, failures, detail } => {
            let probe = probe_name(supervisor.instance(*instance), *probe);
            debug!(program = %name(*instance), %run, probe, failures, %detail, suppressed, "a check failed");
        }
        Event::Failing { instance, run, cause } => {
            warn!(program = %name(*instance), %run, %cause, "failed, stopping it");
        }
        Event::Hook(ended) => {
            let EndedHook { instance, run, hook, took, failure, was_called_off, counts, .. } = &**ended;
            let (program, hook, took) = (name(*instance), hook.name(), Span::about(*took));
            match failure {
                Some(failure) => warn!(%program, %run, hook, %took, counts, suppressed, "a hook failed: {failure}"),
                None if *was_called_off => debug!(%program, %run, hook, %took, "a hook was ended"),
                None => debug!(%program, %run, hook, %took, "a hook succeeded"),
            }
        }
        Event::Rolling(step) => {
            let RollingStep { instance, step, of, outcome } = &**step;
            let program = name(*instance);
            match outcome {
                StepOutcome::Began => debug!(%program, step, of, "rolling restart: restarting it"),
                StepOutcome::Done => info!(%program, step, of, "rolling restart: restarted it"),
                StepOutcome::Failed(why) => {
                    warn!(%program, step, of, "rolling restart: ended, the rest keeps its processes: {why}");
                }
                StepOutcome::Cancelled => info!(%program, step, of, "rolling restart: cancelled"),
            }
        }
        Event::Waiting { instance, on } => {
            let waiting_for = on.join(" and ");
            warn!(program = %name(*instance), waiting_for, suppressed, "waiting for a dependency that needs intervention");
        }
        Event::Skipped { instance, why: Skipped::Missed { times } } => {
            warn!(program = %name(*instance), times, suppressed, "scheduled times passed without a run");
        }
        Event::Skipped { instance, why } => {
            info!(program = %name(*instance), reason = why.word(), suppressed, "skipped a scheduled run");
        }
        Event::Configured { plan } if plan.is_empty() => info!(suppressed, "the configuration is unchanged"),
        Event::Configured { plan } => {
            info!(
                added = plan.added.join(","),
                removed = plan.removed.join(","),
                restarted = plan.restarted.join(","),
                changed = plan.changed.join(","),
                unchanged = plan.unchanged,
                "a new configuration is active"
            );
        }
        Event::ShutdownOverlaps { living } => {
            let names = living.iter().map(|&id| name(id)).collect::<Vec<_>>().join(",");
            warn!(
                programs = names,
                "the shutdown timeout is short, stopping the next programs while these are still stopping"
            );
        }
        Event::ShutdownHurried => warn!("asked to stop again, sending SIGKILL to all programs"),
        Event::ShutdownEnded(account) => {
            let Account { why, code, killed, left, slowest, .. } = &**account;
            let is_refused = |id: &InstanceId| {
                let run = supervisor.instance(*id).run();
                run.is_some_and(|run| shared.children.borrow().is_refused(run))
            };
            let (refused, late): (Vec<InstanceId>, Vec<InstanceId>) = left.iter().partition(|id| is_refused(id));
            let killed: Vec<InstanceId> = killed.iter().copied().filter(|id| !refused.contains(id)).collect();
            let names = |ids: &[InstanceId]| ids.iter().map(|&id| name(id)).collect::<Vec<_>>().join(",");
            if let Some((slowest, took)) = slowest.filter(|_| left.is_empty()) {
                info!(slowest = name(slowest), needed = %Span::about(took), "everything has stopped");
            }
            if !killed.is_empty() {
                warn!(programs = names(&killed), "had to be killed");
            }
            if !late.is_empty() {
                error!(programs = names(&late), "still alive at the end of the shutdown timeout");
            }
            if !refused.is_empty() {
                error!(
                    programs = names(&refused),
                    "could not be stopped: no permission to signal all of their processes"
                );
            }
            info!(code, "exit: {why}");
        }
    }
}

/// Logs programs that are RUNNING after so many short runs that those were no longer logged.
pub(crate) fn write_lasting(shared: &Shared) {
    let running = |name: &str| {
        let supervisor = shared.supervisor.borrow();
        let instance = supervisor.find(name).filter(|instance| instance.state() == State::Running)?;
        instance.last_run()
    };
    for (name, run, suppressed) in shared.limits.lasting(Instant::now(), running) {
        info!(program = %name, %run, suppressed, "running, after runs that were not logged");
        let id = shared.supervisor.borrow().find(&name).map(Instance::id);
        if let Some(instance) = id {
            let (from, to) = (State::Starting, State::Running);
            publish(shared, Event::State { instance, from, to, run: Some(run) }, true);
        }
    }
}

/// Logs a process that cannot be stopped, and why.
pub(crate) fn write_refused(shared: &Shared, run: RunId, refused: &Refused) {
    let supervisor = shared.supervisor.borrow();
    let program = supervisor.instance_of(run).map_or("", Instance::name);
    let Some(suppressed) = shared.children.borrow().limits().pass(program, Notice::Refused) else { return };
    let suppressed = unless_none(suppressed);
    let Refused { name, pid, user } = refused;
    let why = if Rights::own().has(Capability::Kill) {
        ""
    } else {
        ": it belongs to another user, and musterd lacks CAP_KILL"
    };
    warn!(%program, %run, %pid, process = ?name, user, suppressed, "no permission to signal a process{why}");
}

fn probe_name(instance: &Instance, probe: usize) -> &str {
    instance.spec().check(probe).map_or("", |check| check.name)
}

/// The last run, if it was being stopped: its end is logged with "stopped", so that a thousand programs need one line
/// each.
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
                info!(%program, %run, %end, uptime = %Span::about(ended.since(*began)), "stopped");
            }
            None => info!(%program, "stopped"),
        },
        State::Stopping => info!(%program, "stopping"),
        State::Fatal => {
            error!(%program, description = %describe(shared, instance, shared.clock.now()), "gave up");
        }
        State::Starting | State::Waiting | State::Backoff | State::Exited => debug!(%program, %from, %to, "state"),
    }
}

/// Logs the state of all instances, on SIGUSR1.
pub(crate) fn dump(shared: &Shared) {
    let supervisor = shared.supervisor.borrow();
    let now = shared.clock.now();
    for instance in supervisor.snapshot() {
        let description = describe(shared, instance, now);
        info!(program = %instance.name(), state = %instance.state(), %description, "status");
    }
}
