//! Hostile clients and exhausted resources: control and supervision keep working.

mod harness;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use harness::{Daemon, Setting};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const WEB: &str = "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\nbackoff = { delay = 0 }\n";

/// A small generator, so that a failure is reproducible.
struct Random(u64);

impl Random {
    fn next(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next(256) as u8).collect()
    }
}

/// The daemon answers within a second, a killed program comes back, and memory is bounded.
fn check(daemon: &Daemon) {
    let fastest = (0..3).map(|_| status_time(daemon)).min().unwrap_or_default();
    assert!(fastest < Duration::from_secs(1), "status takes {fastest:?}");
    let web = daemon.wait_for_running("web");
    harness::send(web, 9);
    harness::wait_until("it is back", || {
        let program = daemon.program("web");
        program["state"] == "RUNNING" && daemon.pid_of("web") != web
    });
    assert!(daemon.memory("RssAnon") < 64 * 1024, "the daemon has {} kB", daemon.memory("RssAnon"));
}

fn status_time(daemon: &Daemon) -> Duration {
    let asked = Instant::now();
    daemon.ctl_well(&["status", "web"]);
    asked.elapsed()
}

/// An invalid request, or an excessive one.
fn malformed(random: &mut Random) -> Vec<u8> {
    let length = random.next(2000);
    match random.next(14) {
        0 => random.bytes(length),
        1 => b"GET".to_vec(),
        2 => b"GET /v1/programs HTTP/1.1\r\nhost: x\r\n".to_vec(),
        3 => format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000)).into_bytes(),
        4 => format!("GET /livez HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1_000_000)).into_bytes(),
        5 => format!("GET /livez HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(5_000)).into_bytes(),
        6 => b"POST /v1/programs/web/signal HTTP/1.1\r\ncontent-length: 100\r\n\r\n{\"sig".to_vec(),
        7 => b"POST /v1/shutdown HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n".to_vec(),
        8 => b"POST /v1/shutdown HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}".to_vec(),
        9 => b"POST /v1/shutdown HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_vec(),
        10 => b"POST /v1/shutdown HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\nzz\r\n{}".to_vec(),
        11 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        12 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        _ => [b"GET /v1/programs/\xff\xfe HTTP/1.1\r\n\r\n".to_vec(), random.bytes(length)].concat(),
    }
}

#[test]
fn a_thousand_malformed_requests_change_nothing() {
    let daemon = Setting::supervising(WEB).start();
    let web = daemon.wait_for_running("web");
    let mut random = Random(4711);
    let mut stalled: Vec<UnixStream> = Vec::new();
    for number in 0..1000 {
        let request = malformed(&mut random);
        let asked = Instant::now();
        let mut stream = daemon.client.connect().expect("it listens");
        // It may close before everything was sent.
        let _ = stream.write_all(&request);
        match random.next(3) {
            0 => stalled.push(stream),
            1 => drop(stream),
            _ => {
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                let is_refusal = answer.is_empty() || answer.starts_with(b"HTTP/1.1 4");
                assert!(is_refusal, "{number}: {}", String::from_utf8_lossy(&answer));
            }
        }
        let shown = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        assert!(asked.elapsed() < Duration::from_secs(20), "{number} took {:?}: {shown:?}", asked.elapsed());
    }
    assert_eq!(daemon.pid_of("web"), web);
    check(&daemon);
    drop(stalled);
    check(&daemon);
}

/// Raises this process's descriptor limit and returns how many connections may be opened.
fn connections_possible(wanted: u64) -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("it can be read");
    let limit = soft.max(hard.min(wanted + 1000));
    setrlimit(Resource::RLIMIT_NOFILE, limit, hard).expect("the soft limit may be raised");
    usize::try_from(limit.saturating_sub(1000).min(wanted)).unwrap_or_default()
}

#[test]
fn ten_thousand_idle_connections_lock_out_no_client() {
    // In the second run, the daemon's descriptor limit is far below the number of connections.
    for wrapper in [&["env", "--"][..], &["prlimit", "--nofile=64:64", "--"]] {
        let daemon = Setting::supervising(WEB).wrapped(wrapper).start();
        let wanted = connections_possible(10_000);
        if wanted < 10_000 {
            harness::skip(&format!("this process may open only {wanted} of 10000 connections"));
        }
        let connect = |_| daemon.client.connect().expect("it accepts connections, closing older ones if necessary");
        let held: Vec<UnixStream> = (0..wanted).map(connect).collect();
        check(&daemon);
        drop(held);
        check(&daemon);
    }
}

