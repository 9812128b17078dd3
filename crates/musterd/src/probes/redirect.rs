//! The addresses of HTTP probes, and where a redirect leads.
//!
//! Only what a probe needs of RFC 3986: `http`, a host or its number, a port, and the rest as it is. Whatever comes from a
//! server is checked as strictly as what was configured, since it goes into the next request.

use std::fmt;

/// An `http://` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// A name or a number, without the brackets of IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query, beginning with `/`.
    pub(crate) target: String,
}

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// To the same host, perhaps another port.
    Here(Url),
    /// To another host, or to what is not `http`.
    Elsewhere,
}

impl Url {
    /// Reads an address such as `http://127.0.0.1:8000/healthz`.
    pub(crate) fn parse(text: &str) -> Result<Url, String> {
        let Some(rest) = strip_scheme(text) else {
            return Err(format!("an HTTP probe needs an address that begins with http://: {text:?}"));
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (host, port) = split_port(authority, 80).map_err(|error| format!("{error}: {text:?}"))?;
        Ok(Url { host, port, target: clean_target(target).ok_or_else(|| not_ascii(text))? })
    }

    /// What goes into the `Host` header.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }

    /// Where the `Location` of an answer from here leads.
    pub(crate) fn redirect(&self, location: &str) -> Redirect {
        let location = location.trim();
        let absolute = match location.strip_prefix("//") {
            Some(rest) => Some(format!("http://{rest}")),
            None if strip_scheme(location).is_some() => Some(location.to_owned()),
            None if has_scheme(location) => return Redirect::Elsewhere,
            None => None,
        };
        let url = match absolute {
            Some(absolute) => Url::parse(&absolute).ok(),
            None => clean_target(&self.resolve(location)).map(|target| Url { target, ..self.clone() }),
        };
        match url {
            Some(url) if url.host.eq_ignore_ascii_case(&self.host) => Redirect::Here(url),
            _ => Redirect::Elsewhere,
        }
    }

    /// A reference without scheme and host, seen from here.
    fn resolve(&self, reference: &str) -> String {
        let path = self.target.split('?').next().unwrap_or("/");
        match reference.as_bytes().first() {
            None | Some(b'#') => self.target.clone(),
            Some(b'/') => without_dots(reference),
            Some(b'?') => format!("{path}{reference}"),
            Some(_) => without_dots(&format!("{}{reference}", &path[..=path.rfind('/').unwrap_or(0)])),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.target)
    }
}

/// Splits `host:port`, with the brackets of IPv6 around a number that has colons itself.
pub(crate) fn split_port(authority: &str, default: u16) -> Result<(String, u16), String> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or("after the bracket comes a colon and a port")?)),
        None => match authority.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => return Err(format!("write [{authority}] in brackets")),
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/@?#\\%[]".contains(&byte)) {
        return Err("no host".to_owned());
    }
    let port = port.filter(|port| !port.is_empty()).map_or(Ok(default), |port| {
        port.parse()
            .ok()
            .filter(|&port| port != 0)
            .ok_or_else(|| format!("a port is a number from 1 to 65535: {port:?}"))
    })?;
    Ok((host.to_owned(), port))
}

fn strip_scheme(text: &str) -> Option<&str> {
    let scheme = text.get(..7)?;
    scheme.eq_ignore_ascii_case("http://").then(|| &text[7..])
}

fn has_scheme(text: &str) -> bool {
    let scheme = text.split(['/', '?', '#']).next().unwrap_or("");
    scheme.split_once(':').is_some_and(|(scheme, _)| scheme.starts_with(|letter: char| letter.is_ascii_alphabetic()))
}

/// What a request line can carry, without the fragment, which is not for servers.
fn clean_target(target: &str) -> Option<String> {
    let target = target.split('#').next().unwrap_or("");
    let slash = if target.starts_with('/') { "" } else { "/" };
    target.bytes().all(|byte| byte.is_ascii_graphic()).then(|| format!("{slash}{target}"))
}

fn not_ascii(text: &str) -> String {
    format!("spaces, and letters beyond ASCII, must be written as %XX: {text:?}")
}

fn without_dots(target: &str) -> String {
    let (path, query) = target.find('?').map_or((target, ""), |at| target.split_at(at));
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let slash = if path.ends_with("/.") || path.ends_with("/..") { "/" } else { "" };
    format!("/{}{}{query}", kept.join("/"), if kept.is_empty() { "" } else { slash })
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
            ("http://[::1]/", url("::1", 80, "/")),
        ] {
            assert_eq!(Url::parse(text).as_ref(), Ok(&expected), "{text}");
        }
        assert_eq!(url("::1", 81, "/").authority(), "[::1]:81");
        assert_eq!(url("web", 80, "/x").to_string(), "http://web/x");
    }

    #[test]
    fn addresses_that_cannot_be_asked_are_refused() {
        for text in [
            "https://localhost/",
            "localhost:80",
            "http://",
            "http:///x",
            "http://me:secret@localhost/",
            "http://localhost:0/",
            "http://localhost:70000/",
            "http://::1/",
            "http://localhost/a b",
            "http://localhost/a\r\nX: y",
            "http://localhost/ü",
            "http://lo\ncal/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn redirects_are_followed_on_the_same_host_only() {
        let here = url("web", 8000, "/a/b?c");
        for (location, expected) in [
            ("/x", Redirect::Here(url("web", 8000, "/x"))),
            ("x?y#z", Redirect::Here(url("web", 8000, "/a/x?y"))),
            ("../../../x", Redirect::Here(url("web", 8000, "/x"))),
            ("./", Redirect::Here(url("web", 8000, "/a/"))),
            ("?d", Redirect::Here(url("web", 8000, "/a/b?d"))),
            ("", Redirect::Here(url("web", 8000, "/a/b?c"))),
            ("http://WEB:9/x", Redirect::Here(url("WEB", 9, "/x"))),
            ("//web/x", Redirect::Here(url("web", 80, "/x"))),
            ("http://other/x", Redirect::Elsewhere),
            ("//other:8000/x", Redirect::Elsewhere),
            ("https://web/x", Redirect::Elsewhere),
            ("mailto:me", Redirect::Elsewhere),
            ("/x\r\nSet-Cookie: y", Redirect::Elsewhere),
        ] {
            assert_eq!(here.redirect(location), expected, "{location}");
        }
    }
}
