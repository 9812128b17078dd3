//! The page over the daemon of constants. Messages are those of supervisord 4.2.5 in the same situation.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::methods::tests::{Fake, fake};
use crate::status::DaemonState;

const NOON: i64 = 1_795_953_600;

fn visit(daemon: &Fake, path: &str, host: Option<&str>) -> Reply {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let form = Form::read(query, b"");
    let answering = pin!(answer(daemon, View::at(path).expect("there is a page"), &form, (host, NOON)));
    match answering.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(reply) => reply,
        Poll::Pending => panic!("{path} waits"),
    }
}

#[track_caller]
fn moved(daemon: &Fake, query: &str, message: &str) {
    let expected = Reply::Moved(format!("http://h:1/?message={message}"));
    assert_eq!(visit(daemon, &format!("/?{query}"), Some("h:1")), expected, "{query}");
}

#[test]
fn actions_lead_to_the_original_s_messages() {
    let daemon = fake();
    moved(&daemon, "action=refresh", "Page%20refreshed%20at%20Sun%20Nov%2029%2012%3A00%3A00%202026");
    moved(&daemon, "action=start&processname=db", "Process%20db%20started");
    moved(&daemon, "action=start&processname=site:web", "ERROR%3A%20Process%20site%3Aweb%3A%20already%20started");
    moved(&daemon, "action=start&processname=off", "ERROR%3A%20Process%20off%3A%20no%20such%20file");
    moved(&daemon, "action=stop&processname=site:web", "Process%20site%3Aweb%20stopped");
    moved(&daemon, "action=stop&processname=db", "unexpected%20rpc%20fault%20%5B70%5D%20NOT_RUNNING%3A%20db");
    moved(&daemon, "action=restart&processname=db", "Process%20db%20restarted");
    moved(&daemon, "action=clearlog&processname=db", "Log%20for%20db%20cleared");
    for name in ["nosuch", "site", "site:", "site:*"] {
        let quoted = form::quoted(name);
        moved(&daemon, &format!("action=stop&processname={name}"), &format!("No%20such%20process%20named%20{quoted}"));
    }
    daemon.done.borrow_mut().clear();
    moved(&daemon, "action=stopall", "All%20stopped%20at%20Sun%20Nov%2029%2012%3A00%3A00%202026");
    moved(&daemon, "action=restartall", "All%20restarted%20at%20Sun%20Nov%2029%2012%3A00%3A00%202026");
    let done = daemon.done.borrow();
    assert!(done.contains(&"stop site:web true".to_owned()) && done.contains(&"start db true".to_owned()), "{done:?}");
}

#[test]
fn an_unknown_action_is_a_bad_request() {
    for query in ["action=bogus", "action=start", "action=bogus&processname=db", "action=Stop&processname=db"] {
        assert_eq!(visit(&fake(), &format!("/?{query}"), None), Reply::BadRequest, "{query}");
    }
    assert!(matches!(visit(&fake(), "/?action=&processname=db", None), Reply::Html(_)));
}

#[test]
fn a_shutdown_refuses_actions() {
    let daemon = Fake { state: DaemonState::Shutdown, ..fake() };
    let fault = "unexpected%20rpc%20fault%20%5B6%5D%20SHUTDOWN_STATE";
    moved(&daemon, "action=start&processname=db", &format!("ERROR%3A%20Process%20db%3A%20{fault}"));
    moved(&daemon, "action=stopall", fault);
    assert!(daemon.done.borrow().is_empty());
}

#[test]
fn the_location_names_no_place_that_is_none() {
    for (host, expected) in [
        (Some("h:80"), "http://h/?message="),
        (Some("[::1]:9001"), "http://[::1]:9001/?message="),
        (Some("evil/x"), "/?message="),
        (Some("a b"), "/?message="),
        (Some(""), "/?message="),
        (None, "/?message="),
    ] {
        let Reply::Moved(location) = visit(&fake(), "/?action=stop&processname=x", host) else { panic!("{host:?}") };
        assert!(location.starts_with(expected), "{location}");
    }
}

#[test]
fn pages_show_processes_and_logs() {
    let Reply::Html(page) = visit(&fake(), "//index.html", None) else { panic!("it is a page") };
    for part in [
        "<title>Supervisor Status</title>",
        "<span class=\"statusrunning\">running</span>",
        "<a href=\"tail.html?processname=site%3Aweb\">site:web</a>",
        "<input type=\"hidden\" name=\"processname\" value=\"db\"><button name=\"action\" value=\"start\">",
        "<a href=\"logtail/site%3Aweb/stderr\">",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("value=\"late\"><button name=\"action\" value=\"start\""), "{page}");
    let text = |path: &str| match visit(&fake(), path, None) {
        Reply::Html(page) => page,
        other => panic!("{other:?}"),
    };
    assert!(text("/tail.html?processname=db").contains("<pre>\ngr\u{fc}\u{df}e\n</pre>"));
    assert!(text("/tail.html?processname=db").contains("tail.html?processname=db&amp;limit=1024"));
    assert!(text("/tail.html").contains("<pre>\nNo process name found</pre>"));
    assert!(
        text("/tail.html?processname=x").contains("<pre>\nERROR: unexpected rpc fault [10] BAD_NAME: x</pre>"),
        "{}",
        text("/tail.html?processname=x")
    );
    assert_eq!(visit(&fake(), "/ok.html", None), Reply::Plain("OK"));
    assert_eq!(View::at("/nosuch"), None);
}

#[test]
fn hostile_text_stays_text() {
    let evil = "<script>alert(1)</script>\"'&\u{202e}\x1b[2J\0";
    let quoted = form::quoted(evil);
    for path in [format!("/?message={quoted}"), format!("/tail.html?processname={quoted}&limit={quoted}")] {
        let Reply::Html(page) = visit(&fake(), &path, None) else { panic!("{path}") };
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"), "{page}");
        for forbidden in ["<script", "\u{202e}", "\x1b", "\0"] {
            assert!(!page.contains(forbidden), "{forbidden:?}: {page}");
        }
    }
}
