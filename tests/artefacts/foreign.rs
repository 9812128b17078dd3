//! The executable for the other architecture, under qemu's emulation of processes: it supervises, reaps, stops and answers.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{VERSION, Wanted, is_wanted, unpacked};

const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon of the other architecture, as PID 1 of a namespace. Dropping it ends everything in there.
struct Foreign {
    unshare: Child,
    place: tempfile::TempDir,
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // With --kill-child, PID 1 is killed with it, and so is the namespace.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

fn other() -> &'static str {
    if crate::machine() == "x86_64" { "aarch64" } else { "x86_64" }
}

fn emulator() -> String {
    format!("qemu-{}-static", other())
}

fn until<T>(what: &str, log: &Path, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        let story = || fs::read_to_string(log).unwrap_or_default();
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}\n{}", story());
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Foreign {
    fn start(tree: &Path, programs: &str) -> Foreign {
        let place = tempfile::tempdir().expect("a temporary directory can be created");
        let text = format!("[http]\nsocket = '{}/sock'\n{programs}", place.path().display());
        fs::write(place.path().join("muster.toml"), text).expect("the test directory is writable");
        let log = fs::File::create(place.path().join("log")).expect("the test directory is writable");
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]).stdin(Stdio::null());
        command.arg(emulator()).arg(tree.join("bin/musterd")).arg("-c").arg(place.path().join("muster.toml"));
        command.stdout(log.try_clone().expect("it can be copied")).stderr(log);
        Foreign { unshare: command.spawn().expect("unshare is installed"), place }
    }

    /// PID 1 as this namespace sees it.
    fn pid(&self) -> i32 {
        let unshare = self.unshare.id();
        let path = format!("/proc/{unshare}/task/{unshare}/children");
        self.until("PID 1 is there", || fs::read_to_string(&path).ok()?.trim().parse().ok())
    }

    /// The states of the children of PID 1.
    fn children(&self) -> Vec<char> {
        let own = self.pid().to_string();
        let entries = fs::read_dir("/proc").expect("these tests need /proc").flatten();
        let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        let fields = stats.filter_map(|stat| Some(stat.rsplit_once(')')?.1.trim_start().to_owned()));
        fields.filter(|rest| rest.split(' ').nth(1) == Some(&own)).filter_map(|rest| rest.chars().next()).collect()
    }

    /// Runs the client of the same architecture.
    fn ctl(&self, tree: &Path, words: &[&str]) -> String {
        let mut command = Command::new(emulator());
        command.arg(tree.join("bin/musterctl")).arg("--socket").arg(self.path("sock")).args(words).stdin(Stdio::null());
        let output = command.output().expect("qemu-user-static is installed");
        assert!(output.status.success(), "{words:?}: {output:?}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        until(what, &self.path("log"), look)
    }

    fn program(&self, name: &str) -> serde_json::Value {
        let answer = self.until("the API answers", || self.get(&format!("/v1/programs/{name}")));
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("it has a body").1).expect("it is JSON")
    }

    fn get(&self, route: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.path("sock")).ok()?;
        write!(stream, "GET {route} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).ok()?;
        let mut rest = String::new();
        reader.read_to_string(&mut rest).ok()?;
        status.contains(" 200 ").then_some(rest)
    }
}

#[test]
fn the_other_architecture_supervises_reaps_stops_and_answers() {
    if !is_wanted(Wanted::All) {
        return;
    }
    let tree = unpacked(other());
    let tree = tree.path();
    let version = Command::new(emulator()).arg(tree.join("bin/musterctl")).arg("--version").output();
    let version = version.expect("qemu-user-static is installed");
    assert!(String::from_utf8_lossy(&version.stdout).contains(VERSION), "{version:?}");

    let mut daemon = Foreign::start(
        tree,
        "[program.web]\ncommand = 'sleep 1000'\nstartsecs = 0\nbackoff = { delay = '10ms' }\n\
         [program.orphans]\ncommand = ['sh', '-c', '(setsid sleep 2000 &); (sleep 0.01 &); echo are there; exec sleep 1000']\n\
         [program.job]\ntype = 'oneshot'\ncommand = 'true'\n",
    );
    daemon.until("the orphans are there", || daemon.log().contains("are there").then_some(()));
    let status = daemon.until("the API answers", || daemon.get("/v1/programs"));
    for name in ["web", "orphans", "job"] {
        assert!(status.contains(&format!("\"{name}\"")), "{status}");
    }
    daemon.ctl(tree, &["wait", "web", "orphans", "--for", "running"]);
    // Two programs and the orphan that stays; what has ended was reaped.
    daemon.until("everything is reaped", || {
        let children = daemon.children();
        (children.len() == 3 && !children.contains(&'Z')).then_some(())
    });

    // Killed, it is reaped and started again.
    let before = daemon.program("web");
    daemon.ctl(tree, &["signal", "KILL", "web"]);
    daemon.until("it is started again", || {
        let program = daemon.program("web");
        (program["state"] == "RUNNING" && program["pid"] != before["pid"]).then_some(())
    });
    assert!(!daemon.children().contains(&'Z'), "{}", daemon.log());

    let stopped = Command::new("kill").args(["-TERM", &daemon.pid().to_string()]).status();
    assert!(stopped.is_ok_and(|status| status.success()));
    let log = daemon.path("log");
    let end = until("it ends", &log, || daemon.unshare.try_wait().expect("it is a child"));
    assert_eq!(end.code(), Some(0), "{}", daemon.log());
    assert!(!daemon.log().contains("did not stop in time"), "{}", daemon.log());
}
