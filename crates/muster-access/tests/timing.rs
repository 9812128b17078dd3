//! The time that a wrong login takes: it must not show how much of a token is right, nor which users exist.
//!
//! The decision is timed itself. From outside, at most five wrong logins and then one each 2 s are looked at, and
//! everything between a socket and this decision only adds noise.

use std::hint::black_box;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_access::{Access, Peer, Security, Surface, Users};
use muster_spec::{
    Authentication, ControlSpec, HostPort, IdentitySpec, ListenAddress, ListenSpec, Login, Password, Role,
};

/// The tries of each kind.
const TRIES: usize = 20_000;
/// Beyond this value of Welch's t, the kinds differ.
const LIMIT: f64 = 4.5;
/// Of the slowest tries, those that were interrupted: one in so many.
const INTERRUPTED: usize = 20;

const TOKEN: &str = "correct-horse-battery-staple-0123456789";
const PASSWORD: &str = "a-password-chosen-by-a-person";

fn user(name: &str, token: Option<&str>, password: Option<&str>) -> IdentitySpec {
    IdentitySpec {
        name: name.to_owned(),
        role: Role::Control,
        token_file: None,
        password_file: None,
        uid: None,
        tokens: token.into_iter().map(str::to_owned).collect(),
        password: password.map(|text| Password::Plain(text.to_owned())),
        cert: None,
        cert_sha256: None,
    }
}

/// The rules of a listener with three users, of whom one has this token, or with the login of a supervisord.conf, and a
/// client of it.
fn access(authentication: Authentication, token: &str) -> (Access, Peer) {
    let address = ListenAddress::Http(HostPort { host: "127.0.0.1".to_owned(), port: 9001 });
    let listeners = vec![ListenSpec { authentication, ..ListenSpec::at(address.clone()) }];
    let identities = vec![
        user("push", Some(token), None),
        user("prom", None, Some(PASSWORD)),
        user("robot", Some("another-token-0123456789-0123456789-xyz"), Some("another-password")),
    ];
    let access =
        Access::new(&ControlSpec { identities, listeners, ..ControlSpec::default() }, Users::default(), "shop");
    let address_of_peer = Some(IpAddr::from([127, 0, 0, 1]));
    let peer =
        Peer { listener: Arc::new(address), uid: None, pid: None, address: address_of_peer, security: Security::Clear };
    (access, peer)
}

fn bearer(token: &str) -> Vec<u8> {
    format!("Bearer {token}").into_bytes()
}

fn basic(username: &str, password: &str) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))).into_bytes()
}

/// The time of every try of each kind, in nanoseconds, and of a decision on what it sends. The kinds take turns in an order
/// that differs from round to round, and each sends from the same place, so that none is favoured by the cache or by what
/// went before.
fn times(sent: &[Vec<u8>], decide: impl Fn(usize, &[u8]) -> bool) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::with_capacity(TRIES); sent.len()];
    let mut place = Vec::with_capacity(2048);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut order: Vec<usize> = (0..sent.len()).collect();
    for round in 0..TRIES + TRIES / 20 {
        for at in (1..order.len()).rev() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            order.swap(at, random as usize % (at + 1));
        }
        for &kind in &order {
            place.clear();
            place.extend_from_slice(&sent[kind]);
            let begin = Instant::now();
            let is_right = decide(kind, black_box(&place));
            let time = begin.elapsed();
            assert!(!is_right);
            // The first rounds warm up.
            if round >= TRIES / 20 {
                times[kind].push(time.as_nanos() as f64);
            }
        }
    }
    times
}

/// The same for the `Authorization` headers of clients.
fn logins(access: &Access, peer: &Peer, headers: &[Vec<u8>]) -> Vec<Vec<f64>> {
    times(headers, |_, header| access.admit(black_box(peer), Surface::Native, [header]).is_ok())
}

