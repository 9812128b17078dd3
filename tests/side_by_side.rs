//! musterd and the original supervisord run the same configuration at the same time, and must agree on states, starts and
//! pauses.
//!
//! The original looks at its programs once a second, so its pauses are up to that much longer, more on a busy machine.

#[path = "harness/mod.rs"]
mod harness;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Daemon, Setting, ended, is_root, skip, wait_until};

/// How a program behaves and what its section says besides its command.
struct Case {
    name: &'static str,
    /// Shell commands after the start is recorded; `None` is a command that does not exist.
    script: Option<&'static str>,
    options: &'static str,
    becomes: Becomes,
}

/// The fate of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Becomes {
    /// It ends in this state after so many starts.
    Settled(&'static str, usize),
    /// It is restarted without end, each time after at least this many seconds.
    Restarted(u32),
}

use Becomes::{Restarted, Settled};

const fn case(name: &'static str, script: &'static str, options: &'static str, becomes: Becomes) -> Case {
    Case { name, script: Some(script), options, becomes }
}

/// Programs that exit too soon exit at once, long before `startsecs`: the original may take an exit for late by as much
/// as its poll.
const CASES: [Case; 23] = [
    case("soon0", "exit 0", "startsecs=3 autorestart=unexpected startretries=2", Settled("FATAL", 3)),
    case("soon1", "exit 1", "startsecs=3 autorestart=unexpected startretries=1", Settled("FATAL", 2)),
    case("soon-never", "exit 0", "startsecs=3 autorestart=false startretries=1", Settled("FATAL", 2)),
    case("soon-always", "exit 1", "startsecs=3 autorestart=true startretries=0", Settled("FATAL", 1)),
    case("soon-listed", "exit 7", "startsecs=3 exitcodes=7 startretries=1", Settled("FATAL", 2)),
    case("soon-killed", "kill -9 $$", "startsecs=3 startretries=1", Settled("FATAL", 2)),
    case("soon-negative", "exit 1", "startsecs=3 startretries=-5", Settled("FATAL", 1)),
    case("zero0", "exit 0", "startsecs=0 autorestart=unexpected", Settled("EXITED", 1)),
    case("zero1", "exit 1", "startsecs=0 autorestart=false", Settled("EXITED", 1)),
    case("zero-listed", "exit 3", "startsecs=0 exitcodes=0,3", Settled("EXITED", 1)),
    case("zero-negative", "exit 1", "startsecs=-1 autorestart=false", Settled("EXITED", 1)),
    case("zero-always", "exit 0", "startsecs=0 autorestart=true", Restarted(0)),
    case("zero-failing", "exit 1", "startsecs=0", Restarted(0)),
    case("late0", "sleep 3; exit 0", "startsecs=1", Settled("EXITED", 1)),
    case("late-listed", "sleep 3; exit 5", "startsecs=1 exitcodes=5", Settled("EXITED", 1)),
    case("late-never", "sleep 3; exit 1", "startsecs=1 autorestart=false", Settled("EXITED", 1)),
    case("late-killed-never", "sleep 3; kill -9 $$", "startsecs=1 autorestart=false", Settled("EXITED", 1)),
    case("late1", "sleep 3; exit 1", "startsecs=1 startretries=0", Restarted(3)),
    case("late-always", "sleep 3; exit 0", "startsecs=1 autorestart=true", Restarted(3)),
    case("late-killed", "sleep 3; kill -9 $$", "startsecs=1 exitcodes=0,137", Restarted(3)),
    case("late-none-listed", "sleep 3; exit 0", "startsecs=1 exitcodes=", Restarted(3)),
    Case { name: "absent", script: None, options: "startretries=1", becomes: Settled("FATAL", 0) },
    Case { name: "absent-zero", script: None, options: "startsecs=0 startretries=1", becomes: Settled("FATAL", 0) },
];

/// The same for programs that are stopped, each once it is in a state: its state afterwards.
const STOPPED: [(&str, &str, &str, &str, &str); 6] = [
    ("stop-running", "exec sleep 1000", "startsecs=1", "RUNNING", "STOPPED"),
    ("stop-starting", "exec sleep 1000", "startsecs=1000", "STARTING", "STOPPED"),
    ("stop-backoff", "exit 1", "startsecs=3 startretries=50", "BACKOFF", "STOPPED"),
    ("stop-fatal", "exit 1", "startsecs=3 startretries=0", "FATAL", "FATAL"),
    ("stop-exited", "exit 0", "startsecs=0", "EXITED", "EXITED"),
    ("stop-deaf", "trap \"\" TERM; while :; do sleep 1; done", "startsecs=1 stopwaitsecs=1", "RUNNING", "STOPPED"),
];

/// How much longer a pause of the original may be: its poll, and a busy machine.
const LATE: f64 = 3.0;

/// Program sections whose commands record their starts below a directory.
fn sections(directory: &Path) -> String {
    let mut text = String::new();
    let stopped = STOPPED.iter().map(|(name, script, options, ..)| (*name, Some(*script), *options));
    for (name, script, options) in CASES.iter().map(|case| (case.name, case.script, case.options)).chain(stopped) {
        let path = directory.join(format!("{name}.sh"));
        let starts = directory.join(name);
        let lines = format!("date +%s.%N >>{}\n{}\n", starts.display(), script.unwrap_or_default());
        fs::write(&path, lines).expect("the test directory is writable");
        let command = script.map_or("/no/such/command".to_owned(), |_| format!("/bin/sh {}", path.display()));
        let _ = writeln!(text, "[program:{name}]\ncommand={command}\n{}\n", options.replace(' ', "\n"));
    }
    text + "[program:stop-off]\ncommand=/bin/sleep 1000\nautostart=false\n"
}

