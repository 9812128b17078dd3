//! musterd in supervisord's place: real configurations, unchanged, in containers whose programs are Debian's own packages.
//!
//! Each case runs twice from the same image, with `CMD ["supervisord", "-n", "-c", PATH]`: once with the original, once after
//! the whole migration, which is to copy one executable to `/usr/local/bin/supervisord`. Both must run the same programs.
//!
//! The configurations are other people's and not part of this repository: `MUSTER_CORPUS` names their folder.

mod cases;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::container::{Container, PATIENCE, Recipe};
use crate::engine::{is_wanted, skipped, supervisord, text, together};

/// When the two are compared, since their start.
const MOMENT: Duration = Duration::from_secs(10);

/// How long a process must have been running to count as running, where only processes can be asked: longer than the largest
/// `startsecs` of such a case.
const SETTLED: u64 = 2;

/// One configuration, and what its image has besides packages.
struct Case {
    /// In the corpus: a file, or a folder `bundle--NAME` of several files.
    configuration: &'static str,
    /// Without one, or without a section for `supervisorctl`, only the original's processes show what runs.
    server: Option<Server>,
    environment: &'static [(&'static str, &'static str)],
    files: &'static [(&'static str, &'static str)],
    /// Each program, and the name of its process.
    programs: &'static [(&'static str, &'static str)],
}

/// The Unix socket of a configuration, at which both answer.
struct Server {
    path: &'static str,
    /// User and password, where `[supervisorctl]` does not name them.
    login: Option<(&'static str, &'static str)>,
}

/// States of programs by name.
type States = BTreeMap<String, String>;

impl Case {
    /// Runs it under both, compares, and stops ours.
    fn check(&self) {
        if !is_wanted() {
            return;
        }
        let Some(corpus) = std::env::var_os("MUSTER_CORPUS") else {
            skipped("MUSTER_CORPUS names no folder of real configurations");
            return;
        };
        let _shared = together();
        let (image, executable) = supervisord();
        let (files, path) = self.image_files(Path::new(&corpus));
        let recipe = || {
            let recipe = Recipe::of(image).command(&["supervisord", "-n", "-c", &path]);
            let variables = self.environment.iter().map(|(name, value)| format!("{name}={value}"));
            let recipe = variables.fold(recipe, |recipe, variable| recipe.option("--env", variable));
            recipe.copy(files.path().join("."), "/")
        };
        let original = recipe().start();
        let ours = recipe().copy(executable, "/usr/local/bin/supervisord").start();
        let started = Instant::now();

        let wanted: States =
            self.programs.iter().map(|(program, _)| ((*program).to_owned(), "RUNNING".to_owned())).collect();
        let original_states = || self.original_states(&original, &path);
        reached(&original, "all programs of the original", &wanted, original_states);
        reached(&ours, "all programs of ours", &wanted, || self.states(&ours));
        let before = [self.processes(&original), self.processes(&ours)];

        // The comparison is about this moment: whether anything has ended or been restarted by then.
        std::thread::sleep((started + MOMENT).saturating_duration_since(Instant::now()));
        assert_eq!(original_states(), wanted, "the original\n{}", original.story());
        assert_eq!(self.states(&ours), wanted, "ours\n{}", ours.story());
        for (container, before) in [&original, &ours].into_iter().zip(before) {
            assert_eq!(processes(container, SETTLED), before, "something was restarted\n{}", container.story());
        }
        drop(original);

        let stopped = ours.stop();
        assert_eq!(stopped.code, 0, "{}", stopped.log);
        assert!(stopped.took < Duration::from_secs(10), "it took {:?}\n{}", stopped.took, stopped.log);
        assert!(!stopped.log.contains("SIGKILL"), "a program was killed\n{}", stopped.log);
    }

    /// The files to copy into the image, and the path of the configuration there.
    fn image_files(&self, corpus: &Path) -> (TempDir, String) {
        let files = tempfile::tempdir().expect("the temporary directory is writable");
        let source = corpus.join(self.configuration);
        let path = if source.is_dir() {
            copy_tree(&source.join("root"), files.path());
            fs::read_to_string(source.join("main")).expect("a bundle names its main file").trim().to_owned()
        } else {
            write(files.path(), "/etc/supervisord.conf", &fs::read(&source).expect("the corpus has this file"))
        };
        for (path, content) in self.files {
            write(files.path(), path, content.as_bytes());
        }
        (files, path)
    }

