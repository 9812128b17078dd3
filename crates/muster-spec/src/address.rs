//! Network addresses: `http://host:port/path` and `host:port`.
//!
//! The only parser for them, used for configured addresses and for redirect targets. It is as strict as a request line
//! requires: an accepted address can be written into a request unchanged. Errors are worded for the user.

use std::fmt;
use std::net::Ipv6Addr;

/// An `http://` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Name or IP address, without the brackets of IPv6.
    pub host: String,
    /// 80 if the address has none.
    pub port: u16,
    /// Path and query, starting with `/`.
    pub target: String,
}

/// `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Name or IP address, without the brackets of IPv6.
    pub host: String,
    /// Port number, never 0.
    pub port: u16,
}

/// `host` or `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Name or IP address, without the brackets of IPv6.
    pub host: String,
    /// `None` if the text has no port.
    pub port: Option<u16>,
}

/// The error for a text that is not an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAddress {
    /// The mistake, phrased to follow the key's name.
    pub message: &'static str,
    /// A valid alternative.
    pub hint: String,
}

const PLACES: &str = "\"127.0.0.1:5432\", \"localhost:5432\", \"[::1]:5432\"";

fn bad(message: &'static str, hint: impl Into<String>) -> BadAddress {
    BadAddress { message, hint: hint.into() }
}

impl Url {
    /// Parses `http://host[:port][/path][?query][#fragment]`. The fragment is never sent to a server and is dropped.
    pub fn parse(text: &str) -> Result<Url, BadAddress> {
        let rest = strip_scheme(text)?;
        if rest.chars().any(|c| !c.is_ascii_graphic()) {
            return Err(bad("contains an invalid character", "write it as %20 and the like"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let Authority { host, port } = Authority::parse(authority)?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Url { host, port: port.unwrap_or(80), target: format!("{slash}{target}") })
    }

    /// Parses a configured address. A fragment is an error, since it would never be sent.
    pub fn parse_configured(text: &str) -> Result<Url, BadAddress> {
        let url = Url::parse(text)?;
        if text.contains('#') {
            return Err(bad("has a fragment (#…), which is never sent", "leave it out"));
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
            "must not be https, which is not supported",
            "probe the plain port, or exec = [\"curl\", \"-fsSk\", \"https://…\"]",
        ));
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(bad("must begin with http://", "tcp = \"host:port\" checks that a port is open"));
    }
    Ok(rest)
}

impl HostPort {
    /// Parses `host:port`, with brackets around an IPv6 address.
    pub fn parse(text: &str) -> Result<HostPort, BadAddress> {
        let Authority { host, port } = Authority::parse(text)?;
        let port = port.ok_or_else(|| bad("has no port", PLACES))?;
        Ok(HostPort { host, port })
    }
}

impl Authority {
    /// Parses `host[:port]`, with brackets around an IPv6 address.
    pub fn parse(text: &str) -> Result<Authority, BadAddress> {
        if text.contains('@') {
            return Err(bad("contains a user name", "http = { url = \"…\", headers = { Authorization = \"…\" } }"));
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

/// Splits host and port; a colon within brackets belongs to the IPv6 address.
fn split(text: &str) -> (&str, Option<&str>) {
    let host_end = if text.starts_with('[') { text.find(']').map_or(text.len(), |end| end + 1) } else { 0 };
    match text[host_end..].split_once(':') {
        Some((rest, port)) => (&text[..host_end + rest.len()], Some(port)),
        None => (text, None),
    }
}

/// The host without brackets, if it is a valid one.
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
            ("https://a/", "must not be https, which is not supported"),
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
            ("http://a/b c", "contains an invalid character"),
            ("http://a/\r\nHost: b", "contains an invalid character"),
            ("http://a/ü", "contains an invalid character"),
            ("http://a\nb/", "contains an invalid character"),
            ("http://a/#b", "has a fragment (#…), which is never sent"),
            ("http://me:secret@a/", "contains a user name"),
        ] {
            assert_eq!(Url::parse_configured(url).map_err(|bad| bad.message), Err(message), "{url}");
        }
        assert_eq!(HostPort::parse("db").map_err(|bad| bad.message), Err("has no port"));
    }
}
