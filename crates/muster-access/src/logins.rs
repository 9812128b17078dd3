//! Logins over time: those that were right lately, the failed ones of each source, and the rate of those that are costly to
//! verify.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::authorization::{Authorization, parse};
use crate::crypt::Verified;
use crate::throttle::{FailedLogins, Source};

/// The most logins that are remembered.
const MOST_REMEMBERED: usize = 64;

/// The most logins in [`PERIOD`] that are compared with a hash.
const MOST_VERIFIED: usize = 10;

/// The time that [`MOST_VERIFIED`] is for.
const PERIOD: Duration = Duration::from_secs(1);

/// Right logins, and failed ones.
#[derive(Default)]
pub struct Logins {
    /// Unknown to clients and other daemons. Without one no login is remembered.
    key: Option<[u8; 32]>,
    /// The one that was used last is at the end.
    right: VecDeque<Remembered>,
    failed: FailedLogins,
    /// When logins were compared with a hash.
    verifications: VecDeque<Instant>,
}

struct Remembered {
    /// The HMAC-SHA-256 of the login.
    mark: [u8; 32],
    verified: Option<Verified>,
}

impl Logins {
    /// No logins yet. The key is random, and of this daemon only.
    pub fn new(key: Option<[u8; 32]>) -> Logins {
        Logins { key, ..Logins::default() }
    }

    /// How long a source has to wait before its login is looked at. One that was right lately never waits, so that no client
    /// of the same network locks an operator out.
    pub fn wait(&self, source: Source, header: &[u8], now: Instant) -> Option<Duration> {
        let wait = self.failed.wait(source, now)?;
        self.find(header).is_none().then_some(wait)
    }

    /// The result of an earlier comparison of this login with a hash.
    pub fn verified(&self, header: &[u8]) -> Option<&Verified> {
        self.right.get(self.find(header)?)?.verified.as_ref()
    }

    /// Counts a comparison with a hash, or says how long to wait before the next one.
    pub fn count_verification(&mut self, now: Instant) -> Result<(), Duration> {
        while self.verifications.front().is_some_and(|began| now.saturating_duration_since(*began) >= PERIOD) {
            self.verifications.pop_front();
        }
        match self.verifications.front() {
            Some(oldest) if self.verifications.len() >= MOST_VERIFIED => {
                Err(PERIOD.saturating_sub(now.saturating_duration_since(*oldest)))
            }
            _ => {
                self.verifications.push_back(now);
                Ok(())
            }
        }
    }

    /// Counts a failed login. Returns the number to log, if it is time for that.
    pub fn failed(&mut self, source: Source, now: Instant) -> Option<u64> {
        self.failed.note(source, now)
    }

    /// Remembers a right login, and the result of its comparison with a hash.
    pub fn succeeded(&mut self, header: &[u8], verified: Option<Verified>) {
        let Some(mark) = self.mark(header) else { return };
        let known = self.find(header).and_then(|index| self.right.remove(index));
        if self.right.len() >= MOST_REMEMBERED {
            self.right.pop_front();
        }
        let verified = verified.or(known.and_then(|known| known.verified));
        self.right.push_back(Remembered { mark, verified });
    }

    /// Forgets the right logins, since the configuration has changed.
    pub fn forget_right(&mut self) {
        self.right.clear();
    }

    fn find(&self, header: &[u8]) -> Option<usize> {
        if self.right.is_empty() {
            return None;
        }
        let mark = self.mark(header)?;
        self.right.iter().position(|known| known.mark == mark)
    }

    /// The mark by which a login is remembered. It does not depend on how the header is written, so no client displaces the logins of
    /// others with variants of its own.
    fn mark(&self, header: &[u8]) -> Option<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key?).expect("HMAC takes keys of any length");
        match parse(header)? {
            Authorization::Bearer(token) => mac.update(format!("bearer:{token}").as_bytes()),
            Authorization::Basic { username, password } => {
                mac.update(format!("basic:{username}:{password}").as_bytes());
            }
        }
        Some(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &[u8] = b"Basic dTpw";
    const WRONG: &[u8] = b"Basic dTpx";

    #[test]
    fn a_login_that_was_right_never_waits() {
        let (mut logins, now) = (Logins::new(Some([7; 32])), Instant::now());
        let source = Source::of_user(7);
        logins.succeeded(RIGHT, None);
        for _ in 0..9 {
            logins.failed(source, now);
        }
        assert!(logins.wait(source, WRONG, now).is_some());
        assert!(logins.wait(source, b"Bearer u:p", now).is_some());
        assert_eq!(logins.wait(source, RIGHT, now), None);
        logins.forget_right();
        assert!(logins.wait(source, RIGHT, now).is_some());
    }

    #[test]
    fn few_logins_are_remembered_and_one_that_is_used_stays() {
        let mut logins = Logins::new(Some([7; 32]));
        for number in 0..2 * MOST_REMEMBERED {
            logins.succeeded(RIGHT, None);
            logins.succeeded(format!("Bearer {number}").as_bytes(), None);
        }
        assert_eq!(logins.right.len(), MOST_REMEMBERED);
        assert!(logins.find(RIGHT).is_some() && logins.find(b"Bearer 0").is_none());
        for variant in [&b"basic dTpw"[..], b"BASIC   dTpw", b" Basic dTpw "] {
            logins.succeeded(variant, None);
        }
        assert!(logins.find(format!("Bearer {}", MOST_REMEMBERED + 2).as_bytes()).is_some(), "variants are one login");
    }

    #[test]
    fn nothing_is_remembered_without_a_key_and_keys_differ() {
        let mut logins = Logins::new(None);
        logins.succeeded(RIGHT, None);
        assert!(logins.right.is_empty() && logins.verified(RIGHT).is_none());
        let mark = |key: u8| Logins::new(Some([key; 32])).mark(RIGHT);
        assert!(mark(1).is_some() && mark(1) != mark(2));
    }

    #[test]
    fn ten_logins_a_second_are_compared_with_a_hash() {
        let (mut logins, start) = (Logins::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        for number in 0..10 {
            assert_eq!(logins.count_verification(at(number * 10)), Ok(()));
        }
        assert_eq!(logins.count_verification(at(200)), Err(Duration::from_millis(800)));
        assert_eq!(logins.count_verification(at(1000)), Ok(()));
        assert_eq!(logins.count_verification(at(1000)), Err(Duration::from_millis(10)));
        assert!(logins.verifications.len() <= MOST_VERIFIED);
    }
}
