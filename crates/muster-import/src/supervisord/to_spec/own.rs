//! Keys of musterd's own: `[musterd]`, and `muster.KEY` in the sections of processes. The original ignores both.
//!
//! `muster-config` reads them over the translated configuration, as it reads TOML. Here is what only this language has:
//! where they stand, `compat`, `open`, and the keys that a section has in its own words.

use std::collections::HashMap;
use std::path::Path;

use muster_config::overlay::{Overlaid, Overlay, OwnKey, OwnKeys, OwnProgram, Refused};
use muster_config::{Diagnostic, Opener, Severity};
use muster_spec::Spec;

use super::super::limits;
use super::super::model::Process;
use super::super::reader::behind_colon;
use super::super::sections::Entry;
use super::Context;

const SECTION: &str = "musterd";

const REFUSED_OF_DAEMON: &[Refused] =
    &[("environment", "write environment in [supervisord]"), ("user", "write user in [supervisord]")];

const REFUSED_OF_PROGRAM: &[Refused] = &[
    ("command", "write command, without muster. in front"),
    ("numprocs", "write numprocs, without muster. in front"),
    ("numprocs_start", "write numprocs_start, without muster. in front"),
    ("priority", "write priority, without muster. in front"),
];

/// Names that a key has here besides its own.
const ALSO_CALLED: [(&str, &str); 1] = [("kill", "stop_kill")];

/// The processes of each section: the place of each among the programs, and its number.
pub(super) type Places = HashMap<usize, Vec<(usize, u32)>>;

/// Whether `[musterd] compat` asks for the original's behaviour throughout; anything but `exact` is reported.
pub(super) fn is_exact(context: &mut Context<'_>) -> bool {
    is_set(context, "compat", &["exact"])
}

/// Whether `[musterd] open` lets servers on TCP need no password; anything but a boolean is reported.
pub(super) fn is_open(context: &mut Context<'_>) -> bool {
    is_set(context, "open", &["true", "false"])
}

/// Whether a key of `[musterd]` has the first of these values; anything but these is reported.
fn is_set(context: &mut Context<'_>, key: &str, values: &[&str]) -> bool {
    let sections = context.configuration.sections.iter();
    let Some(entry) = sections.filter(|section| section.name == SECTION).find_map(|section| section.entry(key)) else {
        return false;
    };
    let text = entry.text.trim_matches(['"', '\'']);
    if !values.contains(&text) {
        let message = format!("[musterd]: {key} must be {:?}: {:?}", values[0], entry.text);
        context.errors.push(error(entry, message, &format!("{key} = {}, or leave it out", values[0]), None));
    }
    text == values[0]
}

/// Reads the keys over the configuration.
pub(super) fn apply(context: &mut Context<'_>, places: Places, open: &Opener, spec: &mut Spec) -> Overlaid {
    let configuration = context.configuration;
    let mut daemon = Vec::new();
    for (index, section) in configuration.sections.iter().enumerate().filter(|(_, section)| section.name == SECTION) {
        daemon.extend(keys(context, index, &section.entries));
    }
    let programs = programs(context, places);
    if daemon.is_empty() && programs.is_empty() {
        return Overlaid::default();
    }
    let environment = configuration.supervisord.environment.iter();
    let world: HashMap<String, String> = context.world.variables().into_iter().collect();
    let overlay = Overlay {
        daemon,
        programs,
        refused_of_daemon: REFUSED_OF_DAEMON,
        refused_of_program: REFUSED_OF_PROGRAM,
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        variables: &|name| world.get(name).cloned(),
        host: &context.world.host(),
        open,
        most_variables: limits::VARIABLES,
    };
    overlay.apply(spec)
}

/// The sections of processes that have keys of ours.
fn programs<'c>(context: &mut Context<'c>, mut places: Places) -> Vec<OwnProgram<'c>> {
    let configuration = context.configuration;
    let mut bytes_left = limits::OWN_BYTES;
    let mut programs = Vec::new();
    for process in configuration.groups.iter().flat_map(|group| &group.processes) {
        // The first process of a section takes the places of all.
        let Some(processes) = places.remove(&process.section).filter(|_| !process.own.is_empty()) else { continue };
        let bytes: usize = process.own.iter().map(|entry| entry.key.len() + entry.text.len()).sum();
        match bytes.checked_mul(processes.len()).and_then(|bytes| bytes_left.checked_sub(bytes)) {
            Some(left) => bytes_left = left,
            None => {
                too_long(context, process);
                continue;
            }
        }
        let name = behind_colon(&configuration.sections[process.section].name);
        let keys = keys(context, process.section, &process.own);
        programs.push(OwnProgram { name, keys, processes });
    }
    programs
}

fn too_long(context: &mut Context<'_>, process: &Process) {
    let name = behind_colon(&context.configuration.sections[process.section].name);
    let message = format!("program {name:?}: the keys of musterd are too long for so many processes");
    context.errors.push(error(&process.own[0], message, &limits::hint(), Some(name)));
}

/// The keys of a section, by file.
fn keys<'c>(context: &mut Context<'_>, section: usize, entries: &'c [Entry]) -> Vec<OwnKeys<'c>> {
    let mut all: Vec<OwnKeys<'c>> = Vec::new();
    for entry in entries {
        match entry.key.as_str() {
            "compat" | "open" if context.configuration.sections[section].name == SECTION => {}
            // The names of variables would be in small letters.
            key if key.starts_with("environment.") => {
                let message = format!("{key}: a key is read in small letters, so it cannot name a variable");
                context.errors.push(error(entry, message, "write muster.environment = { NAME = \"value\" }", None));
            }
            key => {
                let name = ALSO_CALLED.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, name)| name);
                let own = own_key(name, entry);
                let file = Path::new(&*entry.place.file);
                match all.iter_mut().rev().find(|keys| keys.file == file) {
                    Some(keys) => keys.keys.push(own),
                    None => all.push(OwnKeys { file, keys: vec![own] }),
                }
            }
        }
    }
    all
}

fn own_key<'c>(name: &'c str, entry: &'c Entry) -> OwnKey<'c> {
    let place = (entry.key_place.line as usize, entry.key_place.column as usize);
    let value_place = (entry.place.line as usize, entry.place.column as usize);
    OwnKey { name, text: &entry.text, place, value_place }
}

fn error(entry: &Entry, message: String, hint: &str, program: Option<&str>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        file: Path::new(&*entry.place.file).to_owned(),
        line: entry.place.line.max(1) as usize,
        column: entry.place.column.max(1) as usize,
        message,
        hint: Some(hint.to_owned()),
        program: program.map(str::to_owned),
        span: 0..0,
        excerpt: None,
    }
}
