//! Which requests of a browser reach the daemon.
//!
//! Every page in a browser can send requests to the loopback interface, and so can every user of this machine. So a request
//! must name this listener as its host, carry the cookie that the one-time key was exchanged for, and come from our own page.
//! Pure: knows nothing of connections.

use std::fmt::Write;
use std::sync::Mutex;

/// Maximum size of a head.
pub(super) const HEAD_MAX: usize = 32 * 1024;

const HEADERS_MAX: usize = 64;

/// The headers of a request that the daemon gets.
const FORWARDED: [&str; 6] =
    ["accept", "accept-encoding", "content-type", "if-none-match", "last-event-id", "sec-fetch-dest"];

/// The headers of an answer that the browser does not get: cookies and permissions of the daemon are not for this origin.
const WITHHELD: [&str; 6] =
    ["set-cookie", "connection", "keep-alive", "upgrade", "strict-transport-security", "www-authenticate"];

/// The types of bodies that no form of HTML can send.
const TYPES: [&str; 3] = ["application/json", "text/xml", "application/octet-stream"];

/// The keys of a listener.
pub(super) struct Gate {
    port: u16,
    /// The path of the page.
    landing: &'static str,
    /// The key in the printed address, until it is used.
    key: Mutex<Option<String>>,
    cookie: String,
}

/// A request that may reach the daemon.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) method: String,
    pub(super) path: String,
    /// Further headers, each with its line end.
    pub(super) headers: String,
    /// The length of the body.
    pub(super) length: usize,
}

/// An answer of our own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) text: String,
    /// Further headers, each with its line end.
    pub(super) headers: String,
}

impl Reply {
    pub(super) fn of(status: u16, text: &str) -> Reply {
        // It is part of the status line.
        let text = text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
        Reply { status, text, headers: String::new() }
    }
}

/// The head of an answer as the browser gets it.
pub(super) struct AnswerHead {
    pub(super) text: String,
    /// Its size as the daemon sent it.
    pub(super) size: usize,
}

/// The headers of a request, by name.
struct Headers<'a>(&'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let all = self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        all.map(|header| std::str::from_utf8(header.value).unwrap_or("\u{fffd}").trim())
    }

    /// The only one; `Err` if there are several.
    fn one(&self, name: &str) -> Result<Option<&'a str>, Reply> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (_, Some(_)) => Err(Reply::of(400, &format!("several headers {name}"))),
            (one, None) => Ok(one),
        }
    }
}

impl Gate {
    /// A gate that this key opens once, and that this cookie passes.
    pub(super) fn new(port: u16, landing: &'static str, key: &str, cookie: &str) -> Gate {
        Gate { port, landing, key: Mutex::new(Some(key.to_owned())), cookie: cookie.to_owned() }
    }

    /// The address with the key.
    pub(super) fn url(&self) -> String {
        let key = self.key.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        format!("http://127.0.0.1:{}/?key={}", self.port, key.as_deref().unwrap_or_default())
    }

    /// Cookies are shared by all ports of a host, so its name has the port.
    fn cookie_name(&self) -> String {
        format!("musterctl-web-{}", self.port)
    }

