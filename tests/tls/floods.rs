//! Clients that are slow, many, or no clients of TLS at all: others are served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::harness::{self, Daemon, Flood, Setting, in_time, room_for, times, wait_until};
use super::{Scene, TLS, has, with_token};

/// A single source cannot have all handshakes: its own oldest ones end.
#[test]
fn silent_and_broken_connections_hold_up_no_client() {
    let Some(scene) = Scene::new() else { return };
    let daemon = scene.start(TLS);
    let connect = || TcpStream::connect(("127.0.0.1", scene.port));
    let silent: Vec<TcpStream> = (0..400).filter_map(|_| connect().ok()).collect();
    assert!(silent.len() > 100, "the kernel takes them");
    let begin = Instant::now();
    for _ in 0..20 {
        assert_eq!(daemon.client.request("GET", "/v1/info", "").status, 200);
    }
    assert!(begin.elapsed() < Duration::from_secs(2), "a Unix socket is not held up: {:?}", begin.elapsed());
    if has("curl") {
        // Another address of this machine: another source.
        let options = format!("--interface 127.0.0.9 {}", with_token());
        assert_eq!(scene.curl("/v1/info", &options), Ok(200));
    }
    drop(silent);
    let metrics = || daemon.client.request("GET", "/metrics", "").body;
    wait_until("the flood is counted", || !metrics().contains("muster_tls_handshakes_total{result=\"limited\"} 0"));
    // Bytes that are not TLS get an alert at most, and the daemon goes on.
    for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff, 1], &[0; 5000], &[0xff; 70_000]]
    {
        let Ok(mut stream) = connect() else { continue };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(9)));
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "nothing is served in clear text");
    }
    wait_until("it is counted", || !metrics().contains("muster_tls_handshakes_total{result=\"failed\"} 0"));
}

/// Refusing connections is quick, so that others do not wait behind them in the queue of the kernel.
#[test]
fn a_flood_that_comes_again_and_again_delays_no_client_from_elsewhere() {
    let Some(scene) = Scene::new() else { return };
    if !has("curl") {
        return;
    }
    let each = room_for(1000);
    let daemon = scene.start(TLS);
    let flood = Flood::at(scene.port, each, 0x16, Duration::from_millis(100));
    let limited = || {
        let metrics = daemon.client.request("GET", "/metrics", "").body;
        let line =
            metrics.lines().find_map(|line| line.strip_prefix("muster_tls_handshakes_total{result=\"limited\"} "));
        line.and_then(|count| count.parse().ok()).unwrap_or(0_usize)
    };
    std::thread::scope(|scope| {
        scope.spawn(|| flood.run());
        let checks = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until("most are refused", || limited() > 2 * each);
            in_time(|| {
                let took = served(&scene, "127.0.0.9", 5);
                if at(&took, 100) < Duration::from_secs(1) { Ok(()) } else { Err(format!("{took:?}")) }
            });
        }));
        flood.end();
        if let Err(panic) = checks {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Talks to the daemon with `musterctl`, as a person at a terminal does it.
fn musterctl(daemon: &Daemon, words: &[&str]) {
    let end = daemon.ctl(words);
    assert!(matches!(end.code, Some(0 | 3)), "{words:?}: {end:?}");
}

fn at(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() - 1) * percent / 100]
}

/// How long curl takes for a request with the token, from this address, a new connection each time.
fn served(scene: &Scene, from: &str, count: usize) -> Vec<Duration> {
    let options = format!("--interface {from} {}", with_token());
    times(count, || {
        // One that is refused for a moment counts until it was served.
        let began = Instant::now();
        while scene.curl("/v1/info", &options) != Ok(200) && began.elapsed() < Duration::from_secs(5) {}
    })
}

