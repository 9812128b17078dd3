//! A shutdown within one time budget, and the summary of what delayed it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{InstanceId, ShutdownBudget};

use crate::batch::BatchId;
use crate::budget::Wants;
use crate::cause::ShutdownReason;
use crate::event::Account;
use crate::time::Time;

/// The part of the budget reserved for the time after the last SIGKILL: the kernel must tear the processes down, and
/// the daemon must reap them and flush its logs.
const RESERVE_MAX: Duration = Duration::from_millis(100);

/// How long a shutdown without a budget may still take once all programs were killed by a second signal.
const HURRIED: Duration = Duration::from_secs(9);

/// The time an instance needs of the budget.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// The rank of the wave it stops in.
    pub(crate) rank: i64,
    /// How long it and then, one after another, its dependencies within that wave may take.
    pub(crate) critical: Duration,
}

/// An instance that is being stopped and that others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Share {
    /// When its time is over.
    at: Time,
    /// Whether its share is used up then, or only its own patience: after SIGKILL there is nothing left to wait for.
    pub(crate) is_used_up: bool,
    pub(crate) batch: BatchId,
    pub(crate) id: InstanceId,
}

/// A shutdown in progress.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Shutdown {
    reason: ShutdownReason,
    code: u8,
    began: Time,
    timeout: ShutdownBudget,
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
        timeout: ShutdownBudget,
        reason: ShutdownReason,
        code: u8,
        wishes: Vec<Option<Wish>>,
    ) -> Shutdown {
        Shutdown {
            was_signalled: reason.signal().is_some(),
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
    pub(crate) fn would_be_shorter(&self, now: Time, timeout: ShutdownBudget) -> bool {
        timeout.limit().is_some_and(|span| self.end().is_none_or(|end| now + span.max(RESERVE_MAX) < end))
    }

    /// Distributes a new budget among the remaining instances. The summary keeps what happened so far.
    pub(crate) fn share_anew(&mut self, now: Time, timeout: ShutdownBudget, wishes: Vec<Option<Wish>>) {
        (self.began, self.timeout, self.wave_end) = (now, timeout, now);
        self.shares.clear();
        (self.wants, self.wishes) = (wants_of(&wishes), wishes);
    }

    /// Records a signal. Returns whether it is a repeated one: in a shutdown that began for another reason, the first
    /// signal asks for nothing new.
    pub(crate) fn is_signalled_again(&mut self) -> bool {
        std::mem::replace(&mut self.was_signalled, true)
    }

    /// Whether a signal asked for this shutdown, so that the next one is a repeated one.
    pub(crate) fn was_signalled(&self) -> bool {
        self.was_signalled
    }

    /// All programs were killed by a second signal. Without a budget, the daemon exits soon even if the kernel does not
    /// let a process end.
    pub(crate) fn hurry(&mut self, now: Time) {
        if self.timeout == ShutdownBudget::Unlimited {
            (self.began, self.timeout) = (now, ShutdownBudget::Within(HURRIED));
        }
    }

    /// When the daemon exits, whatever is left; never if there is no budget. With a budget near zero, everything is
    /// killed at once and must still be reaped.
    pub(crate) fn end(&self) -> Option<Time> {
        self.timeout.limit().map(|span| self.began + span.max(RESERVE_MAX))
    }

    /// When the remaining programs are killed; never if there is no budget.
    fn last_kill(&self) -> Option<Time> {
        self.timeout.limit().map(|span| self.began + (span - self.reserve()))
    }

    /// Begins the wave of this rank with its share of the remaining budget.
    pub(crate) fn begin_wave(&mut self, now: Time, rank: i64) {
        let Some(last_kill) = self.last_kill() else { return };
        let remaining = last_kill.since(now);
        let spare = self.wants.spare_share(rank, remaining);
        self.wave_end = now + self.wants.take_share(rank, remaining) + spare;
    }

    /// How long the instance at this place, which is to be stopped now, may take before the next ones are stopped: as
    /// long as the wave has, or its share of that if others stop after it within the wave. `None` is unlimited.
    pub(crate) fn share_of(&self, now: Time, place: usize, patience: Duration) -> Option<Duration> {
        self.timeout.limit()?;
        let left = self.wave_end.since(now);
        let critical = self.wishes[place].map_or(patience, |wish| wish.critical);
        if critical == patience {
            return Some(left);
        }
        let part = left.as_secs_f64() * (patience.as_secs_f64() / critical.as_secs_f64());
        let part = Duration::try_from_secs_f64(part).map_or(left, |part| part.min(left));
        Some(if critical <= left { part.max(patience) } else { part })
    }

    /// Records that the instance at this place is gone and needs no more time.
    pub(crate) fn note_gone(&mut self, place: usize) {
        if let Some(wish) = self.wishes[place].take() {
            self.wants.forget(wish.rank, wish.critical);
        }
    }

    fn reserve(&self) -> Duration {
        self.timeout.limit().map_or(RESERVE_MAX, |span| RESERVE_MAX.min(span / 10))
    }

    /// How long an instance signalled now may take before SIGKILL; `None` is its own patience. A share says when the
    /// next instances are signalled, not when this one is killed: unused time is available to all.
    pub(crate) fn time_left(&self, now: Time) -> Option<Duration> {
        self.last_kill().map(|at| at.since(now))
    }

    /// Records that this instance is being stopped while others wait for it: they are signalled when it is gone, when
    /// it has been killed and had a moment to exit, or when its share is used up.
    pub(crate) fn note_stopping(
        &mut self,
        now: Time,
        batch: BatchId,
        id: InstanceId,
        share: Option<Duration>,
        patience: Duration,
    ) {
        // With time to spare, an instance killed at the end of its patience gets a moment to be torn down.
        let moment = if share.is_some_and(|share| share < patience) { Duration::ZERO } else { self.reserve() };
        let mut note = |span, is_used_up| {
            self.shares.insert(Share { at: now + span + moment, is_used_up, batch, id });
        };
        note(share.map_or(patience, |share| share.min(patience)), false);
        share.into_iter().for_each(|share| note(share, true));
    }

    /// Whether the next instances keep waiting for one that was not killed at the end of its patience: it asked for more
    /// time, and no share limits it.
    pub(crate) fn waits_again(&self) -> bool {
        self.timeout == ShutdownBudget::Unlimited
    }

    /// Takes an instance whose time is over; it may have exited long ago.
    pub(crate) fn take_overdue(&mut self, now: Time) -> Option<Share> {
        let &share = self.shares.first().filter(|share| share.at <= now)?;
        self.shares.remove(&share);
        Some(share)
    }

    /// When the shutdown must act next.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.shares.first().map(|share| share.at).into_iter().chain(self.end()).min()
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
