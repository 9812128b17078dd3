//! The keys that say how a program is stopped.

use std::time::Duration;

use muster_spec::{Leftovers, StopKill, StopScope, StopSpec, StopStep};

use super::{Rules, read_signal};
use crate::field::Field;

impl Rules {
    /// How to stop it.
    pub(crate) fn stop(&self) -> StopSpec {
        let step = |&signal| StopStep { signal, patience: self.patience };
        let steps = self.signals.iter().map(step).collect();
        let Rules { scope, kill, leftovers, leftover_wait, .. } = *self;
        StopSpec { steps, scope, kill, leftovers, leftover_wait }
    }

    /// The time until SIGKILL.
    pub(crate) fn total_patience(&self) -> Duration {
        self.patience.saturating_mul(u32::try_from(self.signals.len()).unwrap_or(u32::MAX))
    }

    pub(crate) fn stopsignal(&mut self, field: &Field<'_>) {
        let items = field.items();
        if items.is_empty() {
            field.expected_with_hint("at least one signal", "stopsignal = [\"INT\", \"TERM\"]");
            return;
        }
        let signals: Vec<_> = items.iter().map(read_signal).collect();
        if let Some(signals) = signals.into_iter().collect() {
            self.signals = signals;
        }
    }

    pub(crate) fn stopwaitsecs(&mut self, field: &Field<'_>) {
        if let Some(duration) = field.duration() {
            self.patience = duration;
            self.patience_at = Some(field.place());
        }
    }

    pub(crate) fn stop_scope(&mut self, field: &Field<'_>) {
        if let Some(scope) = field.choice(&StopScope::ALL) {
            self.scope = scope;
        }
    }

    pub(crate) fn stop_kill(&mut self, field: &Field<'_>) {
        if let Some(kill) = field.choice(&StopKill::ALL) {
            self.kill = kill;
        }
    }

    pub(crate) fn leftovers(&mut self, field: &Field<'_>) {
        if let Some(leftovers) = field.choice(&Leftovers::ALL) {
            self.leftovers = leftovers;
        }
    }

    pub(crate) fn leftover_wait(&mut self, field: &Field<'_>) {
        if let Some(duration) = field.duration() {
            self.leftover_wait = duration;
        }
    }
}
