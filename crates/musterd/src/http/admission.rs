//! Who makes a request: its login, and whether a web page of another origin makes it.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::http::request::Parts;
use muster_access::browser::{Foreign, Provenance};
use muster_access::{Client, Proof, Refusal, Source, Surface, Verification, sessions};
use muster_api::{Compatible, Problem, ProblemKind};
use tracing::warn;

use super::xmlrpc::page;
use crate::shared::Shared;
use muster_logging::limit::{DAEMON, Notice, unless_none};
use muster_server::response::{self, Answer};
use muster_server::{LoginFailure, Seat};

/// As supervisord asks for a password.
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"default\"");

/// `empty` for a request of a script.
const DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Refuses a request of a web page of another origin, or for another host.
pub(super) fn check_browser(
    shared: &Shared,
    seat: &Seat,
    interface: Option<Compatible>,
    head: &Parts,
    body: &Incoming,
) -> Result<(), Answer> {
    let access = shared.gate.access.borrow();
    // Forms of supervisord's page are judged there: they must come from the page itself.
    let has_body = !body.is_end_stream() && interface != Some(Compatible::Page);
    let surface = surface(interface);
    access
        .check_browser(&seat.peer, &provenance(head, has_body, &hosts(&head.headers)))
        .map_err(|foreign| refuse_foreign(surface, foreign))
}

/// The interface of the daemon that a request is for.
pub(super) fn surface(interface: Option<Compatible>) -> Surface {
    if interface.is_some() { Surface::Supervisord } else { Surface::Native }
}

/// Why a request has no client.
enum Denied {
    /// Its login is not looked at before this time is over.
    Throttled(Duration),
    /// Its login is missing or wrong.
    Refused(Refusal),
    /// Its password has to be compared with a hash before it is wrong.
    Unverified(Refusal, Verification),
}

/// A login, and where it comes from.
struct Attempt<'r> {
    shared: &'r Shared,
    seat: &'r Seat,
    surface: Surface,
    logins: &'r [&'r [u8]],
    source: Source,
}

/// The client that makes a request, or the refusal. A request that needs no right needs no login either.
pub(super) async fn admit(
    shared: &Shared,
    seat: &Seat,
    (surface, needs_right): (Surface, bool),
    head: &Parts,
) -> Result<Client, Answer> {
    let logins: Vec<&[u8]> = head.headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes).collect();
    let (Some(&login), Some(source)) = (logins.first(), source(seat)) else {
        if let Some(client) = of_session(shared, seat, head).filter(|_| logins.is_empty() && surface == Surface::Native)
        {
            return Ok(client);
        }
        let access = shared.gate.access.borrow();
        return match access.admit(&seat.peer, surface, logins) {
            Err(refusal) if needs_right || refusal.is_wrong => Err(ask(surface, refusal.is_of_supervisord)),
            admitted => Ok(admitted.unwrap_or_else(|_| access.newcomer(&seat.peer))),
        };
    };
    Attempt { shared, seat, surface, logins: &logins, source }.judge(login).await
}

/// The client with a login that is to begin a session, and that login if it was right.
pub(super) async fn log_in(shared: &Shared, seat: &Seat, login: &[u8]) -> Result<(Client, Option<Proof>), Answer> {
    let surface = Surface::Native;
    let Some(source) = source(seat) else { return Err(ask(surface, false)) };
    let client = Attempt { shared, seat, surface, logins: &[login], source }.judge(login).await?;
    let (known, access) = (shared.gate.logins.borrow(), shared.gate.access.borrow());
    Ok((client, access.proof(&seat.peer, login, known.verified(login))))
}