/// Welch's t of two samples.
fn welch(one: &[f64], other: &[f64]) -> f64 {
    let moments = |sample: &[f64]| {
        let count = sample.len() as f64;
        let mean = sample.iter().sum::<f64>() / count;
        let variance = sample.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let ((mean, error), (other_mean, other_error)) = (moments(one), moments(other));
    (mean - other_mean) / (error + other_error).sqrt()
}

/// The largest |t| of any two kinds, among the tries below a limit that is common to all kinds.
fn largest(what: &str, kinds: &[&str], times: &[Vec<f64>]) -> f64 {
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let limit = all[all.len() - all.len() / INTERRUPTED];
    let times: Vec<Vec<f64>> =
        times.iter().map(|kind| kind.iter().copied().filter(|time| *time <= limit).collect()).collect();
    let mut largest: f64 = 0.0;
    for (at, one) in times.iter().enumerate() {
        let mean = one.iter().sum::<f64>() / one.len() as f64;
        let _ = writeln!(std::io::stderr(), "{what}: {}: {} tries, mean {mean:.1} ns", kinds[at], one.len());
        for (other_at, other) in times.iter().enumerate().skip(at + 1) {
            let t = welch(one, other);
            let _ = writeln!(std::io::stderr(), "{what}: {} and {}: t = {t:.2}", kinds[at], kinds[other_at]);
            largest = largest.max(t.abs());
        }
    }
    largest
}

fn is_wanted() -> bool {
    let is_wanted = std::env::var_os("MUSTER_ACCEPTANCE").is_some();
    if !is_wanted {
        let _ = writeln!(std::io::stderr(), "NOT RUN, it needs a quiet machine: MUSTER_ACCEPTANCE=1 has it run");
    }
    is_wanted
}

/// The token with another character at this place.
fn with_change(token: &str, at: usize) -> String {
    token.char_indices().map(|(index, letter)| if index == at { '#' } else { letter }).collect()
}

#[test]
fn acceptance_of_the_time_of_wrong_tokens() {
    if !is_wanted() {
        return;
    }
    let (access, peer) = access(Authentication::Identities, TOKEN);
    let kinds = ["wrong at the first byte", "wrong at the last byte", "of an unknown token"];
    let headers = [with_change(TOKEN, 0), with_change(TOKEN, TOKEN.len() - 1), "#".repeat(TOKEN.len())];
    let times = logins(&access, &peer, &headers.map(|token| bearer(&token)));
    let t = largest("token", &kinds, &times);
    assert!(t < LIMIT, "|t| = {t:.2}");
}

/// The length of what a client sends may show, since it knows that. The length of the token must not: so the same is sent
/// where the token is of this length, and where it is shorter or longer.
#[test]
fn acceptance_of_the_time_of_tokens_of_another_length() {
    if !is_wanted() {
        return;
    }
    let long = TOKEN.repeat(5);
    let kinds =
        ["to a token of another length", "to a shorter one, which it begins with", "to one of five times its length"];
    let tokens = [&TOKEN[1..21], &TOKEN[..TOKEN.len() - 1], &long];
    let accesses = tokens.map(|token| access(Authentication::Identities, token));
    let sent = vec![bearer(TOKEN); kinds.len()];
    let measured = times(&sent, |kind, header| {
        let (access, peer) = &accesses[kind];
        access.admit(black_box(peer), Surface::Native, [header]).is_ok()
    });
    let t = largest("length", &kinds, &measured);
    assert!(t < LIMIT, "|t| = {t:.2}");
}

/// The method finds what it looks for: a comparison that ends at the first difference.
#[test]
fn acceptance_of_the_method_itself() {
    if !is_wanted() {
        return;
    }
    let sent = [with_change(TOKEN, 0), with_change(TOKEN, TOKEN.len() - 1)].map(String::into_bytes);
    let naive = |_, sent: &[u8]| TOKEN.len() == sent.len() && black_box(TOKEN).bytes().zip(sent).all(|(a, b)| a == *b);
    let t = largest("naive", &["wrong at the first byte", "wrong at the last byte"], &times(&sent, naive));
    assert!(t > LIMIT, "|t| = {t:.2}: it would not find anything");
}

#[test]
fn acceptance_of_the_time_of_known_and_unknown_users() {
    if !is_wanted() {
        return;
    }
    let kinds = ["a user", "no user", "a user without a password"];
    let names = ["prom", "nope", "push"];
    let (rules, peer) = access(Authentication::Identities, TOKEN);
    // The lengths are equal: the client knows those of what it sends.
    let header = |name: &str| basic(name, "a-password-that-is-not-right");
    let measured = logins(&rules, &peer, &names.map(header));
    let t = largest("user", &kinds, &measured);
    assert!(t < LIMIT, "|t| = {t:.2}");
    for (what, password) in [("supervisord", PASSWORD), ("{SHA}", "{SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d")] {
        let login = Login { username: "prom".to_owned(), password: password.to_owned() };
        let (rules, peer) = access(Authentication::Supervisord(Some(login)), TOKEN);
        let measured = logins(&rules, &peer, &["prom", "nope"].map(header));
        let t = largest(what, &["the user", "no user"], &measured);
        assert!(t < LIMIT, "{what}: |t| = {t:.2}");
    }
}
