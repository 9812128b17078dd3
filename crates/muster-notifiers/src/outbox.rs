//! Which events are due for a notification, and the queue of those that wait.
//!
//! Of each program and kind at most one event in a while is due; the others are counted, and the next one says how many
//! there were. The queue is bounded: a new notification displaces the oldest. Every event ends up as one of: queued, held back,
//! dropped, sent, failed. Pure; callers pass `now`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use muster_spec::NotifyOn;

/// The number of notifications that may wait.
pub const MOST: usize = 64;

/// The outcomes of notifications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accepted by the command or server.
    pub sent: u64,
    /// Given up after the last attempt.
    pub failed: u64,
    /// Displaced by newer ones, or never tried.
    pub dropped: u64,
}

/// The last notification of a program and kind.
#[derive(Debug)]
struct Last {
    at: Instant,
    held_back: u64,
}

/// The notifications of a notifier.
#[derive(Debug)]
pub struct Outbox<T> {
    queue: VecDeque<T>,
    /// By program; the daemon's own events have an empty name.
    last: HashMap<String, BTreeMap<NotifyOn, Last>>,
    /// Their outcomes so far.
    pub counts: Counts,
}

impl<T> Default for Outbox<T> {
    fn default() -> Outbox<T> {
        Outbox { queue: VecDeque::new(), last: HashMap::new(), counts: Counts::default() }
    }
}

impl<T> Outbox<T> {
    /// Whether an event of this program and kind is due: the number of events held back since the last one that was;
    /// `None` if this one is held back, too.
    pub fn admit(&mut self, (program, on): (&str, NotifyOn), every: Duration, now: Instant) -> Option<u64> {
        let Some(kinds) = self.last.get_mut(program) else {
            let first = BTreeMap::from([(on, Last { at: now, held_back: 0 })]);
            self.last.insert(program.to_owned(), first);
            return Some(0);
        };
        let Some(last) = kinds.get_mut(&on) else {
            kinds.insert(on, Last { at: now, held_back: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(last.at) < every {
            last.held_back += 1;
            return None;
        }
        last.at = now;
        Some(std::mem::take(&mut last.held_back))
    }

    /// Queues a notification.
    pub fn put(&mut self, notification: T) {
        if self.queue.len() == MOST {
            self.queue.pop_front();
            self.counts.dropped += 1;
        }
        self.queue.push_back(notification);
    }

    /// The notification that has waited longest.
    pub fn take(&mut self) -> Option<T> {
        self.queue.pop_front()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Drops all that wait.
    pub fn clear(&mut self) {
        self.counts.dropped += self.queue.len() as u64;
        self.queue.clear();
    }

    /// Forgets programs that no longer exist.
    pub fn retain(&mut self, is_program: impl Fn(&str) -> bool) {
        self.last.retain(|name, _| name.is_empty() || is_program(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_next_one_says_how_many_were_held_back() {
        let (mut outbox, start) = (Outbox::<u8>::default(), Instant::now());
        let mut admit =
            |program, on, seconds| outbox.admit((program, on), MINUTE, start + Duration::from_secs(seconds));
        assert_eq!(admit("web", NotifyOn::Exit, 0), Some(0));
        assert_eq!((1..=5).filter_map(|second| admit("web", NotifyOn::Exit, second)).count(), 0);
        assert_eq!(admit("web", NotifyOn::Fatal, 5), Some(0), "another kind");
        assert_eq!(admit("db", NotifyOn::Exit, 5), Some(0), "another program");
        assert_eq!(admit("web", NotifyOn::Exit, 59), None);
        assert_eq!(admit("web", NotifyOn::Exit, 60), Some(6));
        assert_eq!(admit("web", NotifyOn::Exit, 119), None);
        assert_eq!(admit("web", NotifyOn::Exit, 1000), Some(1));
    }

    #[test]
    fn without_an_interval_each_is_due() {
        let (mut outbox, now) = (Outbox::<u8>::default(), Instant::now());
        assert!((0..1000).all(|_| outbox.admit(("web", NotifyOn::Exit), Duration::ZERO, now) == Some(0)));
    }

    #[test]
    fn the_oldest_is_dropped_and_counted_and_the_order_is_kept() {
        let mut outbox = Outbox::default();
        (0..1000).for_each(|number| outbox.put(number));
        assert_eq!(outbox.counts.dropped, 1000 - MOST as u64);
        let left: Vec<u64> = std::iter::from_fn(|| outbox.take()).collect();
        assert_eq!(left, (1000 - MOST as u64..1000).collect::<Vec<_>>());
        (0..3).for_each(|number| outbox.put(number));
        outbox.clear();
        assert_eq!((outbox.is_empty(), outbox.counts.dropped), (true, 1003 - MOST as u64));
    }

    #[test]
    fn programs_that_are_gone_are_forgotten() {
        let (mut outbox, now) = (Outbox::<u8>::default(), Instant::now());
        for name in ["", "web", "db"] {
            outbox.admit((name, NotifyOn::Shutdown), MINUTE, now);
        }
        outbox.retain(|name| name == "db");
        let mut known: Vec<&str> = outbox.last.keys().map(String::as_str).collect();
        known.sort_unstable();
        assert_eq!(known, ["", "db"]);
    }
}