/// The client of the session that a request belongs to. Only pages of ours use sessions, so a request of another one has none.
fn of_session(shared: &Shared, seat: &Seat, head: &Parts) -> Option<Client> {
    let (is_secure, hosts) = (seat.peer.is_secure(), hosts(&head.headers));
    let host = str::from_utf8(hosts.first()?).ok()?;
    let cookies = head.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let id = sessions::id_in(cookies, host, is_secure)?;
    let access = shared.gate.access.borrow();
    if !access.is_of_own_page(&seat.peer, &provenance(head, false, &hosts)) {
        return None;
    }
    let mut sessions = shared.gate.sessions.borrow_mut();
    let found = sessions.find(id, is_secure, Instant::now())?;
    let client = access.admit_session(&seat.peer, found.proof)?;
    Some(client.of_session(found.number))
}

/// Where a login comes from.
fn source(seat: &Seat) -> Option<Source> {
    seat.peer.address.map(Source::from).or(seat.peer.uid.map(Source::of_user))
}

impl Attempt<'_> {
    /// The client with this login, or the refusal.
    async fn judge(&self, login: &[u8]) -> Result<Client, Answer> {
        match self.look() {
            Ok(client) => Ok(client),
            Err(Denied::Unverified(..)) => self.verify(login).await,
            Err(denied) => Err(self.deny(denied)),
        }
    }

    /// Looks at the login, as far as no hash has to be computed.
    fn look(&self) -> Result<Client, Denied> {
        let (gate, peer) = (&self.shared.gate, &self.seat.peer);
        let (access, mut known) = (gate.access.borrow(), gate.logins.borrow_mut());
        if let Some(wait) = self.logins.first().and_then(|login| known.wait(self.source, login, Instant::now())) {
            return Err(Denied::Throttled(wait));
        }
        let refusal = match access.admit(peer, self.surface, self.logins.iter().copied()) {
            Ok(client) => {
                if access.heeds_logins(peer) {
                    self.logins.iter().for_each(|login| known.succeeded(login, None));
                }
                return Ok(client);
            }
            Err(refusal) => refusal,
        };
        let [login] = self.logins else { return Err(Denied::Refused(refusal)) };
        if let Some(client) = known.verified(login).and_then(|verified| access.admit_verified(peer, verified)) {
            known.succeeded(login, None);
            return Ok(client);
        }
        match access.to_verify(peer, login) {
            Some(verification) => Err(Denied::Unverified(refusal, verification)),
            None => Err(Denied::Refused(refusal)),
        }
    }

    /// Compares the password with a hash, when it is its turn.
    async fn verify(&self, login: &[u8]) -> Result<Client, Answer> {
        let gate = &self.shared.gate;
        let Some(turn) = gate.verifier.turn().await else { return Err(self.too_busy(Duration::ZERO)) };
        // While it waited, the same login can have been right, and others of its source wrong.
        let (refusal, verification) = match self.look() {
            Ok(client) => return Ok(client),
            Err(Denied::Unverified(refusal, verification)) => (refusal, verification),
            Err(denied) => return Err(self.deny(denied)),
        };
        let counted = gate.logins.borrow_mut().count_verification(Instant::now());
        if let Err(wait) = counted {
            return Err(self.too_busy(wait));
        }
        let Ok(verified) = turn.run(verification).await else { return Err(self.too_busy(Duration::ZERO)) };
        // The configuration can have changed meanwhile.
        let client = verified.as_ref().and_then(|it| gate.access.borrow().admit_verified(&self.seat.peer, it));
        if client.is_some() {
            gate.logins.borrow_mut().succeeded(login, verified);
        }
        client.ok_or_else(|| self.deny(Denied::Refused(refusal)))
    }

    /// Counts a refusal, and words it.
    fn deny(&self, denied: Denied) -> Answer {
        let (gate, seat) = (&self.shared.gate, self.seat);
        let refusal = match denied {
            Denied::Throttled(wait) => {
                gate.count_failure(&seat.peer.listener, LoginFailure::Throttled);
                return too_many(self.surface, "too many failed logins from this address", wait);
            }
            Denied::Refused(refusal) | Denied::Unverified(refusal, _) => refusal,
        };
        if refusal.is_wrong {
            gate.count_failure(&seat.peer.listener, LoginFailure::Wrong);
        }
        if refusal.is_wrong
            && let Some(failures) = gate.logins.borrow_mut().failed(self.source, Instant::now())
            && let Some(suppressed) = self.shared.limits.pass(DAEMON, Notice::Answer).map(unless_none)
        {
            let (listener, from) = (&*seat.peer.listener, seat.peer.address);
            let from = from.map_or_else(|| seat.client.get().principal.to_string(), |address| address.to_string());
            warn!(%listener, %from, failures, suppressed, "a login failed");
        }
        ask(self.surface, refusal.is_of_supervisord)
    }

    /// Refuses a login that cannot be verified now, whether it is right or not.
    fn too_busy(&self, wait: Duration) -> Answer {
        self.shared.gate.count_failure(&self.seat.peer.listener, LoginFailure::Throttled);
        too_many(self.surface, "too many passwords are being verified", wait)
    }
}

