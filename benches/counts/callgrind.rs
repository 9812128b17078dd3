//! Instructions and allocations, under callgrind.
//!
//! valgrind knows only threads, fork and vfork: a process that shares the daemon's memory or its descriptor table is more than it can
//! do. So the daemon makes copies here, as it does for a program with an `oom_score_adj`, and with few descriptors.
//! The instructions of the new process are not counted.

use std::path::Path;
use std::process::{Command, Stdio};

use super::daemon::{Act, Daemon, Output, Under};
use super::equal;
use super::judge::{Basis, Figure};
use super::scene::Scene;

const PROGRAMS: usize = 10;
/// How often each operation is done in a session, and how much more often the one that is counted.
const FEW: usize = 5;
const MORE: usize = 60;

/// With fewer than 512 descriptors no process shares the daemon's table.
const DESCRIPTORS: usize = 500;

/// The beginning of a command under callgrind, which writes to `file`.
pub(crate) fn command(file: &Path) -> Command {
    let mut command = Command::new("sh");
    let limit = format!("ulimit -n {DESCRIPTORS} && exec \"$@\"");
    command.args(["-c", &limit, "sh", "valgrind", "--tool=callgrind", "-q"]);
    command.arg(format!("--callgrind-out-file={}.%p", file.display()));
    command
}

/// The counts of a run under callgrind.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Profile {
    instructions: f64,
    /// Calls of Rust's allocator, if the executable has symbols.
    allocations: Option<f64>,
}

impl Profile {
    fn of(file: &Path, process: u32) -> Profile {
        let path = format!("{}.{process}", file.display());
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let _ = std::fs::remove_file(&path);
        Profile::parse(&String::from_utf8_lossy(&bytes))
    }

    /// The format is that of valgrind's manual. A function's name is written out where it appears first.
    fn parse(text: &str) -> Profile {
        let number = |line: &str| line.split(' ').next().and_then(|number| number.parse::<f64>().ok());
        let (mut instructions, mut allocations, mut allocators) = (0.0, 0.0, Vec::new());
        let mut called = "";
        for line in text.lines() {
            if let Some(total) = line.strip_prefix("totals: ").and_then(number) {
                instructions = total;
            } else if let Some(calls) = line.strip_prefix("calls=").and_then(number) {
                if allocators.contains(&called) {
                    allocations += calls;
                }
            } else if let Some(name) = line.strip_prefix("cfn=") {
                called = note(name, &mut allocators);
            } else if let Some(name) = line.strip_prefix("fn=") {
                note(name, &mut allocators);
            }
        }
        Profile { instructions, allocations: (!allocators.is_empty()).then_some(allocations) }
    }

    fn less(self, few: Profile, times: usize) -> Profile {
        let each = |more: f64, few: f64| (more - few) / times as f64;
        let allocations = self.allocations.zip(few.allocations).map(|(more, few)| each(more, few));
        Profile { instructions: each(self.instructions, few.instructions), allocations }
    }
}

/// The function's number; it is kept if it is one of the allocator's that return memory.
fn note<'a>(name: &'a str, allocators: &mut Vec<&'a str>) -> &'a str {
    let (number, name) = name.split_once(") ").unwrap_or((name.trim_end_matches(')'), ""));
    let ends = ["__rust_alloc", "__rust_alloc_zeroed", "__rust_realloc"];
    if ends.iter().any(|end| name.ends_with(end)) {
        allocators.push(number);
    }
    number
}

/// The profile of a command that ends by itself.
fn profile(scene: &Scene, arguments: &[&Path]) -> Profile {
    let file = scene.directory.path().join("callgrind");
    let mut command = command(&file);
    equal::command(&mut command);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("sh is installed");
    let process = child.id();
    let status = child.wait().expect("it is a child of this process");
    assert!(status.success(), "{arguments:?}: {status}");
    Profile::of(&file, process)
}

/// `check` of configurations of two sizes, and a client's request.
pub(crate) fn commands(scene: &Scene, with_symbols: &Path) -> Vec<Figure> {
    let check = |musterd: &Path, count| {
        let file = scene.configuration(count, &["sleep", "100000"], "startsecs = 0");
        profile(scene, &[musterd, Path::new("check"), Path::new("-c"), &file])
    };
    let mut all = Vec::new();
    for count in [10, 1000] {
        let name = format!("musterd check of {count} programs");
        let instructions = check(&scene.musterd, count).instructions;
        all.push(Figure::new(format!("{name}: instructions"), instructions, Basis::Build));
        if let Some(allocations) = check(with_symbols, count).allocations {
            all.push(Figure::new(format!("{name}: allocations"), allocations, Basis::Compiler));
        }
    }
    let daemon = Daemon::start(scene, Under::Nothing, 100, Output::Captured);
    let socket = scene.socket();
    let status = profile(scene, &[&scene.musterctl, Path::new("-s"), &socket, Path::new("status")]).instructions;
    daemon.stop();
    all.push(Figure::new("musterctl status of 100 programs: instructions", status, Basis::Build));
    all
}

/// The profile of a daemon with this many programs that does all this.
fn session(scene: &Scene, musterd: &Path, count: usize, acts: &[(Act, usize)]) -> Profile {
    let file = scene.directory.path().join("callgrind");
    let under = Under::Callgrind { file: file.clone(), musterd: musterd.to_owned() };
    let mut daemon = Daemon::start(scene, under, count, Output::Captured);
    for &(act, times) in acts {
        daemon.perform(act, times);
    }
    let process = daemon.pid() as u32;
    daemon.stop();
    Profile::of(&file, process)
}

/// A whole session, and what one more of each operation adds to it.
pub(crate) fn sessions(scene: &Scene, with_symbols: &Path) -> Vec<Figure> {
    let acts: Vec<Act> = Act::ALL.into_iter().filter(|act| act.output() == Output::Captured).collect();
    let mut all = Vec::new();
    for (musterd, counts_instructions) in [(scene.musterd.as_path(), true), (with_symbols, false)] {
        let mut add = |what: &str, profile: Profile| {
            if counts_instructions {
                let figure = Figure::new(format!("{what}: instructions"), profile.instructions, Basis::Build);
                // A line costs less if the log thread finds it beside another.
                let slack = if what == Act::Line.name() { 200.0 } else { 0.0 };
                all.push(Figure { slack, ..figure });
            } else if let Some(allocations) = profile.allocations {
                // The sessions that are compared differ by a few allocations in all.
                let figure = Figure::new(format!("{what}: allocations"), allocations, Basis::Compiler);
                all.push(Figure { slack: 0.5, ..figure });
            }
        };
        let times = |most: Option<Act>| -> Vec<(Act, usize)> {
            acts.iter().map(|&act| (act, if most == Some(act) { FEW + MORE } else { FEW })).collect()
        };
        let base = session(scene, musterd, PROGRAMS, &times(None));
        add("session with 10 programs", base);
        add("start and stop of a program", session(scene, musterd, PROGRAMS + MORE, &times(None)).less(base, MORE));
        for &act in &acts {
            add(&act.name(), session(scene, musterd, PROGRAMS, &times(Some(act))).less(base, MORE));
        }
    }
    all
}
