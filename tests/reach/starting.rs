//! Before the programs: a daemon that waits for its source answers, and holds what needs programs as long as it may.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::harness::{Daemon, Setting, wait_until};

/// The text that the server sends in the end.
const TEXT: &str = "[program.remote]\ncommand = \"sleep 1000\"\n";

/// A server of configuration that keeps every request waiting until it may answer.
struct Reluctant {
    port: u16,
    may_answer: Sender<()>,
}

impl Reluctant {
    fn start() -> Reluctant {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (may_answer, awaited) = channel();
        std::thread::spawn(move || serve(&listener, &awaited));
        Reluctant { port, may_answer }
    }

    fn daemon(&self) -> Daemon {
        let source = format!("[source.fleet]\nurl = \"http://127.0.0.1:{}/fleet.toml\"\n", self.port);
        let daemon = Setting::supervising(source).launch();
        daemon.wait_until_it_answers();
        daemon
    }
}

fn serve(listener: &TcpListener, awaited: &Receiver<()>) {
    let mut is_free = false;
    for mut stream in listener.incoming().flatten() {
        if read_request(&mut stream) && (is_free || awaited.recv().is_ok()) {
            is_free = true;
            let length = TEXT.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/toml\r\nETag: \"1\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{TEXT}"
            );
        }
    }
}

fn read_request(stream: &mut TcpStream) -> bool {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return false,
        }
    }
    true
}

#[test]
fn every_read_is_answered_and_an_order_is_refused_when_it_does_not_wait() {
    let server = Reluctant::start();
    let mut daemon = server.daemon();
    assert_eq!(daemon.client.get("/v1/info").json()["state"], "starting");
    for path in ["/v1/programs", "/v1/config", "/v1/sources", "/v1/processes", "/v1/logs", "/metrics", "/livez"] {
        assert_eq!(daemon.client.get(path).status, 200, "{path}");
    }
    assert_eq!(daemon.client.get("/readyz").status, 503);
    for (method, path) in [
        ("POST", "/v1/programs/remote/start"),
        ("POST", "/v1/programs/all/stop"),
        ("POST", "/v1/programs/remote/restart?wait=0.2"),
        ("POST", "/v1/programs/remote/stdin"),
        ("DELETE", "/v1/programs/remote/logs"),
        ("POST", "/v1/config/reload"),
        ("GET", "/v1/programs/remote/wait?for=running&timeout=0.2"),
    ] {
        let answer = daemon.client.request(method, path, "");
        assert_eq!((answer.status, &answer.json()["type"]), (503, &"urn:muster:starting".into()), "{method} {path}");
    }
    // It ends at once whatever it waits for.
    daemon.finish();
}

#[test]
fn an_order_that_waits_is_carried_out_once_the_programs_are_there() {
    let server = Reluctant::start();
    let daemon = server.daemon();
    std::thread::scope(|scope| {
        let client = daemon.client.clone();
        let wait = scope.spawn(move || client.get("/v1/programs/remote/wait?for=running&timeout=30"));
        let client = daemon.client.clone();
        let start = scope.spawn(move || client.post("/v1/programs/remote/start?wait=30"));
        // They are held: a request that is not answers at once.
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(200) {
            assert!(!start.is_finished() && !wait.is_finished());
            assert_eq!(daemon.client.get("/livez").status, 200);
        }
        server.may_answer.send(()).expect("it serves");
        let answer = start.join().expect("it only asks");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(wait.join().expect("it only asks").status, 200);
    });
    wait_until("it runs", || daemon.state("remote") == "RUNNING");
}
