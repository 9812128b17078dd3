//! Sessions of browsers: a login that is exchanged for a random id in a cookie.
//!
//! A session has no right of its own. It names the login that began it, and [`Access`](crate::Access) decides for each request
//! whether that login is still right and which role it gives. Only hashes of ids are kept, in memory. A session that began over
//! TLS counts over TLS only, so its id is worth nothing where it could be read.

use std::time::{Duration, Instant};

use muster_spec::IdentityName;
use sha2::{Digest, Sha256};

use crate::proof::Proof;

/// The most sessions. One more ends one of the user that has the most of them.
const MOST: usize = 64;

/// How long a session lasts without a request.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// How long a session lasts at most.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// The number of bytes of an id.
const ID: usize = 32;

/// The name of the cookie over TLS: browsers take one with this prefix only from the host itself, over TLS, for all paths.
const SECURE: &str = "__Host-muster";
const CLEAR: &str = "muster";

/// The sessions of all users.
#[derive(Default)]
pub struct Sessions {
    open: Vec<Session>,
    last: u64,
}

/// The number of a session, which is never used again and opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionNumber(u64);

struct Session {
    number: SessionNumber,
    /// The SHA-256 of its id.
    mark: [u8; ID],
    proof: Proof,
    is_secure: bool,
    began: Instant,
    used: Instant,
}

impl Session {
    fn ends(&self) -> Instant {
        (self.used + IDLE).min(self.began + LIFE)
    }
}

/// A session that a request belongs to.
pub struct Found<'s> {
    /// Its number.
    pub number: SessionNumber,
    /// The login that began it.
    pub proof: &'s Proof,
}

impl Sessions {
    /// Begins a session with this random id. Returns its number.
    pub fn begin(&mut self, id: [u8; ID], proof: Proof, is_secure: bool, now: Instant) -> SessionNumber {
        self.expire(now);
        if self.open.len() >= MOST {
            self.end_one();
        }
        self.last += 1;
        let number = SessionNumber(self.last);
        self.open.push(Session { number, mark: mark(&text(id)), proof, is_secure, began: now, used: now });
        number
    }

    /// The session with this id, which is used now. `is_secure` is whether the request came over TLS.
    pub fn find(&mut self, id: &str, is_secure: bool, now: Instant) -> Option<Found<'_>> {
        // The time of a comparison of hashes shows nothing of an id.
        let mark = mark(id);
        let is_it = |it: &&mut Session| it.mark == mark && it.is_secure == is_secure && it.ends() > now;
        let session = self.open.iter_mut().find(is_it)?;
        session.used = now;
        Some(Found { number: session.number, proof: &session.proof })
    }

    /// Ends a session.
    pub fn end(&mut self, number: SessionNumber) {
        self.open.retain(|session| session.number != number);
    }

    /// Whether a session has not ended.
    pub fn has(&self, number: SessionNumber) -> bool {
        self.open.iter().any(|session| session.number == number)
    }

    /// When a session ends, unless there are further requests.
    pub fn ends(&self, number: SessionNumber) -> Option<Instant> {
        self.open.iter().find(|session| session.number == number).map(Session::ends)
    }

    /// Ends those whose login is no longer right.
    pub fn retain(&mut self, is_right: impl Fn(&Proof) -> bool) {
        self.open.retain(|session| is_right(&session.proof));
    }

    /// Ends those that are over.
    pub fn expire(&mut self, now: Instant) {
        self.open.retain(|session| session.ends() > now);
    }

    /// When the next one ends, unless there are further requests.
    pub fn next_end(&self) -> Option<Instant> {
        self.open.iter().map(Session::ends).min()
    }

    /// Ends the session of the user with the most of them that was used longest ago, so a user takes none of another one that
    /// has fewer.
    fn end_one(&mut self) {
        let count = |name: IdentityName| self.open.iter().filter(|other| other.proof.name() == name).count();
        let most = self.open.iter().map(|session| count(session.proof.name())).max().unwrap_or(0);
        let of_most = self.open.iter().filter(|session| count(session.proof.name()) == most);
        if let Some(number) = of_most.min_by_key(|session| session.used).map(|session| session.number) {
            self.end(number);
        }
    }
}

fn mark(id: &str) -> [u8; ID] {
    Sha256::digest(id).into()
}

/// An id as its cookie has it.
fn text(id: [u8; ID]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of the cookie of this host. Browsers send cookies to all ports of a host, so its name has the port.
fn cookie_name(host: &str, is_secure: bool) -> String {
    let name = if is_secure { SECURE } else { CLEAR };
    let port = host.rsplit_once(':').map(|(_, port)| port);
    match port.filter(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(port) => format!("{name}-{port}"),
        None => name.to_owned(),
    }
}

/// The id in the cookies of a request to this host. `None` if there is none, or several: some page has planted another one.
pub fn id_in<'c>(cookies: impl Iterator<Item = &'c [u8]>, host: &str, is_secure: bool) -> Option<&'c str> {
    let name = cookie_name(host, is_secure);
    let headers = cookies.filter_map(|header| str::from_utf8(header).ok());
    let pairs = headers.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut ids = pairs.filter(|(found, _)| *found == name).map(|(_, id)| id);
    ids.next().filter(|_| ids.next().is_none())
}

