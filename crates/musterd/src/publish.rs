//! Publishes events in [`muster_logging::event_ring`], and has the notifiers pass on those that they are for.
//!
//! The ring is protected from programs that cause too many events; a notifier has a limit of its own, and counts each event.

use std::sync::Arc;
use std::time::Instant;

use muster_core::{Event, Health, Instance};
use muster_spec::{NotifyOn, State};

use crate::exit_evidence::OutOfMemory;
use crate::shared::Shared;
use muster_logging::event_ring::{Published, SourceChange, What};

/// Publishes one event, or counts it if a rate limit suppresses it.
pub(crate) fn publish(shared: &Shared, event: Event, is_said: bool) {
    publish_numbered(shared, event, is_said);
}

/// The same; returns the event's number if it was published.
fn publish_numbered(shared: &Shared, event: Event, is_said: bool) -> Option<u64> {
    match event {
        // Failing checks would displace more important events. Their consequences are published.
        Event::ProbeFailed { .. } => return None,
        _ if !is_said => {
            shared.event_ring.borrow_mut().suppress(Instant::now());
            return None;
        }
        Event::ShutdownOverlaps { .. } => return None,
        _ => {}
    }
    let who = event.instance();
    Some(shared.event_ring.borrow_mut().publish(who, published(shared, event)))
}

fn published(shared: &Shared, event: Event) -> Published {
    let spec = event.instance().map(|id| Arc::clone(shared.supervisor.borrow().instance(id).spec()));
    Published { at: shared.clock.now(), who: spec, what: What::Event(event) }
}

/// Publishes one event as [`publish`] does, and passes it on.
pub(crate) fn publish_and_notify(shared: &Shared, event: Event, is_said: bool) {
    if shared.notifiers.is_empty() {
        return publish(shared, event, is_said);
    }
    let (due, program) = {
        let supervisor = shared.supervisor.borrow();
        let program = event.instance().map(|id| supervisor.instance(id).program());
        let kinds = kinds(shared, &event, |id| supervisor.instance(id));
        let due = if kinds.is_empty() { Vec::new() } else { shared.notifiers.due(kinds, program.map(|it| &**it)) };
        (due, program.map_or_else(String::new, |program| program.name.clone()))
    };
    if due.is_empty() {
        return publish(shared, event, is_said);
    }
    let copy = published(shared, event.clone());
    let id = publish_numbered(shared, event, is_said);
    let id = id.unwrap_or_else(|| shared.event_ring.borrow_mut().take_number());
    shared.notifiers.queue(due, &program, (id, copy));
}

/// Publishes that a source has changed its state, and passes it on.
pub(crate) fn publish_source(shared: &Shared, change: SourceChange) {
    let published = |change| {
        let what = What::Source(Box::new(change));
        Published { at: shared.clock.now(), who: None, what }
    };
    let due = shared.notifiers.due(&[NotifyOn::Source], None);
    let copy = (!due.is_empty()).then(|| published(change.clone()));
    let id = shared.event_ring.borrow_mut().publish(None, published(change));
    if let Some(copy) = copy {
        shared.notifiers.queue(due, "", (id, copy));
    }
}

/// The kinds of notifications that an event can be, the most specific first.
fn kinds<'a>(
    shared: &Shared,
    event: &Event,
    instance: impl FnOnce(muster_spec::InstanceId) -> &'a Instance,
) -> &'static [NotifyOn] {
    match event {
        Event::Final { instance: id, .. } if instance(*id).state() == State::Fatal => &[NotifyOn::Fatal],
        Event::Ended(ended) if !ended.expected => match shared.exit_evidence.borrow().memory(ended.run) {
            Some(OutOfMemory::Killed(_)) => &[NotifyOn::Oom, NotifyOn::Exit],
            _ => &[NotifyOn::Exit],
        },
        Event::Health { health: Health::Unhealthy, .. } => &[NotifyOn::Unhealthy],
        Event::Killed { .. } => &[NotifyOn::Killed],
        Event::Retry { .. } => &[NotifyOn::Restart],
        Event::ShutdownBegan { .. } => &[NotifyOn::Shutdown],
        _ => &[],
    }
}
