//! Scenarios: a configuration, a script of its programs' runs, and the expected results.
//!
//! A scenario is a TOML file with the keys below. It defines programs itself, like any configuration, or names files in
//! `config`, or both (the scenario's own definitions win). Errors are reported as for a configuration, all at once and with
//! their places. `simulate` and `rehearse` play scenarios.

mod act;
mod expect;
mod grammar;
mod script;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_config::reading::{Field, Finding, MOST, Place, load_with, named_files, nearest};
use muster_config::{Loaded, Opener, Source};
use muster_spec::{NotASpan, Span, Spec};

pub use act::{Acts, Connect, Pause};
pub use expect::{Expectation, Expected};
pub use script::{Leftover, Missing, OnStop, Outcome, PlannedHook, PlannedRun, Script, ScriptError};

/// A scenario as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scenario {
    /// The title: what it shows, in a sentence.
    pub title: String,
    /// The scripts of the runs, by program or instance.
    pub runs: BTreeMap<String, Script>,
    /// The time at which the container is asked to stop.
    pub stop_at: Option<Duration>,
    /// Everything that happens from outside.
    pub acts: Acts,
    /// The time at which the simulation ends at the latest.
    pub until: Option<Duration>,
    /// The wall clock at the beginning, in seconds since 1970.
    pub from: Option<i64>,
    /// The seed of the random numbers.
    pub seed: Option<u64>,
    /// The order of a deadline and the end of a run at the same moment.
    pub ties: Ties,
    /// The factor that shortens times for a rehearsal.
    pub scale: Option<f64>,
    /// The expected results.
    pub expect: Vec<Expectation>,
    runs_at: BTreeMap<String, Place>,
}

/// The order of a deadline and the end of a run at the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ties {
    /// The deadline: a run of exactly `startsecs` was RUNNING.
    #[default]
    Deadline,
    /// The end.
    Exit,
}

impl Ties {
    /// Each with its word.
    pub const ALL: [(&'static str, Ties); 2] = [("deadline", Ties::Deadline), ("exit", Ties::Exit)];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Ties::Deadline => "deadline",
            Ties::Exit => "exit",
        }
    }
}

/// A scenario with its configuration; no spec where there is any mistake.
#[derive(Debug)]
pub struct LoadedScenario {
    /// The configuration, and every mistake of either.
    pub loaded: Loaded,
    /// The scenario.
    pub scenario: Scenario,
}

const KEYS: [&str; 11] =
    ["title", "config", "runs", "act", "stop_at", "until", "from", "seed", "ties", "scale", "expect"];

/// Reads a scenario; `variables`, `host` and `open` as for a configuration.
pub fn load_scenario(
    path: &Path,
    variables: &dyn Fn(&str) -> Option<String>,
    host: &str,
    open: &Opener,
) -> LoadedScenario {
    let mut paths: Vec<PathBuf> = named_files(path, "config", open).into_iter().map(shorter).collect();
    paths.push(path.to_owned());
    let (certificates, processors) = (&muster_config::any_certificate, &muster_config::one_processor);
    let source = Source { paths: &paths, variables, host, open, certificates, processors };
    let (mut loaded, scenario) = load_with(&source, path, |document| {
        let mut scenario = Scenario::default();
        document.take(&KEYS, |name, field| scenario.read(name, field));
        // No command of a scenario is executed, so none need be written.
        document.default_commands();
        scenario
    });
    let scenario = scenario.unwrap_or_default();
    check_programs(&mut loaded, &scenario);
    LoadedScenario { loaded, scenario }
}

/// Relative to where we are, if it lies below: that is how messages should name it.
fn shorter(path: PathBuf) -> PathBuf {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    below.unwrap_or(path)
}

