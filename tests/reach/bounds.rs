//! The bounds of each listener, each with an attack on it.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{Daemon, wait_until};
use crate::scene::{Scene, head_of, is_closed, login, read_head, status};

/// A connection that is logged in and waits.
fn known(scene: &Scene) -> TcpStream {
    let mut stream = scene.tcp();
    let head = head_of(&mut stream, "HEAD /v1/info", &login("read"), "");
    assert_eq!(status(&head), 200, "{head}");
    stream
}

fn still_answers(stream: &mut TcpStream) -> bool {
    status(&head_of(stream, "HEAD /v1/info", &login("read"), "")) == 200
}

#[test]
fn clients_that_have_not_logged_in_take_connections_from_each_other_only() {
    let scene = Scene::new();
    let _daemon = scene.start("listen = [{ address = \"http://127.0.0.1:PORT\", connections = 16 }]");
    let mut users: Vec<TcpStream> = (0..12).map(|_| known(&scene)).collect();
    let mut silent: Vec<TcpStream> = (0..40).map(|_| scene.tcp()).collect();
    // A fourth of 16 is left of them, the newest. A client that asks without a login is one of them.
    assert_eq!(status(&head_of(&mut silent[39], "GET /livez", "", "")), 200);
    for (number, stream) in silent.iter_mut().enumerate().take(36) {
        assert!(is_closed(stream), "{number}");
    }
    for user in &mut users {
        assert!(still_answers(user), "a client that has logged in is not closed");
    }
    assert!(still_answers(&mut known(&scene)), "and another one can come");
}

#[test]
fn a_connection_has_a_thousand_requests() {
    let scene = Scene::new();
    let daemon = scene.listening();
    let mut stream = daemon.client.connect().expect("it listens");
    let one = "HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut writing = stream.try_clone().expect("it can be copied");
    let sender = std::thread::spawn(move || {
        // The daemon closes the connection before it has read the last one.
        let _ = writing.write_all(one.repeat(1001).as_bytes());
    });
    for number in 1..=1000 {
        let head = read_head(&mut stream);
        assert_eq!(status(&head), 200, "{number}: {head}");
        assert_eq!(head.contains("connection: close"), number == 1000, "{number}: {head}");
    }
    assert!(is_closed(&mut stream));
    sender.join().expect("it only writes");
}

#[test]
fn followers_on_tcp_are_few_and_take_none_of_this_machine() {
    let scene = Scene::new();
    let daemon = scene.listening();
    let follow = |role: &str, path: &str| {
        let mut stream = scene.tcp();
        let head = head_of(&mut stream, &format!("GET {path}"), &login(role), "");
        (stream, status(&head))
    };
    let mut kept = Vec::new();
    let mut served = 0;
    for number in 0..24 {
        let path = if number % 2 == 0 { "/v1/events" } else { "/v1/logs?follow=true" };
        let (stream, status) = follow(if number % 3 == 0 { "admin" } else { "control" }, path);
        assert!([200, 503].contains(&status), "{status}");
        served += usize::from(status == 200);
        kept.push(stream);
    }
    assert_eq!(served, 16);
    // Other requests on TCP are answered, and so are followers on the Unix socket.
    assert!(still_answers(&mut known(&scene)));
    for _ in 0..8 {
        let mut local = daemon.client.connect().expect("it listens");
        assert_eq!(status(&head_of(&mut local, "GET /v1/events", "", "")), 200);
    }
    drop(kept);
    wait_until("one that is closed makes room", || follow("control", "/v1/events").1 == 200);
}

#[test]
fn a_removed_listener_closes_its_connections() {
    let (scene, other) = (Scene::new(), Scene::new());
    let both = format!("listen = [\"http://127.0.0.1:PORT\", \"http://127.0.0.1:{}\"]", other.port);
    let daemon = scene.start(&both);
    let mut idle = TcpStream::connect(("127.0.0.1", other.port)).expect("it listens");
    idle.set_read_timeout(Some(crate::harness::PATIENCE)).expect("a socket has it");
    assert_eq!(status(&head_of(&mut idle, "HEAD /v1/info", &login("read"), "")), 200);
    let mut waiting = idle.try_clone().expect("it can be copied");
    let mut busy = TcpStream::connect(("127.0.0.1", other.port)).expect("it listens");
    busy.set_read_timeout(Some(crate::harness::PATIENCE)).expect("a socket has it");
    let wait = format!(
        "GET /v1/programs/web/wait?for=stopped&timeout=1000 HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        login("read")
    );
    busy.write_all(wait.as_bytes()).expect("it reads");
    let mut kept = known(&scene);
    daemon.rewrite(&scene.setting("listen = [\"http://127.0.0.1:PORT\"]"));
    assert_eq!(daemon.client.post("/v1/config/reload").status, 200);
    assert!(is_closed(&mut waiting), "it waits for nothing");
    assert!(is_closed(&mut busy), "its answer has a second");
    assert!(still_answers(&mut kept), "that of the unchanged listener is still there");
    wait_until("nothing listens", || TcpStream::connect(("127.0.0.1", other.port)).is_err());
}

fn failures(daemon: &Daemon, reason: &str) -> u64 {
    let metrics = daemon.client.get("/metrics").body;
    let mut lines = metrics.lines().filter(|line| line.starts_with("muster_http_login_failures_total{"));
    let line = lines.find(|line| line.contains(&format!("reason=\"{reason}\"")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn failed_logins_are_counted_by_listener_and_reason() {
    let scene = Scene::new();
    let daemon = scene.listening();
    for _ in 0..12 {
        scene.head("GET /v1/info", "Authorization: Bearer wrong-wrong-wrong-wrong\r\n", "");
    }
    let (wrong, throttled) = (failures(&daemon, "wrong"), failures(&daemon, "throttled"));
    assert!(wrong >= 5 && throttled >= 1 && wrong + throttled == 12, "{wrong} {throttled}");
    assert!(daemon.client.get("/metrics").body.contains(&format!("listener=\"http://127.0.0.1:{}\"", scene.port)));
}

#[test]
fn a_head_has_32_kib_and_a_body_a_mebibyte() {
    let scene = Scene::new();
    let daemon = scene.listening();
    let head = scene.head("GET /v1/info", &format!("X: {}\r\n{}", "x".repeat(40 * 1024), login("admin")), "");
    assert_eq!(status(&head), 431, "{head}");
    let large = "x".repeat((1 << 20) + 1);
    let head = scene.head("POST /v1/programs/web/stdin", &login("admin"), &large);
    assert_eq!(status(&head), 413, "{head}");
    // Without a length, it is counted as it comes.
    let mut stream = scene.tcp();
    let head = format!(
        "POST /v1/programs/web/stdin HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{}\r\n",
        login("admin")
    );
    stream.write_all(head.as_bytes()).expect("it reads");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
    for _ in 0..24 {
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(daemon.client.get("/livez").status, 200);
}
