//! The cost of probes: 200 of them, each once a second.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::scene::{Running, Scene, report};

const COUNT: usize = 200;
const SPAN: Duration = Duration::from_secs(20);

pub(crate) fn two_hundred(scene: &Scene) {
    let port = serve();
    for (kind, check) in [
        ("http", format!("http = \"http://127.0.0.1:{port}/healthz\"")),
        ("tcp", format!("tcp = \"127.0.0.1:{port}\"")),
    ] {
        let defaults = format!("startsecs = 0\nprobes.live = {{ {check}, period = \"1s\", failure_threshold = 1 }}");
        let musterd = scene.start_musterd(&scene.configuration(COUNT, &["sleep", "100000"], &defaults));
        scene.wait_until_ready();
        // All programs have started, and each was probed once.
        std::thread::sleep(Duration::from_secs(2));
        let (before, begun) = (processor_time(&musterd), Instant::now());
        std::thread::sleep(SPAN);
        let share = (processor_time(&musterd) - before).as_secs_f64() / begun.elapsed().as_secs_f64();
        let each = share * 1e6 / COUNT as f64;
        let measured = format!("{:.2} % of a core, {each:.0} us a check", share * 100.0);
        report(&format!("{COUNT} {kind} probes a second"), measured, "2 %", share < 0.02);
    }
}

/// The processor time of all threads, in nanoseconds: /proc/PID/task/TID/schedstat.
fn processor_time(musterd: &Running) -> Duration {
    let tasks = format!("/proc/{}/task", musterd.0.id());
    let threads = std::fs::read_dir(tasks).expect("the process is running").flatten();
    let times = threads.map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).expect("the thread lives");
        stat.split_whitespace().next().and_then(|time| time.parse::<u64>().ok()).expect("it is a number")
    });
    Duration::from_nanos(times.sum())
}

/// A minimal server in this process, so that its cost is not counted as the daemon's.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            if matches!(stream.read(&mut request), Ok(1..)) {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    port
}
