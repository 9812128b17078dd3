//! The target of a redirect.
//!
//! Implements only what a probe needs of RFC 3986. [`Url::parse`] parses the server's value with the same checks as
//! configured addresses, since it becomes part of the next request.

use muster_spec::Url;

/// The target of a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// The same host, possibly another port.
    Here(Url),
    /// Another host, or a scheme other than `http`.
    Elsewhere,
}

/// Resolves the `Location` header of a response from `here`.
pub(crate) fn redirect(here: &Url, location: &str) -> Redirect {
    let location = location.trim();
    let absolute = match location.strip_prefix("//") {
        Some(rest) => format!("http://{rest}"),
        None if has_scheme(location) => location.to_owned(),
        None => format!("http://{}{}", here.authority(), resolve(here, location)),
    };
    match Url::parse(&absolute) {
        Ok(url) if url.host.eq_ignore_ascii_case(&here.host) => Redirect::Here(url),
        _ => Redirect::Elsewhere,
    }
}

/// Resolves a reference without scheme and host.
fn resolve(here: &Url, reference: &str) -> String {
    let path = here.target.split('?').next().unwrap_or("/");
    match reference.as_bytes().first() {
        None | Some(b'#') => here.target.clone(),
        Some(b'/') => without_dots(reference),
        Some(b'?') => format!("{path}{reference}"),
        Some(_) => without_dots(&format!("{}{reference}", &path[..=path.rfind('/').unwrap_or(0)])),
    }
}

fn has_scheme(text: &str) -> bool {
    let scheme = text.split(['/', '?', '#']).next().unwrap_or("");
    scheme.split_once(':').is_some_and(|(scheme, _)| scheme.starts_with(|letter: char| letter.is_ascii_alphabetic()))
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
    fn redirects_are_followed_on_the_same_host_only() {
        let here = url("web", 8000, "/a/b?c");
        for (location, expected) in [
            ("/x", Redirect::Here(url("web", 8000, "/x"))),
            ("x?y#z", Redirect::Here(url("web", 8000, "/a/x?y"))),
            ("../../../x", Redirect::Here(url("web", 8000, "/x"))),
            ("./", Redirect::Here(url("web", 8000, "/a/"))),
            ("?d", Redirect::Here(url("web", 8000, "/a/b?d"))),
            ("", Redirect::Here(url("web", 8000, "/a/b?c"))),
            ("x?y=a:b", Redirect::Here(url("web", 8000, "/a/x?y=a:b"))),
            ("http://web:81/a/b?c#d", Redirect::Here(url("web", 81, "/a/b?c"))),
            ("http://WEB:9/x", Redirect::Here(url("WEB", 9, "/x"))),
            ("//web/x", Redirect::Here(url("web", 80, "/x"))),
            ("http://other/x", Redirect::Elsewhere),
            ("//other:8000/x", Redirect::Elsewhere),
            ("https://web/x", Redirect::Elsewhere),
            ("mailto:me", Redirect::Elsewhere),
            ("/x\r\nSet-Cookie: y", Redirect::Elsewhere),
        ] {
            assert_eq!(redirect(&here, location), expected, "{location}");
        }
    }
}