/// When a program started, in seconds.
fn starts(directory: &Path, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(directory.join(name)).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn pauses(starts: &[f64]) -> Vec<f64> {
    starts.windows(2).map(|two| two[1] - two[0]).collect()
}

/// The original; dropping it ends it.
struct Original {
    child: Child,
    directory: tempfile::TempDir,
}

impl Drop for Original {
    fn drop(&mut self) {
        harness::send(self.child.id() as i32, 15);
        let _ = self.child.wait();
    }
}

impl Original {
    fn start() -> Original {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let here = directory.path().display();
        let user = if is_root() { "user=root\n" } else { "" };
        let text = format!(
            "[unix_http_server]\nfile={here}/socket\n\
             [rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl=unix://{here}/socket\n\
             [supervisord]\nnodaemon=true\nlogfile={here}/log\npidfile={here}/pid\nchildlogdir={here}\n{user}{}",
            sections(directory.path())
        );
        let path = directory.path().join("supervisord.conf");
        fs::write(&path, text).expect("the test directory is writable");
        let mut command = Command::new("supervisord");
        command.arg("-c").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Original { child: command.spawn().expect("it answered a moment ago"), directory }
    }

    fn ctl(&self, words: &[&str]) -> String {
        let mut command = Command::new("supervisorctl");
        ended(command.arg("-c").arg(self.directory.path().join("supervisord.conf")).args(words)).out
    }

    fn state(&self, name: &str) -> String {
        self.ctl(&["status", name]).split_whitespace().nth(1).unwrap_or_default().to_owned()
    }
}

/// Ours, with the names of the original for states that only we have.
fn our_state(daemon: &Daemon, name: &str) -> String {
    match daemon.state(name) {
        state if state == "WAITING" => "STARTING".to_owned(),
        state => state,
    }
}

fn is_original_here() -> bool {
    Command::new("supervisord").arg("--version").stdout(Stdio::null()).status().is_ok()
}

#[test]
fn states_starts_and_pauses_are_the_originals() {
    if !is_original_here() {
        return skip("supervisord is not installed");
    }
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let daemon = Setting::supervisord(sections(directory.path())).start();
    let original = Original::start();
    let there = original.directory.path();
    for case in &CASES {
        match case.becomes {
            Settled(state, count) => {
                wait_until(&format!("ours: {} is {state}", case.name), || our_state(&daemon, case.name) == state);
                wait_until(&format!("the original: {} is {state}", case.name), || original.state(case.name) == state);
                let (ours, theirs) = (starts(directory.path(), case.name), starts(there, case.name));
                assert_eq!((ours.len(), theirs.len()), (count, count), "{}: {ours:?} {theirs:?}", case.name);
                for (number, (ours, theirs)) in pauses(&ours).iter().zip(pauses(&theirs)).enumerate() {
                    let nominal = (number + 1) as f64;
                    assert!(*ours > nominal - 0.05 && *ours < nominal + LATE, "{}: ours {ours}", case.name);
                    assert!(theirs > nominal - 0.05, "{}: the original {theirs}", case.name);
                }
            }
            Restarted(least) => {
                let both = || [starts(directory.path(), case.name), starts(there, case.name)];
                let is_enough = || both().iter().all(|starts| starts.len() >= 3);
                wait_until(&format!("{} is restarted by both", case.name), is_enough);
                for (who, starts) in ["ours", "the original"].iter().zip(both()) {
                    for pause in pauses(&starts) {
                        let is_fitting = pause > f64::from(least) - 0.05 && pause < f64::from(least) + 1.0 + LATE;
                        assert!(is_fitting, "{}: {who} {pause}", case.name);
                    }
                }
            }
        }
    }
    // Settled states last, with us as with the original.
    for case in &CASES {
        if let Settled(state, count) = case.becomes {
            assert_eq!([our_state(&daemon, case.name), original.state(case.name)], [state, state], "{}", case.name);
            let counts = [starts(directory.path(), case.name).len(), starts(there, case.name).len()];
            assert_eq!(counts, [count, count], "{}", case.name);
        }
    }
}

#[test]
fn a_stop_in_each_state_leads_where_the_originals_does() {
    if !is_original_here() {
        return skip("supervisord is not installed");
    }
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let daemon = Setting::supervisord(sections(directory.path())).start();
    let original = Original::start();
    let off = ("stop-off", "", "", "STOPPED", "STOPPED");
    for (name, _, _, before, after) in STOPPED.into_iter().chain([off]) {
        wait_until(&format!("ours: {name} is {before}"), || our_state(&daemon, name) == before);
        wait_until(&format!("the original: {name} is {before}"), || original.state(name) == before);
        if name == "stop-deaf" {
            // Its shell must have set the trap before the signal comes.
            let has_trap = |pid: &str| {
                let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
                ignored
                    .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                    .is_some_and(|mask| mask & 0x4000 != 0)
            };
            wait_until("ours ignores TERM", || {
                let pid = daemon.ctl_well(&["pid", name]).trim().parse().expect("a pid");
                daemon.process(pid).is_some_and(|process| has_trap(&process.pid.to_string()))
            });
            wait_until("the original's ignores TERM", || has_trap(original.ctl(&["pid", name]).trim()));
        }
        daemon.ctl(&["stop", name]);
        let asked = Instant::now();
        original.ctl(&["stop", name]);
        assert!(asked.elapsed() < Duration::from_secs(30), "{name}");
        assert_eq!([our_state(&daemon, name), original.state(name)], [after, after], "{name}");
    }
}
