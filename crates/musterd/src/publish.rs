//! Converts the core's events to what [`crate::event_ring`] keeps: only as much as is needed to format them later.

use std::sync::Arc;
use std::time::Instant;

use muster_core::{Event, Instance};
use muster_spec::{RunId, State};

use crate::event_ring::{EndedRun, Healthy, Told, What};
use crate::shared::Shared;

/// Publishes one event, or counts it if a rate limit suppresses it.
pub(crate) fn publish(shared: &Shared, event: Event, is_said: bool) {
    if !is_said && !matches!(event, Event::ProbeFailed { .. }) {
        return shared.feed.borrow_mut().suppress(Instant::now());
    }
    let supervisor = shared.supervisor.borrow();
    let (who, run, what) = match event {
        Event::State { instance, from, to } => (Some(instance), None, What::State { from, to }),
        Event::Ended { instance, run, end, uptime, expected, cause } => {
            let ended = EndedRun { end, uptime, success: expected, cause };
            (Some(instance), Some(run), What::Ended(Box::new(ended)))
        }
        Event::Retry { instance, delay, attempt, limit, verdict } => {
            (Some(instance), None, What::Retry { delay, attempt, limit, verdict })
        }
        Event::Final { instance, run, verdict } => (Some(instance), Some(run), What::Final(verdict)),
        Event::Ready { instance, run, is_ready } => (Some(instance), Some(run), What::Ready(is_ready)),
        Event::Health { instance, run, health, probe, detail } => {
            let probe = supervisor.instance(instance).spec().check(probe).map_or("", |check| check.name).into();
            (Some(instance), Some(run), What::Health(Box::new(Healthy { health, probe, detail })))
        }
        Event::ShutdownOverlaps { .. } => return,
        // Failing checks would displace more important events. Their consequences are published.
        Event::ProbeFailed { .. } => return,
        Event::Failing { instance, run, cause } => (Some(instance), Some(run), What::Failing(Box::new(cause))),
        Event::Waiting { instance, on } => (Some(instance), None, What::Waiting(on)),
        Event::Configured { plan } => (None, None, What::Configured(plan)),
        Event::LeftBehind { instance, run, left } => (Some(instance), Some(run), What::LeftBehind(left)),
        Event::Killed { instance, run, waited, cut_short, .. } => {
            (Some(instance), Some(run), What::Killed { waited, cut_short })
        }
        Event::Stuck { instance, run, since } => (Some(instance), Some(run), What::Stuck { since }),
        Event::ShutdownBegan { reason, timeout } => {
            let reason = supervisor.explain_exit(&reason, 0).into();
            (None, None, What::Shutdown { reason, timeout })
        }
        Event::ShutdownHurried => (None, None, What::ShutdownHurried),
        Event::ShutdownEnded { reason, code, .. } => {
            (None, None, What::Exiting { reason: supervisor.explain_exit(&reason, code).into(), code })
        }
    };
    let instance = who.map(|id| supervisor.instance(id));
    let told = Told {
        at: shared.clock.now(),
        who: instance.map(|instance| Arc::clone(instance.spec())),
        run: run.or_else(|| instance.and_then(|instance| run_in_question(instance, &what))),
        what,
    };
    shared.feed.borrow_mut().publish(who, told);
}

/// The run that a change of state is about. If a run that could not be spawned is followed by another at once, that
/// one has begun by now.
fn run_in_question(instance: &Instance, what: &What) -> Option<RunId> {
    let has_ended =
        matches!(what, What::State { to: State::Backoff | State::Exited | State::Fatal | State::Stopped, .. });
    let ended = instance.past().next_back().filter(|_| has_ended).map(|past| past.run);
    ended.or_else(|| instance.last_run())
}
