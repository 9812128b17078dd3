//! Puts the core's events where onlookers find them.

use std::sync::Arc;
use std::time::Instant;

use muster_core::Event;

use crate::event_ring::{Told, What};
use crate::shared::Shared;

/// Puts one event into the ring, or counts it if a limit suppresses it.
pub(crate) fn publish(shared: &Shared, event: Event, is_said: bool) {
    match event {
        // Each failing check would push out what matters. What comes of them is told.
        Event::ProbeFailed { .. } => return,
        _ if !is_said => return shared.feed.borrow_mut().suppress(Instant::now()),
        Event::ShutdownOverlaps { .. } => return,
        _ => {}
    }
    let who = event.instance();
    let spec = who.map(|id| Arc::clone(shared.supervisor.borrow().instance(id).spec()));
    let told = Told { at: shared.clock.now(), who: spec, what: What::Event(event) };
    shared.feed.borrow_mut().publish(who, told);
}
