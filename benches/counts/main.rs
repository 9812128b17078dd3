//! A guard that counts: `cargo bench --bench counts`, or `benches/counts/run`, which also builds what is measured.
//!
//! Counts what a static release executable does for each operation: system calls, bytes written, wake-ups, instructions, allocations,
//! its size and its code that is resident at rest; never time. A count that is more than 3 % above the recorded one in `expected.toml` fails.
//! `MUSTER_BLESS=1` records. `MUSTER_BIN_DIR=DIR` measures other executables; allocations are counted in those built with this
//! target, if they have symbols. `-- restart idle` measures only what has these words in its name. Needs `strace`, `valgrind` and `cc`.

mod callgrind;
mod calls;
mod daemon;
mod equal;
mod executable;
mod judge;
#[path = "../promises/scene.rs"]
#[allow(dead_code)]
mod scene;
mod trace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use daemon::Act;
use judge::{Basis, Circumstances, Figure, Record, TOLERANCE, Verdict, difference, number};
use scene::Scene;

/// How often a scenario is measured, at most, if a count is too large: one that was once small enough is.
const ATTEMPTS: usize = 6;
/// How often it is measured to record the least counts, or the median of those that are differences of two runs: other work on the
/// machine only adds to a count.
const RECORDED_ATTEMPTS: usize = 3;

/// Figures that are measured together.
struct Scenario<'a> {
    name: String,
    needs: &'static [&'static str],
    measure: Box<dyn Fn() -> Vec<Figure> + 'a>,
}

fn scenarios<'a>(scene: &'a Scene, with_symbols: &'a Path) -> Vec<Scenario<'a>> {
    let one = |name: &str, needs, measure: Box<dyn Fn() -> Vec<Figure> + 'a>| Scenario {
        name: name.to_owned(),
        needs,
        measure,
    };
    let mut all = vec![
        one("size", &[], Box::new(|| executable::size(scene))),
        one("resident code", &[], Box::new(|| executable::resident(scene))),
        one("idle", &["strace"], Box::new(|| calls::idle(scene))),
        one("boot", &["strace"], Box::new(|| calls::boot(scene))),
        one("commands under callgrind", &["valgrind"], Box::new(|| callgrind::commands(scene, with_symbols))),
        one("sessions under callgrind", &["valgrind"], Box::new(|| callgrind::sessions(scene, with_symbols))),
    ];
    for act in Act::ALL {
        all.push(one(&act.name(), &["strace"], Box::new(move || calls::operation(scene, act))));
    }
    all
}

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    equal::surroundings();
    let scene = scene();
    let with_symbols = PathBuf::from(env!("CARGO_BIN_EXE_musterd"));
    let mut guard = Guard::new(&scene);
    for scenario in scenarios(&scene, &with_symbols) {
        if wanted.is_empty() || wanted.iter().any(|word| scenario.name.contains(word.as_str())) {
            guard.run(&scenario);
        }
    }
    if !executable::has_symbols(&with_symbols) {
        guard.skip("allocations", "an executable with symbols: cargo test --bench counts");
    }
    guard.conclude(wanted.is_empty())
}

/// `muster` is both by name, and what a release has.
fn scene() -> Scene {
    let mut scene = Scene::new();
    for (name, path) in [("musterd", &mut scene.musterd), ("musterctl", &mut scene.musterctl)] {
        // The daemon runs in another directory.
        *path = std::path::absolute(&*path).expect("it has a name");
        let both = path.with_file_name("muster");
        if both.exists() {
            *path = scene.directory.path().join(name);
            std::os::unix::fs::symlink(both, &*path).expect("the test directory is writable");
        }
    }
    scene
}

/// The comparison of a run.
struct Guard {
    path: PathBuf,
    record: Record,
    now: Circumstances,
    is_recording: bool,
    measured: BTreeMap<String, f64>,
    too_many: Vec<String>,
    skipped: usize,
}

impl Guard {
    fn new(scene: &Scene) -> Guard {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/counts/expected.toml");
        let is_recording = std::env::var_os("MUSTER_BLESS").is_some();
        // Without the file every count is new.
        let text = std::fs::read_to_string(&path);
        let record = text.map_or_else(|_| Ok(Record::default()), |text| Record::parse(&text));
        let record = record.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let now = executable::circumstances(&scene.musterd);
        println!("musterd: {}\n  {now:?}", scene.musterd.display());
        let guard =
            Guard { path, record, now, is_recording, measured: BTreeMap::new(), too_many: Vec::new(), skipped: 0 };
        guard.announce();
        guard
    }

