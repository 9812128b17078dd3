//! Sessions of browsers, and attacks on them.

use std::fs;
use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::harness::{Setting, wait_until};
use crate::scene::{Scene, head_of, login, read_head, status, token};

/// Sends a request on a connection of its own, and returns the head and the body of the answer.
pub(crate) fn ask(scene: &Scene, request: &str, headers: &str, body: &str) -> (String, String) {
    let mut stream = scene.tcp();
    let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
    let length = body.len();
    let text =
        format!("{request} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    // A daemon that closes the connection may do so before it has read everything.
    let _ = stream.write_all(text.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

const JSON: &str = "Content-Type: application/json\r\n";
const OWN: &str = "Origin: http://localhost\r\n";

/// Logs in as a page of ours does; the answer's head, and the cookie as a header if there is one.
fn begin(scene: &Scene, body: &Value, headers: &str) -> (String, Option<String>) {
    let (head, _) = ask(scene, "POST /v1/session", &format!("{JSON}{OWN}{headers}"), &body.to_string());
    let set = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = set.and_then(|set| set.split(';').next()).map(|pair| format!("Cookie: {pair}\r\n"));
    (head, cookie)
}

fn session_of(scene: &Scene, role: &str) -> String {
    let (head, cookie) = begin(scene, &json!({"token": token(role)}), "");
    cookie.unwrap_or_else(|| panic!("no cookie: {head}"))
}

fn described(scene: &Scene, headers: &str) -> Value {
    let (head, body) = ask(scene, "GET /v1/session", headers, "");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    serde_json::from_str(&body).expect("it is JSON")
}

#[test]
fn a_session_has_the_role_of_its_login_and_ends_with_it() {
    let scene = Scene::new();
    let _daemon = scene.listening();
    let before = described(&scene, "");
    assert_eq!(
        (&before["role"], &before["is_session"], &before["may_log_in"]),
        (&json!("health"), &json!(false), &json!(true))
    );
    let (head, cookie) = begin(&scene, &json!({"token": token("control")}), "");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "set-cookie: muster="] {
        assert!(head.contains(part), "{part}: {head}");
    }
    assert!(!head.contains("Secure") && head.contains("no-store"), "{head}");
    let cookie = cookie.expect("there is a cookie");
    let after = described(&scene, &cookie);
    assert_eq!(
        (&after["by"], &after["role"], &after["is_session"]),
        (&json!("control"), &json!("control"), &json!(true))
    );
    assert!(after["expires_at"].is_string() && after["may_log_in"] == json!(false), "{after}");
    let status_of = |request: &str, headers: &str| status(&scene.head(request, headers, ""));
    assert_eq!(status_of("GET /v1/programs", &cookie), 200);
    assert_eq!(status_of("POST /v1/programs/web/restart", &format!("{cookie}{OWN}")), 202);
    assert_eq!(status_of("POST /v1/shutdown", &format!("{cookie}{OWN}")), 403, "as far as the role goes");
    // supervisord's addresses know no sessions.
    assert_eq!(status_of("GET /index.html", &cookie), 401);
    assert_eq!(status_of("GET /logtail/web", &cookie), 401);
    // A login in the request comes before the session.
    let wrong = format!("{cookie}Authorization: Bearer wrong-wrong-wrong-wrong\r\n");
    assert_eq!(status_of("GET /v1/programs", &wrong), 401);
    assert_eq!(described(&scene, &format!("{cookie}{}", login("admin")))["by"], "admin");
    let out = scene.head("DELETE /v1/session", &format!("{cookie}{OWN}"), "");
    assert!(status(&out) == 204 && out.contains("muster=; max-age=0"), "{out}");
    assert_eq!(status_of("GET /v1/programs", &cookie), 401);
}

#[test]
fn a_wrong_login_begins_no_session_and_is_counted() {
    let scene = Scene::new();
    let daemon = scene.listening();
    for body in [json!({"token": "wrong-wrong-wrong-wrong"}), json!({"username": "admin", "password": token("admin")})]
    {
        let (head, cookie) = begin(&scene, &body, "");
        assert!(head.starts_with("HTTP/1.1 401") && cookie.is_none(), "{head}");
        assert!(head.contains("Bearer") && !head.contains("Basic"), "no question of the browser: {head}");
    }
    for body in ["", "{}", "{\"token\": 1}", "{\"token\": \"x\", \"username\": \"y\"}", "{\"tokens\": \"x\"}", "x"] {
        let (head, _) = ask(&scene, "POST /v1/session", &format!("{JSON}{OWN}"), body);
        assert!(head.starts_with("HTTP/1.1 400") && !head.contains("cookie"), "{body}: {head}");
    }
    let wrong = json!({"token": "wrong-wrong-wrong-wrong"});
    wait_until("it is throttled", || begin(&scene, &wrong, "").0.starts_with("HTTP/1.1 429"));
    // A login that was not right before waits as well, and a session goes on.
    let metrics = daemon.client.get("/metrics").body;
    assert!(metrics.contains("muster_http_login_failures_total"), "{metrics}");
}

/// Session fixation: an id comes from the daemon only, and each login gets another one.
#[test]
fn an_id_that_a_client_brings_is_never_used() {
    let scene = Scene::new();
    let _daemon = scene.listening();
    let planted = format!("Cookie: muster={}\r\n", "ab".repeat(32));
    let (_, cookie) = begin(&scene, &json!({"token": token("read")}), &planted);
    let cookie = cookie.expect("there is a cookie");
    assert_ne!(cookie, planted);
    assert_eq!(status(&scene.head("GET /v1/programs", &planted, "")), 401, "the planted id is no session");
    // Logging in again ends the session before.
    let (_, second) = begin(&scene, &json!({"token": token("read")}), &cookie);
    let second = second.expect("there is a cookie");
    assert_ne!(second, cookie);
    assert_eq!(status(&scene.head("GET /v1/programs", &cookie, "")), 401);
    assert_eq!(status(&scene.head("GET /v1/programs", &second, "")), 200);
    // Another page of this host has planted a second cookie of the name: neither counts.
    let id = second.trim_end().trim_start_matches("Cookie: ");
    for both in [format!("Cookie: muster=x; {id}\r\n"), format!("Cookie: {id}; muster=x\r\n")] {
        assert_eq!(status(&scene.head("GET /v1/programs", &both, "")), 401, "{both}");
    }
}

/// Cross-site request forgery, also by a page at another port of the same host, which has the cookie.
#[test]
fn a_session_is_of_use_to_pages_of_the_listener_only() {
    let scene = Scene::new();
    let daemon = scene.listening();
    daemon.wait_for_running("web");
    let cookie = session_of(&scene, "control");
    let pid = daemon.client.get("/v1/programs/web").json()["pid"].clone();
    let restart = |headers: &str, body: &str| {
        status(&scene.head("POST /v1/programs/web/restart?wait=5", &format!("{cookie}{headers}"), body))
    };
    for (headers, expected) in [
        ("", 401),
        ("Sec-Fetch-Site: none\r\n", 401),
        ("Sec-Fetch-Site: same-site\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Origin: http://localhost:8080\r\n", 403),
        ("Origin: https://localhost\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: http://localhost\r\nSec-Fetch-Site: same-site\r\n", 403),
    ] {
        assert_eq!(restart(headers, ""), expected, "{headers}");
    }
    let form = format!("{OWN}Content-Type: application/x-www-form-urlencoded\r\n");
    let signal = scene.head("POST /v1/programs/web/signal", &format!("{cookie}{form}"), "{\"signal\": \"KILL\"}");
    assert_eq!(status(&signal), 415, "{signal}");
    // Logging in is no request that a form of another page can make, either, and neither is logging out.
    let token = json!({"token": token("read")}).to_string();
    for headers in ["Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        let head = ask(&scene, "POST /v1/session", &format!("{JSON}{headers}"), &token).0;
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    }
    let plain =
        ask(&scene, "POST /v1/session", "Content-Type: text/plain\r\nSec-Fetch-Site: same-origin\r\n", &token).0;
    assert!(plain.starts_with("HTTP/1.1 415"), "{plain}");
    assert_eq!(status(&scene.head("DELETE /v1/session", &cookie, "")), 204, "it had no session");
    assert_eq!(described(&scene, &cookie)["is_session"], true);
    assert_eq!(daemon.client.get("/v1/programs/web").json()["pid"], pid, "nothing has happened");
    for headers in [OWN, "Sec-Fetch-Site: same-origin\r\n"] {
        assert_eq!(restart(headers, ""), 200, "{headers}");
    }
    assert_ne!(daemon.client.get("/v1/programs/web").json()["pid"], pid);
    // A command in a container is for no browser.
    let exec = scene.head("POST /v1/programs/web/exec", &format!("{}{OWN}", session_of(&scene, "admin")), "");
    assert!([400, 403, 415].contains(&status(&exec)), "{exec}");
}

#[test]
fn a_flood_of_sessions_ends_only_sessions_of_its_own_user() {
    let scene = Scene::new();
    let daemon = scene.listening();
    let calm = session_of(&scene, "control");
    let before = daemon.memory("VmRSS");
    let mut stream = scene.tcp();
    let body = json!({"token": token("read")}).to_string();
    for _ in 0..800 {
        let head = head_of(&mut stream, "POST /v1/session", &format!("{JSON}{OWN}"), &body);
        assert_eq!(status(&head), 200, "{head}");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or("0");
        let mut rest = vec![0; length.parse().expect("a number")];
        stream.read_exact(&mut rest).expect("it is the body");
    }
    let after = daemon.memory("VmRSS");
    println!("800 sessions: {before} kB before, {after} kB after");
    assert!(after < before + 4096, "{before} kB before, {after} kB after");
    assert_eq!(status(&scene.head("GET /v1/programs", &calm, "")), 200, "another user keeps its session");
}

#[test]
fn a_session_ends_with_its_token_and_its_role_is_that_of_now() {
    let scene = Scene::new();
    let lines = "listen = [\"http://127.0.0.1:PORT\"]";
    let daemon = scene.start(lines);
    let (admin, read) = (session_of(&scene, "admin"), session_of(&scene, "read"));
    let mut follower = scene.tcp();
    let events = head_of(&mut follower, "GET /v1/events", &read, "");
    assert_eq!(status(&events), 200, "{events}");
    // A new token before the old one: the sessions of the old one go on until it is gone.
    let file = scene.place.path().join("read");
    let other = "another-token-of-read";
    let is_known =
        |token: &str| status(&scene.head("GET /v1/info", &format!("Authorization: Bearer {token}\r\n"), "")) == 200;
    fs::write(&file, format!("{other}\n{}", token("read"))).expect("it is ours");
    wait_until("the new token counts", || is_known(other));
    assert_eq!(described(&scene, &read)["is_session"], true);
    fs::write(&file, other).expect("it is ours");
    wait_until("the session is over", || described(&scene, &read)["is_session"] == false);
    wait_until("its stream is over", || !matches!(follower.read(&mut [0; 4096]), Ok(1..)));
    // The other user gets another role: its session has that from the next request on, and its login is still right.
    let user = |role: &str, is: &str| {
        let file = scene.place.path().join(role).display().to_string();
        format!("user.{role} = {{ role = \"{is}\", token_file = \"{file}\" }}\n")
    };
    let listener = lines.replace("PORT", &scene.port.to_string());
    let programs = "[program.web]\ncommand = \"sleep 1000\"\nstdin = \"pipe\"\n";
    let users = format!("{}{}", user("admin", "read"), user("read", "read"));
    daemon.rewrite(&Setting::supervising(programs).http(&format!("{listener}\n{users}")));
    assert_eq!(daemon.client.post("/v1/config/reload").status, 200);
    let session = described(&scene, &admin);
    assert_eq!((&session["role"], &session["is_session"]), (&json!("read"), &json!(true)));
    // Without the user there is no session.
    daemon.rewrite(&Setting::supervising(programs).http(&format!("{listener}\n{}", user("read", "read"))));
    assert_eq!(daemon.client.post("/v1/config/reload").status, 200);
    assert_eq!(described(&scene, &admin)["is_session"], false);
}

#[test]
fn logging_out_ends_the_streams_of_the_session() {
    let scene = Scene::new();
    let _daemon = scene.listening();
    let (one, other) = (session_of(&scene, "read"), session_of(&scene, "read"));
    let follow = |cookie: &str| {
        let mut stream = scene.tcp();
        assert_eq!(status(&head_of(&mut stream, "GET /v1/events", cookie, "")), 200);
        stream
    };
    let (mut of_one, mut of_other) = (follow(&one), follow(&other));
    assert_eq!(status(&scene.head("DELETE /v1/session", &format!("{one}{OWN}"), "")), 204);
    wait_until("its stream is over", || !matches!(of_one.read(&mut [0; 4096]), Ok(1..)));
    assert_eq!(described(&scene, &other)["is_session"], true);
    // The other one goes on: a change of state reaches it.
    assert_eq!(status(&scene.head("POST /v1/programs/web/restart?wait=5", &login("control"), "")), 200);
    let mut text = Vec::new();
    wait_until("it hears of a restart", || {
        let mut piece = [0; 4096];
        let count = of_other.read(&mut piece).expect("it is open");
        text.extend_from_slice(&piece[..count]);
        String::from_utf8_lossy(&text).contains("STOPPING")
    });
}

/// A login of a supervisord configuration: its password begins a session for our page, which has the right to control.
#[test]
fn the_password_of_a_supervisord_configuration_begins_a_session() {
    let port = crate::harness::free_port();
    let place = tempfile::tempdir().expect("a temporary directory");
    let scene = Scene { place, port };
    let server = format!("[inet_http_server]\nport=127.0.0.1:{port}\nusername=u\npassword=the-password\n");
    let daemon = Setting::supervisord(format!("{server}[program:cat]\ncommand=cat\n")).start();
    wait_until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    // The root is supervisord's page and asks for the password; ours is beside it and does not.
    let root = scene.head("GET /", "", "");
    assert!(status(&root) == 401 && root.contains("basic"), "{root}");
    let (head, page) = ask(&scene, "GET /ui/", "", "");
    assert!(head.starts_with("HTTP/1.1 200") && page.contains("/ui/app.js"), "{head}");
    let fetched = scene.head("GET /v1/programs", "Sec-Fetch-Dest: empty\r\nSec-Fetch-Site: same-origin\r\n", "");
    assert!(status(&fetched) == 401 && !fetched.contains("basic"), "no question of the browser: {fetched}");
    let (_, cookie) = begin(&scene, &json!({"username": "u", "password": "the-password"}), "");
    let cookie = cookie.expect("there is a cookie");
    assert_eq!(described(&scene, &cookie)["role"], "control");
    assert_eq!(status(&scene.head("GET /v1/programs", &cookie, "")), 200);
    assert_eq!(status(&scene.head("POST /RPC2", &format!("{cookie}Origin: http://localhost\r\n"), "")), 401);
    assert!(begin(&scene, &json!({"username": "u", "password": "another"}), "").1.is_none());
    drop(daemon);
}

#[test]
fn odd_cookies_are_no_sessions() {
    let scene = Scene::new();
    let _daemon = scene.listening();
    for cookie in ["muster=", "muster", "=", ";;;", "muster=%00", "MUSTER=a", "muster =a", "\u{e9}=\u{e9}"] {
        let head = scene.head("GET /v1/programs", &format!("Cookie: {cookie}\r\n"), "");
        assert_eq!(status(&head), 401, "{cookie}: {head}");
    }
    let mut stream = scene.tcp();
    let huge = format!("GET /v1/session HTTP/1.1\r\nHost: localhost\r\nCookie: muster={}\r\n\r\n", "a".repeat(40_000));
    let _ = stream.write_all(huge.as_bytes());
    assert_eq!(status(&read_head(&mut stream)), 431);
}
