//! The cost of an idle daemon: memory, and wake-ups without work.

use std::time::Duration;

use super::scene::{Running, Scene, report, threads};

/// A field of a file in /proc/PID.
fn figure(path: &str, key: &str) -> u64 {
    let status = std::fs::read_to_string(path).expect("the process is running");
    let line = status.lines().find(|line| line.starts_with(key)).expect("the kernel reports it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("it is a number")
}

fn start(scene: &Scene, count: usize) -> Running {
    let musterd = scene.start_musterd(&scene.configuration(count, &["sleep", "100000"], "startsecs = 0"));
    scene.wait_until_ready();
    musterd
}

pub(crate) fn memory(scene: &Scene) {
    for (count, promised) in [(10, 1024), (1000, 4096)] {
        let musterd = scene.start_musterd(&scene.configuration(count, &["sleep", "100000"], "startsecs = 0"));
        // Until the log thread has released its buffer. It is not asked whether it is ready: the code of an answer would be resident
        // from then on.
        std::thread::sleep(Duration::from_secs(6));
        let smaps = format!("/proc/{}/smaps_rollup", musterd.0.id());
        let (all, own) = (figure(&smaps, "Pss:"), figure(&smaps, "Pss_Anon:"));
        let measured = format!("{all} KiB (PSS), of it {own} KiB anonymous");
        let limit = format!("{promised} KiB (static release build)");
        report(&format!("memory with {count} programs"), measured, &limit, all <= promised);
    }
}

pub(crate) fn idle(scene: &Scene) {
    const SPAN: Duration = Duration::from_secs(20);
    let musterd = start(scene, 100);
    // The last client disconnected, and the last program has finished starting.
    std::thread::sleep(Duration::from_secs(2));
    let before = threads(i64::from(musterd.0.id())).1;
    std::thread::sleep(SPAN);
    let woken = threads(i64::from(musterd.0.id())).1 - before;
    report("wake-ups in 20 s with 100 programs", format!("{woken}"), "0", woken == 0);
}