fn hosts(headers: &HeaderMap) -> Vec<&[u8]> {
    headers.get_all(HOST).iter().map(HeaderValue::as_bytes).collect()
}

fn provenance<'r>(head: &'r Parts, has_body: bool, hosts: &'r [&'r [u8]]) -> Provenance<'r> {
    let header = |name: HeaderName| head.headers.get(name).map(HeaderValue::as_bytes);
    Provenance {
        method: head.method.as_str(),
        path: head.uri.path(),
        hosts,
        authority: head.uri.authority().map(|authority| authority.as_str()),
        origin: header(ORIGIN),
        site: header(SITE),
        mode: header(MODE),
        has_cookie: head.headers.contains_key(COOKIE),
        content_type: header(CONTENT_TYPE),
        has_body,
    }
}

/// A browser asks its user for a password by itself if it is asked for one. A script of ours does that better.
pub(super) fn ask_no_user(headers: &HeaderMap, answer: &mut Answer) {
    let is_fetch = headers.get(DESTINATION).is_some_and(|destination| destination == "empty");
    if is_fetch && answer.status() == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"muster\""));
    }
}

/// Asks for a login.
pub(super) fn ask(surface: Surface, is_of_supervisord: bool) -> Answer {
    let problem = Problem::new(ProblemKind::LoginRequired, "the request has no login that is known here");
    let mut answer = dressed(surface, &problem.with_hint("send a user name and its password, or a token"));
    if is_of_supervisord || surface == Surface::Supervisord {
        answer.headers_mut().insert(WWW_AUTHENTICATE, BASIC);
    }
    answer
}

fn too_many(surface: Surface, why: &str, wait: Duration) -> Answer {
    let seconds = wait.as_secs() + 1;
    let problem = Problem::new(ProblemKind::TooManyLogins, why);
    let mut answer = dressed(surface, &problem.with_hint(format!("try again in {seconds} s")));
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

fn refuse_foreign(surface: Surface, foreign: Foreign) -> Answer {
    let problem = match foreign {
        Foreign::Host => Problem::new(ProblemKind::WrongHost, "the Host header does not name this host")
            .with_hint("allow_hosts in [http] of the configuration adds a name"),
        Foreign::Origin => Problem::new(ProblemKind::NotAllowed, "the request comes from a web page of another origin")
            .with_hint("allow_origins in [http] of the configuration adds an origin"),
        Foreign::ContentType => Problem::new(ProblemKind::WrongType, "a browser must send application/json"),
    };
    dressed(surface, &problem)
}

/// A refusal as its interface words it.
fn dressed(surface: Surface, problem: &Problem) -> Answer {
    match surface {
        Surface::Supervisord => page(StatusCode::from_u16(problem.status).unwrap_or(StatusCode::FORBIDDEN)),
        Surface::Native => response::problem(problem),
    }
}
