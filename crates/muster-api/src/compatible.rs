//! The addresses of supervisord's interfaces, which are beside the API's own: entries of the same kind, with the right that
//! each needs.

use crate::endpoint::{Endpoint, LOOK, Method};
use crate::right::Right;

/// An interface of supervisord.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compatible {
    /// XML-RPC. The right is that for a call; a method may need more.
    Rpc,
    /// A log, followed as text.
    Log,
    /// The web page. A form with an action needs the right to control.
    Page,
}

impl Compatible {
    /// Whether a path belongs to it. XML-RPC and logs have every path that begins with theirs, as there.
    fn has(self, path: &str) -> bool {
        match self {
            Compatible::Rpc => path.starts_with("/RPC2"),
            Compatible::Log => path.starts_with("/logtail") || path.starts_with("/mainlogtail"),
            Compatible::Page => matches!(path.trim_start_matches('/'), "" | "index.html" | "tail.html" | "ok.html"),
        }
    }
}

const TEXT: &str = "text/plain;charset=utf-8";
const HTML: &str = "text/html;charset=utf-8";
const XML: &str = "text/xml";

const LOG: Endpoint = Endpoint { media_type: TEXT, answers: &[(200, "Text")], ..LOOK };
const PAGE: Endpoint = Endpoint { media_type: HTML, answers: &[(200, "Text")], ..LOOK };

/// All addresses.
pub const COMPATIBLE: &[(Compatible, Endpoint)] = &[
    (
        Compatible::Rpc,
        Endpoint {
            operation: "callMethod",
            method: Method::Post,
            needs: Right::Read,
            path: "/RPC2",
            summary: "supervisord's XML-RPC; each method needs the right of the request that it is like",
            body: Some(("Text", true)),
            media_type: XML,
            answers: &[(200, "Text")],
            ..LOOK
        },
    ),
    (
        Compatible::Log,
        Endpoint {
            operation: "tailStdout",
            path: "/logtail/{name}",
            summary: "The end of an instance's output, and what it writes from now on",
            ..LOG
        },
    ),
    (
        Compatible::Log,
        Endpoint {
            operation: "tailMainLog",
            path: "/mainlogtail",
            summary: "The end of the daemon's log, and what it writes from now on",
            ..LOG
        },
    ),
    (
        Compatible::Page,
        Endpoint {
            operation: "showStatus",
            path: "/",
            summary: "supervisord's page: all instances, with buttons",
            ..PAGE
        },
    ),
    (Compatible::Page, Endpoint { operation: "showIndex", path: "/index.html", summary: "The same page", ..PAGE }),
    (
        Compatible::Page,
        Endpoint {
            operation: "showTail",
            path: "/tail.html",
            summary: "The end of an instance's output, as a page",
            ..PAGE
        },
    ),
    (
        Compatible::Page,
        Endpoint {
            operation: "showOk",
            path: "/ok.html",
            summary: "A word, for checks of the page",
            media_type: "text/plain",
            ..PAGE
        },
    ),
];

/// The interface that a request is for, with the right that it needs at least. `None` is the API's own.
pub fn compatible(method: &str, path: &str) -> Option<(Compatible, Right)> {
    // The page has no other methods; XML-RPC and logs refuse them themselves.
    let takes = |interface| interface != Compatible::Page || matches!(method, "GET" | "POST");
    let found = COMPATIBLE.iter().find(|(interface, _)| interface.has(path) && takes(*interface));
    found.map(|(interface, endpoint)| (*interface, endpoint.needs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Route;

    #[test]
    fn paths_belong_to_one_interface_only() {
        for (interface, endpoint) in COMPATIBLE {
            let path = endpoint.path.replace("{name}", "web:0/stderr");
            let method = endpoint.method.name();
            assert_eq!(compatible(method, &path), Some((*interface, endpoint.needs)), "{path}");
            assert!(Route::parse(method, &path).is_err(), "{path} is a route, too");
        }
        for (method, path) in
            [("GET", "/v1/info"), ("PUT", "/"), ("DELETE", "/index.html"), ("GET", "/x"), ("GET", "/rpc2")]
        {
            assert_eq!(compatible(method, path), None, "{method} {path}");
        }
        assert_eq!(compatible("GET", "/RPC2x").map(|(interface, _)| interface), Some(Compatible::Rpc));
    }
}
