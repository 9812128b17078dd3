//! Polls a text of an HTTP server, with conditional requests.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, LAST_MODIFIED, LOCATION, RETRY_AFTER};
use hyper::{Method, StatusCode};
use muster_probes::connect::Resolver;
use muster_spec::{HostPort, SourceAddress, SourceSpec};
use tokio::time::timeout;

use crate::dial::dial;
use crate::edition::{Edition, Failure, MOST_BYTES, Revision, Text};
use crate::exchange::{Answer, Question, ask};
use crate::secrets::Secrets;

/// How long a poll may take, redirects included.
const WHOLE: Duration = Duration::from_secs(20);
/// Redirects that are followed.
const MOST_REDIRECTS: usize = 3;

/// The validators of the version that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Validators {
    tag: Option<String>,
    modified: Option<String>,
}

/// The answer to a poll.
#[derive(Debug)]
pub(crate) enum Polled {
    Unchanged,
    Version(Edition, Validators),
}

/// An address on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    is_tls: bool,
    server: HostPort,
    target: String,
}

impl Place {
    fn usual_port(&self) -> u16 {
        if self.is_tls { 443 } else { 80 }
    }

    /// The name of the text: the last part of the path.
    fn name(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        if last.is_empty() { "muster.toml".to_owned() } else { last.to_owned() }
    }
}

/// Asks once.
pub(crate) async fn poll(
    (spec, host): (&SourceSpec, &str),
    (resolver, secrets): (&Resolver, &Secrets),
    known: &Validators,
) -> Result<Polled, Failure> {
    let polling = async {
        let SourceAddress::Http { is_tls, server, target } = &spec.address else {
            return Err(Failure::new("not an HTTP server"));
        };
        let first = Place { is_tls: *is_tls, server: server.clone(), target: target.clone() };
        let mut place = first.clone();
        for _ in 0..=MOST_REDIRECTS {
            let is_first_origin = place.server == first.server && place.is_tls == first.is_tls;
            let headers = headers(host, secrets, known, is_first_origin);
            let stream = dial(resolver, secrets, (&place.server, place.is_tls)).await?;
            let question = Question { method: Method::GET, target: &place.target, headers, body: Bytes::new() };
            let answer = ask(stream, (&place.server, place.usual_port()), question).await?;
            match answer.status {
                StatusCode::OK => return version(&first.name(), answer).await,
                StatusCode::NOT_MODIFIED if *known != Validators::default() => return Ok(Polled::Unchanged),
                status if status.is_redirection() && answer.headers.contains_key(LOCATION) => {
                    place = redirected(&place, &answer.headers)?;
                }
                status => return Err(refused(status, &answer.headers)),
            }
        }
        Err(Failure::new(format!("more than {MOST_REDIRECTS} redirects")))
    };
    timeout(WHOLE, polling).await.unwrap_or_else(|_| Err(Failure::new("no complete answer within 20s")))
}

fn headers(host: &str, secrets: &Secrets, known: &Validators, logs_in: bool) -> Vec<(&'static str, String)> {
    let mut headers = vec![("Accept", "application/toml, text/plain".to_owned())];
    // A host's name that no header can carry is left out.
    if host.bytes().all(|byte| byte.is_ascii_graphic()) {
        headers.push(("Muster-Host", host.to_owned()));
    }
    headers.extend(known.tag.clone().map(|tag| ("If-None-Match", tag)));
    headers.extend(known.modified.clone().map(|date| ("If-Modified-Since", date)));
    if logs_in {
        headers.extend(secrets.token.as_ref().map(|token| ("Authorization", format!("Bearer {token}"))));
        let basic = |(user, password): &(String, String)| {
            ("Authorization", format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
        };
        headers.extend(secrets.login.as_ref().map(basic));
    }
    headers
}

async fn version(name: &str, answer: Answer) -> Result<Polled, Failure> {
    let header = |name| text_of(&answer.headers, name);
    if let Some(coding) = header(CONTENT_ENCODING).filter(|coding| coding != "identity") {
        return Err(Failure::new(format!("the answer is encoded, which was not asked for: {coding:?}")));
    }
    if let Some(charset) = header(CONTENT_TYPE).and_then(|kind| foreign_charset(&kind)) {
        return Err(Failure::new(format!("the text must be UTF-8: {charset:?}")));
    }
    let validators = Validators { tag: header(ETAG), modified: header(LAST_MODIFIED) };
    let bytes = answer.whole(MOST_BYTES).await?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::new("the text is not UTF-8"))?;
    let revision = validators.tag.clone().map_or(Revision::None, Revision::Tag);
    Ok(Polled::Version(Edition { texts: vec![Text { name: name.to_owned(), text }], revision }, validators))
}

