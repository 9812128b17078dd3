//! A shutdown within one time budget, and the summary of what delayed it.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_spec::InstanceId;

use crate::batch::BatchId;
use crate::budget::Wants;
use crate::cause::ShutdownReason;
use crate::effect::Account;
use crate::time::Time;

/// The part of the budget reserved for the time after the last SIGKILL: the kernel must tear the processes down, and
/// the daemon must reap them and flush its logs.
const RESERVE_MAX: Duration = Duration::from_millis(100);

/// The time an instance needs of the budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// The rank of the wave it stops in.
    pub(crate) rank: i64,
    /// How long it and then, one after another, its dependencies within that wave may take.
    pub(crate) critical: Duration,
}

/// An instance that is being stopped and that others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share {
    /// When its time is over.
    at: Time,
    /// Whether its share is used up then, or only its own patience: after SIGKILL there is nothing left to wait for.
    pub(crate) is_used_up: bool,
    pub(crate) batch: BatchId,
    pub(crate) id: InstanceId,
}

/// A shutdown in progress.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    reason: ShutdownReason,
    code: u8,
    began: Time,
    timeout: Duration,
    was_signalled: bool,
    wants: Wants,
    /// The time each instance needs together with all that stop after it within its wave, by place.
    wishes: Vec<Option<Wish>>,
    /// When the current wave must be over.
    wave_end: Time,
    /// When the shares of instances that are being stopped are used up, the earliest first.
    shares: BTreeSet<Share>,
    killed: BTreeSet<InstanceId>,
    slowest: Option<(InstanceId, Duration)>,
}

fn wants_of(wishes: &[Option<Wish>]) -> Wants {
    let mut wants = Wants::default();
    for wish in wishes.iter().flatten() {
        wants.add(wish.rank, wish.critical);
    }
    wants
}

impl Shutdown {
    /// Begins a shutdown. `wishes` is the time each instance needs, by place; `None` is nothing.
    pub(crate) fn begin(
        now: Time,
        timeout: Duration,
        reason: ShutdownReason,
        code: u8,
        wishes: Vec<Option<Wish>>,
    ) -> Shutdown {
        Shutdown {
            was_signalled: matches!(reason, ShutdownReason::Signal(_)),
            reason,
            code,
            began: now,
            timeout,
            wants: wants_of(&wishes),
            wishes,
            wave_end: now,
            shares: BTreeSet::new(),
            killed: BTreeSet::new(),
            slowest: None,
        }
    }

    /// Whether this timeout, counted from now, would end the shutdown earlier.
    pub(crate) fn would_be_shorter(&self, now: Time, timeout: Duration) -> bool {
        now + timeout.max(RESERVE_MAX) < self.end()
    }

    /// Distributes a new budget among the remaining instances. The summary keeps what happened so far.
    pub(crate) fn share_anew(&mut self, now: Time, timeout: Duration, wishes: Vec<Option<Wish>>) {
        (self.began, self.timeout, self.wave_end) = (now, timeout, now);
        self.shares.clear();
        (self.wants, self.wishes) = (wants_of(&wishes), wishes);
    }

    /// Records a signal. Returns whether it is a repeated one: in a shutdown that began for another reason, the first
    /// signal asks for nothing new.
    pub(crate) fn is_signalled_again(&mut self) -> bool {
        std::mem::replace(&mut self.was_signalled, true)
    }

    /// When the daemon exits, whatever is left. With a budget near zero, everything is killed at once and must still be
    /// reaped.
    pub(crate) fn end(&self) -> Time {
        self.began + self.timeout.max(RESERVE_MAX)
    }

    /// When the remaining programs are killed.
    fn last_kill(&self) -> Time {
        self.began + (self.timeout - self.reserve())
    }

    /// Begins the wave of this rank with its share of the remaining budget.
    pub(crate) fn begin_wave(&mut self, now: Time, rank: i64) {
        let remaining = self.last_kill().since(now);
        let spare = self.wants.spare_share(rank, remaining);
        self.wave_end = now + self.wants.take_share(rank, remaining) + spare;
    }

    /// How long the instance at this place, which is to be stopped now, may take before SIGKILL: as long as the wave
    /// has, or its share of that if others stop after it within the wave.
    pub(crate) fn share_of(&self, now: Time, place: usize, patience: Duration) -> Duration {
        let left = self.wave_end.since(now);
        let critical = self.wishes[place].map_or(patience, |wish| wish.critical);
        if critical == patience {
            return left;
        }
        let part = left.as_secs_f64() * (patience.as_secs_f64() / critical.as_secs_f64());
        let part = Duration::try_from_secs_f64(part).map_or(left, |part| part.min(left));
        if critical <= left { part.max(patience) } else { part }
    }

    /// Records that the instance at this place is gone and needs no more time.
    pub(crate) fn note_gone(&mut self, place: usize) {
        if let Some(wish) = self.wishes[place].take() {
            self.wants.forget(wish.rank, wish.critical);
        }
    }

    fn reserve(&self) -> Duration {
        RESERVE_MAX.min(self.timeout / 10)
    }

    /// How long an instance signalled now may take before SIGKILL. A share says when the next instances are signalled,
    /// not when this one is killed: unused time is available to all.
    pub(crate) fn time_left(&self, now: Time) -> Duration {
        self.last_kill().since(now)
    }

    /// Records that this instance is being stopped while others wait for it: they are signalled when it is gone, when
    /// it has been killed and had a moment to exit, or when its share is used up.
    pub(crate) fn note_stopping(
        &mut self,
        now: Time,
        batch: BatchId,
        id: InstanceId,
        share: Duration,
        patience: Duration,
    ) {
        // With time to spare, an instance killed at the end of its patience gets a moment to be torn down.
        let moment = if share < patience { Duration::ZERO } else { self.reserve() };
        for (span, is_used_up) in [(share.min(patience), false), (share, true)] {
            self.shares.insert(Share { at: now + span + moment, is_used_up, batch, id });
        }
    }

    /// Takes an instance whose time is over; it may have exited long ago.
    pub(crate) fn take_overdue(&mut self, now: Time) -> Option<Share> {
        let &share = self.shares.first().filter(|share| share.at <= now)?;
        self.shares.remove(&share);
        Some(share)
    }

    /// When the shutdown must act next.
    pub(crate) fn deadline(&self) -> Time {
        self.shares.first().map_or(self.end(), |share| share.at.min(self.end()))
    }

    /// Postpones everything by time during which the daemon was not running.
    pub(crate) fn lose(&mut self, by: Duration) {
        (self.began, self.wave_end) = (self.began + by, self.wave_end + by);
        self.shares = self.shares.iter().map(|&share| Share { at: share.at + by, ..share }).collect();
    }

    pub(crate) fn note_killed(&mut self, id: InstanceId) {
        self.killed.insert(id);
    }

    /// Records how long an instance took to stop, if it was being stopped.
    pub(crate) fn note_stop(&mut self, id: InstanceId, took: Option<Duration>) {
        let slowest = self.slowest.map_or(Duration::ZERO, |(_, slowest)| slowest);
        if let Some(took) = took.filter(|&took| self.slowest.is_none() || took > slowest) {
            self.slowest = Some((id, took));
        }
    }

    /// The summary, with the reason in words.
    pub(crate) fn into_account(
        self,
        left: Vec<InstanceId>,
        explain: impl Fn(&ShutdownReason, u8) -> String,
    ) -> Account {
        Account {
            why: explain(&self.reason, self.code).into(),
            reason: self.reason,
            code: self.code,
            killed: self.killed.into_iter().collect(),
            left,
            slowest: self.slowest,
        }
    }
}