#[test]
fn idle_connections_and_a_program_that_needs_descriptors_get_along() {
    let programs = WEB.to_owned()
        + "[program.pipes]\ncommand = [\"sh\", \"-c\", \"echo hello; exit 1\"]\nstartsecs = 0\nstartretries = \"unlimited\"\nbackoff = { delay = \"5ms\", max = \"5ms\" }\n";
    let daemon = Setting::supervising(programs)
        .musterd("loglevel = \"debug\"")
        .wrapped(&["prlimit", "--nofile=48:48", "--"])
        .start();
    let held: Vec<_> = (0..200).map(|_| daemon.client.connect()).collect();
    let before = daemon.settled_log().iter().filter(|line| line.says("pipes", "starting")).count();
    daemon.log.wait_for_many(before + 20, "pipes", "starting");
    check(&daemon);
    drop(held);
}

#[test]
fn a_daemon_out_of_descriptors_logs_it_and_keeps_running() {
    // Each program takes two pipes, which is too much for 40 of them.
    let program = |number| {
        format!(
            "[program.p{number}]\ncommand = \"sleep 1000\"\nstartsecs = 0\nbackoff = {{ delay = \"100ms\", max = \"100ms\" }}\nstartretries = \"unlimited\"\n"
        )
    };
    let programs: String = (0..60).map(program).collect();
    let mut daemon = Setting::supervising(programs).wrapped(&["prlimit", "--nofile=80:80", "--"]).launch();
    let line = daemon.log.wait_for("it is logged", |line| line.message.contains("too many open files"));
    assert!(line.message.starts_with("cannot spawn: ") && line.message.contains("RLIMIT_NOFILE"), "{}", line.message);
    daemon.log.wait_for("some run", |line| line.message == "running");
    assert_eq!(daemon.ended(), None);
    let took = daemon.finish();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn clients_that_never_read_cost_at_most_their_answer() {
    let many: String =
        (0..40).map(|n| format!("[program.p{n}]\ncommand = \"sleep 1000\"\nautostart = false\n")).collect();
    let daemon = Setting::supervising(WEB.to_owned() + &many).start();
    let held: Vec<UnixStream> = (0..30)
        .map(|_| {
            let mut stream = daemon.client.connect().expect("it listens");
            let _ = stream.write_all("GET /v1/programs HTTP/1.1\r\nhost: x\r\n\r\n".repeat(20).as_bytes());
            stream
        })
        .collect();
    check(&daemon);
    drop(held);
}

#[test]
fn requests_in_parallel_are_all_answered() {
    let daemon = Setting::supervising(WEB).start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..125 {
                    assert_eq!(daemon.client.get("/v1/programs").status, 200);
                }
            });
        }
    });
    check(&daemon);
}

#[test]
fn clients_that_disconnect_midway_leave_nothing_behind() {
    let daemon = Setting::supervising(WEB).start();
    daemon.wait_for_running("web");
    let sockets = || {
        let open = harness::find(daemon.pid()).map(|process| process.descriptors()).unwrap_or_default();
        open.values().filter(|target| target.starts_with("socket:")).count()
    };
    for number in 0..50 {
        let mut stream = daemon.client.connect().expect("it listens");
        let request = "GET /v1/programs HTTP/1.1\r\nhost: x\r\n\r\n";
        let _ = stream.write_all(&request.as_bytes()[..request.len() - number % 3]);
    }
    harness::wait_until("only the listener is left", || sockets() == 1);
    check(&daemon);
}

#[test]
fn abandoned_waits_lock_out_no_client() {
    let daemon = Setting::supervising(WEB).start();
    daemon.wait_for_running("web");
    for _ in 0..1000 {
        let mut stream = daemon.client.connect().expect("it listens");
        let request = "GET /v1/programs/web/wait?for=exited&timeout=1000 HTTP/1.1\r\nhost: x\r\n\r\n";
        let _ = stream.write_all(request.as_bytes());
    }
    check(&daemon);
}
