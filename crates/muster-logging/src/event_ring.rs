//! The most recent events, for clients that follow them.
//!
//! One bounded ring for all listeners: an event is stored once, in compact form, and formatted only when a listener
//! takes it. Each listener knows its position and takes the events after it; one that is too slow finds a gap, and
//! nothing is ever queued for it. Without listeners an event costs only its place in the ring.
//!
//! Each instance has a share of the ring. When the ring is full, an instance with more than its share loses its own
//! oldest event, so no program displaces the events of others. Events suppressed by a rate limit are counted and
//! reported as a gap, at most once a minute, while there are listeners.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use muster_api::SourceState;
use muster_core::{Event, Time};
use muster_spec::{InstanceId, InstanceSpec};

/// The minimum number of events that are kept.
const FEWEST: usize = 1024;
/// The number of events per instance: starting or stopping all of them at once must not cause a gap.
const EACH: usize = 4;

/// How long suppressed events are counted before they are reported.
const GAP_AFTER: Duration = Duration::from_secs(60);

/// One event.
#[derive(Debug)]
pub struct Published {
    /// When it happened.
    pub at: Time,
    /// The instance, under its name at that time.
    pub who: Option<Arc<InstanceSpec>>,
    /// The event, or a gap.
    pub what: What,
}

/// The kind of an event.
#[derive(Debug)]
pub enum What {
    /// Something happened.
    Event(Event),
    /// A source of the configuration changed its state.
    Source(Box<SourceChange>),
    /// The secrets of the API were read again; with the reason if they cannot be used.
    Secrets(Option<Box<str>>),
    /// Events were suppressed.
    Gap {
        /// How many.
        missed: u64,
    },
}

/// The new state of a source of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceChange {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: SourceState,
    /// The active version.
    pub revision: Option<String>,
    /// Why it is in that state.
    pub reason: Option<String>,
}

/// The last events, and the listeners waiting for the next one.
#[derive(Debug)]
pub struct EventRing {
    /// In order of their numbers. An event that an instance lost from its share is `None` until all events before it
    /// are gone.
    ring: VecDeque<RingEntry>,
    /// The number of places that are `None`.
    holes: usize,
    room: usize,
    share: usize,
    /// The numbers of each instance's events; events of no instance are the daemon's.
    shares: HashMap<Option<InstanceId>, VecDeque<u64>>,
    /// Instances with more than their share.
    crowded: BTreeSet<Option<InstanceId>>,
    /// The highest number that has been dropped.
    forgotten: u64,
    /// The number of the very first event.
    first: u64,
    /// The number of the next event.
    next: u64,
    listeners: BTreeMap<u64, Option<Waker>>,
    next_listener: u64,
    is_over: bool,
    /// The number of events suppressed since the last report, and since when.
    suppressed: u64,
    suppressed_since: Option<Instant>,
}

/// An event's place in the ring.
#[derive(Debug)]
struct RingEntry {
    id: u64,
    of: Option<InstanceId>,
    published: Option<Published>,
}

/// A listener has missed these events: their number, if known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed(pub Option<u64>);

impl EventRing {
    /// An empty ring. A later run of the daemon must begin with a higher number, so that a listener of an earlier run
    /// is not mistaken for one of its own.
    pub fn beginning_with(first: u64, instances: usize) -> EventRing {
        let room = room_for(instances);
        EventRing {
            ring: VecDeque::new(),
            holes: 0,
            room,
            share: room / (instances + 1),
            shares: HashMap::new(),
            crowded: BTreeSet::new(),
            forgotten: 0,
            first,
            next: first,
            listeners: BTreeMap::new(),
            next_listener: 0,
            is_over: false,
            suppressed: 0,
            suppressed_since: None,
        }
    }

    /// Adapts the capacity to this many instances. It never shrinks.
    pub fn make_room(&mut self, instances: usize) {
        self.room = self.room.max(room_for(instances));
        self.share = self.room / (instances + 1);
        let is_crowded = |(of, ids): (&Option<InstanceId>, &VecDeque<u64>)| (ids.len() > self.share).then_some(*of);
        self.crowded = self.shares.iter().filter_map(is_crowded).collect();
    }

    /// Adds an event, of this instance or of the daemon. Returns its number.
    pub fn publish(&mut self, of: Option<InstanceId>, published: Published) -> u64 {
        if self.ring.len() - self.holes == self.room {
            self.forget_one(of);
        }
        let ids = self.shares.entry(of).or_default();
        ids.push_back(self.next);
        if ids.len() > self.share {
            self.crowded.insert(of);
        }
        self.ring.push_back(RingEntry { id: self.next, of, published: Some(published) });
        self.next += 1;
        self.wake_all();
        self.newest()
    }

