//! Scenarios: a configuration, what becomes of its programs, and what is expected to come of it.
//!
//! A scenario is a TOML file with the keys below. Its programs stand in it like in any configuration, or in the files that
//! `config` names, or in both (what stands in the scenario wins). Mistakes are told like a configuration's, all at once and
//! with their places. What is done with a scenario is the daemon's `simulate` and `rehearse`.

mod act;
mod expect;
mod grammar;
mod script;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_spec::{NotASpan, Span, Spec};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use act::Pause;
pub use expect::{Expectation, Expected};
pub use script::{Leftover, Missing, OnStop, Outcome, PlannedRun, Script, ScriptError};

use crate::build::{Loaded, load_with};
use crate::diagnostic::{Finding, MOST, Place, locate_first};
use crate::field::{Field, Owner, Surroundings};
use crate::read::Document;
use crate::source::{Opener, Role, Source, directory_of, read_text, resolve};
use crate::words::nearest;

/// What is to happen, and what is expected of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scenario {
    /// What it shows, in a sentence.
    pub title: String,
    /// What the runs come to, by program or instance.
    pub runs: BTreeMap<String, Script>,
    /// When the container is asked to stop.
    pub stop_at: Option<Duration>,
    /// When the daemon itself does not run, in the order of time.
    pub pauses: Vec<Pause>,
    /// When the simulation ends if nothing ends it before.
    pub until: Option<Duration>,
    /// Where chance begins.
    pub seed: Option<u64>,
    /// What comes first where a deadline and the end of a run fall on the same moment.
    pub ties: Ties,
    /// By which factor times are shortened for a rehearsal.
    pub scale: Option<f64>,
    /// What must come of it.
    pub expect: Vec<Expectation>,
    runs_at: BTreeMap<String, Place>,
}

/// What comes first where a deadline and the end of a run fall on the same moment.
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

const KEYS: [&str; 10] = ["title", "config", "runs", "act", "stop_at", "until", "seed", "ties", "scale", "expect"];

/// Reads a scenario; `variables`, `host` and `open` as for a configuration.
pub fn load_scenario(
    path: &Path,
    variables: &dyn Fn(&str) -> Option<String>,
    host: &str,
    open: &Opener,
) -> LoadedScenario {
    let mut paths = configs(path, open);
    paths.push(path.to_owned());
    let source = Source { paths: &paths, variables, host, open };
    let (mut loaded, scenario) = load_with(&source, |documents, around| take_scenario(path, documents, around));
    let scenario = scenario.unwrap_or_default();
    check_programs(&mut loaded, &scenario);
    LoadedScenario { loaded, scenario }
}

/// The files that `config` names. Whatever is wrong with it is told when the whole is read.
fn configs(path: &Path, open: &Opener) -> Vec<PathBuf> {
    let Ok(text) = read_text(open, path, Role::Named) else { return Vec::new() };
    let (table, _) = DeTable::parse_recoverable(&text);
    let Some(value) = table.get_ref().get("config") else { return Vec::new() };
    let directory = directory_of(path);
    let named: Vec<&str> = match value.get_ref() {
        DeValue::Array(items) => items.iter().filter_map(|item| item.get_ref().as_str()).collect(),
        value => value.as_str().into_iter().collect(),
    };
    named.into_iter().map(|name| shorter(resolve(&directory, name))).collect()
}

/// Relative to where we are, if it lies below: that is how messages should name it.
fn shorter(path: PathBuf) -> PathBuf {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    below.unwrap_or(path)
}