    /// Whether the request passes, or the answer to it.
    pub(super) fn judge(&self, head: &[u8]) -> Result<Passed, Reply> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(head);
        let (Ok(httparse::Status::Complete(_)), Some(method), Some(path)) = (parsed, request.method, request.path)
        else {
            return Err(Reply::of(400, "not a request of HTTP/1.1"));
        };
        let headers = Headers(request.headers);
        self.check_host(&headers)?;
        if !path.starts_with('/') || path.starts_with("//") {
            return Err(Reply::of(400, "the target of the request is not a path"));
        }
        if method == "OPTIONS" {
            return Err(Reply::of(405, "method not allowed"));
        }
        let is_read = matches!(method, "GET" | "HEAD");
        let is_page = is_read && (path == "/" || path.starts_with("/?") || path.starts_with("/ui/"));
        self.check_origin(&headers, is_page)?;
        if let Some(key) = path.strip_prefix("/?key=").filter(|_| method == "GET") {
            return Err(self.exchange(key));
        }
        if !self.has_cookie(&headers) {
            let text = "open the address that musterctl web printed; each start has a new one, and it works once";
            return Err(Reply::of(403, text));
        }
        let length = body_length(&headers)?;
        let mut forwarded = String::new();
        for name in FORWARDED {
            for value in headers.all(name) {
                let _ = write!(forwarded, "{name}: {value}\r\n");
            }
        }
        Ok(Passed { method: method.to_owned(), path: path.to_owned(), headers: forwarded, length })
    }

    /// A name that an attacker's server resolves to this machine is not ours (DNS rebinding).
    fn check_host(&self, headers: &Headers<'_>) -> Result<(), Reply> {
        let host = headers.one("host")?.unwrap_or_default();
        let is_ours = ["127.0.0.1", "localhost"].iter().any(|name| {
            host.rsplit_once(':')
                .is_some_and(|(host, port)| host.eq_ignore_ascii_case(name) && port == self.port.to_string())
        });
        if is_ours { Ok(()) } else { Err(Reply::of(421, "this is not the host of the request")) }
    }

    fn check_origin(&self, headers: &Headers<'_>, is_page: bool) -> Result<(), Reply> {
        let host = headers.one("host")?.unwrap_or_default();
        if let Some(origin) = headers.one("origin")?
            && !origin.eq_ignore_ascii_case(&format!("http://{host}"))
            && !is_page
        {
            return Err(Reply::of(403, "the request comes from another page"));
        }
        let is_navigation = is_page && headers.one("sec-fetch-mode")? == Some("navigate");
        match headers.one("sec-fetch-site")? {
            None | Some("same-origin" | "none") => Ok(()),
            Some(_) if is_navigation => Ok(()),
            Some(_) => Err(Reply::of(403, "the request comes from another page")),
        }
    }

    /// The cookie for the key, which is used up.
    fn exchange(&self, key: &str) -> Reply {
        let mut expected = self.key.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !expected.as_deref().is_some_and(|expected| is_equal(expected, key)) {
            return Reply::of(403, "the key is wrong, or was used: start musterctl web again");
        }
        *expected = None;
        let (name, cookie) = (self.cookie_name(), &self.cookie);
        let landing = self.landing;
        let headers =
            format!("location: {landing}\r\nset-cookie: {name}={cookie}; Path=/; HttpOnly; SameSite=Strict\r\n");
        Reply { status: 303, text: format!("see {landing}"), headers }
    }

    fn has_cookie(&self, headers: &Headers<'_>) -> bool {
        let name = self.cookie_name();
        let mut pairs =
            headers.all("cookie").flat_map(|all| all.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(found, value)| found == name && is_equal(value, &self.cookie))
    }
}

