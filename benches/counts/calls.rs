//! System calls, bytes written and wake-ups of a daemon. A wake-up is a voluntary context switch, counted without strace.

use std::collections::BTreeMap;
use std::time::Duration;

use super::daemon::{Act, Daemon, Output, Span, Under, armed_timerfds, now};
use super::judge::{Basis, Figure};
use super::scene::Scene;
use super::trace::{Counts, Trace, parts};

/// How often an operation is done before it is counted, and counted.
const BEFORE: usize = 10;
const TIMES: usize = 50;
/// Numbers of programs, so that the difference is without the fixed part of a start.
const FEW: usize = 10;
const MANY: usize = 110;
const IDLE: Duration = Duration::from_secs(5);

fn traced(scene: &Scene) -> (std::path::PathBuf, Under) {
    let file = scene.directory.path().join("trace");
    (file.clone(), Under::Strace(file))
}

fn read(file: &std::path::Path, daemon: i64) -> Trace {
    let bytes = std::fs::read(file).expect("strace wrote it");
    Trace::parse(&String::from_utf8_lossy(&bytes), daemon)
}

fn figures(what: &str, counts: &Counts) -> Vec<Figure> {
    let calls = |name: &str, of: &BTreeMap<String, f64>| Figure {
        parts: parts(of),
        ..Figure::new(format!("{what}: {name}"), of.values().sum(), Basis::Kind)
    };
    let mut all = vec![calls("system calls", &counts.daemon)];
    if counts.children.values().any(|&count| count > 0.0) {
        all.push(calls("system calls of a new process", &counts.children));
    }
    all.push(bytes(what, counts));
    all
}

fn bytes(what: &str, counts: &Counts) -> Figure {
    Figure::new(format!("{what}: bytes written"), counts.bytes, Basis::Kind)
}

/// The calls of a start among many. Those of a new process are counted where one starts at a time: among many some find no place in the
/// daemon's descriptor table. How many calls a shutdown needs depends on how many exits the daemon sees at a time, so only its bytes
/// are counted.
pub(crate) fn boot(scene: &Scene) -> Vec<Figure> {
    [Output::Captured, Output::Inherited].into_iter().flat_map(|output| boot_with(scene, output)).collect()
}

fn boot_with(scene: &Scene, output: Output) -> Vec<Figure> {
    let counts = |count| {
        let (file, under) = traced(scene);
        let daemon = Daemon::start(scene, under, count, output);
        let (pid, started) = (daemon.pid(), now());
        daemon.stop();
        let trace = read(&file, pid);
        [(0.0, started), (started, f64::MAX)].map(|span| trace.during(&[span]))
    };
    let ([few_started, few_stopped], [started, stopped]) = (counts(FEW), counts(MANY));
    let name = output.name();
    let started = Counts { children: BTreeMap::new(), ..started.beyond(&few_started, MANY - FEW) };
    let mut all = figures(&format!("start at boot, output {name}"), &started);
    all.push(bytes(&format!("stop at shutdown, output {name}"), &stopped.beyond(&few_stopped, MANY - FEW)));
    all
}

/// The calls and the wake-ups of an operation.
pub(crate) fn operation(scene: &Scene, act: Act) -> Vec<Figure> {
    let spans = |under| {
        let mut daemon = Daemon::start(scene, under, 1, act.output());
        daemon.perform(act, BEFORE);
        let spans = daemon.perform(act, TIMES);
        let pid = daemon.pid();
        daemon.stop();
        (spans, pid)
    };
    let (file, under) = traced(scene);
    let (traced, pid) = spans(under);
    let trace = read(&file, pid);
    let (bare, _) = spans(Under::Nothing);
    let mut all = Vec::new();
    for (at, step) in act.steps().iter().enumerate() {
        let of_step =
            |spans: &[Span]| -> Vec<Span> { spans.iter().copied().skip(at).step_by(act.steps().len()).collect() };
        let times: Vec<_> = of_step(&traced).iter().map(|span| (span.from, span.to)).collect();
        all.extend(figures(step, &trace.during(&times).beyond(&Counts::default(), TIMES)));
        let woken: u64 = of_step(&bare).iter().map(|span| span.wake_ups).sum();
        let woken = Figure::new(format!("{step}: wake-ups"), woken as f64 / TIMES as f64, Basis::Kind);
        // A thread also waits for pages and locks of the kernel. One wake-up more each time exceeds this.
        all.push(Figure { slack: 0.5, ..woken });
    }
    all
}

/// An idle daemon that has worked before does nothing, and nothing is pending: if it is so for seconds, it is so for hours.
pub(crate) fn idle(scene: &Scene) -> Vec<Figure> {
    let start = |under| {
        let mut daemon = Daemon::start(scene, under, MANY - FEW, Output::Captured);
        daemon.perform(Act::StopAndStart, 1);
        daemon.perform(Act::Connection, 1);
        daemon
    };
    let (file, under) = traced(scene);
    let daemon = start(under);
    let from = now();
    std::thread::sleep(IDLE);
    let (pid, to, timerfds) = (daemon.pid(), now(), armed_timerfds(daemon.pid()));
    daemon.stop();
    let trace = read(&file, pid);
    let calls = trace.during(&[(from, to)]).daemon;
    let pending = trace.pending(to);

    let daemon = start(Under::Nothing);
    let before = daemon.switches();
    std::thread::sleep(IDLE);
    let woken = daemon.switches() - before;
    daemon.stop();

    let figure = |what: &str, value: f64, parts: String| Figure {
        parts,
        ..Figure::new(format!("idle with 100 programs: {what}"), value, Basis::Kind)
    };
    vec![
        figure("system calls in 5 s", calls.values().sum(), parts(&calls)),
        figure("wake-ups in 5 s", woken as f64, String::new()),
        figure("timers and deadlines", (timerfds + pending.len()) as f64, pending.join(", ")),
    ]
}
