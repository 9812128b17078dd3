//! One container: its start, inspection and end, and its removal even if the test fails.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::engine::{LABEL, docker, docker_ok, text};

/// The suite's timeout. Long, since only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The path of the configuration in the container.
const CONFIG: &str = "/etc/muster/muster.toml";

/// The description of a container to start.
pub(crate) struct Recipe {
    name: String,
    image: String,
    options: Vec<OsString>,
    command: Vec<OsString>,
    copies: Vec<(PathBuf, String)>,
    files: TempDir,
}

/// A started container. Dropping it removes it.
pub(crate) struct Container {
    pub(crate) name: String,
    _files: TempDir,
}

/// How `docker stop` ended it.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) took: Duration,
    pub(crate) code: i64,
    pub(crate) log: String,
}

impl Stopped {
    /// How long the daemon itself took, by its own log. The time that the engine and its command line take is not
    /// musterd's.
    pub(crate) fn shutdown(&self) -> Duration {
        between(&self.log, "stopping all programs", "exit: ")
    }
}

/// The time between the daemon's first line that contains the one text and the last that contains the other.
pub(crate) fn between(log: &str, from: &str, to: &str) -> Duration {
    let moments = |words: &str| log.lines().filter(|line| line.contains(words)).filter_map(time_of_day).collect();
    let (from, to): (Vec<Duration>, Vec<Duration>) = (moments(from), moments(to));
    let (Some(&from), Some(&to)) = (from.first(), to.last()) else { panic!("lines are missing in\n{log}") };
    let midnight = if to < from { Duration::from_secs(24 * 60 * 60) } else { Duration::ZERO };
    to + midnight - from
}

/// The time of a line that begins with `2026-11-23T07:12:25.300647Z`.
fn time_of_day(line: &str) -> Option<Duration> {
    let clock = line.split_once('T')?.1.split_once('Z')?.0;
    let parts: Vec<f64> = clock.split(':').map_while(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = parts[..] else { return None };
    Some(Duration::from_secs_f64((hours * 60.0 + minutes) * 60.0 + seconds))
}

impl Recipe {
    /// A container of this image that runs the image's own command.
    pub(crate) fn of(image: &str) -> Recipe {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Recipe {
            name: format!("{LABEL}-{}-{number}", std::process::id()),
            image: image.to_owned(),
            options: Vec::new(),
            command: Vec::new(),
            copies: Vec::new(),
            files: tempfile::tempdir().expect("the temporary directory is writable"),
        }
    }

    /// More options of `docker run`, separated by spaces.
    pub(crate) fn options(mut self, options: &str) -> Recipe {
        self.options.extend(options.split_whitespace().map(OsString::from));
        self
    }

    /// A command to run instead of the image's.
    pub(crate) fn command(mut self, words: &[&str]) -> Recipe {
        self.command = words.iter().map(OsString::from).collect();
        self
    }

    /// Mounts the configuration where musterd looks for it.
    pub(crate) fn config(self, toml: &str) -> Recipe {
        self.file("muster.toml", CONFIG, toml)
    }

    /// Mounts a file with this content, read-only.
    pub(crate) fn file(mut self, name: &str, inside: &str, content: &str) -> Recipe {
        let path = self.write(name, content);
        self.mount(&path, inside);
        self
    }

    /// Writes a file for this container, without mounting it.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.files.path().join(name);
        fs::write(&path, content).expect("temporary files can be written");
        path
    }

    fn mount(&mut self, path: &Path, inside: &str) {
        let mut volume = path.as_os_str().to_owned();
        volume.push(format!(":{inside}:ro"));
        self.options.extend(["--volume".into(), volume]);
    }

    /// Copies a file, or with `DIR/.` what is in a directory, into the container before it starts.
    pub(crate) fn copy(mut self, from: impl Into<PathBuf>, inside: &str) -> Recipe {
        self.copies.push((from.into(), inside.to_owned()));
        self
    }

    /// An option whose value contains spaces or is a path.
    pub(crate) fn option(mut self, name: &str, value: impl Into<OsString>) -> Recipe {
        self.options.extend([name.into(), value.into()]);
        self
    }

    /// `docker run --detach`, or with files to copy its three steps.
    pub(crate) fn start(self) -> Container {
        if self.copies.is_empty() {
            docker_ok(self.arguments(&["run", "--detach"]));
            return Container { name: self.name, _files: self.files };
        }
        docker_ok(self.arguments(&["create"]));
        let container = Container { name: self.name, _files: self.files };
        for (from, inside) in &self.copies {
            docker_ok(["cp".into(), from.as_os_str().to_owned(), format!("{}:{inside}", container.name).into()]);
        }
        docker_ok(["start", &container.name]);
        container
    }

    /// Runs it until it exits.
    pub(crate) fn run(self) -> (i64, String) {
        let container = self.start();
        (container.wait(), container.logs())
    }

    fn arguments(&self, verb: &[&str]) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = verb.iter().map(OsString::from).collect();
        arguments.extend(["--name".into(), (&self.name).into(), "--label".into(), LABEL.into()]);
        arguments.extend(self.options.iter().cloned());
        arguments.push((&self.image).into());
        arguments.extend(self.command.iter().cloned());
        arguments
    }
}

