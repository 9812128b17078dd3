//! Programs that start when a client comes: `start_on = "connection"`.
//!
//! When nothing but a client is missing, the instance asks the shell for a look at its sockets, once, with
//! [`Effect::AwaitContact`]; the answer is `Contacted`. An exit with success, in any state of the run, is the program's way to
//! say that it has nothing to do, and it waits again. A run that ended at once and left its client where it was has failed,
//! whatever its exit status: otherwise the same client would start the next run without end.

use std::time::Duration;

use muster_spec::{StartOn, State};

use super::{Instance, PastRun, Turn};
use crate::cause::StopCause;
use crate::effect::Effect;
use crate::restart::Verdict;

/// A run that lasted longer than this may leave a client: it may have come while the program was exiting.
const TOO_SHORT: Duration = Duration::from_secs(1);

impl Instance {
    /// Whether its next run begins with a client. After a failure the policy decides when it begins.
    pub(super) fn starts_on_contact(&self) -> bool {
        self.program.start_on == StartOn::Connection && self.state != State::Backoff
    }

    /// Waits for a client.
    pub(super) fn await_contact(&mut self, turn: &mut Turn<'_>) {
        if !std::mem::replace(&mut self.awaits_contact, true) {
            turn.effects.push_back(Effect::AwaitContact { instance: self.id });
            self.tell_change(turn);
        }
    }

    /// A client has come. If something else is missing by now, it is asked about again once that is there.
    pub(crate) fn contacted(&mut self, turn: &mut Turn<'_>) {
        if !std::mem::take(&mut self.awaits_contact) {
            return;
        }
        if self.is_held || turn.is_blocked {
            return self.tell_change(turn);
        }
        if turn.has_room {
            return self.begin_run(turn);
        }
        self.queued = Some(self.place_in_queue(turn.now));
        self.tell_change(turn);
    }

    /// The run's main process has exited and left a client that no process has taken.
    pub(crate) fn left_contact(&mut self, turn: &Turn<'_>) {
        let is_short = |began| turn.now.since(began) <= TOO_SHORT;
        let starts_on_contact = self.program.start_on == StartOn::Connection;
        let Some(run) = self.run.as_mut().filter(|run| starts_on_contact && run.main_lives()) else { return };
        if run.is_executed && run.cause.is_none() && run.stop.is_none() && is_short(run.began) {
            run.cause = Some(StopCause::Unserved);
        }
    }

    /// Whether this end leads to another wait for a client.
    pub(super) fn is_idle_after(&self, past: &PastRun) -> bool {
        self.program.start_on == StartOn::Connection && past.success
    }

    /// A run ended with success: its failures are forgotten, and it waits for the next client.
    pub(super) fn wait_again(&mut self, turn: &mut Turn<'_>, past: PastRun) {
        self.tally.start_by_hand(self.program.restart.limit);
        self.remember(PastRun { verdict: Verdict::Idle, ..past });
        self.enter(turn, State::Waiting);
    }
}