/// Takes the scenario's keys out of its document, so that what is left is a configuration.
fn take_scenario(path: &Path, documents: &mut [Document<'_>], around: &Surroundings<'_>) -> Option<Scenario> {
    let document = documents.iter_mut().find(|document| around.files[document.id].path == path)?;
    let mut scenario = Scenario::default();
    let file = document.id;
    let taken: Vec<_> = KEYS.iter().filter_map(|&key| Some((key, document.table.remove(key)?))).collect();
    for (name, value) in &taken {
        let field = Field {
            around,
            owner: Owner::Root,
            program: None,
            instance: None,
            parent: None,
            name,
            key: None,
            file,
            value,
        };
        scenario.read(name, &field);
    }
    default_commands(&mut document.table);
    Some(scenario)
}

/// No command of a scenario is executed, so none need be written: the program's name does.
fn default_commands(table: &mut DeTable<'_>) {
    let Some(DeValue::Table(programs)) = table.get_mut("program").map(Spanned::get_mut) else { return };
    for (name, program) in programs.iter_mut() {
        let at = name.span();
        if let DeValue::Table(keys) = program.get_mut()
            && !keys.contains_key("command")
        {
            let command = Spanned::new(at.clone(), DeValue::String(name.get_ref().clone()));
            keys.insert(Spanned::new(at, "command".into()), command);
        }
    }
}

impl Scenario {
    fn read(&mut self, name: &str, field: &Field<'_>) {
        match name {
            "title" => self.title = field.text().map(|text| text.text.into_owned()).unwrap_or_default(),
            "act" => self.pauses = act::read(field),
            "stop_at" => self.stop_at = field.duration(),
            "until" => self.until = field.duration(),
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
        let DeValue::Table(entries) = field.value.get_ref() else {
            field.error_with_hint("must be a table", "[runs] with web = \"1@200ms ×5\"");
            return;
        };
        for (name, value) in entries {
            let script = field.child(name.get_ref(), value);
            self.runs_at.insert(name.get_ref().to_string(), Place::new(field.file, name.span()));
            if let Some(script) = read_script(&script) {
                self.runs.insert(name.get_ref().to_string(), script);
            }
        }
    }
}

fn read_script(field: &Field<'_>) -> Option<Script> {
    let texts: Vec<String> = field.texts()?.into_iter().map(|text| text.text.into_owned()).collect();
    match Script::parse(&texts.join(",")) {
        Ok(script) => Some(script),
        Err(error) => {
            let message = format!("{}: {}", field.path(), error.message);
            field.around.report.add(Finding::error(within(field, &error), message).hint(error.hint));
            None
        }
    }
}

/// Where a mistake stands, if the script is one plain text; the whole value otherwise.
fn within(field: &Field<'_>, error: &ScriptError) -> Place {
    let span = field.value.span();
    let text = &field.around.files[field.file].text;
    let is_verbatim =
        field.value.get_ref().as_str().is_some_and(|value| text.get(span.start + 1..span.end - 1) == Some(value));
    if !is_verbatim {
        return field.place();
    }
    Place::new(field.file, span.start + 1 + error.at.start..span.start + 1 + error.at.end)
}

/// Names of programs that there are not. The configuration tells only after it was read.
fn check_programs(loaded: &mut Loaded, scenario: &Scenario) {
    let Some(spec) = &loaded.spec else { return };
    let instances = spec.programs.iter().flat_map(|program| &program.instances).map(|instance| instance.name.as_str());
    let known: HashSet<&str> = spec.programs.iter().map(|program| program.name.as_str()).chain(instances).collect();
    let named = scenario.runs_at.iter().map(|(name, at)| (name, *at));
    let expected =
        scenario.expect.iter().filter_map(|expected| Some((expected.program.as_ref()?, expected.program_at)));
    let unknown: Vec<_> = named.chain(expected).filter(|(name, _)| !known.contains(name.as_str())).collect();
    if unknown.is_empty() {
        return;
    }
    let is_long = unknown.len() > 2 * MOST;
    let findings = unknown.into_iter().map(|(name, at)| {
        let finding = Finding::error(at, format!("there is no program {name:?}"));
        if is_long { finding } else { finding.hint(meant_by(name, spec)) }
    });
    let located = locate_first(findings.collect(), &loaded.texts, &loaded.disguises.secrets);
    loaded.diagnostics.extend(located);
    loaded.spec = None;
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
