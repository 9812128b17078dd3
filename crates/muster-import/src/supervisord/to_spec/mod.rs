//! A configuration to the [`Spec`] that the daemon runs: one program per process, with supervisord's rules.
//!
//! Pure: the machine is known through [`World`]. A setting that cannot be honoured is reported with its place, never
//! dropped silently. The order of the programs is the order in which they start.

mod daemon;
mod differences;
mod disguises;
mod output;
mod own;
mod process;
mod servers;
mod socket;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use muster_config::{Diagnostic, Disguises, LookedAt, Opener, Severity};
use muster_spec::{DaemonSpec, ProgramSpec, Spec};

use super::model::{Configuration, Group, Process};
use super::problem::{Report, SourcePlace, Warning};
use super::world::World;
use muster_supervisord::python::repr;

/// A configuration as the daemon runs it.
#[derive(Debug)]
pub struct Translation {
    /// The daemon, its socket and its programs.
    pub spec: Spec,
    /// The masked copies of everything that holds a secret.
    pub disguises: Disguises,
    /// Differences from supervisord that this configuration meets, each with its place.
    pub warnings: Vec<Warning>,
    /// Mistakes in the keys of musterd's own. With one the spec is of no use.
    pub errors: Vec<Diagnostic>,
    /// The environment files that were read.
    pub files: Vec<PathBuf>,
    /// The environment files that were looked at.
    pub looked_at: Vec<LookedAt>,
}

/// The daemon's process, as far as it decides how programs run.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    /// Its file mode creation mask, which stays in the foreground.
    pub umask: u32,
    /// Whether it becomes the user of `[supervisord]` itself.
    pub becomes_user: bool,
}

/// Translates a configuration; `open` opens the environment files that keys of musterd's own name. Before these are read,
/// `adjust` may change the daemon's settings.
pub fn to_spec(
    configuration: &Configuration,
    world: &dyn World,
    inherited: Inherited,
    open: &Opener,
    adjust: impl FnOnce(&mut DaemonSpec),
) -> Translation {
    let (report, errors) = (Report::default(), Vec::new());
    let mut context = Context { configuration, world, inherited, is_exact: false, report, errors };
    context.is_exact = own::is_exact(&mut context);
    let mut daemon = daemon::daemon(&mut context);
    adjust(&mut daemon);
    let is_open = own::is_open(&mut context);
    let control = servers::control(&mut context, is_open);
    let (programs, places) = programs(&mut context);
    let mut spec = Spec { daemon, control, sources: Vec::new(), notifiers: Vec::new(), programs };
    let overlaid = own::apply(&mut context, places, open, &mut spec);
    differences::note(&mut context, &spec);
    let disguises = disguises::of(configuration, world, &spec, overlaid.disguises);
    let is_error = |found: &Diagnostic| found.severity == Severity::Error;
    let (errors, oddities): (Vec<_>, Vec<_>) = overlaid.diagnostics.into_iter().partition(is_error);
    oddities.iter().for_each(|oddity| context.report.warn(Warning::of(oddity)));
    let (_, warnings, _) = context.report.into_parts();
    let errors = context.errors.into_iter().chain(errors).collect();
    Translation { spec, disguises, warnings, errors, files: overlaid.files, looked_at: overlaid.looked_at }
}

/// The input of all parts, and their findings.
struct Context<'c> {
    configuration: &'c Configuration,
    world: &'c dyn World,
    inherited: Inherited,
    /// Whether the original's behaviour is wanted where musterd's own is better.
    is_exact: bool,
    report: Report,
    /// Mistakes in the keys of musterd's own.
    errors: Vec<Diagnostic>,
}

impl Context<'_> {
    /// Reports a setting: at its key, or at the section's header if the key is left out.
    fn warn(&mut self, section: usize, key: Option<&str>, message: impl Into<String>, hint: &str) {
        self.report(section, key, message, hint, |warning| warning);
    }

    /// Notes a difference on purpose at the same place.
    fn note(&mut self, section: usize, key: Option<&str>, message: impl Into<String>, hint: &str) {
        self.report(section, key, message, hint, Warning::note);
    }

    fn report(
        &mut self,
        section: usize,
        key: Option<&str>,
        message: impl Into<String>,
        hint: &str,
        kind: fn(Warning) -> Warning,
    ) {
        let Some(of) = self.configuration.sections.get(section).filter(|_| !self.report.has_all_warnings()) else {
            return;
        };
        let at: &SourcePlace = key.and_then(|key| of.entry(key)).map_or(&of.place, |entry| &entry.place);
        let warning = kind(Warning::new(at, &of.name, message).hint(hint));
        self.report.warn(key.map_or(warning.clone(), |key| warning.option(key)));
    }
}

/// The name of a process among all of them: `NAME`, or `GROUP:NAME` if its group has another name.
pub fn namespec(group: &str, process: &str) -> String {
    if group == process { process.to_owned() } else { format!("{group}:{process}") }
}

/// All programs in the order in which they start: groups by priority and name, members in the order of their group.
fn programs(context: &mut Context<'_>) -> (Vec<Arc<ProgramSpec>>, own::Places) {
    let configuration = context.configuration;
    let mut places = own::Places::new();
    let (mut programs, mut names, mut groups) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for group in &configuration.groups {
        // The first of two groups with one name is used; the reader has warned of the second.
        if !groups.insert(group.name.as_str()) {
            continue;
        }
        for process in members(group) {
            let name = namespec(&group.name, &process.name);
            if names.insert(name.clone()) {
                let number = u32::try_from(process.number).unwrap_or(0);
                places.entry(process.section).or_default().push((programs.len(), number));
                let place = u32::try_from(programs.len()).unwrap_or(u32::MAX);
                programs.push(Arc::new(process::program(context, group, process, name, place)));
            } else {
                let message = format!("another process is also called {}; this one is left out", repr(&name));
                context.warn(process.section, Some("process_name"), message, "leave the colon out of the name");
            }
        }
    }
    (programs, places)
}

/// The processes of a group, each name once: the last one counts, at the place of the first.
fn members(group: &Group) -> Vec<&Process> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut members: Vec<&Process> = Vec::new();
    for process in &group.processes {
        match places.get(process.name.as_str()) {
            Some(&place) => members[place] = process,
            None => {
                places.insert(&process.name, members.len());
                members.push(process);
            }
        }
    }
    members
}
