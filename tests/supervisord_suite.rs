//! supervisor's own end-to-end suite, with its programs replaced by ours: every case of `test_end_to_end.py`, unchanged but
//! for the directory that its sockets and files are in.
//!
//! All cases run beside each other, each in a copy of the package. Those that use supervisorctl run three times: with both
//! programs replaced, and with either of them. About a minute, most of it waiting.

mod harness;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::clients;

/// Cases that fail, and why. At most three are acceptable.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// The number of cases at a time.
const AT_ONCE: usize = 16;

/// The program of the fixtures of case 565, which the released packages lack.
const HELLO: &str = "for n in 1 2 3 4 5 6 7 8 9 10; do echo \"The Øresund bridge ends in Malmö - $n\"; sleep 1; done\n";

/// One run of a case.
struct Run {
    case: String,
    /// The programs that are ours.
    replaced: &'static [&'static str],
}

#[test]
fn every_case_passes() {
    let Some(clients) = clients() else { return };
    let suite = clients.join("source/supervisor");
    let text = fs::read_to_string(suite.join("tests/test_end_to_end.py")).expect("the suite is installed");
    let runs = runs(&text);
    assert!(runs.len() > 40, "{} runs", runs.len());
    let place = tempfile::tempdir().expect("a temporary directory can be created");
    let next = AtomicUsize::new(0);
    let failed: Vec<usize> = std::thread::scope(|scope| {
        let work = || {
            let numbers =
                std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < runs.len()));
            let fails = |at: &usize| failure(&runs[*at], &clients, &place.path().join(at.to_string())).is_some();
            numbers.filter(fails).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect()
    });
    // The cases have patience of their own, too little for sixteen at a time on a busy machine: those get a turn alone.
    let alone = |at: usize| failure(&runs[at], &clients, &place.path().join(format!("alone-{at}")));
    let failures: Vec<String> = failed.into_iter().filter_map(alone).collect();
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), runs.len(), failures.join("\n"));
}

/// All runs. A case is a method, up to the next one.
fn runs(suite: &str) -> Vec<Run> {
    const PAIRS: &[&[&str]] = &[&["supervisord"], &["supervisorctl"]];
    let mut runs = Vec::new();
    for method in suite.split("\n    def ").skip(1) {
        let case = method.split('(').next().expect("it has a name");
        if EXCEPTIONS.iter().any(|(name, _)| *name == case) {
            continue;
        }
        let run = |replaced| Run { case: case.to_owned(), replaced };
        runs.push(run(&["supervisord", "supervisorctl", "pidproxy"]));
        if method.contains("supervisor.supervisorctl") {
            runs.extend(PAIRS.iter().map(|replaced| run(replaced)));
        }
    }
    runs
}

/// Runs a case in a directory of its own; its output, if it fails.
fn failure(run: &Run, clients: &Path, place: &Path) -> Option<String> {
    let python = clients.join("venv/bin/python");
    copy(&clients.join("source/supervisor"), &place.join("supervisor"), place);
    let hello = place.join("supervisor/tests/fixtures/hello.sh");
    if !hello.exists() {
        fs::write(&hello, HELLO).expect("it is ours");
    }
    for name in run.replaced {
        let executable = place.join(name);
        symlink(harness::muster(), &executable).expect("it is ours");
        let text = format!("import os, sys\nos.execv({:?}, [{name:?}] + sys.argv[1:])\n", executable);
        fs::write(place.join(format!("supervisor/{name}.py")), text).expect("it is ours");
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(&python)
        .args(["-W", "ignore", "-m", "unittest"])
        .arg(format!("supervisor.tests.test_end_to_end.EndToEndTests.{}", run.case))
        .current_dir(place)
        .env("END_TO_END", "1")
        .env("PYTHONPATH", place)
        .env("TMPDIR", place)
        .env("PATH", format!("{}:{path}", clients.join("venv/bin").display()))
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .expect("it can be executed");
    let text = String::from_utf8_lossy(&output.stderr);
    (!output.status.success()).then(|| format!("{} with {} replaced:\n{text}", run.case, run.replaced.join(", ")))
}

/// Copies a directory; the files of the suite are in `place` instead of /tmp.
fn copy(from: &Path, to: &Path, place: &Path) {
    fs::create_dir_all(to).expect("it is ours");
    let entries = fs::read_dir(from).expect("it can be read");
    let paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    for path in paths {
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &target, place);
            continue;
        }
        let bytes = fs::read(&path).expect("it can be read");
        let is_moved = path.extension().is_some_and(|extension| extension == "conf")
            || path.file_name().is_some_and(|name| name == "test_end_to_end.py");
        match String::from_utf8(bytes) {
            Ok(text) if is_moved => fs::write(&target, text.replace("/tmp/", &format!("{}/", place.display()))),
            Ok(text) => fs::write(&target, text),
            Err(error) => fs::write(&target, error.into_bytes()),
        }
        .expect("it is ours");
    }
}