    /// A number for an event that is not kept, and that clients only miss if they have fallen behind.
    pub fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.newest()
    }

    /// Makes room for an event of this instance: drops its own oldest, that of an instance with more than its share,
    /// or the oldest of all.
    fn forget_one(&mut self, of: Option<InstanceId>) {
        let has_share = self.shares.get(&of).is_some_and(|ids| ids.len() >= self.share);
        let crowded = || self.crowded.first().copied();
        let oldest = || self.ring.front().map(|place| place.of);
        if let Some(loser) = if has_share { Some(of) } else { crowded().or_else(oldest) } {
            self.forget_oldest_of(loser);
        }
    }

    fn forget_oldest_of(&mut self, of: Option<InstanceId>) {
        let Some(ids) = self.shares.get_mut(&of) else { return };
        let Some(id) = ids.pop_front() else { return };
        if ids.len() <= self.share {
            self.crowded.remove(&of);
        }
        if ids.is_empty() {
            self.shares.remove(&of);
        }
        self.forgotten = self.forgotten.max(id);
        let at = self.ring.partition_point(|place| place.id < id);
        self.ring[at].published = None;
        self.holes += 1;
        while self.ring.pop_front_if(|place| place.published.is_none()).is_some() {
            self.holes -= 1;
        }
        // If the oldest event belongs to a quiet instance, the empty places behind it must not accumulate.
        if self.holes > self.room {
            self.ring.retain(|place| place.published.is_some());
            self.holes = 0;
        }
    }

    /// Counts a suppressed event.
    pub fn suppress(&mut self, now: Instant) {
        self.suppressed += 1;
        self.suppressed_since.get_or_insert(now);
    }

    /// The time at which suppressed events are to be reported.
    pub fn gap_due(&self) -> Option<Instant> {
        self.suppressed_since.filter(|_| !self.listeners.is_empty()).map(|since| since + GAP_AFTER)
    }

    /// Reports suppressed events, if it is time.
    pub fn tell_gap(&mut self, at: Time, now: Instant) {
        if self.gap_due().is_some_and(|due| due <= now) {
            self.suppressed_since = None;
            let what = What::Gap { missed: std::mem::take(&mut self.suppressed) };
            self.publish(None, Published { at, who: None, what });
        }
    }

    /// Closes the ring: listeners take what is left, and finish.
    pub fn close(&mut self) {
        self.is_over = true;
        self.wake_all();
    }

    /// Whether there will be no more events.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    fn wake_all(&mut self) {
        self.listeners.values_mut().filter_map(Option::take).for_each(Waker::wake);
    }

    /// The number of the last event.
    pub fn newest(&self) -> u64 {
        self.next - 1
    }

    /// The events after this number, with their numbers.
    pub fn after(&self, id: u64) -> Result<impl Iterator<Item = (u64, &Published)>, Missed> {
        let is_ours = id < self.next && self.first <= id + 1;
        if !is_ours {
            return Err(Missed(None));
        }
        let later = self.ring.partition_point(|place| place.id <= id);
        let later = self.ring.range(later..).filter_map(|place| Some((place.id, place.published.as_ref()?)));
        if id < self.forgotten {
            let kept = later.count() as u64;
            return Err(Missed(Some(self.next - 1 - id - kept)));
        }
        Ok(later)
    }

    /// The highest number that was dropped: all events after it are kept.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The number of listeners.
    pub fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// Adds a listener. The caller limits how many there are.
    pub fn listen(&mut self) -> u64 {
        self.next_listener += 1;
        self.listeners.insert(self.next_listener, None);
        self.next_listener
    }

    /// Wakes this listener at the next event.
    pub fn wait(&mut self, listener: u64, waker: &Waker) {
        self.listeners.insert(listener, Some(waker.clone()));
    }

    /// Forgets a listener.
    pub fn leave(&mut self, listener: u64) {
        self.listeners.remove(&listener);
    }
}

/// The number of events kept for the daemon and this many instances.
fn room_for(instances: usize) -> usize {
    FEWEST.max(EACH * (instances + 1))
}

#[cfg(test)]
mod tests {
    use muster_spec::{RunId, State};

    use super::*;

    fn published(number: u64) -> Published {
        let (instance, run) = (InstanceId(0), Some(RunId(number)));
        let event = Event::State { instance, from: State::Stopped, to: State::Starting, run };
        Published { at: Time::ZERO, who: None, what: What::Event(event) }
    }

    fn run(published: &Published) -> Option<RunId> {
        match &published.what {
            What::Event(event) => event.run(),
            What::Gap { .. } | What::Source(_) | What::Secrets(_) => None,
        }
    }

    fn filled(count: u64) -> EventRing {
        let mut ring = EventRing::beginning_with(1000, 1);
        for number in 0..count {
            ring.publish(None, published(number));
        }
        ring
    }

    fn numbers(ring: &EventRing, id: u64) -> Result<Vec<u64>, Missed> {
        Ok(ring.after(id)?.map(|(id, _)| id).collect())
    }

