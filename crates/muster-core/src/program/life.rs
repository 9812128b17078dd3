//! How long a run may last.
//!
//! [`Slot::Life`] is armed when the program is executed and stays while the run is up, so that neither readiness nor
//! requests for more time move it. Its end is a failure of the run like that of a probe.

use super::{Instance, Turn};
use crate::cause::StopCause;
use crate::timers::Slot;

impl Instance {
    /// Arms or clears the deadline of a run that is up, by the configuration of now.
    pub(super) fn limit_life(&mut self, turn: &Turn<'_>) {
        let Some(run) = &self.run else { return };
        if !run.is_executed || !run.main_lives() || run.stop.is_some() {
            return;
        }
        match self.program.max_runtime {
            // One that is over already is due at once.
            Some(max) => self.timers.arm(Slot::Life, (run.executed + max).max(turn.now)),
            None => self.timers.disarm(Slot::Life),
        }
    }

    /// The run has lasted as long as it may.
    pub(super) fn life_deadline(&mut self, turn: &mut Turn<'_>) {
        if let Some(max) = self.program.max_runtime {
            self.fail_run(turn, StopCause::MaxRuntime { max });
        }
    }
}
