//! The end of everything within one budget, and the account of who held it up.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_spec::InstanceId;

use crate::batch::BatchId;
use crate::budget::Wants;
use crate::cause::ShutdownReason;
use crate::effect::Account;
use crate::time::Time;

/// What is kept of the budget for the time after the last SIGKILL: the kernel must take the processes down, and the daemon
/// must reap them and flush its logs.
const RESERVE_MAX: Duration = Duration::from_millis(100);

/// What an instance wants of the budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// With which wave it stops.
    pub(crate) rank: i64,
    /// How long it and then, one after another, what it depends on within that wave may take.
    pub(crate) critical: Duration,
}

/// One that is being stopped and that others come after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share {
    /// When this counts.
    at: Time,
    /// Whether its share is used up then, or only its own patience: once it got SIGKILL there is nothing to wait for.
    pub(crate) is_used_up: bool,
    pub(crate) batch: BatchId,
    pub(crate) id: InstanceId,
}

/// A shutdown under way.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    reason: ShutdownReason,
    code: u8,
    began: Time,
    timeout: Duration,
    was_signalled: bool,
    wants: Wants,
    /// What each instance wants with all that must stop after it within its wave, by its place.
    wishes: Vec<Option<Wish>>,
    /// When the wave under way must be over.
    wave_end: Time,
    /// When the shares of those that are being stopped are used up, the earliest first.
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
    /// `wishes` is what each instance wants, by its place; `None` is nothing.
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

    /// Whether everything would be over earlier with so much time from now on.
    pub(crate) fn would_be_shorter(&self, now: Time, timeout: Duration) -> bool {
        now + timeout.max(RESERVE_MAX) < self.end()
    }

    /// Whoever is left shares another budget from now on. What happened so far stays in the account.
    pub(crate) fn share_anew(&mut self, now: Time, timeout: Duration, wishes: Vec<Option<Wish>>) {
        (self.began, self.timeout, self.wave_end) = (now, timeout, now);
        self.shares.clear();
        (self.wants, self.wishes) = (wants_of(&wishes), wishes);
    }

    /// A signal came. True when it is not the first: where the shutdown has another reason, the first one asks for what
    /// is being done already.
    pub(crate) fn is_signalled_again(&mut self) -> bool {
        std::mem::replace(&mut self.was_signalled, true)
    }

    /// When the daemon exits, whatever is left. Where the budget is next to nothing, everybody is killed at once, and still
    /// has to be seen gone.
    pub(crate) fn end(&self) -> Time {
        self.began + self.timeout.max(RESERVE_MAX)
    }

    /// When the time of the programs is over.
    fn last_kill(&self) -> Time {
        self.began + (self.timeout - self.reserve())
    }

    /// The wave of this rank begins, and gets its share of what is left.
    pub(crate) fn begin_wave(&mut self, now: Time, rank: i64) {
        let remaining = self.last_kill().since(now);
        let spare = self.wants.spare_share(rank, remaining);
        self.wave_end = now + self.wants.take_share(rank, remaining) + spare;
    }

    /// How long the instance at this place, whose turn has come, may take before SIGKILL: as long as the wave has, or its
    /// part of that where others stop after it within the wave.
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

    /// The instance at this place is gone, and wants nothing any more.
    pub(crate) fn note_gone(&mut self, place: usize) {
        if let Some(wish) = self.wishes[place].take() {
            self.wants.forget(wish.rank, wish.critical);
        }
    }

    fn reserve(&self) -> Duration {
        RESERVE_MAX.min(self.timeout / 10)
    }

    /// How long whoever is asked now may take before SIGKILL. A share says when the next ones are asked, never when one is
    /// killed: time that is left belongs to everybody.
    pub(crate) fn time_left(&self, now: Time) -> Duration {
        self.last_kill().since(now)
    }

    /// This one is being stopped, and others come after it: they are asked when it is gone, when it has been killed and had
    /// a moment to go, or when its share is used up.
    pub(crate) fn note_stopping(
        &mut self,
        now: Time,
        batch: BatchId,
        id: InstanceId,
        share: Duration,
        patience: Duration,
    ) {
        // With time to spare the kernel gets a moment for those who are killed at the end of their patience.
        let moment = if share < patience { Duration::ZERO } else { self.reserve() };
        for (span, is_used_up) in [(share.min(patience), false), (share, true)] {
            self.shares.insert(Share { at: now + span + moment, is_used_up, batch, id });
        }
    }

    /// One that has had its time, perhaps long gone.
    pub(crate) fn take_overdue(&mut self, now: Time) -> Option<Share> {
        let &share = self.shares.first().filter(|share| share.at <= now)?;
        self.shares.remove(&share);
        Some(share)
    }

    /// When there is next something to do.
    pub(crate) fn deadline(&self) -> Time {
        self.shares.first().map_or(self.end(), |share| share.at.min(self.end()))
    }

    /// Time passed that nobody had.
    pub(crate) fn lose(&mut self, by: Duration) {
        (self.began, self.wave_end) = (self.began + by, self.wave_end + by);
        self.shares = self.shares.iter().map(|&share| Share { at: share.at + by, ..share }).collect();
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

    /// The account of it, with its reason in words.
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