    /// The original's own answer, or what its processes say.
    fn original_states(&self, original: &Container, path: &str) -> States {
        let Some(server) = &self.server else {
            let found: BTreeSet<_> = processes(original, SETTLED).into_iter().map(|(_, name)| name).collect();
            let state = |process: &str| if found.contains(process) { "RUNNING" } else { "STARTING" };
            return self
                .programs
                .iter()
                .map(|(name, process)| ((*name).to_owned(), state(process).to_owned()))
                .collect();
        };
        let mut words = vec!["supervisorctl", "-c", path];
        if let Some((user, password)) = server.login {
            words.extend(["-u", user, "-p", password]);
        }
        words.push("status");
        let answer = text(&original.exec(&words));
        let lines = answer.lines().map(|line| line.split_whitespace().map(str::to_owned));
        lines.filter_map(|mut words| Some((words.next()?, words.next()?))).collect()
    }

    /// musterd's own answer. Empty while there is none.
    fn states(&self, ours: &Container) -> States {
        let request = match &self.server {
            Some(server) => format!("--socket {} status --json", server.path),
            None => "status --json".to_owned(),
        };
        let programs: Vec<Value> = serde_json::from_slice(&ours.ctl(&request).stdout).unwrap_or_default();
        let text = |program: &Value, key: &str| program[key].as_str().unwrap_or_default().to_owned();
        programs.iter().map(|program| (text(program, "name"), text(program, "state"))).collect()
    }

    /// The processes of all programs, once each of them has its own.
    fn processes(&self, container: &Container) -> Vec<(u32, String)> {
        let mut wanted: Vec<&str> = self.programs.iter().map(|(_, process)| *process).collect();
        wanted.sort_unstable();
        container.until(&format!("there are {wanted:?}"), || {
            let found = processes(container, SETTLED);
            let mut names: Vec<&str> = found.iter().map(|(_, name)| name.as_str()).collect();
            names.sort_unstable();
            (names == wanted).then(|| found.clone())
        })
    }
}

/// Waits for these states, and shows the last other ones on timeout.
fn reached(container: &Container, who: &str, wanted: &States, look: impl Fn() -> States) {
    let begun = Instant::now();
    loop {
        let states = look();
        if states == *wanted {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{who} are not running: {states:?}\n{}", container.story());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The living children of PID 1 that are at least this old, in seconds: pid and name.
fn processes(container: &Container, age: u64) -> Vec<(u32, String)> {
    let listing = container.shell("ps -o pid=,etimes=,stat=,comm= --ppid 1");
    let fields = listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let old = |fields: Vec<&str>| match fields[..] {
        [pid, seconds, state, name] if !state.starts_with('Z') => {
            let is_old = seconds.parse::<u64>().is_ok_and(|seconds| seconds >= age);
            pid.parse().ok().filter(|_| is_old).map(|pid| (pid, name.to_owned()))
        }
        _ => None,
    };
    fields.filter_map(old).collect()
}

/// Writes a file at this absolute path below a directory, executable if it is a script. Returns the path.
fn write(root: &Path, path: &str, content: &[u8]) -> String {
    let file = root.join(path.trim_start_matches('/'));
    let directory: PathBuf = file.parent().map(Path::to_owned).unwrap_or_default();
    fs::create_dir_all(directory).and_then(|()| fs::write(&file, content)).expect("temporary files can be written");
    let mode = if content.starts_with(b"#!") { 0o755 } else { 0o644 };
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("it is ours");
    path.to_owned()
}

/// Copies the regular files of a tree.
fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a bundle has files") {
        let path = entry.expect("the corpus is readable").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            fs::create_dir_all(&target).expect("temporary files can be written");
            copy_tree(&path, &target);
        } else {
            fs::copy(&path, &target).expect("temporary files can be written");
        }
    }
}
