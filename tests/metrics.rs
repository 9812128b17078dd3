//! The metrics, in the form that Prometheus scrapes.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Daemon, Setting, wait_for, wait_until};

const PROGRAMS: &str = r#"
[program.web]
command = ["sh", "-c", "echo one; echo two; sleep 1000 & sleep 1000"]
startsecs = 0
[program.bad]
command = "false"
startretries = 2
backoff = { delay = 0 }
[program.none]
command = "/no/such"
startretries = 0
[program.pair]
command = "sleep 1000"
numprocs = 2
startsecs = 0
"#;

/// The samples of an exposition by name and labels, after checking its form: each family once and complete, help and
/// type before its samples, no duplicate sample, only numeric values.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut families, mut current) = (BTreeMap::new(), BTreeSet::new(), String::new());
    assert!(text.ends_with('\n'), "the last line has a newline");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help has words");
            assert!(!help.is_empty() && families.insert(name.to_owned()), "{name} comes twice");
            let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")).map(str::to_owned));
            assert!(matches!(kind.as_deref(), Some("counter" | "gauge")), "{name} has no type: {kind:?}");
            current = name.to_owned();
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let name = series.split('{').next().unwrap_or_default();
        assert_eq!(name, current, "a sample outside its family: {line}");
        if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
            assert!(labels.starts_with('{') && labels.ends_with("\"}"), "{line}");
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

fn scrape(daemon: &Daemon) -> BTreeMap<String, f64> {
    let answer = daemon.client.request("GET", "/metrics", "");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    parse(&dechunked(&answer.body))
}

/// The harness's client returns the body undecoded.
fn dechunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("chunks begin with their size");
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    whole
}

fn of(name: &str) -> String {
    let program = name.split(':').next().unwrap_or_default();
    format!("{{name=\"{name}\",program=\"{program}\",group=\"{program}\"}}")
}

#[test]
fn the_figures_are_those_of_the_programs() {
    let daemon = Setting::supervising(PROGRAMS).start();
    daemon.wait_for_state("bad", "FATAL");
    daemon.wait_for_state("none", "FATAL");
    daemon.wait_for_running("web");
    daemon.wait_for_running("pair:1");
    let web = of("web");
    let samples = wait_for("both lines are counted and both children are there", || {
        let samples = scrape(&daemon);
        let at = |name: &str| samples.get(&format!("{name}{web}")).copied();
        let is_so = at("muster_program_log_lines_total") == Some(2.0) && at("muster_program_processes") == Some(3.0);
        is_so.then_some(samples)
    });
    for (series, value) in [
        (format!("muster_program_state{web}"), 20.0),
        (format!("muster_program_up{web}"), 1.0),
        (format!("muster_program_up{}", of("pair:1")), 1.0),
        (format!("muster_program_log_bytes_total{web}"), 8.0),
        (format!("muster_program_log_dropped_lines_total{web}"), 0.0),
        (format!("muster_program_restarts_total{web}"), 0.0),
        (format!("muster_program_state{}", of("bad")), 200.0),
        (format!("muster_program_restarts_total{}", of("bad")), 2.0),
        (format!("muster_program_failures{}", of("bad")), 2.0),
        (of("bad").replace('}', ",reason=\"failure\"}").replacen('{', "muster_program_exits_total{", 1), 3.0),
        (of("none").replace('}', ",reason=\"spawn_error\"}").replacen('{', "muster_program_exits_total{", 1), 1.0),
        ("muster_ready".to_owned(), 0.0),
        (format!("muster_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
    ] {
        assert_eq!(samples.get(&series), Some(&value), "{series}");
    }
    for (series, least) in [
        (format!("muster_program_memory_bytes{web}"), 100_000.0),
        (format!("muster_program_start_time_seconds{web}"), 1.7e9),
        ("muster_start_time_seconds".to_owned(), 1.7e9),
        ("process_resident_memory_bytes".to_owned(), 500_000.0),
        ("process_cpu_seconds_total".to_owned(), 0.0),
    ] {
        assert!(samples.get(&series).is_some_and(|value| *value >= least), "{series}: {:?}", samples.get(&series));
    }
    let absent = format!("muster_program_memory_bytes{}", of("bad"));
    assert!(!samples.contains_key(&absent), "a program that is not running uses nothing");
}

#[test]
fn ends_are_counted_by_their_reason() {
    let daemon = Setting::supervising(
        "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\nrestart = \"always\"\nbackoff = { delay = 0 }\n",
    )
    .start();
    harness::send(daemon.wait_for_running("web"), 10);
    wait_until("another run is there", || daemon.program("web")["runs"].as_array().is_some_and(|runs| runs.len() == 2));
    daemon.wait_for_running("web");
    daemon.ctl_well(&["stop", "web"]);
    let samples = scrape(&daemon);
    let exits = |reason: &str| {
        let series = of("web").replace('}', &format!(",reason=\"{reason}\"}}"));
        samples.get(&series.replacen('{', "muster_program_exits_total{", 1)).copied()
    };
    assert_eq!((exits("signal"), exits("stopped"), exits("failure")), (Some(1.0), Some(1.0), None));
    assert_eq!(samples[&format!("muster_program_restarts_total{}", of("web"))], 1.0);
}

#[test]
fn promtool_accepts_the_metrics() {
    let daemon = Setting::supervising(PROGRAMS).start();
    daemon.wait_for_running("web");
    daemon.wait_for_state("bad", "FATAL");
    let text = dechunked(&daemon.client.get("/metrics").body);
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        return harness::skip("promtool (Debian's prometheus) is not installed");
    };
    promtool.stdin.take().expect("it was asked for").write_all(text.as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.trim().is_empty(), "promtool: {told}");
}

/// The loop must get its turn while the figures of many programs are collected.
#[test]
fn a_scrape_of_hundreds_delays_no_client() {
    let daemon =
        Setting::supervising("[program.many]\ncommand = \"sleep 1000\"\nnumprocs = 300\nstartsecs = 0\n").start();
    wait_until("all run", || daemon.ctl(&["status"]).code == Some(0));
    harness::in_time(|| {
        let slowest = std::thread::scope(|scope| {
            let scraping = scope.spawn(|| (0..5).map(|_| scrape(&daemon).len()).collect::<Vec<_>>());
            let mut slowest = Duration::ZERO;
            while !scraping.is_finished() {
                let began = Instant::now();
                assert_eq!(daemon.client.get("/livez").status, 200);
                slowest = slowest.max(began.elapsed());
            }
            let counts = scraping.join().expect("scraping goes well");
            assert!(counts.iter().all(|count| *count > 300 * 10), "{counts:?}");
            slowest
        });
        // A debug build on a shared machine; a release build takes a hundredth of this.
        if slowest < Duration::from_millis(250) { Ok(()) } else { Err(format!("the slowest request took {slowest:?}")) }
    });
}