/// 10 000 connections that send a byte a second and 10 000 silent ones, against 1 024 descriptors and 100 programs. Figures
/// of worth are those of a release build: `MUSTER_BIN_DIR`.
#[test]
fn acceptance_of_a_flood_of_twenty_thousand_connections() {
    if !harness::is_acceptance() || !has("curl") {
        return;
    }
    let Some(scene) = Scene::new() else { return };
    let each = room_for(std::env::var("MUSTER_FLOOD").map_or(10_000, |count| count.parse().expect("a number")));
    println!("{each} slow and {each} silent connections");
    let programs: String =
        (0..100).map(|number| format!("[program.p{number}]\ncommand = \"sleep 1000\"\nstartsecs = 0\n")).collect();
    let setting = Setting::supervising(programs).http(&scene.http(TLS));
    let daemon = setting.wrapped(&["prlimit", "--nofile=1024:1024", "--"]).start().listening();
    wait_until("all run", || (0..100).all(|number| daemon.state(&format!("p{number}")) == "RUNNING"));
    let status = |count| times(count, || musterctl(&daemon, &["status"]));
    let restart = |count| times(count, || musterctl(&daemon, &["restart", "p7"]));
    let figures = |what: &str| {
        let (status, restart) = (status(200), restart(40));
        let (other, same) = (served(&scene, "127.0.0.9", 20), served(&scene, "127.0.0.1", 5));
        println!(
            "{what}: status p50 {:?} p99 {:?} max {:?}; restart p50 {:?} max {:?}; served over https to another address p50 \
             {:?} max {:?}, to the same p50 {:?} max {:?}; RssAnon {} kB, descriptors {}",
            at(&status, 50),
            at(&status, 99),
            at(&status, 100),
            at(&restart, 50),
            at(&restart, 100),
            at(&other, 50),
            at(&other, 100),
            at(&same, 50),
            at(&same, 100),
            daemon.memory("RssAnon"),
            daemon.descriptors()
        );
        (status, restart, other)
    };
    let (_, quiet, _) = figures("undisturbed");
    let (before, memory) = (daemon.descriptors(), daemon.memory("RssAnon"));
    let busy = |what: &str| {
        let (used, began) = (daemon.processor_time(), Instant::now());
        std::thread::sleep(Duration::from_secs(10));
        let share = (daemon.processor_time() - used).as_secs_f64() / began.elapsed().as_secs_f64();
        println!("{what}: {:.1} % of a processor", 100.0 * share);
        share
    };
    // The first byte of a TLS record: a handshake that never gets on.
    let flood = Flood::at(scene.port, each, 0x16, Duration::from_secs(1));
    std::thread::scope(|scope| {
        scope.spawn(|| flood.run());
        let checks = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let began = Instant::now();
            while !flood.has_begun() {
                assert!(began.elapsed() < Duration::from_secs(180), "the flood is not there");
                std::thread::sleep(Duration::from_millis(100));
            }
            println!("every connection was opened once after {:?}", began.elapsed());
            busy("connections that are closed are opened again");
            figures("meanwhile");
            flood.keep();
            // Those that are left are closed, as far as the daemon has accepted them.
            let idle = busy("once they are all there");
            let (.., other) = figures("once they are all there");
            in_time(|| {
                let (status, restart) = (at(&status(200), 99), at(&restart(40), 50));
                let is_quick = status < Duration::from_millis(10) && restart <= at(&quiet, 50).mul_f64(1.2);
                if is_quick { Ok(()) } else { Err(format!("status {status:?}, restart {restart:?}")) }
            });
            assert!(at(&other, 100) < Duration::from_secs(1), "{other:?}");
            assert!(daemon.memory("RssAnon") <= memory + 8 * 1024, "{memory} {}", daemon.memory("RssAnon"));
            assert!(idle < 0.05, "{idle}");
        }));
        flood.end();
        if let Err(panic) = checks {
            std::panic::resume_unwind(panic);
        }
    });
    let began = Instant::now();
    let back = || daemon.descriptors() <= before;
    while !back() && began.elapsed() < Duration::from_secs(90) {
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("descriptors: {before} before, {} after {:?}", daemon.descriptors(), began.elapsed());
    assert!(back());
}
