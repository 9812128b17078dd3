//! `musterctl web`, and passwords on a terminal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use crate::harness::{self, Terminal, in_front_of};
use crate::{Far, PROGRAMS, Running, elsewhere};

/// One request to the local page: the status, and the whole answer.
fn request(port: u16, line: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let head = format!("{line} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("it is HTTP");
    (status, answer)
}

#[test]
fn a_browser_reaches_the_daemon_through_the_command_with_the_printed_key() {
    let far = Far::started(PROGRAMS);
    let mut child = far.command(&["web", "--no-open"]).stdout(Stdio::piped()).spawn().map(Running).expect("it starts");
    let mut url = String::new();
    BufReader::new(child.stdout.take().expect("it was asked for")).read_line(&mut url).expect("it is text");
    let (port, key) =
        url.trim().strip_prefix("http://127.0.0.1:").and_then(|rest| rest.split_once("/?key=")).expect("an address");
    let port: u16 = port.parse().expect("it is a port");

    assert_eq!(request(port, "GET /v1/info", "").0, 403);
    let (status, answer) = request(port, &format!("GET /?key={key}"), "");
    assert_eq!(status, 303, "{answer}");
    let cookie =
        answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next()).expect("a cookie");
    assert_eq!(request(port, &format!("GET /?key={key}"), "").0, 403, "the key works once");
    let cookie = format!("cookie: {cookie}\r\n");
    let (status, answer) = request(port, "GET /v1/programs/web", &cookie);
    assert!(status == 200 && answer.contains("\"RUNNING\""), "{answer}");
    assert_eq!(request(port, "POST /v1/programs/idle/start?wait=10", &cookie).0, 200);
    assert_eq!(far.daemon.state("idle"), "RUNNING");
    let evil = format!("{cookie}origin: http://evil.example\r\n");
    assert_eq!(request(port, "POST /v1/programs/idle/stop", &evil).0, 403);
    assert_eq!(far.daemon.state("idle"), "RUNNING");
    assert_eq!(request(port, "GET /v1/nothing", &cookie).0, 404);
    // The page is the daemon's, with its policy, and its script works with the rights of the command's user.
    let (_, page) = request(port, "GET /", &cookie);
    assert!(page.contains("/ui/app.js") && page.contains("content-security-policy: default-src 'none'"), "{page}");
    assert_eq!(request(port, "GET /ui/app.js", &format!("{cookie}accept-encoding: identity\r\n")).0, 200);
    let (_, session) = request(port, "GET /v1/session", &cookie);
    assert!(session.contains("\"role\":\"admin\"") && session.contains("\"may_log_in\":false"), "{session}");

    // Followed events end with the browser, and everything with musterctl.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let head = format!("GET /v1/events HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{cookie}\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut events = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with("data:") {
        line.clear();
        assert!(events.read_line(&mut line).expect("it is text") > 0);
    }
    assert_eq!(far.starts(), 1, "all requests go through one command");
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    far.assert_no_process_is_left();
}

#[test]
fn a_password_is_asked_for_on_a_terminal_and_not_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let port = listener.local_addr().expect("it listens").port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("musterctl connects");
        let mut head = String::new();
        let mut lines = BufReader::new(stream.try_clone().expect("a descriptor is available"));
        while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).expect("it is text") > 0 {}
        let body = r#"{"title":"no such user","status":401}"#;
        let answer = format!("HTTP/1.1 401 X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).expect("it reads");
        head
    });
    let (mut terminal, device) = Terminal::open(None);
    let mut command = elsewhere();
    command.args(["-s", &format!("http://127.0.0.1:{port}"), "--user", "me", "version"]);
    let mut command = in_front_of(&device, &["--wait"], &command);
    let mut child = command.env("MUSTER_SOCKET", "").spawn().map(Running).expect("it starts");
    terminal.shows(&format!("Password of me at http://127.0.0.1:{port}: "));
    terminal.type_in("sekret\x7f\x7fret\r");
    let status = harness::wait_for("musterctl ends", || child.try_wait().expect("it is a child"));
    assert_eq!(status.code(), Some(5), "{}", terminal.text());
    let head = server.join().expect("it answered");
    // "me:sekrret": two keys were erased.
    assert!(head.contains("\r\nauthorization: Basic bWU6c2VrcnJldA==\r\n"), "{head}");
    assert!(!terminal.text().contains("sek"), "{}", terminal.text());
    // Interrupted, it restores the echo, and SIGINT ends it.
    let mut command = elsewhere();
    command.args(["-s", &format!("http://127.0.0.1:{port}"), "--user", "me", "version"]);
    let mut command = in_front_of(&device, &["--wait"], &command);
    let mut child = command.env("MUSTER_SOCKET", "").spawn().map(Running).expect("it starts");
    terminal.shows("Password of me");
    terminal.type_in("\x03");
    let status = harness::wait_for("musterctl ends", || child.try_wait().expect("it is a child"));
    assert_eq!(status.signal(), Some(2), "{status:?}");
    let flags = nix::sys::termios::tcgetattr(&device).expect("it is a terminal").local_flags;
    assert!(flags.contains(nix::sys::termios::LocalFlags::ECHO));
}
