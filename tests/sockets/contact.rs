//! `start_on = "connection"`: what starts a program, and what does not.

use std::fs;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::harness::{self, Daemon, Setting, free_port, wait_until};
use crate::{ONCE, answer_of, ask_port, patient, script, temporary};

fn lazy(command: &str, sockets: &str, more: &str) -> String {
    format!("[program.web]\ncommand = {command}\nstart_on = \"connection\"\nstartsecs = 0\n{more}{sockets}\n")
}

fn waits(daemon: &Daemon, name: &str) {
    daemon.wait_for_state(name, "WAITING");
}

#[test]
fn a_client_starts_the_program_which_waits_again_after_a_success() {
    let directory = temporary();
    let (port, script) = (free_port(), script(directory.path(), "once.py", ONCE));
    let command = format!("\"python3 {}\"", script.display());
    let sockets = format!("sockets = [\"tcp://127.0.0.1:{port}\"]");
    // `always` restarts nothing here.
    let daemon = Setting::supervising(lazy(&command, &sockets, "restart = \"always\"\n")).start();
    waits(&daemon, "web");
    let program = daemon.client.get("/v1/programs/web").json();
    assert_eq!(program["waiting_for"][0], format!("a connection on tcp://127.0.0.1:{port}"));
    assert_eq!(daemon.client.get("/readyz").status, 200, "a program that waits for a client is there");
    assert!(daemon.ctl(&["why", "web"]).out.contains("it starts with a connection on tcp://"));
    assert!(daemon.ctl_well(&["start", "web"]).contains("web: waiting"));
    let mut pids = Vec::new();
    for _ in 0..3 {
        pids.push(ask_port(port));
        waits(&daemon, "web");
    }
    pids.dedup();
    assert_eq!(pids.len(), 3, "a process for each client: {pids:?}");
    let runs = daemon.client.get("/v1/programs/web").json()["run"].as_u64();
    assert_eq!(runs, Some(3));
    // A stop closes the socket, and a start waits again.
    daemon.ctl_well(&["stop", "web"]);
    wait_until("it is closed", || TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(daemon.ctl_well(&["start", "web"]).contains("web: waiting"));
    assert!(!ask_port(port).is_empty());
}

#[test]
fn a_client_that_has_gone_starts_the_program_all_the_same() {
    let port = free_port();
    let command = "[\"python3\", \"-c\", \"import socket, time; s = socket.socket(fileno=3); c = s.accept()[0]; \
                   assert c.recv(1) == b''; time.sleep(1000)\"]";
    let sockets = format!("sockets = [\"tcp://127.0.0.1:{port}\"]");
    let daemon = Setting::supervising(lazy(command, &sockets, "")).start();
    waits(&daemon, "web");
    drop(TcpStream::connect(("127.0.0.1", port)).expect("the daemon listens"));
    let pid = daemon.wait_for_running("web");
    wait_until("the program has accepted and read the end", || {
        harness::find(pid)
            .is_some_and(|it| it.descriptors().values().filter(|to| to.starts_with("socket:")).count() > 1)
    });
    assert_eq!(daemon.pid_of("web"), pid);
}

#[test]
fn a_datagram_starts_the_program() {
    let directory = temporary();
    let (port, out) = (free_port(), directory.path().join("out"));
    let text = format!(
        "import os, socket, time\ns = socket.socket(fileno=3)\nopen({:?}, 'wb').write(s.recv(10))\ntime.sleep(1000)",
        out.display().to_string()
    );
    let script = script(directory.path(), "udp.py", &text);
    let sockets = format!("sockets = [\"udp://127.0.0.1:{port}\"]");
    let daemon = Setting::supervising(lazy(&format!("\"python3 {}\"", script.display()), &sockets, "")).start();
    waits(&daemon, "web");
    let client = UdpSocket::bind("127.0.0.1:0").expect("there is a free port");
    client.send_to(b"hello", ("127.0.0.1", port)).expect("the daemon has opened it");
    wait_until("the program has it", || fs::read(&out).is_ok_and(|bytes| bytes == b"hello"));
}

/// Otherwise the same client would start it without end.
#[test]
fn a_run_that_leaves_its_client_has_failed_whatever_its_status() {
    let port = free_port();
    let sockets = format!("sockets = [\"tcp://127.0.0.1:{port}\"]");
    let more = "startretries = 2\nbackoff = { delay = \"10ms\" }\n";
    let daemon = Setting::supervising(lazy("\"true\"", &sockets, more)).start();
    waits(&daemon, "web");
    let client = TcpStream::connect(("127.0.0.1", port)).expect("the daemon listens");
    daemon.wait_for_state("web", "FATAL");
    let story = daemon.ctl(&["why", "web"]).out;
    assert!(story.contains("it exited without taking the client that it was started for"), "{story}");
    // A queue that no process empties is closed.
    wait_until("it is closed", || TcpStream::connect(("127.0.0.1", port)).is_err());
    drop(client);
    let metrics = daemon.client.get("/metrics").body;
    assert!(metrics.contains("reason=\"unserved\"} 3"), "{metrics}");
}

#[test]
fn a_crash_is_retried_by_the_policy_and_the_next_run_serves_the_client() {
    let directory = temporary();
    let (port, script) = (free_port(), script(directory.path(), "once.py", ONCE));
    let flag = directory.path().join("flag");
    let command = format!(
        "[\"sh\", \"-c\", \"test -e {0} && exec python3 {1}; touch {0}; exit 3\"]",
        flag.display(),
        script.display()
    );
    let sockets = format!("sockets = [\"tcp://127.0.0.1:{port}\"]");
    let daemon = Setting::supervising(lazy(&command, &sockets, "backoff = { delay = \"10ms\" }\n")).start();
    waits(&daemon, "web");
    assert!(!answer_of(patient(TcpStream::connect(("127.0.0.1", port)).expect("the daemon listens"))).is_empty());
    waits(&daemon, "web");
}

#[test]
fn a_dependent_starts_although_its_server_waits_and_its_connection_starts_it() {
    let directory = temporary();
    let script = script(directory.path(), "once.py", ONCE);
    let port = free_port();
    let server =
        lazy(&format!("\"python3 {}\"", script.display()), &format!("sockets = [\"tcp://127.0.0.1:{port}\"]"), "");
    let client = format!(
        "[program.client]\ncommand = [\"python3\", \"-c\", \"import socket, time; s = socket.create_connection(('127.0.0.1', \
         {port})); print('served by', s.recv(10).decode(), flush=True); time.sleep(1000)\"]\nstartsecs = 0\n\
         depends_on = {{ web = \"ready\" }}\n"
    );
    let daemon = Setting::supervising(server + &client).start();
    daemon.wait_for_running("client");
    wait_until("it was served", || daemon.ctl(&["logs", "client"]).out.contains("served by"));
}

#[test]
fn a_reload_exchanges_the_socket_that_is_waited_on() {
    let directory = temporary();
    let (first, second, script) = (free_port(), free_port(), script(directory.path(), "once.py", ONCE));
    let program = |port: u16, start_on: &str| {
        let sockets = format!("sockets = [\"tcp://127.0.0.1:{port}\"]");
        Setting::supervising(
            lazy(&format!("\"python3 {}\"", script.display()), &sockets, "").replace("connection", start_on),
        )
    };
    let daemon = program(first, "connection").start();
    waits(&daemon, "web");
    daemon.rewrite(&program(second, "connection"));
    daemon.ctl_well(&["update"]);
    wait_until("the old one is closed", || TcpStream::connect(("127.0.0.1", first)).is_err());
    assert!(!ask_port(second).is_empty());
    waits(&daemon, "web");
    daemon.rewrite(&program(second, "boot"));
    daemon.ctl_well(&["update"]);
    daemon.wait_for_running("web");
}

/// Context switches of the daemon's own thread.
fn switches(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap_or_default();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    };
    field("voluntary_ctxt_switches:") + field("nonvoluntary_ctxt_switches:")
}

