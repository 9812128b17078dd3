//! Describes an instance in one line: for the log, and for the `description` fields of the API.
//!
//! Read-only: decides, changes and waits for nothing.

use std::fmt;
use std::time::Duration;

use muster_core::{Health, Instance, PastRun, Readiness, Time, Verdict, restart::Again};
use muster_spec::{Limit, ProbeKind, Span, State, Uptime};

use crate::operations::schedule::next_due_in_words;
use crate::shared::Shared;

/// Describes an instance as supervisorctl would, or in more detail.
pub(crate) fn describe(shared: &Shared, instance: &Instance, now: Time) -> String {
    Description { shared, instance, now }.to_string()
}

/// The same, written where it is needed.
pub(crate) struct Description<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) instance: &'a Instance,
    pub(crate) now: Time,
}

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Description { shared, instance, now } = *self;
        let pid = || instance.run().and_then(|run| shared.children.borrow().pid_of(run));
        let reason = || instance.past().next_back().map(PastRun::reason).unwrap_or_default();
        let in_state = now.since(instance.since());
        match instance.state() {
            State::Running | State::Starting if instance.is_failing() => {
                f.write_str("being stopped: ")?;
                instance.cause().map_or(Ok(()), |cause| write!(f, "{cause}"))
            }
            State::Starting if instance.run_began().is_none() && instance.phase().is_some() => {
                write!(f, "running its pre_start for {}", Span::about(in_state))
            }
            State::Running | State::Starting => {
                match pid() {
                    Some(pid) => write!(f, "pid {pid}")?,
                    None => f.write_str("pid unknown")?,
                }
                let up = instance.run_began().map_or(Duration::ZERO, |began| now.since(began));
                write!(f, ", uptime {}{}", Uptime(up), said(shared, instance))
            }
            State::Backoff => match instance.next_start().filter(|&at| at > now) {
                Some(at) => {
                    write!(f, "{}; next start in {}{}", reason(), Span::about(at.since(now)), attempt(instance))
                }
                None if instance.phase().is_some() => write!(f, "{}; waiting for its post_stop", reason()),
                None => write!(f, "{}; its last run left processes behind, which are being stopped", reason()),
            },
            State::Stopping if instance.has_leftovers() => {
                write!(f, "{}; stopping the processes it left behind for {}", reason(), Span::about(in_state))
            }
            State::Stopping if instance.phase().is_some() => {
                let hook = instance.phase().map_or("", |hook| hook.name());
                write!(f, "stopping for {}, running its {hook}", Span::about(in_state))
            }
            State::Stopping => match pid() {
                Some(pid) => write!(f, "pid {pid}, stopping for {}", Span::about(in_state)),
                None => write!(f, "stopping for {}", Span::about(in_state)),
            },
            State::Waiting if instance.awaits_time() => match next_due_in_words(shared, instance, now) {
                Some(next) => write!(f, "waiting for its time, {next}"),
                None => f.write_str("waiting for its time"),
            },
            State::Waiting => {
                let all = shared.supervisor.borrow().waiting_for(instance.id(), now);
                write!(f, "waiting for {}", all.join(" and "))
            }
            State::Stopped if instance.past().next_back().is_none() => f.write_str("not started"),
            State::Stopped if instance.was_stopped_for_failure() => {
                write!(f, "{}; stopped for it {} ago", reason(), Uptime(in_state))
            }
            State::Stopped => write!(f, "stopped {} ago", Uptime(in_state)),
            State::Exited if instance.past().next_back().is_none() => match shared.state.done_at(instance.spec()) {
                Some(at) => write!(f, "done {}", &at.to_string()[..10]),
                None => f.write_str("done"),
            },
            State::Exited => {
                write!(f, "{}, {} ago{}", reason(), Uptime(in_state), next_run(shared, instance, now))
            }
            State::Fatal => write!(f, "{}; {}{}", reason(), gave_up(instance), next_run(shared, instance, now)),
        }
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
    let suspended = instance.run().and_then(|run| children.suspended_by(run));
    let suspended = suspended.map(|signal| format!("stopped by {signal}"));
    let notes = suspended.as_deref().into_iter().chain(notes);
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
