//! The end of everything within one budget, and the account of who held it up.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::effect::{Event, ShutdownReason};
use crate::name::InstanceId;
use crate::order::share;
use crate::time::Time;

/// What is kept of the budget for the time after the last SIGKILL: the kernel must take the processes down, and the daemon
/// must reap them and flush its logs.
const RESERVE_MAX: Duration = Duration::from_millis(100);

/// A shutdown under way.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    reason: ShutdownReason,
    code: u8,
    began: Time,
    timeout: Duration,
    killed: BTreeSet<InstanceId>,
    last_down: Option<(InstanceId, Time)>,
}

impl Shutdown {
    pub(crate) fn begin(now: Time, timeout: Duration, reason: ShutdownReason, code: u8) -> Shutdown {
        Shutdown { reason, code, began: now, timeout, killed: BTreeSet::new(), last_down: None }
    }

    /// When the daemon exits, whatever is left.
    pub(crate) fn end(&self) -> Time {
        self.began + self.timeout
    }

    /// How long a wave may take before SIGKILL, given what the remaining waves want, it being the first.
    pub(crate) fn share(&self, now: Time, wants: &[Duration]) -> Duration {
        let reserve = RESERVE_MAX.min(self.timeout / 10);
        share((self.end() - reserve).since(now), wants)
    }

    pub(crate) fn note_killed(&mut self, id: InstanceId) {
        self.killed.insert(id);
    }

    pub(crate) fn note_down(&mut self, now: Time, id: InstanceId) {
        self.last_down = Some((id, now));
    }

    /// The account of it, and the container's exit code.
    pub(crate) fn into_account(self, left: Vec<InstanceId>) -> (Event, u8) {
        let killed = self.killed.into_iter().collect();
        let slowest = self.last_down.map(|(id, at)| (id, at.since(self.began)));
        let event = Event::ShutdownEnded { reason: self.reason, code: self.code, killed, left, slowest };
        (event, self.code)
    }
}
