//! Addresses of hosts: `http://host:port/path` and `host:port`.
//!
//! Parses both configured addresses and the targets of redirects, as strictly as a request line requires: an address that
//! passes can be sent in a request unchanged. Errors are worded for the user.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// A name or a number, without the brackets of IPv6.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

/// `host` or `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// A name or a number, without the brackets of IPv6.
    pub host: String,
    /// `None` if the address has none.
    pub port: Option<u16>,
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAddress {
    /// The message, which continues after the key's name.
    pub message: &'static str,
    /// How to fix it.
    pub hint: String,
}

const PLACES: &str = "\"127.0.0.1:5432\", \"localhost:5432\", \"[::1]:5432\"";

fn bad(message: &'static str, hint: impl Into<String>) -> BadAddress {
    BadAddress { message, hint: hint.into() }
}

impl Url {
    /// Reads `http://host[:port][/path][?query][#fragment]`. The fragment is not for servers, and is left out.
    pub fn parse(text: &str) -> Result<Url, BadAddress> {
        let rest = strip_scheme(text)?;
        if rest.chars().any(|c| !c.is_ascii_graphic()) {
            return Err(bad("contains a character that is not allowed in an address", "percent-encode it, as in %20"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let Authority { host, port } = Authority::parse(authority)?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Url { host, port: port.unwrap_or(80), target: format!("{slash}{target}") })
    }

    /// Parses a configured address, which must not have a fragment: it would never be sent.
    pub fn parse_configured(text: &str) -> Result<Url, BadAddress> {
        let url = Url::parse(text)?;
        if text.contains('#') {
            return Err(bad("has a #: the rest would never be sent", "leave it out"));
        }
        Ok(url)
    }

    /// The value of the `Host` header.
    pub fn authority(&self) -> String {
        Authority { host: self.host.clone(), port: Some(self.port).filter(|&port| port != 80) }.to_string()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.target)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, &self.host)?;
        write!(f, ":{}", self.port)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, &self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &str) -> fmt::Result {
    if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(host) }
}

fn strip_scheme(url: &str) -> Result<&str, BadAddress> {
    let Some((scheme, rest)) = url.split_once("://") else {
        let hint = if url.starts_with('/') { format!("http://127.0.0.1:8000{url}") } else { format!("http://{url}") };
        return Err(bad("must begin with http://", hint));
    };
    if scheme.eq_ignore_ascii_case("https") {
        return Err(bad(
            "cannot be https, which is not supported",
            "probe the plain port, or exec = [\"curl\", \"-fsSk\", \"https://…\"]",
        ));
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(bad("must begin with http://", "tcp = \"host:port\" checks that a port is open"));
    }
    Ok(rest)
}

impl HostPort {
    /// Reads `host:port`, with the brackets of IPv6 around a number that has colons itself.
    pub fn parse(text: &str) -> Result<HostPort, BadAddress> {
        let Authority { host, port } = Authority::parse(text)?;
        let port = port.ok_or_else(|| bad("has no port", PLACES))?;
        Ok(HostPort { host, port })
    }

    /// Whether it is an address of this machine that others cannot reach.
    pub fn is_loopback(&self) -> bool {
        let number = self.host.parse().map(|number: IpAddr| number.to_canonical().is_loopback());
        self.host == "localhost" || number.unwrap_or(false)
    }
}

impl Authority {
    /// Reads `host[:port]`, with the brackets of IPv6 around a number that has colons itself.
    pub fn parse(text: &str) -> Result<Authority, BadAddress> {
        if text.contains('@') {
            return Err(bad("contains a user", "http = { url = \"…\", headers = { Authorization = \"…\" } }"));
        }
        let (host, port) = split(text);
        let host = host_of(host).ok_or_else(|| bad("has no valid host", PLACES))?;
        let port = port.map(|port| {
            let number = port.parse().ok().filter(|&number| number > 0 && !port.starts_with('+'));
            number.ok_or_else(|| bad("has a port that is not a number from 1 to 65535", PLACES))
        });
        Ok(Authority { host: host.to_owned(), port: port.transpose()? })
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
            assert!(Url::parse_configured(url).is_ok(), "{url}");
        }
        for text in ["127.0.0.1:5432", "[::1]:1", "db:65535"] {
            assert_eq!(HostPort::parse(text).map(|address| address.to_string()), Ok(text.to_owned()));
        }
        for text in ["db", "[::1]", "db:80"] {
            assert_eq!(Authority::parse(text).map(|address| address.to_string()), Ok(text.to_owned()));
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
            assert_eq!(Url::parse_configured(url).map_err(|bad| bad.message), Err(message), "{url}");
        }
        assert_eq!(HostPort::parse("db").map_err(|bad| bad.message), Err("has no port"));
    }
}
