//! The preset `docker` compared with Docker in real time: as many runs, the same pauses, the same outcome.
//!
//! The simulation gives the expected values. dockerd takes some tenths of a second to restart a container, more on a
//! busy machine, so its pauses may be longer, and never shorter.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::engine::{LABEL, docker, docker_ok, is_wanted, text, together};

/// Plays one run after another as its arguments say, each `STATUS:MILLISECONDS`; the last one repeats. `gone` removes
/// its own executable, so that the next start fails. The number of the run is in a file that lives as long as the
/// container.
const PUPPET: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static void tell(const char *word) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    printf("%s %lld.%09ld\n", word, (long long)now.tv_sec, now.tv_nsec);
    fflush(stdout);
}
int main(int count, char **arguments) {
    int run = 0;
    tell("begin");
    FILE *file = fopen("/run-number", "r");
    if (file) { fscanf(file, "%d", &run); fclose(file); }
    file = fopen("/run-number", "w");
    fprintf(file, "%d", run + 1);
    fclose(file);
    const char *part = arguments[run + 1 < count ? run + 1 : count - 1];
    if (strcmp(part, "gone") == 0) { unlink("/puppet"); part = "1:100"; }
    int status = 0, ms = 0;
    sscanf(part, "%d:%d", &status, &ms);
    struct timespec span = { ms / 1000, ms % 1000 * 1000000L };
    nanosleep(&span, NULL);
    tell("end");
    return status;
}
"#;

/// How many seconds Docker may be late because of its own work and the machine's load.
const LATE: f64 = 6.0;

/// How long its own work takes, measured as 0.16 to 0.47 s on a quiet machine. The shortest delay of all pauses must be
/// within that, however busy the machine is.
const ITS_WORK: f64 = 0.6;

/// Longer than any of the stories.
const PATIENCE: Duration = Duration::from_secs(120);

struct Case {
    policy: &'static str,
    /// The script for the puppet, and the same for the simulation.
    parts: &'static [&'static str],
    runs: &'static str,
}

const CASES: [Case; 6] = [
    Case { policy: "on-failure:2", parts: &["1:11000"], runs: "1@11s ×*" },
    Case {
        policy: "on-failure:3",
        parts: &["1:100", "1:100", "1:11000", "1:100"],
        runs: "1@100ms ×2, 1@11s, 1@100ms ×*",
    },
    Case { policy: "on-failure:5", parts: &["1:100", "1:100", "0:100"], runs: "1@100ms ×2, 0@100ms" },
    Case { policy: "always", parts: &["0:100", "0:100", "0:100", "0:100", "0:600000"], runs: "0@100ms ×4, hang" },
    Case {
        policy: "on-failure:0",
        parts: &["1:100", "1:100", "1:100", "1:100", "1:100", "0:600000"],
        runs: "1@100ms ×5, hang",
    },
    Case { policy: "always", parts: &["1:100", "gone"], runs: "1@100ms ×2, spawn-error" },
];

#[test]
fn dockers_runs_pauses_and_ends_are_the_presets() {
    if !is_wanted() {
        return;
    }
    let _machine = together();
    let image = image();
    let check = |case: &'static Case| move || compare(image, case);
    let told: Vec<Result<Vec<f64>, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = CASES.iter().map(|case| scope.spawn(check(case))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no comparison panics")).collect()
    });
    let (well, wrong): (Vec<_>, Vec<_>) = told.into_iter().partition(Result::is_ok);
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let lateness: Vec<f64> = well.into_iter().flatten().flatten().collect();
    let least = lateness.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(least <= ITS_WORK, "every pause is longer than the preset's and Docker's work: {lateness:?}");
}

