//! `watch` of a program: a change of its files is one restart, however it is made.

#[path = "../harness/mod.rs"]
mod harness;

mod actions;
mod hostile;
mod saves;

use std::fs;
use std::path::{Path, PathBuf};

use harness::{Daemon, Setting, wait_for, wait_until};
use serde_json::Value;

/// A directory of files.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Tree {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("api.py"), "1").expect("it is ours");
        fs::write(directory.path().join("other.py"), "1").expect("it is ours");
        Tree(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).expect("it is ours");
    }
}

/// A service with this `watch`, in which `@` stands for the directory.
fn web(tree: &Tree, watch: &str) -> String {
    let watch = watch.replace('@', &tree.path().display().to_string());
    format!("[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n{watch}\n")
}

fn setting(programs: impl Into<String>) -> Setting {
    Setting::supervising(programs)
}

fn looks(daemon: &Daemon) -> usize {
    daemon.log.saying("watching files").len()
}

/// A daemon whose program runs, and is watched.
fn watching(programs: impl Into<String>) -> Daemon {
    let daemon = setting(programs).start();
    wait_until("the files are watched", || looks(&daemon) > 0);
    daemon.wait_for_running("web");
    daemon
}

/// Why each run of an instance was ended, the first one first.
fn causes(daemon: &Daemon, name: &str) -> Vec<String> {
    let answer = daemon.client.get(&format!("/v1/programs/{name}/why")).json();
    let earlier = answer["earlier"].as_array().map_or(&[][..], Vec::as_slice);
    let mut causes: Vec<(u64, String)> = earlier.iter().chain([&answer["run"]]).filter_map(cause).collect();
    causes.sort_unstable();
    causes.into_iter().map(|(_, cause)| cause).collect()
}

fn cause(run: &Value) -> Option<(u64, String)> {
    Some((run["run"].as_u64()?, run["cause"].as_str()?.to_owned()))
}

/// Waits until a run was ended for this reason, and returns all reasons.
fn wait_for_cause(daemon: &Daemon, name: &str, wanted: &str) -> Vec<String> {
    wait_for(&format!("{name} is restarted since {wanted:?}: {:?}", causes(daemon, name)), || {
        let causes = causes(daemon, name);
        causes.iter().any(|cause| cause == wanted).then_some(causes)
    })
}

/// Makes a last change that stands for itself: what came before was one restart each, for these reasons.
fn assert_restarts(daemon: &Daemon, tree: &Tree, expected: &[&str]) {
    if let Some(last) = expected.last() {
        wait_for_cause(daemon, "web", last);
    }
    daemon.wait_for_running("web");
    tree.write("other.py", "changed at last");
    let causes = wait_for_cause(daemon, "web", "other.py changed");
    let expected: Vec<&str> = expected.iter().copied().chain(["other.py changed"]).collect();
    assert_eq!(causes, expected);
}
