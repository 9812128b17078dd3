//! Observers of the core's events: evidence about exits, counters, the log, event listeners, and the events of the API. None acts on programs.

use std::rc::Rc;

use muster_core::{EndedRun, Event, Instance};
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

    /// Passes one event to all of them. Evidence comes first, since the others read it.
    pub(super) fn observe(&mut self, event: Event) {
        if matches!(event, Event::State { to: State::Running, .. }) {
            self.note_start();
        }
        let shared = &self.shared;
        if let Event::Ended(ended) = &event
            && !ended.expected
            && ended.cause.is_none()
        {
            self.look_for_evidence(ended);
        }
        shared.program_counters.borrow_mut().count(&event, &shared.exit_evidence.borrow());
        let said = shared.limits.pass_event(&shared.supervisor.borrow(), &event);
        if !main_log_events::said(shared, &event) {
            log_events::write(shared, &event, said);
        }
        listeners::observe(shared, &event);
        publish(shared, event, said.is_some());
    }

    fn look_for_evidence(&self, ended: &EndedRun) {
        let supervisor = self.shared.supervisor.borrow();
        let past = supervisor.instance(ended.instance).past().next_back().filter(|past| past.run == ended.run);
        let signalled = past.and_then(|past| past.signalled).map(|(signal, _)| signal);
        self.shared.exit_evidence.borrow_mut().look_into(ended.run, &ended.end, signalled);
    }

    /// Releases the startup code when as many programs have come up as start with the daemon.
    fn note_start(&mut self) {
        if self.to_come_up == 1 {
            muster_sys::footprint::release_startup_code();
        }
        self.to_come_up = self.to_come_up.saturating_sub(1);
    }
}