/// An image with nothing but the puppet.
fn image() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let puppet = directory.path().join("puppet");
        let mut compiler = Command::new("gcc")
            .args(["-x", "c", "-static", "-w", "-o"])
            .arg(&puppet)
            .arg("-")
            .stdin(Stdio::piped())
            .spawn()
            .expect("gcc is installed");
        compiler.stdin.take().expect("it is a pipe").write_all(PUPPET.as_bytes()).expect("gcc reads");
        assert!(compiler.wait().expect("it is a child of this process").success(), "the puppet does not compile");
        let archive = directory.path().join("puppet.tar");
        let mut tar = Command::new("tar");
        tar.arg("-cf").arg(&archive).arg("-C").arg(directory.path()).arg("puppet");
        assert!(tar.status().expect("tar is installed").success());
        docker_ok(["import".as_ref(), archive.as_os_str(), "muster-puppet:test".as_ref()]);
        "muster-puppet:test".to_owned()
    })
}

/// A container that is removed in any case.
struct Played(String);

impl Drop for Played {
    fn drop(&mut self) {
        docker(["rm", "-f", &self.0]);
    }
}

#[derive(Debug, PartialEq)]
struct Story {
    runs: usize,
    pauses: Vec<f64>,
    goes_on: bool,
}

/// How much longer each pause was than the preset's.
fn compare(image: &str, case: &Case) -> Result<Vec<f64>, String> {
    let expected = simulated(case);
    let restart = format!("--restart={}", case.policy);
    let words = ["run", "-d", "--label", LABEL, &restart, image, "/puppet"];
    let container = Played(docker_ok(words.iter().chain(case.parts)));
    let began = Instant::now();
    let found = loop {
        let found = look(&container.0);
        // A program that stays up does so in its last run; one that ended is not restarted.
        if found.goes_on == expected.goes_on && found.runs >= expected.runs {
            break found;
        }
        if began.elapsed() > PATIENCE {
            break found;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let is_late = |(pause, nominal): (&f64, &f64)| *pause < nominal - 0.01 || *pause > nominal + LATE;
    let differs = (found.runs, found.goes_on) != (expected.runs, expected.goes_on)
        || found.pauses.len() != expected.pauses.len()
        || found.pauses.iter().zip(&expected.pauses).any(is_late);
    if differs {
        return Err(format!("{} {}: {found:?}, expected {expected:?}", case.policy, case.runs));
    }
    Ok(found.pauses.iter().zip(&expected.pauses).map(|(pause, nominal)| pause - nominal).collect())
}

/// Its state and history until now.
fn look(container: &str) -> Story {
    let status = docker_ok(["inspect", "--format", "{{.State.Status}}", container]);
    let log = text(&docker(["logs", container]));
    let times = |what: &str| -> Vec<f64> {
        log.lines().filter_map(|line| line.strip_prefix(what)?.trim().parse().ok()).collect()
    };
    let (begins, ends) = (times("begin"), times("end"));
    let pauses = ends.iter().zip(begins.iter().skip(1)).map(|(end, begin)| begin - end).collect();
    Story { runs: begins.len(), pauses, goes_on: status != "exited" }
}

fn simulated(case: &Case) -> Story {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = directory.path().join("muster.toml");
    let config =
        format!("[program.it]\ncommand = \"it\"\nstartsecs = 0\nrestart = {:?}\nbackoff = \"docker\"\n", case.policy);
    std::fs::write(&path, config).expect("the test directory is writable");
    let story = told(&path, case.runs);
    let moments = story["timeline"].as_array().expect("it is a list");
    // Docker counts a failed start neither as a run nor as a pause.
    let is_failed = |moment: &&Value| {
        let happened = moment["happened"].as_str().unwrap_or_default();
        moment["program"] == "it" && happened.contains("spawn error")
    };
    let failed = moments.iter().filter(is_failed).count();
    let mut pauses: Vec<f64> = moments.iter().filter_map(|moment| moment["delay"].as_f64()).collect();
    pauses.truncate(pauses.len() - failed);
    let program = &story["programs"][0];
    let runs = program["runs"].as_u64().expect("it is a number") as usize - failed;
    Story { runs, pauses, goes_on: program["state"] == "RUNNING" }
}

fn told(path: &Path, runs: &str) -> Value {
    let mut command = Command::new(crate::executables::musterd());
    command.args(["simulate", "--runs", runs, "--until", "1h", "--json", "-c"]).arg(path);
    let output = command.output().expect("it can be executed");
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).expect("--json writes JSON")
}