impl Scenario {
    fn read(&mut self, name: &str, field: &Field<'_>) {
        match name {
            "title" => self.title = field.text().map(|text| text.text.into_owned()).unwrap_or_default(),
            "act" => self.acts = act::read(field),
            "stop_at" => self.stop_at = field.duration(),
            "until" => self.until = field.duration(),
            "from" => self.from = read_date(field),
            "seed" => self.seed = field.integer(0..=i64::MAX).map(i64::unsigned_abs),
            "ties" => self.ties = field.choice(&Ties::ALL).unwrap_or_default(),
            "scale" => self.scale = field.number(0.0001..=1.0),
            "runs" => self.read_runs(field),
            "expect" => self.expect = expect::read(field),
            // Read before everything else, and here for its type only.
            _ => drop(field.texts()),
        }
    }

    fn read_runs(&mut self, field: &Field<'_>) {
        let Some(entries) = field.entries() else {
            field.error_with_hint("must be a table", "[runs] with web = \"1@200ms ×5\"");
            return;
        };
        for (place, script) in entries {
            let name = script.name().to_owned();
            self.runs_at.insert(name.clone(), place);
            if let Some(script) = read_script(&script) {
                self.runs.insert(name, script);
            }
        }
    }
}

/// The seconds since 1970 of a date and a time; `None` with an error.
fn read_date(field: &Field<'_>) -> Option<i64> {
    let text = field.text()?;
    let seconds = muster_schedule::seconds_of(&text.text);
    if seconds.is_none() {
        field.error_with_hint("must be a date and a time with its offset", "from = \"2026-03-28T23:00+01:00\"");
    }
    seconds
}

fn read_script(field: &Field<'_>) -> Option<Script> {
    let texts: Vec<String> = field.texts()?.into_iter().map(|text| text.text.into_owned()).collect();
    match Script::parse(&texts.join(",")) {
        Ok(script) => Some(script),
        Err(error) => {
            let message = format!("{}: {}", field.path(), error.message);
            field.report(Finding::error(field.place_within(error.at), message).hint(error.hint));
            None
        }
    }
}

/// Names of programs that there are not. The configuration tells only after it was read.
fn check_programs(loaded: &mut Loaded, scenario: &Scenario) {
    let Some(spec) = &loaded.spec else { return };
    let instances = spec.programs.iter().flat_map(|program| &program.instances).map(|instance| instance.name.as_str());
    let known: HashSet<&str> = spec.programs.iter().map(|program| program.name.as_str()).chain(instances).collect();
    let named = scenario.runs_at.iter().map(|(name, at)| (name, *at));
    let expected =
        scenario.expect.iter().filter_map(|expected| Some((expected.program.as_ref()?, expected.program_at)));
    let contacted = scenario.acts.connects_at.iter().map(|(name, at)| (name, *at));
    let unknown: Vec<_> =
        named.chain(expected).chain(contacted).filter(|(name, _)| !known.contains(name.as_str())).collect();
    if unknown.is_empty() {
        return;
    }
    let is_long = unknown.len() > 2 * MOST;
    let findings = unknown.into_iter().map(|(name, at)| {
        let finding = Finding::error(at, format!("there is no program {name:?}"));
        if is_long { finding } else { finding.hint(meant_by(name, spec)) }
    });
    let findings = findings.collect();
    loaded.reject(findings);
}

/// What is said of a name that no program has: one that is nearly the same, or which there are.
fn meant_by(name: &str, spec: &Spec) -> String {
    const MOST_NAMES: usize = 10;
    let programs = spec.programs.iter().map(|program| program.name.as_str());
    let instances = spec.programs.iter().flat_map(|program| &program.instances).map(|instance| instance.name.as_str());
    match nearest(name, programs.clone().chain(instances)) {
        Some(word) => format!("did you mean {word:?}?"),
        None if spec.programs.len() > MOST_NAMES => format!("there are {} programs", spec.programs.len()),
        None => format!("there are {}", programs.collect::<Vec<_>>().join(", ")),
    }
}

/// A duration as the configuration has them, for options of the command line.
pub fn read_duration(text: &str) -> Result<Duration, String> {
    let Span(duration) = text.parse().map_err(|NotASpan| "a number of seconds, or text such as 500ms, 2m, 1h30m")?;
    Ok(duration)
}