    #[test]
    fn a_listener_gets_what_came_after_its_last_event() {
        let ring = filled(3);
        assert_eq!(ring.newest(), 1002);
        assert_eq!(numbers(&ring, 1000), Ok(vec![1001, 1002]));
        assert_eq!(numbers(&ring, 1002), Ok(vec![]));
        assert_eq!(numbers(&ring, 999), Ok(vec![1000, 1001, 1002]), "what was known before the first event");
        let runs: Vec<Option<RunId>> = ring.after(1000).unwrap().map(|(_, published)| run(published)).collect();
        assert_eq!(runs, [Some(RunId(1)), Some(RunId(2))], "numbers and events belong together");
    }

    #[test]
    fn what_is_forgotten_is_counted() {
        let ring = filled(FEWEST as u64 + 10);
        assert_eq!(numbers(&ring, 999), Err(Missed(Some(10))));
        assert_eq!(numbers(&ring, 1008), Err(Missed(Some(1))));
        assert_eq!(numbers(&ring, 1009).map(|ids| ids.len()), Ok(FEWEST));
    }

    #[test]
    fn numbers_of_another_life_are_not_taken_for_our_own() {
        let ring = filled(3);
        for id in [0, 998, 1003, u64::MAX] {
            assert_eq!(numbers(&ring, id), Err(Missed(None)), "{id}");
        }
    }

    fn of(instance: u32) -> Option<InstanceId> {
        Some(InstanceId(instance))
    }

    #[test]
    fn a_flood_of_one_instance_pushes_out_its_own_events_only() {
        let mut ring = EventRing::beginning_with(1000, 3);
        for instance in [1, 2, 1, 2] {
            ring.publish(of(instance), published(0));
        }
        for number in 0..100_000 {
            ring.publish(of(3), published(number));
        }
        ring.publish(of(1), published(0));
        let kept =
            |instance| ring.ring.iter().filter(|place| place.of == of(instance) && place.published.is_some()).count();
        assert_eq!((kept(1), kept(2), kept(3)), (3, 2, FEWEST - 5));
        assert!(ring.ring.len() <= 2 * ring.room + 1 && ring.ring.capacity() <= 4 * ring.room, "{}", ring.ring.len());
        let missed = 100_005 - FEWEST as u64;
        assert_eq!(numbers(&ring, 1003), Err(Missed(Some(missed))), "of the 100 001 after it");
        assert_eq!(numbers(&ring, 999), Err(Missed(Some(missed))), "none of the four before the flood is missing");
        assert_eq!(numbers(&ring, 1000 + 100_000), Ok((101_001..=101_004).collect()));
    }

    #[test]
    fn who_has_not_had_its_share_gets_it_back_from_those_with_more() {
        let mut ring = EventRing::beginning_with(1000, 3);
        for number in 0..5000 {
            ring.publish(of(3), published(number));
        }
        let share = FEWEST / 4;
        for instance in [1, 2] {
            for number in 0..1000 {
                ring.publish(of(instance), published(number));
            }
        }
        let kept = |ring: &EventRing, instance| ring.shares.get(&of(instance)).map_or(0, VecDeque::len);
        assert_eq!([1, 2, 3].map(|instance| kept(&ring, instance)), [share, share, FEWEST - 2 * share]);
        ring.make_room(FEWEST);
        assert_eq!(ring.crowded.len(), 3, "with more instances a share is smaller");
        for number in 0..10_000 {
            ring.publish(of(number % 100), published(0));
        }
        assert_eq!(ring.ring.len() - ring.holes, ring.room);
        assert_eq!(ring.shares.values().map(VecDeque::len).sum::<usize>(), ring.room);
    }

    #[test]
    fn suppressed_events_are_a_gap_once_a_minute_while_somebody_listens() {
        let (mut ring, start) = (filled(1), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        (0..100).for_each(|_| ring.suppress(at(0)));
        assert_eq!(ring.gap_due(), None, "there is no listener");
        let listener = ring.listen();
        assert_eq!(ring.gap_due(), Some(at(60)));
        ring.tell_gap(Time::ZERO, at(59));
        assert_eq!(ring.newest(), 1000);
        ring.tell_gap(Time::ZERO, at(60));
        let missed = |ring: &EventRing, id| match ring
            .after(id)
            .map(|mut after| after.next().map(|(_, published)| &published.what))
        {
            Ok(Some(What::Gap { missed })) => *missed,
            other => panic!("no gap: {other:?}"),
        };
        assert_eq!((missed(&ring, 1000), ring.gap_due()), (100, None));
        ring.suppress(at(61));
        ring.leave(listener);
        assert_eq!(ring.gap_due(), None);
        ring.listen();
        ring.tell_gap(Time::ZERO, at(500));
        assert_eq!(missed(&ring, 1001), 1);
    }

    /// The full ring of a thousand programs must be small compared to the programs.
    #[test]
    fn an_event_is_small() {
        assert!(size_of::<Published>() <= 96, "{} bytes", size_of::<Published>());
    }
}
