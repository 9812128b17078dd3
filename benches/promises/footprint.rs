//! The cost of an idle daemon: memory, and wake-ups without work.

use std::time::Duration;

use super::scene::{Running, Scene, report};

/// A field of /proc/PID/status.
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
    for (count, promised) in [(10, 4096), (1000, 8192)] {
        let musterd = start(scene, count);
        let status = format!("/proc/{}/status", musterd.0.id());
        let (all, own) = (figure(&status, "VmRSS:"), figure(&status, "RssAnon:"));
        let measured = format!("{all} KiB resident, of it {own} KiB anonymous");
        let limit = format!("{promised} KiB (static release build)");
        report(&format!("memory with {count} programs"), measured, &limit, all < promised);
    }
}

pub(crate) fn idle(scene: &Scene) {
    const SPAN: Duration = Duration::from_secs(20);
    let musterd = start(scene, 100);
    // The last client disconnected, and the last program has finished starting.
    std::thread::sleep(Duration::from_secs(2));
    let before = wake_ups(&musterd);
    std::thread::sleep(SPAN);
    let woken = wake_ups(&musterd) - before;
    report("wake-ups in 20 s with 100 programs", format!("{woken}"), "0", woken == 0);
}

/// Voluntary context switches of every thread.
fn wake_ups(musterd: &Running) -> u64 {
    let tasks = format!("/proc/{}/task", musterd.0.id());
    let threads = std::fs::read_dir(tasks).expect("the process is running").flatten();
    threads.map(|thread| figure(&thread.path().join("status").display().to_string(), "voluntary_ctxt_switches:")).sum()
}
