//! Bounds the number of failed logins of each source: five, then one each two seconds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Failed logins before a source has to wait.
const BURST: u32 = 5;

/// How long until another one is allowed.
const REFILL: Duration = Duration::from_secs(2);

/// The most sources; the one whose last failure is longest ago is forgotten.
const MOST_SOURCES: usize = 1024;

/// How often the failures of a source are logged.
const LOGGED_EACH: Duration = Duration::from_secs(60);

/// A client's network, or its user: an address of IPv4, or the first half of one of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source(u128);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(address) => Source(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Source(address.to_bits() >> 64 << 64),
        }
    }
}

impl Source {
    /// The processes of a user, on a Unix socket. No address is like it.
    pub fn of_user(uid: u32) -> Source {
        Source(u128::from(uid))
    }
}

/// The failed logins of all sources.
#[derive(Debug, Default)]
pub(crate) struct FailedLogins {
    sources: BTreeMap<Source, Failures>,
}

#[derive(Debug)]
struct Failures {
    /// When all of them are forgotten.
    forgotten: Instant,
    last: Instant,
    logged: Option<Instant>,
    unlogged: u64,
}

impl FailedLogins {
    /// How long a source has to wait before it may try to log in, if at all.
    pub(crate) fn wait(&self, source: Source, now: Instant) -> Option<Duration> {
        let debt = self.sources.get(&source)?.forgotten.saturating_duration_since(now);
        let excess = debt.checked_sub(REFILL * (BURST - 1)).filter(|excess| !excess.is_zero())?;
        Some(excess)
    }

    /// Counts a failed login. Returns the number to log, if it is time for that.
    pub(crate) fn note(&mut self, source: Source, now: Instant) -> Option<u64> {
        if !self.sources.contains_key(&source)
            && self.sources.len() >= MOST_SOURCES
            && let Some(oldest) =
                self.sources.iter().min_by_key(|(_, failures)| failures.last).map(|(source, _)| *source)
        {
            self.sources.remove(&oldest);
        }
        let new = Failures { forgotten: now, last: now, logged: None, unlogged: 0 };
        let failures = self.sources.entry(source).or_insert(new);
        failures.forgotten = failures.forgotten.max(now) + REFILL;
        failures.last = now;
        failures.unlogged += 1;
        if failures.logged.is_some_and(|logged| now.saturating_duration_since(logged) < LOGGED_EACH) {
            return None;
        }
        failures.logged = Some(now);
        Some(std::mem::take(&mut failures.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn five_are_free_and_then_one_each_two_seconds() {
        let (mut failed, start) = (FailedLogins::default(), Instant::now());
        let one = source("10.0.0.1");
        for _ in 0..BURST {
            assert_eq!(failed.wait(one, start), None);
            failed.note(one, start);
        }
        assert_eq!(failed.wait(one, start), Some(REFILL));
        assert_eq!(failed.wait(source("10.0.0.2"), start), None, "another source");
        assert_eq!(failed.wait(one, start + REFILL), None);
        failed.note(one, start + REFILL);
        assert_eq!(failed.wait(one, start + REFILL), Some(REFILL));
        assert_eq!(failed.wait(one, start + 20 * REFILL), None, "all is forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_so_is_a_mapped_address() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        assert_ne!(source("10.0.0.1"), source("10.0.0.2"));
    }

    #[test]
    fn sources_are_bounded_and_logged_once_a_minute() {
        let (mut failed, start) = (FailedLogins::default(), Instant::now());
        for number in 0..2 * MOST_SOURCES as u32 {
            failed.note(Source::from(IpAddr::from(number.to_be_bytes())), start + Duration::from_millis(number.into()));
        }
        assert_eq!(failed.sources.len(), MOST_SOURCES);
        let one = source("99.0.0.1");
        assert_eq!(failed.note(one, start), Some(1));
        assert_eq!(failed.note(one, start), None);
        assert_eq!(failed.note(one, start + LOGGED_EACH), Some(2));
    }
}
