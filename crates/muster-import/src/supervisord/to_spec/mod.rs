//! A configuration to the [`Spec`] that the daemon runs: one program per process, with supervisord's rules.
//!
//! Pure: the machine is known through [`World`]. A setting that cannot be honoured is reported with its place, never
//! dropped silently. The order of the programs is the order in which they start.

mod daemon;
mod disguises;
mod output;
mod process;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use muster_config::Disguises;
use muster_spec::{ProgramSpec, Spec};

use super::model::{Configuration, Group, GroupKind, Process};
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
}

/// The daemon's process, as far as it decides how programs run.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    /// Its file mode creation mask, which stays in the foreground.
    pub umask: u32,
    /// Whether it becomes the user of `[supervisord]` itself.
    pub becomes_user: bool,
}

/// Translates a configuration.
pub fn to_spec(configuration: &Configuration, world: &dyn World, inherited: Inherited) -> Translation {
    let mut context = Context { configuration, world, inherited, report: Report::default() };
    let daemon = daemon::daemon(&mut context);
    let control = daemon::control(&mut context);
    let programs = programs(&mut context);
    own_keys(&mut context);
    let spec = Spec { daemon, control, programs };
    let disguises = disguises::of(configuration, world, &spec);
    let (_, warnings, _) = context.report.into_parts();
    Translation { spec, disguises, warnings }
}

/// The input of all parts, and their findings.
struct Context<'c> {
    configuration: &'c Configuration,
    world: &'c dyn World,
    inherited: Inherited,
    report: Report,
}

impl Context<'_> {
    /// Reports a setting: at its key, or at the section's header if the key is left out.
    fn warn(&mut self, section: usize, key: Option<&str>, message: impl Into<String>, hint: &str) {
        let Some(of) = self.configuration.sections.get(section) else { return };
        let at: &SourcePlace = key.and_then(|key| of.entry(key)).map_or(&of.place, |entry| &entry.place);
        let warning = Warning::new(at, &of.name, message).hint(hint);
        self.report.warn(key.map_or(warning.clone(), |key| warning.option(key)));
    }
}

/// The name of a process among all of them: `NAME`, or `GROUP:NAME` if its group has another name.
pub fn namespec(group: &str, process: &str) -> String {
    if group == process { process.to_owned() } else { format!("{group}:{process}") }
}

/// All programs in the order in which they start: groups by priority and name, members in the order of their group.
fn programs(context: &mut Context<'_>) -> Vec<Arc<ProgramSpec>> {
    let configuration = context.configuration;
    let (mut programs, mut names, mut groups) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for group in &configuration.groups {
        // The first of two groups with one name is used; the reader has warned of the second.
        if !groups.insert(group.name.as_str()) {
            continue;
        }
        kind_of(context, group);
        for process in members(group) {
            let name = namespec(&group.name, &process.name);
            if names.insert(name.clone()) {
                let place = u32::try_from(programs.len()).unwrap_or(u32::MAX);
                programs.push(Arc::new(process::program(context, group, process, name, place)));
            } else {
                let message = format!("another process is also called {}; this one is left out", repr(&name));
                context.warn(process.section, Some("process_name"), message, "leave the colon out of the name");
            }
        }
    }
    programs
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

/// Why processes of this group are not started: half a FastCGI program would do harm.
fn refusal(group: &Group, process: &Process) -> Option<&'static str> {
    match group.kind {
        GroupKind::Fcgi(_) => Some("FastCGI programs cannot be run yet: it would have no socket"),
        GroupKind::Mixed if process.socket.is_some() => {
            Some("FastCGI programs cannot be run yet: it would have no socket")
        }
        GroupKind::Mixed | GroupKind::Program | GroupKind::Listener { .. } => None,
    }
}

fn kind_of(context: &mut Context<'_>, group: &Group) {
    for process in &group.processes {
        if let Some(reason) = refusal(group, process) {
            let hint = "it stays stopped, and a start reports the same; run it under supervisord, or take it out";
            context.warn(process.section, None, reason, hint);
        }
    }
}

/// Settings for musterd alone are not silently ignored.
fn own_keys(context: &mut Context<'_>) {
    let configuration = context.configuration;
    for (index, section) in configuration.sections.iter().enumerate() {
        for entry in &section.entries {
            let is_own = section.name == "musterd" || entry.key.starts_with("muster.");
            if is_own {
                let message = format!("{} has no effect yet", entry.key);
                context.warn(index, Some(&entry.key), message, "only a TOML configuration can set it for now");
            }
        }
    }
}
