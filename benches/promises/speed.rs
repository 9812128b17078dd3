//! Restarting, booting and stopping, compared with a C loop that does only that.

use std::time::Instant;

use super::scene::{Scene, median, now_ns, report, signal};

const RESTARTS: usize = 500;
const ROUNDS: usize = 5;
const INHERITED: &str = "logs = { stdout = \"inherit\", stderr = \"inherit\" }";
/// Numbers of programs to boot and stop, and how often each. The cost of a start must not grow with their number.
const MANY: [(usize, usize); 5] = [(10, 9), (100, ROUNDS), (1_000, ROUNDS), (5_000, 1), (10_000, 1)];

/// Milliseconds from a kill to the next main, the median of many, and the pid that is running at the end.
fn restart_latency(fifo: &mut super::scene::Fifo) -> (f64, i64) {
    let (mut pid, _) = fifo.next();
    let mut latencies = Vec::new();
    for _ in 0..RESTARTS {
        let killed_at = now_ns();
        signal(pid, libc::SIGKILL);
        let (next, reached_main_at) = fifo.next();
        latencies.push((reached_main_at - killed_at) as f64 / 1e6);
        pid = next;
    }
    (median(latencies), pid)
}

/// Runs once with the program's output inherited, and once with two pipes that are read until end of file; the loop does the
/// same.
pub(crate) fn restart(scene: &Scene) {
    restart_with(scene, ("output inherited", "restart"), (INHERITED, 1.15));
    restart_with(scene, ("output captured", "rereading"), ("", 1.3));
}

fn restart_with(scene: &Scene, (how, job): (&str, &str), (logs, promised): (&str, f64)) {
    let (mut loops, mut ours) = (Vec::new(), Vec::new());
    let sleeper = scene.sleeper.display().to_string();
    for _ in 0..ROUNDS {
        let mut fifo = scene.fifo();
        let path = fifo.path.display().to_string();
        {
            let _baseline = scene.start_baseline(job, RESTARTS + 1, &[&sleeper, &path]);
            let (latency, last) = restart_latency(&mut fifo);
            loops.push(latency);
            // The loop ends with its last process.
            signal(last, libc::SIGKILL);
        }
        let mut fifo = scene.fifo();
        let policy = format!(
            "startsecs = 0\nrestart = \"always\"\nstartretries = \"unlimited\"\nbackoff = {{ delay = 0 }}\n{logs}"
        );
        let musterd = scene.start_musterd(&scene.configuration(1, &[&sleeper, &path], &policy));
        ours.push(restart_latency(&mut fifo).0);
        stop(musterd);
    }
    let (baseline, ours) = (median(loops), median(ours));
    let measured = format!("{ours:.3} ms, C loop {baseline:.3} ms: {:.2} ×", ours / baseline);
    let what = format!("death to the next main, {how}");
    report(&what, measured, &format!("{promised} ×"), ours <= promised * baseline);
}

fn stop(mut running: super::scene::Running) -> f64 {
    let began = Instant::now();
    signal(i64::from(running.0.id()), libc::SIGTERM);
    running.0.wait().expect("it is a child of this process");
    began.elapsed().as_secs_f64() * 1e3
}

/// Runs once with the supervisor's own output, and once with two pipes per program that are read until end of file; the
/// loop does the same. All programs have started before the stop, and the supervisor has no other work pending.
pub(crate) fn boot_and_stop(scene: &Scene) {
    let inherited = format!("startsecs = 0\n{INHERITED}");
    for (many, rounds) in MANY {
        let boot = if many == 10_000 { 1.3 } else { 1.15 };
        compare(scene, (many, rounds), ("output inherited", "many"), &inherited, [boot, 1.2]);
        // Two pipes each, in both.
        if scene.raise_descriptor_limit() > 2 * many as u64 + 200 {
            let boot = if many == 10_000 { 1.5 } else { 1.3 };
            compare(scene, (many, rounds), ("output captured", "piped"), "startsecs = 0", [boot, 1.2]);
        }
    }
}

fn compare(
    scene: &Scene,
    (many, rounds): (usize, usize),
    (how, job): (&str, &str),
    defaults: &str,
    promised: [f64; 2],
) {
    let sleeper = scene.sleeper.display().to_string();
    let (mut booted, mut stopped) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..2 * rounds {
        let which = round % 2;
        let mut fifo = scene.fifo();
        let path = fifo.path.display().to_string();
        let configuration = scene.configuration(many, &[&sleeper, &path], defaults);
        let began = now_ns();
        let running = match which {
            0 => scene.start_baseline(job, many, &[&sleeper, &path]),
            _ => scene.start_musterd(&configuration),
        };
        let last = (0..many).map(|_| fifo.next().1).max().expect("there are some");
        booted[which].push((last - began) as f64 / 1e6);
        if which == 1 {
            scene.wait_until_ready();
        }
        stopped[which].push(stop(running));
    }
    for ((what, [loops, ours]), promised) in [("boot", booted), ("stop", stopped)].into_iter().zip(promised) {
        let (baseline, ours) = (median(loops), median(ours));
        let measured = format!("{ours:.1} ms, C loop {baseline:.1} ms: {:.2} ×", ours / baseline);
        let holds = ours <= promised * baseline;
        report(&format!("{what} of {many} programs, {how}"), measured, &format!("{promised} ×"), holds);
    }
}
