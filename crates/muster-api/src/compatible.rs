//! The addresses of supervisord's interfaces, which are beside the API's own: entries of the same kind, with the right that
//! each needs. `/` is shared: see [`compatible`].

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
pub(crate) const HTML: &str = "text/html;charset=utf-8";
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
            path: "/index.html",
            summary: "supervisord's page: all instances, with buttons",
            ..PAGE
        },
    ),
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

/// The interface that a request is for, with the right that it needs at least. `None` is the API's own. `is_supervisords` is
/// whether the listener belongs to a configuration of supervisord: elsewhere `/` is our own page, unless the request is one of
/// supervisord's forms or has its parameters.
pub fn compatible(method: &str, target: &str, is_supervisords: bool) -> Option<(Compatible, Right)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // The page has no other methods; XML-RPC and logs refuse them themselves.
    let takes = |interface| match interface {
        Compatible::Page if path == "/" && !is_supervisords => method == "POST" || method == "GET" && is_form(query),
        Compatible::Page => matches!(method, "GET" | "POST"),
        _ => true,
    };
    let found = COMPATIBLE.iter().find(|(interface, _)| interface.has(path) && takes(*interface));
    found.map(|(interface, endpoint)| (*interface, endpoint.needs))
}

/// Whether a query is one of supervisord's page.
fn is_form(query: &str) -> bool {
    let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
    names.any(|name| ["action", "processname", "message"].contains(&name))
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
            assert_eq!(compatible(method, &path, false), Some((*interface, endpoint.needs)), "{path}");
            assert!(Route::parse(method, &path).is_err(), "{path} is a route, too");
        }
        for (method, path) in
            [("GET", "/v1/info"), ("PUT", "/"), ("DELETE", "/index.html"), ("GET", "/x"), ("GET", "/rpc2")]
        {
            assert_eq!(compatible(method, path, true), None, "{method} {path}");
        }
        assert_eq!(compatible("GET", "/RPC2x", false).map(|(interface, _)| interface), Some(Compatible::Rpc));
    }

    #[test]
    fn the_root_is_supervisords_where_its_configuration_is_and_for_its_forms() {
        let is_supervisords = |method, target, listener| {
            compatible(method, target, listener).is_some_and(|(interface, _)| interface == Compatible::Page)
        };
        for target in ["/", "/?x=1", "/?actions=1", "/?x=action"] {
            assert!(is_supervisords("GET", target, true), "{target}");
            assert!(!is_supervisords("GET", target, false), "{target}");
            assert!(Route::parse("GET", target).is_ok(), "{target}");
        }
        for target in ["/?action=stop&processname=web", "/?message=x", "/?x&processname=y", "/index.html", "//"] {
            assert!(is_supervisords("GET", target, true) && is_supervisords("GET", target, false), "{target}");
        }
        assert!(is_supervisords("POST", "/", false) && !is_supervisords("HEAD", "/", false));
    }
}
