//! Answers of a server that are no version of a configuration.

use super::server::{head, ok, program};

/// An answer, the state of the source after it, and words of the reason.
pub(crate) struct Trouble {
    pub(crate) what: &'static str,
    pub(crate) answer: Vec<u8>,
    pub(crate) state: &'static str,
    pub(crate) words: &'static str,
}

pub(crate) fn troubles() -> Vec<Trouble> {
    let big = "#".repeat(2 << 20);
    let cut = "Content-Length: 500\r\n".to_owned();
    let wrong = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\u{0}".to_owned().replace('\u{0}', "x");
    let latin = "Content-Type: text/plain; charset=latin1\r\nContent-Length: 0\r\n";
    [
        ("500", head("500 Oops", "Content-Length: 0\r\n", ""), "unreachable", "500"),
        ("404", head("404 No", "Content-Length: 0\r\n", ""), "unreachable", "404"),
        ("401", head("401 No", "Content-Length: 0\r\n", ""), "unreachable", "401"),
        ("truncated", head("200 OK", &cut, "[program.x]"), "unreachable", "before it was complete"),
        ("2 MiB", ok(&big), "unreachable", "larger than 1024 KiB"),
        ("redirect", head("302 Go", "Location: ftp://x/\r\nContent-Length: 0\r\n", ""), "unreachable", "no address"),
        ("circle", head("302 Go", "Location: /fleet.toml\r\nContent-Length: 0\r\n", ""), "unreachable", "redirects"),
        ("garbage", b"\x16\x03\x01 what?".to_vec(), "unreachable", ""),
        ("cut short", wrong.into_bytes(), "unreachable", "before it was complete"),
        ("charset", head("200 OK", latin, ""), "unreachable", "UTF-8"),
        ("empty", ok(""), "refused", "no programs"),
        ("bad TOML", ok("[program.web\ncommand"), "refused", "error"),
        ("a mistake", ok("[program.web]\ncommand = \"x\"\nstopwaitsecs = -1\n"), "refused", "1 error"),
        ("include", ok(&format!("include = [\"/etc/x\"]\n{}", program("web"))), "refused", "1 error"),
        ("http", ok(&format!("[http]\nsocket = \"/tmp/x\"\n{}", program("web"))), "refused", "1 error"),
    ]
    .map(|(what, answer, state, words)| Trouble { what, answer, state, words })
    .into()
}
