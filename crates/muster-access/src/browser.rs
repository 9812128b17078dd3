//! The rules for requests of web pages. A browser sends requests in its user's name for every page that asks it to, and reaches loopback
//! addresses; so a request over TCP must name this host, and one that comes from a page must come from ours.

use std::net::IpAddr;

/// The headers of a request that tell where it comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Provenance<'r> {
    /// The method.
    pub method: &'r str,
    /// The path, without the query.
    pub path: &'r str,
    /// All `Host` headers.
    pub hosts: &'r [&'r [u8]],
    /// The host and port of a target in absolute form.
    pub authority: Option<&'r str>,
    /// `Origin`.
    pub origin: Option<&'r [u8]>,
    /// `Sec-Fetch-Site`.
    pub site: Option<&'r [u8]>,
    /// `Sec-Fetch-Mode`.
    pub mode: Option<&'r [u8]>,
    /// Whether it has a cookie.
    pub has_cookie: bool,
    /// `Content-Type`, if it has a body.
    pub content_type: Option<&'r [u8]>,
    /// Whether it has a body.
    pub has_body: bool,
}

/// Names of this host, and the origins that may read responses.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The name of the machine.
    pub own: String,
    /// Other names; `*.` in front is for all below.
    pub hosts: Vec<String>,
    /// Origins besides our own.
    pub origins: Vec<String>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It names another host: 421.
    Host,
    /// It comes from a page of another origin: 403.
    Origin,
    /// Its body has a type that a form can send: 415.
    ContentType,
}

/// Checks that a request names this host.
pub fn check_host(request: &Provenance<'_>, names: &Names) -> Result<(), Foreign> {
    let [host] = request.hosts else { return Err(Foreign::Host) };
    let host = str::from_utf8(host).map_err(|_| Foreign::Host)?;
    if request.authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(host)) {
        return Err(Foreign::Host);
    }
    let (name, _) = split(host).ok_or(Foreign::Host)?;
    if names.include(&name) { Ok(()) } else { Err(Foreign::Host) }
}

/// Checks that a request comes from no page, or from one of ours.
pub fn check_origin(request: &Provenance<'_>, scheme: &str, names: &Names) -> Result<(), Foreign> {
    let is_read = matches!(request.method, "GET" | "HEAD");
    let is_page = is_read && (request.path == "/" || request.path.starts_with("/ui/"));
    let is_top = is_read && matches!(request.path, "/" | "/ui/");
    if let Some(origin) = request.origin {
        let origin = str::from_utf8(origin).map_err(|_| Foreign::Origin)?;
        let is_own = is_own_origin(origin.as_bytes(), request, scheme);
        let is_allowed = names.allow(origin);
        if origin == "null" || !(is_own || is_allowed || is_page) {
            return Err(Foreign::Origin);
        }
        if is_allowed {
            return check_type(request);
        }
    }
    let is_elsewhere = matches!(request.site, Some(b"cross-site" | b"same-site"));
    let is_navigation = is_top && request.mode == Some(b"navigate");
    if is_elsewhere && !is_navigation {
        return Err(Foreign::Origin);
    }
    check_type(request)
}

/// Whether a request of a session comes from a page of ours: cookies are also sent for pages at other ports of this host. Browsers
/// that do not say where a request comes from may only read.
pub fn is_of_own_page(request: &Provenance<'_>, scheme: &str) -> bool {
    let is_read = matches!(request.method, "GET" | "HEAD");
    match (request.origin.map(|origin| is_own_origin(origin, request, scheme)), request.site) {
        (Some(false), _) => false,
        (is_own, Some(site)) => site == b"same-origin" || (site == b"none" && (is_read || is_own.is_some())),
        (Some(true), None) => true,
        (None, None) => is_read,
    }
}

/// Whether an origin is the address that the request was sent to.
fn is_own_origin(origin: &[u8], request: &Provenance<'_>, scheme: &str) -> bool {
    let host = request.hosts.first().and_then(|host| str::from_utf8(host).ok());
    host.is_some_and(|host| origin.eq_ignore_ascii_case(format!("{scheme}://{host}").as_bytes()))
}

