//! Observers of the core's events: counters, the log, event listeners, and the events of the API. None acts on programs.

use std::rc::Rc;

use muster_core::{Event, Instance};
use muster_spec::State;
use muster_sys::footprint;

use crate::publish::publish_and_notify;
use crate::shared::Shared;
use crate::{feeds, listeners, log_events, main_log_events};

/// All observers.
pub(super) struct Observers {
    shared: Rc<Shared>,
    /// The number of programs that have yet to leave STARTING before the executable's pages are released.
    to_come_up: usize,
    /// Whether starts after a reload may still be under way.
    is_reloaded: bool,
}

impl Observers {
    pub(super) fn new(shared: Rc<Shared>) -> Observers {
        let autostarts = |instance: &&Instance| instance.program().autostart && instance.program().schedule.is_none();
        let to_come_up = shared.supervisor.borrow().snapshot().iter().filter(autostarts).count();
        if to_come_up == 0 {
            footprint::release_at_rest();
        }
        Observers { shared, to_come_up, is_reloaded: false }
    }

    /// Passes one event to all of them.
    pub(super) fn observe(&mut self, event: Event) {
        match event {
            Event::State { from: State::Starting, .. } => self.note_start(),
            // The code that read the new configuration is not needed for now.
            Event::Configured { ref plan } => {
                footprint::release_at_rest();
                self.is_reloaded = !plan.is_empty();
            }
            _ => (),
        }
        let shared = &self.shared;
        if matches!(event, Event::Rolling(_) | Event::State { .. } | Event::ShutdownBegan { .. }) {
            // The core is done with its input, so a restart that ends with this has ended.
            shared.configuration.rolled.notify_waiters();
        }
        shared.program_counters.borrow_mut().count(&event, &shared.exit_evidence.borrow());
        let said = shared.limits.pass_event(&shared.supervisor.borrow(), &event);
        if !main_log_events::said(shared, &event) {
            log_events::write(shared, &event, said);
        }
        shared.state.observe(&shared.supervisor.borrow(), shared.clock, &event);
        listeners::observe(shared, &event);
        if let Event::Ended(ended) = &event {
            feeds::ended(shared, ended.run);
        }
        publish_and_notify(shared, event, said.is_some());
    }

    /// Releases the startup code when as many starts have succeeded or failed as there are programs that start with the
    /// daemon: not before, since the starts need it. The code of a reload is released when no start is left under way.
    fn note_start(&mut self) {
        let is_reload_over = self.is_reloaded && self.shared.supervisor.borrow().starting() == 0;
        if self.to_come_up == 1 || is_reload_over {
            footprint::release_at_rest();
            self.is_reloaded = false;
        }
        self.to_come_up = self.to_come_up.saturating_sub(1);
    }
}
