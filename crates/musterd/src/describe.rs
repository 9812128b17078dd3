//! Describes an instance in one line: for the log, and for the `description` fields of the API.
//!
//! Read-only: decides, changes and waits for nothing.

use std::time::Duration;

use muster_core::{Health, Instance, PastRun, Readiness, Time, Verdict, restart::Again};
use muster_spec::{Limit, ProbeKind, Span, State, Uptime};

use crate::operations::schedule::next_due_in_words;
use crate::shared::Shared;

/// Describes an instance as supervisorctl would, or in more detail.
pub(crate) fn describe(shared: &Shared, instance: &Instance, now: Time) -> String {
    let pid = instance.run().and_then(|run| shared.children.borrow().pid_of(run));
    let reason = instance.past().next_back().map(PastRun::reason).unwrap_or_default();
    let in_state = now.since(instance.since());
    match instance.state() {
        State::Running | State::Starting if instance.is_failing() => {
            let why = instance.cause().map(ToString::to_string).unwrap_or_default();
            format!("being stopped: {why}")
        }
        State::Starting if instance.run_began().is_none() && instance.phase().is_some() => {
            format!("running its pre_start for {}", Span::about(in_state))
        }
        State::Running | State::Starting => {
            let pid = pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"));
            let up = instance.run_began().map_or(Duration::ZERO, |began| now.since(began));
            format!("{pid}, uptime {}{}", Uptime(up), said(shared, instance))
        }
        State::Backoff => match instance.next_start().filter(|&at| at > now) {
            Some(at) => format!("{reason}; next start in {}{}", Span::about(at.since(now)), attempt(instance)),
            None if instance.phase().is_some() => format!("{reason}; waiting for its post_stop"),
            None => format!("{reason}; its last run left processes behind, which are being stopped"),
        },
        State::Stopping if instance.has_leftovers() => {
            format!("{reason}; stopping the processes it left behind for {}", Span::about(in_state))
        }
        State::Stopping if instance.phase().is_some() => {
            let hook = instance.phase().map_or("", |hook| hook.name());
            format!("stopping for {}, running its {hook}", Span::about(in_state))
        }
        State::Stopping => match pid {
            Some(pid) => format!("pid {pid}, stopping for {}", Span::about(in_state)),
            None => format!("stopping for {}", Span::about(in_state)),
        },
        State::Waiting if instance.awaits_time() => match next_due_in_words(shared, instance, now) {
            Some(next) => format!("waiting for its time, {next}"),
            None => "waiting for its time".to_owned(),
        },
        State::Waiting => {
            format!("waiting for {}", shared.supervisor.borrow().waiting_for(instance.id(), now).join(" and "))
        }
        State::Stopped if instance.past().next_back().is_none() => "not started".to_owned(),
        State::Stopped if instance.was_stopped_for_failure() => {
            format!("{reason}; stopped for it {} ago", Uptime(in_state))
        }
        State::Stopped => format!("stopped {} ago", Uptime(in_state)),
        State::Exited if instance.past().next_back().is_none() => match shared.state.done_at(instance.spec()) {
            Some(at) => format!("done {}", &at.to_string()[..10]),
            None => "done".to_owned(),
        },
        State::Exited => format!("{reason}, {} ago{}", Uptime(in_state), next_run(shared, instance, now)),
        State::Fatal => format!("{reason}; {}{}", gave_up(instance), next_run(shared, instance, now)),
    }
}

/// When it runs again by its schedule.
fn next_run(shared: &Shared, instance: &Instance, now: Time) -> String {
    next_due_in_words(shared, instance, now).map_or_else(String::new, |next| format!("; next {next}"))
}

/// Readiness, health and reported status of a run, where notable.
fn said(shared: &Shared, instance: &Instance) -> String {
    let children = shared.children.borrow();
    let announced = instance.run().and_then(|run| children.announced(run));
    let rolling = shared.supervisor.borrow().rolling(instance.id()).filter(|rolling| !rolling.is_queued);
    let rolling = rolling.map(|rolling| format!("rolling restart {} of {}", rolling.step, rolling.of));
    let notes = [
        (ready(instance) == Some(false), "not ready"),
        (instance.health() == Health::Unhealthy, "unhealthy"),
        (announced.is_some_and(|announced| announced.is_reloading), "reloading"),
        (announced.is_some_and(|announced| announced.is_stopping), "stopping"),
        (instance.has_old_process(), "old process"),
    ];
    let notes = notes.into_iter().filter(|(is_so, _)| *is_so).map(|(_, note)| note);
    let status = announced.and_then(|announced| announced.status.as_deref());
    notes.chain(rolling.as_deref()).chain(status).map(|note| format!(", {note}")).collect()
}

/// The number of the next restart, if restarts are counted.
fn attempt(instance: &Instance) -> String {
    match instance.past().next_back().map(|past| past.verdict) {
        Some(Verdict::Again(again)) if again.attempt == 0 => String::new(),
        Some(Verdict::Again(Again { attempt, limit: Limit::Retries(retries), .. })) => {
            format!(", attempt {attempt} of {retries}")
        }
        Some(Verdict::Again(again)) => format!(", attempt {}", again.attempt),
        _ => String::new(),
    }
}

/// The outcome of its last run, as decided by the configuration at that time.
fn gave_up(instance: &Instance) -> String {
    match instance.past().next_back().map(|past| past.verdict) {
        Some(Verdict::Final { .. }) => "not restarted (restart = \"no\")".to_owned(),
        Some(Verdict::Ruled { rule, .. }) => format!("gave up, because of on_exit {}", rule.on),
        Some(Verdict::NeverStarted) => "gave up, because start_failures = \"final\"".to_owned(),
        Some(Verdict::GivenUp { limit: Limit::Rate { within, .. }, used, .. }) => {
            format!("gave up after {} within {}", count(used, "start"), Span(within))
        }
        Some(Verdict::GivenUp { used, .. }) => format!("gave up after {}", count(used, "restart")),
        _ => "gave up".to_owned(),
    }
}

fn count(number: u32, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Whether a live run is ready; `None` if it has no run, or no readiness check.
pub(crate) fn ready(instance: &Instance) -> Option<bool> {
    let spec = instance.spec();
    let says = spec.ready.is_some() || spec.probes.iter().any(|probe| probe.kind == ProbeKind::Readiness);
    (says && instance.is_live()).then(|| instance.ready() == Readiness::Ready)
}