/// A browser must send a type that no form can.
fn check_type(request: &Provenance<'_>) -> Result<(), Foreign> {
    let is_browser = request.origin.is_some() || request.site.is_some() || request.has_cookie;
    if !is_browser || !request.has_body {
        return Ok(());
    }
    let wanted: &[u8] = if request.path.starts_with("/RPC2") { b"text/xml" } else { b"application/json" };
    let sent = request.content_type.unwrap_or_default();
    let bare = sent.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if bare.eq_ignore_ascii_case(wanted) { Ok(()) } else { Err(Foreign::ContentType) }
}

impl Names {
    /// Whether pages of this origin may read answers. `null` is the origin of any page that hides its own.
    pub(crate) fn allow(&self, origin: &str) -> bool {
        origin != "null" && self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }

    /// Whether this is a name of the host. Numbers are, since no page can have one as its name.
    fn include(&self, name: &str) -> bool {
        let is_below = |name: &str, above: &str| {
            name.len() > above.len() && name.ends_with(above) && name.as_bytes()[name.len() - above.len() - 1] == b'.'
        };
        name.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || is_below(name, "localhost")
            || (!self.own.is_empty() && name == self.own)
            || self.hosts.iter().any(|host| match host.strip_prefix("*.") {
                Some(above) => is_below(name, above),
                None => host == name,
            })
    }
}

