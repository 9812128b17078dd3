//! Whether an address can be probed: `http://host:port/path`, `host:port`, the name of a header.
//!
//! As strict as a request line needs it: what passes here can stand in a request as it is. Says what is wrong in the
//! user's words.

use crate::interpolate::Problem;

fn problem(message: &str, hint: impl Into<String>) -> Problem {
    Problem { message: message.to_owned(), hint: hint.into() }
}

/// `http://host[:port][/path][?query]`.
pub(crate) fn check(url: &str) -> Result<(), Problem> {
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
    if rest.chars().any(|c| !c.is_ascii_graphic()) {
        return Err(problem("has a character that no address has", "write it as %20 and the like"));
    }
    if rest.contains('#') {
        return Err(problem("has a #, and what follows it is never sent", "leave it out"));
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    check_authority(&rest[..end], false)
}

/// `host:port`; the port may be left out where it is not needed.
pub(crate) fn check_authority(text: &str, needs_port: bool) -> Result<(), Problem> {
    const EXAMPLE: &str = "\"127.0.0.1:5432\", \"localhost:5432\", \"[::1]:5432\"";
    if text.contains('@') {
        return Err(problem("has a user in it", "http = { url = \"…\", headers = { Authorization = \"…\" } }"));
    }
    let (host, port) = split(text);
    if host.is_empty() || !is_host(host) {
        return Err(problem("has no host that could be asked", EXAMPLE));
    }
    match port {
        Some(port) if port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+') => Ok(()),
        Some(_) => Err(problem("has a port that is no number from 1 to 65535", EXAMPLE)),
        None if needs_port => Err(problem("has no port", EXAMPLE)),
        None => Ok(()),
    }
}

/// Host and port; a colon within brackets is IPv6's own.
pub(crate) fn split(text: &str) -> (&str, Option<&str>) {
    let host_end = if text.starts_with('[') { text.find(']').map_or(text.len(), |end| end + 1) } else { 0 };
    match text[host_end..].split_once(':') {
        Some((rest, port)) => (&text[..host_end + rest.len()], Some(port)),
        None => (text, None),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// A token: RFC 9110, section 5.6.2.
pub(crate) fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("ftp://a/", "must begin with http://"),
            ("https://a/", "cannot be https, which is not supported"),
            ("http://", "has no host that could be asked"),
            ("http:///x", "has no host that could be asked"),
            ("http://[::1", "has no host that could be asked"),
            ("http://[1.2.3.4]/", "has no host that could be asked"),
            ("http://::1/", "has no host that could be asked"),
            ("http://a:b/", "has a port that is no number from 1 to 65535"),
            ("http://a:+1/", "has a port that is no number from 1 to 65535"),
            ("http://a:0/", "has a port that is no number from 1 to 65535"),
            ("http://a:65536/", "has a port that is no number from 1 to 65535"),
            ("http://a/b c", "has a character that no address has"),
            ("http://a/\r\nHost: b", "has a character that no address has"),
            ("http://a/#b", "has a #, and what follows it is never sent"),
            ("http://me:secret@a/", "has a user in it"),
        ] {
            assert_eq!(check(url).map_err(|problem| problem.message), Err(message.to_owned()), "{url}");
        }
        assert_eq!(check_authority("db", true).map_err(|problem| problem.message), Err("has no port".to_owned()));
    }
}