/// The value of `Set-Cookie` for a new session.
pub fn set_cookie(id: [u8; ID], host: &str, is_secure: bool) -> String {
    dressed(&format!("{}={}", cookie_name(host, is_secure), text(id)), is_secure)
}

/// The value of `Set-Cookie` that removes the cookie.
pub fn remove_cookie(host: &str, is_secure: bool) -> String {
    dressed(&format!("{}=; Max-Age=0", cookie_name(host, is_secure)), is_secure)
}

fn dressed(cookie: &str, is_secure: bool) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{cookie}; Path=/; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(name: &str) -> Proof {
        Proof::of_token(IdentityName::of(name), "a-token-of-this-test")
    }

    fn id(number: u8) -> [u8; ID] {
        [number; ID]
    }

    #[test]
    fn a_session_ends_after_an_hour_without_a_request_and_after_twelve_hours() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let minutes = |count: u64| start + Duration::from_secs(count * 60);
        let number = sessions.begin(id(1), proof("deploy"), false, start);
        assert_eq!(sessions.next_end(), Some(minutes(60)));
        for count in (0..720).step_by(59) {
            assert!(sessions.find(&text(id(1)), false, minutes(count)).is_some(), "{count}");
        }
        assert_eq!(sessions.next_end(), Some(minutes(720)), "twelve hours");
        assert!(sessions.find(&text(id(1)), false, minutes(720)).is_none());
        sessions.expire(minutes(720));
        assert!(!sessions.has(number) && sessions.next_end().is_none());
        let idle = sessions.begin(id(2), proof("deploy"), false, start);
        assert!(sessions.find(&text(id(2)), false, minutes(60)).is_none());
        sessions.expire(minutes(59));
        assert!(sessions.has(idle));
    }

    #[test]
    fn an_id_that_was_not_given_out_is_none_and_one_of_tls_counts_over_tls_only() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let secure = sessions.begin(id(1), proof("deploy"), true, now);
        for (id, is_secure) in [("", true), ("x", true), (text(id(2)).as_str(), true), (text(id(1)).as_str(), false)] {
            assert!(sessions.find(id, is_secure, now).is_none(), "{id} {is_secure}");
        }
        assert!(sessions.find(&text(id(1)), true, now).is_some_and(|found| found.number == secure));
        sessions.end(secure);
        assert!(sessions.find(&text(id(1)), true, now).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_a_user_takes_only_from_the_one_with_the_most() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let later = |ms: u64| start + Duration::from_millis(ms);
        let calm = sessions.begin(id(255), proof("calm"), false, start);
        let numbers: Vec<_> = (0..200).map(|n| sessions.begin(id(n), proof("eager"), false, later(n.into()))).collect();
        assert_eq!(sessions.open.len(), MOST);
        assert!(sessions.has(calm) && !sessions.has(numbers[0]) && sessions.has(numbers[199]));
        assert_eq!(sessions.open.iter().filter(|session| session.proof.name().as_str() == "eager").count(), MOST - 1);
    }

    #[test]
    fn cookies_have_the_port_in_their_name_and_two_of_a_name_are_none() {
        let of = |cookies: &[&'static str], host: &str, is_secure| {
            id_in(cookies.iter().map(|cookie| cookie.as_bytes()), host, is_secure)
        };
        assert_eq!(of(&["muster-9001=a; x=y"], "localhost:9001", false), Some("a"));
        assert_eq!(of(&["x=y", "__Host-muster-9443=b"], "[::1]:9443", true), Some("b"));
        assert_eq!(of(&["muster=c"], "shop", false), Some("c"));
        assert_eq!(of(&["muster=c"], "[::1]", false), Some("c"));
        for (cookies, host, is_secure) in [
            (&["muster-9001=a"][..], "localhost:9002", false),
            (&["muster-9001=a"], "localhost:9001", true),
            (&["__Host-muster-9001=a"], "localhost:9001", false),
            (&["muster=a; muster=b"], "shop", false),
            (&["muster=a", "muster=a"], "shop", false),
            (&["xmuster=a; muster"], "shop", false),
            (&[], "shop", false),
        ] {
            assert_eq!(of(cookies, host, is_secure), None, "{cookies:?} {host} {is_secure}");
        }
        assert_eq!(
            set_cookie([0xab; ID], "shop:9443", true),
            format!("__Host-muster-9443={}; Path=/; HttpOnly; SameSite=Strict; Secure", "ab".repeat(32))
        );
        assert_eq!(remove_cookie("shop", false), "muster=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict");
    }
}
