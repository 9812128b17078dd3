//! What happened last, for those who follow it.
//!
//! One bounded ring for everybody: an event is put in once, as small as it is, and turned into words only when somebody
//! takes it. Each listener knows how far it has come and takes what came after that; one that is slower than the ring
//! finds a gap, and nothing is ever queued for it. Without listeners an event costs its place in the ring.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use muster_core::{Health, LeftBehind, Plan, StopCause, Time, Verdict};
use muster_spec::{InstanceSpec, RunEnd, RunId, State};

/// How many events are remembered at least.
const FEWEST: usize = 1024;
/// And how many for each instance: starting or stopping all of them at once must not be a gap to anyone.
const EACH: usize = 4;

/// One event.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) at: Time,
    /// Of which instance, as it was called then.
    pub(crate) who: Option<Arc<InstanceSpec>>,
    /// Of which run.
    pub(crate) run: Option<RunId>,
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum What {
    State { from: State, to: State },
    Ended(Box<EndedRun>),
    Retry { delay: Duration, attempt: u32, limit: Option<u32>, verdict: Box<Verdict> },
    Final(Box<Verdict>),
    Ready(bool),
    Health(Box<Healthy>),
    Failing(Box<StopCause>),
    Waiting(Vec<String>),
    Configured(Arc<Plan>),
    Killed { waited: Duration, cut_short: bool },
    LeftBehind(Box<LeftBehind>),
    Stuck { since: Duration },
    Shutdown { reason: Box<str>, timeout: Duration },
    ShutdownHurried,
    Exiting { reason: Box<str>, code: u8 },
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct EndedRun {
    pub(crate) end: RunEnd,
    pub(crate) uptime: Duration,
    pub(crate) success: bool,
    pub(crate) cause: Option<StopCause>,
}

/// What a probe found out about a run.
#[derive(Debug)]
pub(crate) struct Healthy {
    pub(crate) health: Health,
    pub(crate) probe: Box<str>,
    pub(crate) detail: String,
}

/// The last events, and who waits for the next.
#[derive(Debug)]
pub(crate) struct Feed {
    ring: VecDeque<Told>,
    room: usize,
    /// The number of the first event of all.
    first: u64,
    /// The number of the next event.
    next: u64,
    listeners: BTreeMap<u64, Option<Waker>>,
    next_listener: u64,
    is_over: bool,
}

/// A listener has not had these events, and they are forgotten: so many, if that can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missed(pub(crate) Option<u64>);

impl Feed {
    /// Nothing has happened yet. Of two lives of a daemon the later one must begin with a higher number, so that a
    /// listener of the earlier one is not taken for one of its own.
    pub(crate) fn beginning_with(first: u64, instances: usize) -> Feed {
        Feed {
            ring: VecDeque::new(),
            room: FEWEST.max(EACH * instances),
            first,
            next: first,
            listeners: BTreeMap::new(),
            next_listener: 0,
            is_over: false,
        }
    }

    /// There are so many instances now. What there was room for stays.
    pub(crate) fn make_room(&mut self, instances: usize) {
        self.room = self.room.max(EACH * instances);
    }

    pub(crate) fn publish(&mut self, told: Told) {
        if self.ring.len() == self.room {
            self.ring.pop_front();
        }
        self.ring.push_back(told);
        self.next += 1;
        self.wake_all();
    }

    /// Nothing will happen any more: listeners take what is left, and leave.
    pub(crate) fn close(&mut self) {
        self.is_over = true;
        self.wake_all();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    fn wake_all(&mut self) {
        self.listeners.values_mut().filter_map(Option::take).for_each(Waker::wake);
    }

    /// The number of the last event.
    pub(crate) fn newest(&self) -> u64 {
        self.next - 1
    }

    /// What came after the event of this number, with numbers.
    pub(crate) fn after(&self, id: u64) -> Result<impl Iterator<Item = (u64, &Told)>, Missed> {
        let oldest = self.next - self.ring.len() as u64;
        let is_ours = id < self.next && self.first <= id + 1;
        if !is_ours {
            return Err(Missed(None));
        }
        if id + 1 < oldest {
            return Err(Missed(Some(oldest - id - 1)));
        }
        // The difference is at most the length of the ring.
        let known = (id + 1 - oldest) as usize;
        Ok((id + 1..).zip(self.ring.range(known..)))
    }

    /// How many listeners there are.
    pub(crate) fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// One more listener. Whoever adds one bounds how many there are.
    pub(crate) fn listen(&mut self) -> u64 {
        self.next_listener += 1;
        self.listeners.insert(self.next_listener, None);
        self.next_listener
    }

    /// Wakes this listener with the next event.
    pub(crate) fn wait(&mut self, listener: u64, waker: &Waker) {
        self.listeners.insert(listener, Some(waker.clone()));
    }

    pub(crate) fn leave(&mut self, listener: u64) {
        self.listeners.remove(&listener);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(number: u64) -> Told {
        let what = What::State { from: State::Stopped, to: State::Starting };
        Told { at: Time::ZERO, who: None, run: Some(RunId(number)), what }
    }

    fn filled(count: u64) -> Feed {
        let mut feed = Feed::beginning_with(1000, 1);
        (0..count).for_each(|number| feed.publish(told(number)));
        feed
    }

    fn numbers(feed: &Feed, id: u64) -> Result<Vec<u64>, Missed> {
        Ok(feed.after(id)?.map(|(id, _)| id).collect())
    }

    #[test]
    fn a_listener_gets_what_came_after_its_last_event() {
        let feed = filled(3);
        assert_eq!(feed.newest(), 1002);
        assert_eq!(numbers(&feed, 1000), Ok(vec![1001, 1002]));
        assert_eq!(numbers(&feed, 1002), Ok(vec![]));
        assert_eq!(numbers(&feed, 999), Ok(vec![1000, 1001, 1002]), "what was known before the first event");
        let runs: Vec<Option<RunId>> = feed.after(1000).unwrap().map(|(_, told)| told.run).collect();
        assert_eq!(runs, [Some(RunId(1)), Some(RunId(2))], "numbers and events belong together");
    }

    #[test]
    fn what_is_forgotten_is_counted() {
        let feed = filled(FEWEST as u64 + 10);
        assert_eq!(numbers(&feed, 999), Err(Missed(Some(10))));
        assert_eq!(numbers(&feed, 1008), Err(Missed(Some(1))));
        assert_eq!(numbers(&feed, 1009).map(|ids| ids.len()), Ok(FEWEST));
    }

    #[test]
    fn numbers_of_another_life_are_not_taken_for_our_own() {
        let feed = filled(3);
        for id in [0, 998, 1003, u64::MAX] {
            assert_eq!(numbers(&feed, id), Err(Missed(None)), "{id}");
        }
    }

    /// The ring of a thousand programs, full, must stay small beside them.
    #[test]
    fn an_event_is_small() {
        assert!(size_of::<Told>() <= 80, "{} bytes", size_of::<Told>());
    }
}
