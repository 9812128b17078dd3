//! The end of everything within one budget, and the account of who held it up.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::batch::BatchId;
use crate::budget::Wants;
use crate::effect::{Event, ShutdownReason};
use crate::name::InstanceId;
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
    was_signalled: bool,
    wants: Wants,
    wave: Option<(BatchId, Time)>,
    killed: BTreeSet<InstanceId>,
    slowest: Option<(InstanceId, Duration)>,
}

impl Shutdown {
    /// `wants` is what all that live may want.
    pub(crate) fn begin(now: Time, timeout: Duration, reason: ShutdownReason, code: u8, wants: Wants) -> Shutdown {
        let was_signalled = matches!(reason, ShutdownReason::Signal(_));
        let (killed, slowest) = (BTreeSet::new(), None);
        Shutdown { reason, code, began: now, timeout, was_signalled, wants, wave: None, killed, slowest }
    }

    /// A signal came. True when it is not the first: where the shutdown has another reason, the first one asks for what
    /// is being done already.
    pub(crate) fn is_signalled_again(&mut self) -> bool {
        std::mem::replace(&mut self.was_signalled, true)
    }

    /// When the daemon exits, whatever is left.
    pub(crate) fn end(&self) -> Time {
        self.began + self.timeout
    }

    /// How long the wave of this priority, whose turn has come, may take before SIGKILL.
    pub(crate) fn take_share(&mut self, now: Time, priority: i64) -> Duration {
        let remaining = (self.end() - self.reserve()).since(now);
        self.wants.take_share(priority, remaining)
    }

    /// An instance is gone that had this much patience, and wants nothing any more.
    pub(crate) fn note_gone(&mut self, priority: i64, patience: Duration) {
        self.wants.forget(priority, patience);
    }

    fn reserve(&self) -> Duration {
        RESERVE_MAX.min(self.timeout / 10)
    }

    /// A wave begins that others come after. When its share is over it has had SIGKILL and does nothing any more, so what
    /// the kernel then still keeps of it (uninterruptible sleep) must not cost the others their stop signal.
    pub(crate) fn note_wave(&mut self, now: Time, batch: BatchId, share: Duration) {
        self.wave = Some((batch, now + share + self.reserve()));
    }

    /// When the current wave is passed over.
    pub(crate) fn wave_end(&self) -> Option<Time> {
        self.wave.map(|(_, end)| end)
    }

    /// The batch whose current wave has had its time.
    pub(crate) fn take_overdue(&mut self, now: Time) -> Option<BatchId> {
        self.wave.take_if(|(_, end)| *end <= now).map(|(batch, _)| batch)
    }

    /// When there is next something to do.
    pub(crate) fn deadline(&self) -> Time {
        self.wave_end().map_or(self.end(), |wave| wave.min(self.end()))
    }

    pub(crate) fn note_killed(&mut self, id: InstanceId) {
        self.killed.insert(id);
    }

    /// An instance is gone that was being stopped for so long, if it was.
    pub(crate) fn note_stop(&mut self, id: InstanceId, took: Option<Duration>) {
        let slowest = self.slowest.map_or(Duration::ZERO, |(_, slowest)| slowest);
        if let Some(took) = took.filter(|&took| self.slowest.is_none() || took > slowest) {
            self.slowest = Some((id, took));
        }
    }

    /// The account of it, and the container's exit code.
    pub(crate) fn into_account(self, left: Vec<InstanceId>) -> (Event, u8) {
        let killed = self.killed.into_iter().collect();
        let event = Event::ShutdownEnded { reason: self.reason, code: self.code, killed, left, slowest: self.slowest };
        (event, self.code)
    }
}