impl Container {
    /// Runs a command inside, as `docker exec` does.
    pub(crate) fn exec(&self, words: &[&str]) -> Output {
        docker(["exec", &self.name].iter().chain(words))
    }

    /// Runs a shell line inside, and returns its output.
    pub(crate) fn shell(&self, line: &str) -> String {
        text(&self.exec(&["sh", "-c", line])).trim_end().to_owned()
    }

    /// The live processes that have this word as one of their arguments, by pid.
    pub(crate) fn with_argument(&self, word: &str) -> Vec<u32> {
        let found = self.shell(&format!("grep -lzxF {word} /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3 | sort -n"));
        // The grep has the word as well, and has exited by now.
        let pids = found.lines().filter_map(|line| line.parse().ok());
        pids.filter(|pid| self.exec(&["test", "-e", &format!("/proc/{pid}/exe")]).status.success()).collect()
    }

    /// Sends a request to the daemon inside.
    pub(crate) fn ctl(&self, line: &str) -> Output {
        let words: Vec<&str> = std::iter::once("musterctl").chain(line.split_whitespace()).collect();
        self.exec(&words)
    }

    /// One program, as the API shows it; `Null` while there is no answer.
    pub(crate) fn program(&self, name: &str) -> Value {
        let output = self.ctl("status --json");
        let programs: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let programs = programs.as_array().cloned().unwrap_or_default();
        programs.into_iter().find(|program| program["name"] == name).unwrap_or_default()
    }

    /// Waits until a program is in this state.
    pub(crate) fn wait_state(&self, name: &str, state: &str) -> Value {
        self.until(&format!("{name} is {state}"), || {
            Some(self.program(name)).filter(|program| program["state"] == state)
        })
    }

    /// Waits until every program with autostart is running.
    pub(crate) fn wait_ready(&self) {
        self.until("everything is ready", || self.ctl("health").status.success().then_some(()));
    }

    /// Waits until the log contains this.
    pub(crate) fn wait_log(&self, what: &str) {
        self.until(&format!("the log has {what:?}"), || self.logs().contains(what).then_some(()));
    }

    /// Waits for an event, and on timeout panics with the container's log.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}\n{}", self.story());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its output so far, both streams.
    pub(crate) fn logs(&self) -> String {
        text(&docker(["logs", &self.name]))
    }

    /// State and log, for messages of failed assertions.
    pub(crate) fn story(&self) -> String {
        format!("---- {} ----\n{}\n{}", self.name, text(&self.ctl("status")), self.logs())
    }

    /// Waits until it exits, and returns the exit code.
    pub(crate) fn wait(&self) -> i64 {
        let code = self.until("it ends", || {
            let state = docker_ok(["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", &self.name]);
            state.strip_prefix("exited ").map(str::to_owned)
        });
        code.parse().expect("docker shows a number")
    }

    /// `docker stop` with its default timeout of ten seconds.
    pub(crate) fn stop(&self) -> Stopped {
        let begun = Instant::now();
        docker_ok(["stop", &self.name]);
        let took = begun.elapsed();
        Stopped { took, code: self.wait(), log: self.logs() }
    }

    /// Sends the daemon a signal from outside.
    pub(crate) fn kill(&self, signal: &str) {
        docker_ok(["kill", "--signal", signal, &self.name]);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        docker(["rm", "--force", "--volumes", &self.name]);
    }
}
