//! URLs, as far as Python's `urlparse` looks at them here.

use super::Failure;
use crate::python::repr;

/// The scheme in small letters, and what follows its colon.
pub(super) fn scheme(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let begins_well = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    (begins_well && scheme.chars().all(is_allowed)).then(|| (scheme.to_ascii_lowercase(), rest))
}

/// Whether the original takes this for a URL: a scheme, and a place or a path behind it.
pub(super) fn is_url(text: &str) -> bool {
    scheme(text).is_some_and(|(_, rest)| {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        !rest.is_empty() && !rest.starts_with(['?', '#', ';'])
    })
}

/// Host and port of `http://HOST:PORT/…`; port 80 if it has none.
pub fn address(url: &str) -> Result<(String, u16), Failure> {
    let place = url.strip_prefix("http://").unwrap_or(url);
    let place = place.split(['/', '?', '#']).next().unwrap_or_default();
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let (host, port) = match place.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        Some((host, behind)) => (host, behind.strip_prefix(':').unwrap_or_default()),
        None => place.split_once(':').unwrap_or((place, "")),
    };
    if port.is_empty() {
        return Ok((host.to_lowercase(), 80));
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        let text = format!("Port could not be cast to integer value as {}", repr(port));
        return Err(Failure::other("ValueError", text));
    }
    let port = port.parse().map_err(|_| Failure::other("ValueError", "Port out of range 0-65535"))?;
    Ok((host.to_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_of_python() {
        for url in ["unix:///x", "http://h", "http://h:1/p", "localhost:9001", "ftp://x", "HTTP://x"] {
            assert!(is_url(url), "{url}");
        }
        for other in ["", "foo", "unix://", "http:", "/run/x.sock", "1a:b", ":x", "http:?x"] {
            assert!(!is_url(other), "{other}");
        }
        assert_eq!(scheme("UNIX:///x").map(|it| it.0).as_deref(), Some("unix"));
    }

    #[test]
    fn addresses_have_a_port() {
        for (url, host, port) in [
            ("http://Localhost:9001", "localhost", 9001),
            ("http://h", "h", 80),
            ("http://h:/x", "h", 80),
            ("http://me:secret@h:1/RPC2?x", "h", 1),
            ("http://[::1]:9001/", "::1", 9001),
        ] {
            assert_eq!(address(url), Ok((host.to_owned(), port)), "{url}");
        }
        for (url, text) in [
            ("http://h:x", "Port could not be cast to integer value as 'x'"),
            ("http://h:65536", "Port out of range 0-65535"),
        ] {
            assert_eq!(address(url), Err(Failure::other("ValueError", text)), "{url}");
        }
    }
}