#[test]
fn a_thousand_programs_that_wait_wake_nothing_and_each_starts_with_its_client() {
    let directory = temporary();
    let path = |number: u32| directory.path().join(number.to_string());
    let programs: String = (0..1000)
        .map(|number| {
            format!(
                "[program.p{number}]\ncommand = \"sleep 1000\"\nstart_on = \"connection\"\nstartsecs = 0\nsockets = [\"unix://{}\"]\n",
                path(number).display()
            )
        })
        .collect();
    let daemon = Setting::supervising(programs).start();
    wait_until("all wait", || {
        let programs = daemon.client.get("/v1/programs").json();
        programs.as_array().is_some_and(|all| all.iter().filter(|it| it["state"] == "WAITING").count() == 1000)
    });
    let mut before = switches(&daemon);
    wait_until("the daemon is still", || {
        std::thread::sleep(Duration::from_millis(500));
        let now = switches(&daemon);
        std::mem::replace(&mut before, now) == now
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(&daemon) - before, 0, "it woke up");
    let client = UnixStream::connect(path(700)).expect("the daemon listens");
    daemon.wait_for_running("p700");
    assert_eq!(daemon.state("p701"), "WAITING");
    drop(client);
}

/// From a client's connection to the first instruction of the program's main, which writes the time.
#[test]
fn acceptance_of_a_first_connection_within_two_milliseconds() {
    if !harness::is_acceptance() {
        return;
    }
    let directory = temporary();
    let source = script(
        directory.path(),
        "main.c",
        "#include <stdio.h>\n#include <time.h>\n#include <sys/socket.h>\n#include <unistd.h>\nint main(void) {\n\
         struct timespec t; clock_gettime(CLOCK_REALTIME, &t);\nint c = accept(3, 0, 0);\n\
         dprintf(c, \"%lld\", t.tv_sec * 1000000000LL + t.tv_nsec);\nreturn 0;\n}\n",
    );
    let program = directory.path().join("main");
    let compiled =
        std::process::Command::new("cc").arg("-O2").arg("-static").arg(&source).arg("-o").arg(&program).status();
    if !compiled.is_ok_and(|status| status.success()) {
        return harness::skip("there is no C compiler");
    }
    let port = free_port();
    let sockets = format!("sockets = [\"tcp://127.0.0.1:{port}\"]");
    let daemon = Setting::supervising(lazy(&format!("\"{}\"", program.display()), &sockets, "")).start();
    let mut spans: Vec<Duration> = (0..50)
        .map(|_| {
            waits(&daemon, "web");
            std::thread::sleep(Duration::from_millis(20));
            let began = since_epoch();
            let said: u64 = ask_port(port).parse().expect("the program writes a number");
            Duration::from_nanos(said.saturating_sub(began))
        })
        .collect();
    spans.sort();
    println!("first connection to main: median {:?}, p90 {:?}, most {:?}", spans[25], spans[45], spans[49]);
    assert!(spans[25] <= Duration::from_millis(2), "{spans:?}");
}

fn since_epoch() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970");
    now.as_nanos() as u64
}

#[test]
fn a_program_that_breaks_its_own_socket_is_not_started_without_end() {
    let port = free_port();
    let command =
        "[\"python3\", \"-c\", \"import socket; s = socket.socket(fileno=3); s.accept(); s.shutdown(socket.SHUT_RD)\"]";
    let sockets = format!("sockets = [\"tcp://127.0.0.1:{port}\"]");
    let keys = "startretries = 2\nbackoff = { delay = \"10ms\" }\n";
    let daemon = Setting::supervising(lazy(command, &sockets, keys)).start();
    waits(&daemon, "web");
    // A broken listener says at every look that something has happened: each run that leaves it so has failed. The next start
    // mends it.
    wait_until("it is given up", || {
        drop(TcpStream::connect(("127.0.0.1", port)));
        daemon.state("web") == "FATAL"
    });
    let metrics = daemon.client.get("/metrics").body;
    assert!(metrics.contains("reason=\"unserved\"}"), "{metrics}");
}
