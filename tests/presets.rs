//! Presets compared with their originals in real time: the same program under supervisord and in `musterd simulate`.
//!
//! The simulation predicts the number of runs, the pause before each, and the final state. supervisord checks its
//! processes once a second, so its pauses may be longer, and never shorter. Delays from a busy machine are tolerated.
//! Docker is tested in `tests/docker/presets.rs`; systemd cannot run beside other things, so its documentation is the
//! source.

mod harness;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::{ended, skip, wait_for};
use serde_json::Value;

/// A program under test.
struct Case {
    name: &'static str,
    autorestart: &'static str,
    /// The same for musterd.
    restart: &'static str,
    startretries: u32,
    /// As for `musterd simulate`: each run, and the outcome after all of them.
    runs: &'static str,
}

const CASES: [Case; 8] = [
    // There is no such command: supervisord treats a failed start as a run that ended too soon.
    Case { name: "absent", autorestart: "true", restart: "always", startretries: 2, runs: "spawn-error ×*" },
    Case { name: "fails", autorestart: "true", restart: "always", startretries: 3, runs: "1@100ms ×*" },
    Case { name: "fails-once", autorestart: "unexpected", restart: "on-failure", startretries: 1, runs: "1@100ms ×*" },
    Case {
        name: "well-too-soon",
        autorestart: "unexpected",
        restart: "on-failure",
        startretries: 2,
        runs: "0@100ms ×*",
    },
    Case { name: "well-too-soon-no", autorestart: "false", restart: "no", startretries: 2, runs: "0@100ms ×*" },
    Case {
        name: "comes-up",
        autorestart: "unexpected",
        restart: "on-failure",
        startretries: 1,
        runs: "1@2500ms ×3, 0@2500ms",
    },
    Case { name: "comes-up-no", autorestart: "false", restart: "no", startretries: 1, runs: "1@100ms, 1@2500ms" },
    Case {
        name: "forgiven",
        autorestart: "true",
        restart: "always",
        startretries: 2,
        runs: "1@100ms ×2, 1@2500ms, 1@100ms ×*",
    },
];

/// How many seconds supervisord may be late from checking only once a second, and from the machine's load.
const LATE: f64 = 6.0;

/// How late it is from checking only once a second. At least a quarter of the pauses must be within that: a policy with
/// other delays would exceed it with all of them, a busy machine with some.
const POLL: f64 = 1.2;

/// A preset's name appears only if the configuration asks for it by name.
#[test]
fn a_preset_is_named_where_it_was_asked_for() {
    for (backoff, expected) in [
        ("{ delay = \"100ms\" }", "next delay 100ms × 2^0 = 100ms\n"),
        ("\"docker\"", "next delay 100ms × 2^0 = 100ms (preset docker)\n"),
        ("{ preset = \"docker\", max = \"5s\" }", "next delay 100ms × 2^0 = 100ms (preset docker, max changed)\n"),
    ] {
        let text = format!("[program.web]\ncommand = \"web\"\nbackoff = {backoff}\n");
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let path = directory.path().join("muster.toml");
        fs::write(&path, text).expect("the test directory is writable");
        let words = ["simulate", "-c", &path.to_string_lossy(), "--runs", "1@200ms"];
        let told = ended(Command::new(harness::musterd()).args(words));
        assert!(told.out.contains(expected), "{expected} is not in\n{}", told.out);
    }
}

/// supervisord itself; dropping it ends it.
struct Supervisord(Child);

impl Drop for Supervisord {
    fn drop(&mut self) {
        harness::send(self.0.id() as i32, 15);
        let _ = self.0.wait();
    }
}

#[test]
fn supervisords_runs_pauses_and_ends_are_the_presets() {
    if Command::new("supervisord").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip("supervisord is not installed");
    }
    let place = tempfile::tempdir().expect("a temporary directory can be created");
    let supervisord = start(place.path());
    let mut lateness = Vec::new();
    for case in &CASES {
        let expected = simulated(case);
        let state = wait_for(&format!("the end of {}", case.name), || final_state(place.path(), case.name));
        let (runs, pauses) = seen(place.path(), case.name);
        let story = format!("{}: {runs} runs with pauses of {pauses:?} s, {state}; expected {expected:?}", case.name);
        assert_eq!((runs, state.as_str()), (expected.runs, expected.state.as_str()), "{story}");
        assert_eq!(pauses.len(), expected.pauses.len(), "{story}");
        for (pause, nominal) in pauses.iter().zip(&expected.pauses) {
            assert!(*pause >= nominal - 0.01 && *pause <= nominal + LATE, "{story}");
            lateness.push(pause - nominal);
        }
    }
    lateness.sort_by(f64::total_cmp);
    let quarter = lateness[lateness.len() / 4];
    assert!(quarter <= POLL, "nearly all pauses are longer than the preset's and a poll: {lateness:?}");
    drop(supervisord);
}

#[derive(Debug)]
struct Expected {
    runs: usize,
    pauses: Vec<f64>,
    state: String,
}