    /// Says which counts cannot be compared.
    fn announce(&self) {
        let (then, now) = (&self.record.recorded_with, &self.now);
        let say = |what: &str, then: &str, now: &str, not: &str| {
            if then != now && !self.is_recording {
                println!("\nNOT JUDGED: {not}: recorded with another {what}: {then:?}, now {now:?}");
            }
        };
        say("architecture", &then.architecture, &now.architecture, "all counts");
        say("compiler", &then.compiler, &now.compiler, "instructions, allocations and size");
        say("kind of executable", &then.executable, &now.executable, "all but allocations");
        println!();
    }

    fn run(&mut self, scenario: &Scenario<'_>) {
        let missing = scenario.needs.iter().find(|tool| !is_installed(tool));
        if let Some(tool) = missing {
            return self.skip(&scenario.name, tool);
        }
        let mut attempts = vec![(scenario.measure)()];
        let is_more = |figure: &Figure| self.record.verdict(figure, &self.now) == Verdict::More;
        let figures = if self.is_recording {
            attempts.extend((1..RECORDED_ATTEMPTS).map(|_| (scenario.measure)()));
            chosen(&attempts, |basis| if basis == Basis::Kind { 0 } else { RECORDED_ATTEMPTS / 2 })
        } else {
            while attempts.len() < ATTEMPTS && chosen(&attempts, |_| 0).iter().any(is_more) {
                attempts.push((scenario.measure)());
            }
            chosen(&attempts, |_| 0)
        };
        figures.iter().for_each(|figure| self.judge(figure));
    }

    fn skip(&mut self, what: &str, needed: &str) {
        println!("SKIPPED: {what}: needs {needed}");
        self.skipped += 1;
    }

    fn judge(&mut self, figure: &Figure) {
        self.measured.insert(figure.name.clone(), figure.value);
        let recorded = self.record.counts.get(&figure.name).copied();
        let verdict = self.record.verdict(figure, &self.now);
        let (word, advice) = match verdict {
            Verdict::Same => ("ok  ", ""),
            Verdict::More => ("MORE", ""),
            Verdict::Less => ("less", "  record it"),
            Verdict::New => ("new ", "  record it"),
            Verdict::NotJudged => ("--  ", "  not judged"),
        };
        let compared = recorded
            .map(|recorded| format!("  recorded {:>10}  {:>9}", number(recorded), difference(recorded, figure.value)));
        let line = format!("{:<58} {:>10}{}", figure.name, number(figure.value), compared.unwrap_or_default());
        println!("{word} {line}{advice}");
        if !figure.parts.is_empty() {
            println!("         {}", figure.parts);
        }
        if verdict == Verdict::More {
            self.too_many.push(line);
        }
    }

    fn conclude(mut self, is_all: bool) -> ExitCode {
        if self.is_recording {
            return self.write(is_all && self.skipped == 0);
        }
        if is_all && self.skipped == 0 {
            let gone = self.record.counts.keys().filter(|name| !self.measured.contains_key(*name));
            gone.for_each(|name| println!("SKIPPED: recorded, but not measured: {name}"));
        }
        if self.too_many.is_empty() {
            println!("\nno count is more than {:.0} % above the recorded one", TOLERANCE * 100.0);
            return ExitCode::SUCCESS;
        }
        println!("\n{} counts are more than {:.0} % above the recorded ones:", self.too_many.len(), TOLERANCE * 100.0);
        self.too_many.iter().for_each(|line| println!("  {line}"));
        println!("hint: if it is worth it, record them and say why in the commit: MUSTER_BLESS=1 benches/counts/run");
        ExitCode::FAILURE
    }

    /// Counts that were not measured this time stay, if they are comparable with those that were.
    fn write(&mut self, is_all: bool) -> ExitCode {
        if is_all {
            self.record.counts.clear();
        } else if self.record.recorded_with != self.now && !self.record.counts.is_empty() {
            println!("\nnot recorded: the other counts were recorded with {:?}: record all", self.record.recorded_with);
            return ExitCode::FAILURE;
        }
        self.record.recorded_with = self.now.clone();
        self.record.counts.append(&mut self.measured);
        std::fs::write(&self.path, self.record.render()).expect("the repository is writable");
        println!("\nrecorded in {}", self.path.display());
        ExitCode::SUCCESS
    }
}

/// Of each figure the one at this place in the order of their values. Every attempt has the same figures.
fn chosen(attempts: &[Vec<Figure>], place: impl Fn(Basis) -> usize) -> Vec<Figure> {
    let of_name = |figure: &Figure| {
        let mut all: Vec<&Figure> = attempts.iter().flatten().filter(|other| other.name == figure.name).collect();
        all.sort_by(|a, b| a.value.total_cmp(&b.value));
        all[place(figure.basis).min(all.len() - 1)].clone()
    };
    attempts[0].iter().map(of_name).collect()
}

fn is_installed(tool: &str) -> bool {
    let version = if tool == "strace" { "-V" } else { "--version" };
    Command::new(tool).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