fn text_of(headers: &HeaderMap, name: hyper::header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().filter(|text| text.len() <= 1024).map(str::to_owned)
}

/// The charset of a media type, if it is not a part of UTF-8.
fn foreign_charset(kind: &str) -> Option<String> {
    let parameter = kind.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    })?;
    (!["utf-8", "utf8", "us-ascii"].contains(&parameter.as_str())).then_some(parameter)
}

/// The place that a redirect leads to. Never from an encrypted place to another.
fn redirected(from: &Place, headers: &HeaderMap) -> Result<Place, Failure> {
    let location = text_of(headers, LOCATION).unwrap_or_default();
    let location = location.split('#').next().unwrap_or_default();
    let bad = || Failure::new(format!("redirected to something that is no address: {location:?}"));
    if location.contains("://") {
        let SourceAddress::Http { is_tls, server, target } = SourceAddress::parse(location).map_err(|_| bad())? else {
            return Err(bad());
        };
        if from.is_tls && !is_tls {
            return Err(Failure::new(format!("redirected to an address that is not encrypted: {location:?}")));
        }
        return Ok(Place { is_tls, server, target });
    }
    let is_path = location.starts_with('/') && !location.starts_with("//");
    if !is_path || !location.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad());
    }
    Ok(Place { target: location.to_owned(), ..from.clone() })
}

fn refused(status: StatusCode, headers: &HeaderMap) -> Failure {
    let retry_after = text_of(headers, RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let reason = match status {
        StatusCode::UNAUTHORIZED => "401: the server wants another login".to_owned(),
        StatusCode::FORBIDDEN => "403: the server does not allow this".to_owned(),
        StatusCode::NOT_MODIFIED => "304, although nothing was known".to_owned(),
        status => format!("{}: {}", status.as_u16(), status.canonical_reason().unwrap_or("unknown status")),
    };
    Failure { reason, retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(from: &str, location: &str) -> Result<String, String> {
        let SourceAddress::Http { is_tls, server, target } = SourceAddress::parse(from).unwrap() else { panic!() };
        let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
        let place = redirected(&Place { is_tls, server, target }, &headers).map_err(|failure| failure.reason)?;
        Ok(format!("{} {} {}", place.is_tls, place.server, place.target))
    }

    #[test]
    fn redirects_never_leave_encryption() {
        assert_eq!(redirect("https://a/x", "/y?z").unwrap(), "true a:443 /y?z");
        assert_eq!(redirect("https://a/x", "https://b:1/y#z").unwrap(), "true b:1 /y");
        assert_eq!(redirect("http://a/x", "https://a/y").unwrap(), "true a:443 /y");
        for (from, location) in [
            ("https://a/x", "http://a/y"),
            ("https://a/x", "etcds://a/y/"),
            ("https://a/x", "file:///etc/passwd"),
            ("https://a/x", "//b/y"),
            ("https://a/x", "y"),
            ("https://a/x", ""),
            ("https://a/x", "https://user@b/"),
        ] {
            assert!(redirect(from, location).is_err(), "{location}");
        }
    }

    #[test]
    fn secrets_are_for_the_first_origin_alone() {
        let secrets = Secrets { token: Some("secret".to_owned()), ..Secrets::default() };
        let sent = |logs_in| {
            let headers = headers("box", &secrets, &Validators::default(), logs_in);
            headers.iter().any(|(_, value)| value.contains("secret"))
        };
        assert!(sent(true) && !sent(false));
        assert!(
            !headers("a\r\nb", &secrets, &Validators::default(), false).iter().any(|(name, _)| *name == "Muster-Host")
        );
    }

    #[test]
    fn only_utf8_is_accepted() {
        for (kind, expected) in [
            ("text/plain", None),
            ("text/plain; charset=UTF-8", None),
            ("text/plain; charset=\"us-ascii\"", None),
            ("text/plain; charset=latin1", Some("latin1")),
            ("application/toml;x=y; Charset=utf-16", Some("utf-16")),
        ] {
            assert_eq!(foreign_charset(kind).as_deref(), expected, "{kind}");
        }
    }
}
