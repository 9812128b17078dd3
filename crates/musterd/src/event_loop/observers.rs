//! Observers of the core's events: counters, the log, event listeners, and the events of the API. None acts on programs.

use std::rc::Rc;

use muster_core::{Event, Instance};
use muster_spec::State;

use crate::publish::publish;
use crate::shared::Shared;
use crate::{listeners, log_events, main_log_events};

/// All observers.
pub(super) struct Observers {
    shared: Rc<Shared>,
    /// The number of programs that have yet to come up before the pages of the startup code are released.
    to_come_up: usize,
}

impl Observers {
    pub(super) fn new(shared: Rc<Shared>) -> Observers {
        let autostarts = |instance: &&Instance| instance.program().autostart && instance.program().schedule.is_none();
        let to_come_up = shared.supervisor.borrow().snapshot().iter().filter(autostarts).count();
        Observers { shared, to_come_up }
    }

    /// Passes one event to all of them.
    pub(super) fn observe(&mut self, event: Event) {
        if matches!(event, Event::State { to: State::Running, .. }) {
            self.note_start();
        }
        let shared = &self.shared;
        shared.program_counters.borrow_mut().count(&event, &shared.exit_evidence.borrow());
        let said = shared.limits.pass_event(&shared.supervisor.borrow(), &event);
        if !main_log_events::said(shared, &event) {
            log_events::write(shared, &event, said);
        }
        shared.state.observe(&shared.supervisor.borrow(), shared.clock, &event);
        listeners::observe(shared, &event);
        publish(shared, event, said.is_some());
    }

    /// Releases the startup code when as many programs have come up as start with the daemon.
    fn note_start(&mut self) {
        if self.to_come_up == 1 {
            muster_sys::footprint::release_startup_code();
        }
        self.to_come_up = self.to_come_up.saturating_sub(1);
    }
}