fn simulated(case: &Case) -> Expected {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = directory.path().join("muster.toml");
    let text = format!(
        "[program.it]\ncommand = \"it\"\nrestart = {:?}\nbackoff = \"supervisord\"\nstartretries = {}\n",
        case.restart, case.startretries
    );
    fs::write(&path, text).expect("the test directory is writable");
    let path = path.to_string_lossy().into_owned();
    let words = ["simulate", "-c", &path, "--runs", case.runs, "--until", "1h", "--json"];
    let told = ended(Command::new(harness::musterd()).args(words));
    assert_eq!(told.code, Some(0), "{told:?}");
    let story: Value = serde_json::from_str(&told.out).expect("--json writes JSON");
    let moments = story["timeline"].as_array().expect("it is a list");
    let program = &story["programs"][0];
    Expected {
        runs: program["runs"].as_u64().expect("it is a number") as usize,
        pauses: moments.iter().filter_map(|moment| moment["delay"].as_f64()).collect(),
        state: program["state"].as_str().expect("it is a word").to_owned(),
    }
}

/// A shell script that behaves as the runs say, one after another, and records when each begins and ends.
fn script(directory: &Path, case: &Case) -> String {
    let log = directory.join(case.name);
    let mut arms = String::new();
    let mut number = 0;
    for words in case.runs.split(',').filter(|words| !words.contains("spawn-error")) {
        let (run, times) = words.trim().split_once(" ×").unwrap_or((words.trim(), "1"));
        let (code, ms) = run.split_once('@').expect("a run ends");
        let seconds = ms.strip_suffix("ms").and_then(|ms| ms.parse::<f64>().ok()).expect("in milliseconds") / 1000.0;
        for _ in 0..times.parse().unwrap_or(1) {
            let pattern = if times == "*" { "*".to_owned() } else { number.to_string() };
            let _ = writeln!(arms, "{pattern}) sleep {seconds}; code={code} ;;");
            number += 1;
        }
    }
    let log = log.display();
    format!(
        "n=$(grep -c begin {log} 2>/dev/null)\necho begin $(date +%s.%N) >>{log}\ncase ${{n:-0}} in\n{arms}esac\n\
         echo end $(date +%s.%N) >>{log}\nexit $code\n"
    )
}

fn start(directory: &Path) -> Supervisord {
    let here = directory.display();
    let mut text = format!(
        "[unix_http_server]\nfile={here}/socket\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://{here}/socket\n\
         [supervisord]\nnodaemon=true\nlogfile={here}/log\npidfile={here}/pid\nchildlogdir={here}\nuser=root\n"
    );
    if !harness::is_root() {
        text = text.replace("user=root\n", "");
    }
    for case in &CASES {
        let path = directory.join(format!("{}.sh", case.name));
        fs::write(&path, script(directory, case)).expect("the test directory is writable");
        let command = if is_absent(case.name) { ABSENT.to_owned() } else { format!("sh {}", path.display()) };
        let _ = writeln!(
            text,
            "[program:{}]\ncommand={command}\nautorestart={}\nstartretries={}\nstartsecs=1",
            case.name, case.autorestart, case.startretries
        );
    }
    let path = directory.join("supervisord.conf");
    fs::write(&path, text).expect("the test directory is writable");
    let mut command = Command::new("supervisord");
    command.arg("-c").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Supervisord(command.spawn().expect("it answered a moment ago"))
}

const ABSENT: &str = "/no/such/command";

fn is_absent(name: &str) -> bool {
    name == "absent"
}

/// How often supervisord tried to start a missing command, and the pauses between: each is a line of its log, such as
/// `2026-11-28 19:20:20,123 INFO spawnerr: can't find command '/no/such/command'`.
fn starts_that_failed(directory: &Path) -> (usize, Vec<f64>) {
    let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
    let at = |line: &str| -> Option<f64> {
        let clock: Vec<f64> =
            line.get(11..23)?.replace(',', ".").split(':').map_while(|part| part.parse().ok()).collect();
        let [hours, minutes, seconds] = clock[..] else { return None };
        Some((hours * 60.0 + minutes) * 60.0 + seconds)
    };
    let is_it = |line: &&str| line.contains("spawnerr") && line.contains(ABSENT);
    let times: Vec<f64> = log.lines().filter(is_it).filter_map(at).collect();
    // Across midnight, add the missing day.
    let pauses = times.windows(2).map(|two| (two[1] - two[0]).rem_euclid(86_400.0));
    (times.len(), pauses.collect())
}

/// Waits until supervisord reports a lasting state for the program, and returns it.
fn final_state(directory: &Path, name: &str) -> Option<String> {
    let mut command = Command::new("supervisorctl");
    let told = ended(command.arg("-c").arg(directory.join("supervisord.conf")).args(["status", name]));
    let state = told.out.split_whitespace().nth(1)?.to_owned();
    // Between an exit and the next start it is briefly EXITED, too.
    let wants_more = |case: &&Case| case.name == name && case.autorestart != "false";
    let (runs, _) = seen(directory, name);
    let is_over = match state.as_str() {
        "FATAL" => true,
        "EXITED" => CASES.iter().find(wants_more).is_none_or(|case| runs == simulated(case).runs),
        _ => false,
    };
    is_over.then_some(state)
}

/// The number of runs, and the pauses between them in seconds.
fn seen(directory: &Path, name: &str) -> (usize, Vec<f64>) {
    if is_absent(name) {
        return starts_that_failed(directory);
    }
    let text = fs::read_to_string(directory.join(name)).unwrap_or_default();
    let times = |what: &str| -> Vec<f64> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(what));
        lines.filter_map(|time| time.trim().parse().ok()).collect()
    };
    let (begins, ends) = (times("begin"), times("end"));
    (begins.len(), ends.iter().zip(begins.iter().skip(1)).map(|(end, begin)| begin - end).collect())
}
