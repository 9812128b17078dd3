//! `/v1/session`: the login of a browser, exchanged for a cookie that scripts cannot read.
//!
//! A login is judged as that of any other request, with the same limits on wrong ones; the rules of sessions are in
//! [`muster_access::sessions`].

use std::time::Instant;

use hyper::StatusCode;
use hyper::header::{HOST, HeaderMap, HeaderValue, SET_COOKIE};
use muster_access::{Client, SessionNumber, sessions};
use muster_api as api;
use muster_api::{Problem, ProblemKind, SessionBody, encode_base64};
use muster_server::response::{self, Answer};
use muster_server::{Seat, request_body};
use muster_sys::trusted::random_key;

use super::admission;
use crate::shared::Shared;

/// The client as the daemon knows it.
pub(super) fn show(shared: &Shared, client: Client, seat: &Seat) -> Answer {
    response::json(StatusCode::OK, &described(shared, client, seat))
}

/// Begins a session, and ends the one that the request may have: an id is never given to another login.
pub(super) async fn log_in(
    shared: &Shared,
    (client, seat): (Client, &Seat),
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Answer, Problem> {
    let login = header_of(request_body::parse(body)?.unwrap_or_default())?;
    let gate = &shared.gate;
    if !gate.access.borrow().heeds_logins(&seat.peer) {
        return Ok(show(shared, client, seat));
    }
    let (known, proof) = match admission::log_in(shared, seat, login.as_bytes()).await {
        Ok(found) => found,
        Err(refusal) => return Ok(refusal),
    };
    let failed = |why: String| Problem::new(ProblemKind::Internal, format!("cannot begin a session: {why}"));
    let id = random_key().map_err(|error| failed(error.to_string()))?;
    let proof = proof.ok_or_else(|| failed("the login is no longer right".to_owned()))?;
    let is_secure = seat.peer.is_secure();
    if let Some(before) = client.session {
        gate.sessions.borrow_mut().end(before);
    }
    let number = gate.sessions.borrow_mut().begin(id, proof, is_secure, Instant::now());
    // Streams of sessions that ended end, and the next end is another one.
    gate.divided.notify_one();
    let mut answer = show(shared, known.of_session(number), seat);
    put_cookie(&mut answer, &sessions::set_cookie(id, host(headers), is_secure));
    Ok(answer)
}

/// Ends the session of the request, its streams included.
pub(super) fn log_out(shared: &Shared, client: Client, seat: &Seat, headers: &HeaderMap) -> Answer {
    let mut answer = response::nothing(StatusCode::NO_CONTENT);
    let Some(number) = client.session else { return answer };
    shared.gate.sessions.borrow_mut().end(number);
    shared.gate.divided.notify_one();
    put_cookie(&mut answer, &sessions::remove_cookie(host(headers), seat.peer.is_secure()));
    answer
}

fn described(shared: &Shared, client: Client, seat: &Seat) -> api::Session {
    let is_local = seat.peer.uid.is_some() || seat.peer.address.is_some_and(|address| address.is_loopback());
    api::Session {
        by: client.principal.to_string(),
        role: client.role.map(|role| role.name().to_owned()),
        is_session: client.session.is_some(),
        may_log_in: client.may_log_in(),
        is_encrypted: is_local || seat.peer.is_secure(),
        expires_at: client.session.and_then(|number| expires_at(shared, number)),
    }
}

fn expires_at(shared: &Shared, number: SessionNumber) -> Option<api::Timestamp> {
    let ends = shared.gate.sessions.borrow().ends(number)?;
    let left = ends.saturating_duration_since(Instant::now());
    Some(shared.clock.date(shared.clock.now() + left).into())
}

/// The login as an `Authorization` header has it.
fn header_of(body: SessionBody) -> Result<String, Problem> {
    match body {
        SessionBody { token: Some(token), username: None, password: None } => Ok(format!("Bearer {token}")),
        SessionBody { token: None, username: Some(name), password: Some(password) } => {
            Ok(format!("Basic {}", encode_base64(format!("{name}:{password}").as_bytes())))
        }
        _ => {
            let problem = Problem::new(ProblemKind::BadBody, "the login is incomplete");
            Err(problem.with_hint("{\"token\": \"…\"}, or {\"username\": \"…\", \"password\": \"…\"}"))
        }
    }
}

/// The host that the request names, which was checked.
fn host(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

fn put_cookie(answer: &mut Answer, cookie: &str) {
    // It consists of digits and words of ours, and the port of the host.
    answer.headers_mut().extend(HeaderValue::try_from(cookie).map(|cookie| (SET_COOKIE, cookie)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_a_token_or_a_name_with_a_password() {
        let text = |text: &str| text.to_owned();
        let of = |token: Option<&str>, username: Option<&str>, password: Option<&str>| {
            let [token, username, password] = [token, username, password].map(|it| it.map(text));
            header_of(SessionBody { token, username, password }).ok()
        };
        assert_eq!(of(Some("t"), None, None).as_deref(), Some("Bearer t"));
        assert_eq!(of(None, Some("u"), Some("p")).as_deref(), Some("Basic dTpw"));
        for (token, username, password) in
            [(None, None, None), (Some("t"), Some("u"), None), (None, Some("u"), None), (None, None, Some("p"))]
        {
            assert_eq!(of(token, username, password), None, "{token:?} {username:?} {password:?}");
        }
    }
}