/// Compares in a time that depends on the lengths only.
fn is_equal(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// The length of the body, which must be of a type that no form can send.
fn body_length(headers: &Headers<'_>) -> Result<usize, Reply> {
    if headers.one("transfer-encoding")?.is_some() {
        return Err(Reply::of(411, "the body needs a length"));
    }
    let length = match headers.one("content-length")? {
        None => return Ok(0),
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        Some(_) => None,
    };
    let length: usize = length.ok_or_else(|| Reply::of(400, "the length of the body is not a number"))?;
    let kind = headers.one("content-type")?.unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if length > 0 && !TYPES.iter().any(|known| kind.eq_ignore_ascii_case(known)) {
        return Err(Reply::of(415, "the body must be application/json"));
    }
    Ok(length)
}

/// The head at the start of an answer, without the headers that the browser does not get; `None` if it is incomplete.
pub(super) fn answer_head(bytes: &[u8]) -> Result<Option<AnswerHead>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(size) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.unwrap_or(502);
    let mut text = format!("HTTP/1.1 {status} {}\r\n", response.reason.unwrap_or_default());
    for header in response.headers.iter() {
        let is_withheld = WITHHELD.iter().any(|name| header.name.eq_ignore_ascii_case(name))
            || header.name.to_ascii_lowercase().starts_with("access-control-");
        if !is_withheld {
            let _ = write!(text, "{}: {}\r\n", header.name, String::from_utf8_lossy(header.value));
        }
    }
    text.push_str("connection: close\r\n\r\n");
    Ok(Some(AnswerHead { text, size }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: &str = "cookie: a=b; musterctl-web-7=biscuit";

    fn gate() -> Gate {
        Gate::new(7, "/ui/", "one-time", "biscuit")
    }

    /// The status of a request with these headers; 200 if it passes.
    fn judged(gate: &Gate, line: &str, headers: &[&str]) -> u16 {
        let head = format!("{line} HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"));
        gate.judge(head.as_bytes()).map_or_else(|reply| reply.status, |_| 200)
    }

    #[test]
    fn only_our_own_page_with_the_cookie_reaches_the_daemon() {
        let host = "host: 127.0.0.1:7";
        for (line, headers, status) in [
            ("GET /v1/info", &[host, COOKIE][..], 200),
            ("GET /v1/info", &["host: LocalHost:7", COOKIE], 200),
            ("GET /", &[host, COOKIE], 200),
            ("GET /v1/info", &[host], 403),
            ("GET /", &[host], 403),
            ("GET /v1/info", &[host, "cookie: musterctl-web-7=biscuiT"], 403),
            ("GET /v1/info", &[host, "cookie: musterctl-web-8=biscuit"], 403),
            ("GET /v1/info", &[COOKIE], 421),
            ("GET /v1/info", &["host: evil.example:7", COOKIE], 421),
            ("GET /v1/info", &["host: 127.0.0.1:8", COOKIE], 421),
            ("GET /v1/info", &["host: 127.0.0.1", COOKIE], 421),
            ("GET /v1/info", &[host, "host: evil.example", COOKIE], 400),
            ("GET http://evil.example/", &[host, COOKIE], 400),
            ("GET //evil.example/", &[host, COOKIE], 400),
            ("POST /v1/reload", &[host, COOKIE, "origin: http://127.0.0.1:7"], 200),
            ("POST /v1/reload", &[host, COOKIE, "origin: http://127.0.0.1:8"], 403),
            ("POST /v1/reload", &[host, COOKIE, "origin: https://127.0.0.1:7"], 403),
            ("POST /v1/reload", &[host, COOKIE, "origin: null"], 403),
            ("GET /v1/info", &[host, COOKIE, "origin: http://evil.example"], 403),
            ("GET /", &[host, COOKIE, "sec-fetch-site: cross-site", "sec-fetch-mode: navigate"], 200),
            ("GET /v1/info", &[host, COOKIE, "sec-fetch-site: cross-site", "sec-fetch-mode: navigate"], 403),
            ("GET /v1/info", &[host, COOKIE, "sec-fetch-site: same-site"], 403),
            ("GET /v1/info", &[host, COOKIE, "sec-fetch-site: same-origin"], 200),
            ("OPTIONS /v1/reload", &[host, COOKIE], 405),
            ("POST /x", &[host, COOKIE, "content-length: 2", "content-type: application/json; charset=utf-8"], 200),
            ("POST /x", &[host, COOKIE, "content-length: 2", "content-type: text/plain"], 415),
            ("POST /x", &[host, COOKIE, "content-length: 2"], 415),
            ("POST /x", &[host, COOKIE, "content-length: +2", "content-type: application/json"], 400),
            ("POST /x", &[host, COOKIE, "content-length: 2", "content-length: 3"], 400),
            ("POST /x", &[host, COOKIE, "transfer-encoding: chunked"], 411),
        ] {
            assert_eq!(judged(&gate(), line, headers), status, "{line} {headers:?}");
        }
        assert_eq!(gate().judge(b"\x16\x03\x01\r\n\r\n").unwrap_err().status, 400);
    }

    #[test]
    fn the_key_is_good_for_one_cookie() {
        let gate = gate();
        let ask =
            |line: &str| gate.judge(format!("{line} HTTP/1.1\r\nhost: 127.0.0.1:7\r\n\r\n").as_bytes()).unwrap_err();
        assert_eq!(gate.url(), "http://127.0.0.1:7/?key=one-time");
        assert_eq!(ask("GET /?key=one-timf").status, 403);
        assert_eq!(ask("POST /?key=one-time").status, 403);
        let reply = ask("GET /?key=one-time");
        assert_eq!(reply.status, 303);
        assert!(reply.headers.contains("set-cookie: musterctl-web-7=biscuit; Path=/; HttpOnly; SameSite=Strict"));
        assert_eq!(ask("GET /?key=one-time").status, 403);
        assert_eq!(ask("GET /?key=").status, 403);
    }

    #[test]
    fn the_daemon_gets_no_cookie_and_sets_none() {
        let head =
            format!("GET /x?y HTTP/1.1\r\nhost: 127.0.0.1:7\r\n{COOKIE}\r\naccept: */*\r\nauthorization: x\r\n\r\n");
        let passed = gate().judge(head.as_bytes()).unwrap();
        assert_eq!((passed.path.as_str(), passed.headers.as_str()), ("/x?y", "accept: */*\r\n"));
        let answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nAccess-Control-Allow-Origin: *\r\netag: x\r\n\r\nbody";
        let head = answer_head(answer).unwrap().unwrap();
        assert_eq!(head.text, "HTTP/1.1 200 OK\r\netag: x\r\nconnection: close\r\n\r\n");
        assert_eq!(&answer[head.size..], b"body");
    }
}
