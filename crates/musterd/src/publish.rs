//! Publishes the core's events in [`muster_logging::event_ring`].

use std::sync::Arc;
use std::time::Instant;

use muster_core::Event;

use crate::shared::Shared;
use muster_logging::event_ring::{Published, What};

/// Publishes one event, or counts it if a rate limit suppresses it.
pub(crate) fn publish(shared: &Shared, event: Event, is_said: bool) {
    match event {
        // Failing checks would displace more important events. Their consequences are published.
        Event::ProbeFailed { .. } => return,
        _ if !is_said => return shared.event_ring.borrow_mut().suppress(Instant::now()),
        Event::ShutdownOverlaps { .. } => return,
        _ => {}
    }
    let who = event.instance();
    let spec = who.map(|id| Arc::clone(shared.supervisor.borrow().instance(id).spec()));
    let published = Published { at: shared.clock.now(), who: spec, what: What::Event(event) };
    shared.event_ring.borrow_mut().publish(who, published);
}
