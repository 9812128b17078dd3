//! Addresses of hosts: `http://host:port/path`, `host:port`; and the name of a header.
//!
//! Parses both configured addresses and the targets of redirects, as strictly as a request line requires: an address that
//! passes can be sent in a request unchanged. Errors are worded for the user.

use std::fmt;
use std::net::Ipv6Addr;

use crate::diagnostic::Problem;

/// An `http://` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// A name or a number, without the brackets of IPv6.
    pub host: String,
    /// The port; 80 by default.
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub target: String,
}

/// `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or a number, without the brackets of IPv6.
    pub host: String,
    /// `None` if the address has none.
    pub port: Option<u16>,
}

const PLACES: &str = "\"127.0.0.1:5432\", \"localhost:5432\", \"[::1]:5432\"";

fn problem(message: &str, hint: impl Into<String>) -> Problem {
    Problem { message: message.to_owned(), hint: hint.into() }
}

impl Url {
    /// Reads `http://host[:port][/path][?query][#fragment]`. The fragment is not for servers, and is left out.
    pub fn parse(text: &str) -> Result<Url, Problem> {
        let rest = strip_scheme(text)?;
        if rest.chars().any(|c| !c.is_ascii_graphic()) {
            return Err(problem(
                "contains a character that is not allowed in an address",
                "percent-encode it, as in %20",
            ));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let HostPort { host, port } = HostPort::parse(authority)?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Url { host, port: port.unwrap_or(80), target: format!("{slash}{target}") })
    }

    /// The value of the `Host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.target)
    }
}

fn strip_scheme(url: &str) -> Result<&str, Problem> {
    let Some((scheme, rest)) = url.split_once("://") else {
        let hint = if url.starts_with('/') { format!("http://127.0.0.1:8000{url}") } else { format!("http://{url}") };
        return Err(problem("must begin with http://", hint));
    };
    if scheme.eq_ignore_ascii_case("https") {
        return Err(problem(
            "cannot be https, which is not supported",
            "probe the plain port, or exec = [\"curl\", \"-fsSk\", \"https://…\"]",
        ));
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(problem("must begin with http://", "tcp = \"host:port\" checks that a port is open"));
    }
    Ok(rest)
}

impl HostPort {
    /// Reads `host[:port]`, with the brackets of IPv6 around a number that has colons itself.
    pub fn parse(text: &str) -> Result<HostPort, Problem> {
        if text.contains('@') {
            return Err(problem("contains a user", "http = { url = \"…\", headers = { Authorization = \"…\" } }"));
        }
        let (host, port) = split(text);
        let host = host_of(host).ok_or_else(|| problem("has no valid host", PLACES))?;
        let port = port.map(|port| {
            let number = port.parse().ok().filter(|&number| number > 0 && !port.starts_with('+'));
            number.ok_or_else(|| problem("has a port that is not a number from 1 to 65535", PLACES))
        });
        Ok(HostPort { host: host.to_owned(), port: port.transpose()? })
    }
}

/// Splits host and port; a colon within brackets belongs to an IPv6 address.
fn split(text: &str) -> (&str, Option<&str>) {
    let host_end = if text.starts_with('[') { text.find(']').map_or(text.len(), |end| end + 1) } else { 0 };
    match text[host_end..].split_once(':') {
        Some((rest, port)) => (&text[..host_end + rest.len()], Some(port)),
        None => (text, None),
    }
}

/// Without its brackets.
fn host_of(text: &str) -> Option<&str> {
    if let Some(inner) = text.strip_prefix('[') {
        return inner.strip_suffix(']').filter(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let is_of_a_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!text.is_empty() && text.bytes().all(is_of_a_host)).then_some(text)
}

/// Whether an address may be configured.
pub(crate) fn check(url: &str) -> Result<(), Problem> {
    Url::parse(url)?;
    if url.contains('#') {
        return Err(problem("has a #: the rest would never be sent", "leave it out"));
    }
    Ok(())
}

/// Whether `host:port` may be configured; the port may be left out where it is not needed.
pub(crate) fn check_authority(text: &str, needs_port: bool) -> Result<(), Problem> {
    match HostPort::parse(text)?.port {
        None if needs_port => Err(problem("has no port", PLACES)),
        _ => Ok(()),
    }
}

/// A token: RFC 9110, section 5.6.2.
pub(crate) fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str, port: u16, target: &str) -> Url {
        Url { host: host.to_owned(), port, target: target.to_owned() }
    }

    #[test]
    fn addresses_are_read() {
        for (text, expected) in [
            ("http://127.0.0.1:8000/healthz", url("127.0.0.1", 8000, "/healthz")),
            ("HTTP://localhost", url("localhost", 80, "/")),
            ("http://localhost?deep=1", url("localhost", 80, "/?deep=1")),
            ("http://[::1]:81/a/b?c#d", url("::1", 81, "/a/b?c")),
            ("http://a#b/c", url("a", 80, "/")),
            ("http://[::1]/", url("::1", 80, "/")),
        ] {
            assert_eq!(Url::parse(text).as_ref(), Ok(&expected), "{text}");
        }
        assert_eq!(url("::1", 81, "/").authority(), "[::1]:81");
        assert_eq!(url("web", 80, "/x").to_string(), "http://web/x");
    }

    #[test]
    fn addresses_that_can_be_asked_pass() {
        for url in [
            "http://127.0.0.1:8000/healthz",
            "http://localhost",
            "HTTP://web_1.internal:80?deep=1",
            "http://[::1]:8080/",
            "http://[::1]/",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        for (text, needs_port) in [("127.0.0.1:5432", true), ("[::1]:1", true), ("db", false), ("db:65535", true)] {
            assert_eq!(check_authority(text, needs_port), Ok(()), "{text}");
        }
    }

    #[test]
    fn every_other_address_is_refused_with_its_reason() {
        for (url, message) in [
            ("/healthz", "must begin with http://"),
            ("localhost:8000", "must begin with http://"),
            ("localhost:80", "must begin with http://"),
            ("ftp://a/", "must begin with http://"),
            ("https://a/", "cannot be https, which is not supported"),
            ("http://", "has no valid host"),
            ("http:///x", "has no valid host"),
            ("http://[::1", "has no valid host"),
            ("http://[1.2.3.4]/", "has no valid host"),
            ("http://::1/", "has no valid host"),
            ("http://a:b/", "has a port that is not a number from 1 to 65535"),
            ("http://a:/", "has a port that is not a number from 1 to 65535"),
            ("http://a:+1/", "has a port that is not a number from 1 to 65535"),
            ("http://a:0/", "has a port that is not a number from 1 to 65535"),
            ("http://a:65536/", "has a port that is not a number from 1 to 65535"),
            ("http://a:70000/", "has a port that is not a number from 1 to 65535"),
            ("http://a/b c", "contains a character that is not allowed in an address"),
            ("http://a/\r\nHost: b", "contains a character that is not allowed in an address"),
            ("http://a/ü", "contains a character that is not allowed in an address"),
            ("http://a\nb/", "contains a character that is not allowed in an address"),
            ("http://a/#b", "has a #: the rest would never be sent"),
            ("http://me:secret@a/", "contains a user"),
        ] {
            assert_eq!(check(url).map_err(|problem| problem.message), Err(message.to_owned()), "{url}");
        }
        assert_eq!(check_authority("db", true).map_err(|problem| problem.message), Err("has no port".to_owned()));
    }
}
