//! How fast handshakes may begin: 50 a second at a listener, and 10 a second from one source, after a burst of 20.
//!
//! A source that is a little too fast waits; one that is much too fast is refused, so that it costs no memory. A listener
//! that is too busy accepts later, and its clients wait in the kernel. At most 32 are under way. Callers pass the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_access::Source;
use tokio::task::AbortHandle;

/// Between two handshakes of a source, on average.
const EACH_SOURCE: Duration = Duration::from_millis(100);
/// Handshakes of a source that need not wait.
const BURST_OF_SOURCE: u32 = 20;
/// The longest that a handshake is put off.
const PATIENCE: Duration = Duration::from_millis(800);
/// Between two handshakes of a listener, on average.
const EACH: Duration = Duration::from_millis(20);
/// Handshakes of a listener that need not wait.
const BURST: u32 = 50;
/// The most sources that are remembered.
const MOST_SOURCES: usize = 1024;

/// The most handshakes of a listener at a time.
const MOST: usize = 32;

/// The rates of a listener.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// When all that came so far would be done at the average pace.
    all: Option<Instant>,
    sources: BTreeMap<Source, Instant>,
}

/// When a handshake may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// After this time.
    After(Duration),
    /// Not at all.
    Refused,
}

impl Rates {
    /// Asks for a handshake with a source.
    pub(super) fn ask(&mut self, source: Source, now: Instant) -> Verdict {
        if !self.sources.contains_key(&source) && self.sources.len() >= MOST_SOURCES {
            self.sources.retain(|_, done| *done > now);
            if self.sources.len() >= MOST_SOURCES
                && let Some(first) = self.sources.iter().min_by_key(|(_, done)| **done).map(|(first, _)| *first)
            {
                self.sources.remove(&first);
            }
        }
        let done = self.sources.get(&source).copied().unwrap_or(now).max(now) + EACH_SOURCE;
        let wait = (done - now).saturating_sub(EACH_SOURCE * BURST_OF_SOURCE);
        if wait > PATIENCE {
            return Verdict::Refused;
        }
        self.sources.insert(source, done);
        Verdict::After(wait)
    }

    /// How long to accept nothing after a handshake that was let in.
    pub(super) fn pause(&mut self, now: Instant) -> Duration {
        let done = self.all.unwrap_or(now).max(now) + EACH;
        self.all = Some(done);
        (done - now).saturating_sub(EACH * BURST)
    }
}

/// The handshakes of a listener that are under way.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    running: BTreeMap<u64, (Source, AbortHandle)>,
    next: u64,
}

impl Handshakes {
    /// Makes room for another. Where there are too many, the oldest of the source with the most of them ends, so that slow
    /// clients keep no other one waiting. Returns the number of the new one, and whether one had to end.
    pub(super) fn make_room(&mut self) -> (u64, bool) {
        let is_full = self.running.len() >= MOST;
        if is_full {
            let mut of_source: BTreeMap<Source, usize> = BTreeMap::new();
            self.running.values().for_each(|(source, _)| *of_source.entry(*source).or_default() += 1);
            let chosen = self.running.iter().max_by_key(|(id, (source, _))| (of_source[source], u64::MAX - **id));
            if let Some(id) = chosen.map(|(id, _)| *id)
                && let Some((_, task)) = self.running.remove(&id)
            {
                task.abort();
            }
        }
        self.next += 1;
        (self.next, is_full)
    }

    /// Notes one that has begun.
    pub(super) fn begun(&mut self, id: u64, source: Source, task: AbortHandle) {
        self.running.insert(id, (source, task));
    }

    /// Notes that one has ended.
    pub(super) fn ended(&mut self, id: u64) {
        self.running.remove(&id);
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        self.running.values().for_each(|(_, task)| task.abort());
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn source(text: &str) -> Source {
        Source::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn a_source_that_is_too_fast_waits_and_one_that_is_much_too_fast_is_refused() {
        let (mut rates, now, one) = (Rates::default(), Instant::now(), source("10.0.0.1"));
        for _ in 0..BURST_OF_SOURCE {
            assert_eq!(rates.ask(one, now), Verdict::After(Duration::ZERO));
        }
        for number in 1..=8 {
            assert_eq!(rates.ask(one, now), Verdict::After(EACH_SOURCE * number));
        }
        assert_eq!(rates.ask(one, now), Verdict::Refused);
        assert_eq!(rates.ask(source("10.0.0.2"), now), Verdict::After(Duration::ZERO), "another source");
        assert_eq!(rates.ask(one, now + EACH_SOURCE), Verdict::After(EACH_SOURCE * 8), "a refusal costs nothing");
        assert_eq!(rates.ask(one, now + Duration::from_secs(9)), Verdict::After(Duration::ZERO));
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
    }

    #[test]
    fn a_listener_pauses_and_remembers_so_many_sources() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        let pauses: Vec<Duration> = (0..BURST + 2).map(|_| rates.pause(now)).collect();
        assert!(pauses[..BURST as usize].iter().all(Duration::is_zero));
        assert_eq!(pauses[BURST as usize..], [EACH, 2 * EACH]);
        for number in 0..2 * MOST_SOURCES as u32 {
            rates.ask(Source::from(IpAddr::from(number.to_be_bytes())), now);
        }
        assert_eq!(rates.sources.len(), MOST_SOURCES);
    }

    #[test]
    fn the_source_with_the_most_handshakes_makes_room() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let mut all = Handshakes::default();
            let begin = |all: &mut Handshakes, last: u8| {
                let (id, has_ended) = all.make_room();
                let task = tokio::task::spawn_local(std::future::pending::<()>()).abort_handle();
                all.begun(id, Source::from(IpAddr::from([10, 0, 0, last])), task);
                (id, has_ended)
            };
            let (honest, _) = begin(&mut all, 1);
            for _ in 1..MOST {
                assert!(!begin(&mut all, 2).1);
            }
            for _ in 0..MOST {
                assert!(begin(&mut all, 2).1);
            }
            assert!(all.running.contains_key(&honest) && all.running.len() == MOST);
        });
    }
}