/// Splits `host[:port]`; the name is in small letters, without a last dot and without brackets.
fn split(host: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (number, rest) = rest.split_once(']')?;
            number.parse::<std::net::Ipv6Addr>().ok()?;
            (number, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    if name.is_empty() || !is_name || port.is_some_and(|port| port.starts_with('+')) {
        return None;
    }
    let port = port.map(|port| port.parse().ok()).map_or(Some(None), |port: Option<u16>| port.map(Some))?;
    Some((name.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            own: "shop".to_owned(),
            hosts: vec!["shop.example.org".to_owned(), "*.cluster.local".to_owned()],
            origins: vec!["https://ops.example.org".to_owned()],
        }
    }

    #[test]
    fn a_request_must_name_this_host() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9001",
            "[::1]:9001",
            "[::1]",
            "10.1.2.3",
            "localhost",
            "LOCALHOST:1",
            "a.localhost",
            "shop",
            "shop:9001",
            "shop.",
            "shop.example.org",
            "x.cluster.local",
        ] {
            let request = Provenance { hosts: &[host.as_bytes()], ..Provenance::default() };
            assert_eq!(check_host(&request, &names()), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9001",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "shop.evil",
            "",
            ":80",
            "cluster.local",
            "xcluster.local",
            "a b",
            "127.0.0.1:x",
            "127.0.0.1:99999",
            "[::1",
            "[x]:1",
            "u@127.0.0.1",
            "127.0.0.1/",
            "::1",
        ] {
            let request = Provenance { hosts: &[host.as_bytes()], ..Provenance::default() };
            let allowed = host == "::1" && check_host(&request, &names()).is_err();
            assert!(allowed || check_host(&request, &names()) == Err(Foreign::Host), "{host}");
        }
        let of = |hosts: &[&[u8]], authority| {
            check_host(&Provenance { hosts, authority, ..Provenance::default() }, &names())
        };
        assert_eq!(of(&[], None), Err(Foreign::Host), "none");
        assert_eq!(of(&[b"shop", b"evil"], None), Err(Foreign::Host), "two");
        assert_eq!(of(&[b"\xff"], None), Err(Foreign::Host));
        assert_eq!(of(&[b"shop"], Some("shop")), Ok(()));
        assert_eq!(of(&[b"shop"], Some("evil")), Err(Foreign::Host), "the target says otherwise");
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let check = |method, path, origin: Option<&str>, site: Option<&str>, mode: Option<&str>| {
            let request = Provenance {
                method,
                path,
                hosts: &[b"shop:9001"],
                origin: origin.map(str::as_bytes),
                site: site.map(str::as_bytes),
                mode: mode.map(str::as_bytes),
                ..Provenance::default()
            };
            check_origin(&request, "http", &names())
        };
        assert_eq!(check("POST", "/v1/x", None, None, None), Ok(()), "no browser");
        assert_eq!(check("POST", "/v1/x", Some("http://shop:9001"), Some("same-origin"), None), Ok(()));
        assert_eq!(check("POST", "/v1/x", Some("https://ops.example.org"), Some("cross-site"), None), Ok(()));
        assert_eq!(check("GET", "/", None, Some("cross-site"), Some("navigate")), Ok(()));
        assert_eq!(check("GET", "/ui/", None, Some("cross-site"), Some("navigate")), Ok(()));
        assert_eq!(check("GET", "/ui/app.js", None, Some("cross-site"), Some("no-cors")), Err(Foreign::Origin));
        assert_eq!(check("GET", "/ui/app.js", Some("http://evil"), None, None), Ok(()));
        for origin in ["http://evil", "https://shop:9001", "http://shop", "http://shop:9002", "null", ""] {
            assert_eq!(check("POST", "/v1/x", Some(origin), None, None), Err(Foreign::Origin), "{origin}");
            assert_eq!(check("GET", "/v1/x", Some(origin), None, None), Err(Foreign::Origin), "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert_eq!(check("GET", "/v1/x", None, Some(site), Some("navigate")), Err(Foreign::Origin), "{site}");
            assert_eq!(check("POST", "/", None, Some(site), Some("navigate")), Err(Foreign::Origin), "{site}");
        }
        assert_eq!(check("GET", "/v1/x", None, Some("none"), None), Ok(()), "typed by the user");
    }

    #[test]
    fn a_session_is_used_by_pages_of_ours() {
        let is_own = |method, origin: Option<&str>, site: Option<&str>| {
            let (origin, site) = (origin.map(str::as_bytes), site.map(str::as_bytes));
            let request = Provenance { method, hosts: &[b"shop:9001"], origin, site, ..Provenance::default() };
            is_of_own_page(&request, "http")
        };
        let own = Some("http://shop:9001");
        for (method, origin, site) in [
            ("GET", None, None),
            ("GET", None, Some("same-origin")),
            ("HEAD", None, Some("none")),
            ("POST", own, None),
            ("POST", own, Some("same-origin")),
            ("DELETE", None, Some("same-origin")),
        ] {
            assert!(is_own(method, origin, site), "{method} {origin:?} {site:?}");
        }
        for (method, origin, site) in [
            ("POST", None, None),
            ("DELETE", None, Some("none")),
            ("GET", Some("http://shop:9002"), None),
            ("GET", None, Some("same-site")),
            ("GET", None, Some("cross-site")),
            ("POST", own, Some("same-site")),
            ("POST", Some("https://shop:9001"), Some("same-origin")),
            ("POST", Some("null"), None),
        ] {
            assert!(!is_own(method, origin, site), "{method} {origin:?} {site:?}");
        }
    }

    #[test]
    fn a_browser_sends_a_type_that_no_form_can() {
        let check = |path, is_browser: bool, content_type: Option<&str>| {
            let request = Provenance {
                method: "POST",
                path,
                hosts: &[b"shop"],
                origin: is_browser.then_some(b"http://shop"),
                has_body: true,
                content_type: content_type.map(str::as_bytes),
                ..Provenance::default()
            };
            check_origin(&request, "http", &names())
        };
        assert_eq!(check("/v1/x", false, Some("application/x-www-form-urlencoded")), Ok(()), "curl -d");
        assert_eq!(check("/v1/x", true, Some("application/json; charset=utf-8")), Ok(()));
        assert_eq!(check("/RPC2", true, Some("text/xml")), Ok(()));
        for (path, sent) in
            [("/v1/x", Some("text/plain")), ("/v1/x", None), ("/v1/x", Some("text/xml")), ("/RPC2", Some("text/plain"))]
        {
            assert_eq!(check(path, true, sent), Err(Foreign::ContentType), "{path} {sent:?}");
        }
    }
}
