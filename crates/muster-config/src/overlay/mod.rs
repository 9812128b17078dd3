//! Keys of ours in a configuration of another language: they are read over what was made of it.
//!
//! The keys are those of [`keys`](crate::keys), with the same readers, checks and messages; each diagnostic has its place
//! in the other file. Everything that they do not name stays. Which program a section stands for, and how it names its processes, is
//! the caller's business.

mod depend;
mod text;

use muster_spec::arrange::Gather;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_spec::{InstanceSpec, ListenerSpec, ProcessSpec, ProgramSpec, Spec};

use crate::build::field;
use crate::diagnostic::{Diagnostic, Place, Report, Severity};
use crate::dialect;
use crate::drafts::control::ControlDraft;
use crate::drafts::daemon::DaemonDraft;
use crate::drafts::instance::Parts;
use crate::drafts::program::Rules;
use crate::drafts::shared::Shared;
use crate::drafts::tls::any_certificate;
use crate::env_file::EnvFiles;
use crate::field::{Field, Owner, Surroundings};
use crate::keys::{Reader, Table};
use crate::read::Document;
use crate::redact::is_secret;
use crate::secrets::{Disguise, Disguises};
use crate::sections::Entry;
use crate::source::{File, LookedAt, Opener, Shelf, one_processor};
use crate::value::{Name, Value};
use crate::variables::{InstanceWords, Variables};
use crate::words::known_key;

/// A key as the other file writes it.
#[derive(Clone, Copy, Debug)]
pub struct OwnKey<'a> {
    /// Its name; a dot leads into a table.
    pub name: &'a str,
    /// Its value: TOML, or text without quotes.
    pub text: &'a str,
    /// Line and column of the name, from 1.
    pub place: (usize, usize),
    /// Line and column of the value, from 1.
    pub value_place: (usize, usize),
}

/// The keys of one section in one file.
#[derive(Clone, Debug)]
pub struct OwnKeys<'a> {
    /// The file.
    pub file: &'a Path,
    /// The keys.
    pub keys: Vec<OwnKey<'a>>,
}

/// A section of processes.
#[derive(Clone, Debug)]
pub struct OwnProgram<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its keys, by file.
    pub keys: Vec<OwnKeys<'a>>,
    /// Its processes: the place of each in [`Spec::programs`], and its number, `{instance}`.
    pub processes: Vec<(usize, u32)>,
}

/// A key that cannot stand here, and what to write instead.
pub type Refused = (&'static str, &'static str);

/// All keys of ours in a configuration, and what their values may refer to.
pub struct Overlay<'a> {
    /// The daemon's keys; those of `[http]` begin with `http.`.
    pub daemon: Vec<OwnKeys<'a>>,
    /// The keys of programs.
    pub programs: Vec<OwnProgram<'a>>,
    /// Keys that cannot stand among the daemon's.
    pub refused_of_daemon: &'static [Refused],
    /// Keys that cannot stand among a program's.
    pub refused_of_program: &'static [Refused],
    /// Variables that `${NAME}` reads before those of the daemon's environment.
    pub environment: BTreeMap<String, String>,
    /// The daemon's environment.
    pub variables: &'a dyn Fn(&str) -> Option<String>,
    /// The host's name, for `{host}`.
    pub host: &'a str,
    /// Opens environment files.
    pub open: &'a Opener,
    /// The most variables that all programs with keys may have together.
    pub most_variables: usize,
}

/// The result besides the changed [`Spec`].
#[derive(Debug, Default)]
pub struct Overlaid {
    /// Every error and warning. With an error the spec is of no use.
    pub diagnostics: Vec<Diagnostic>,
    /// The environment files that were read.
    pub files: Vec<PathBuf>,
    /// The environment files that were looked at.
    pub looked_at: Vec<LookedAt>,
    /// The masked copies of everything that these keys bring secrets into.
    pub disguises: Disguises,
}

impl Overlay<'_> {
    /// Reads the keys over a configuration.
    pub fn apply(&self, spec: &mut Spec) -> Overlaid {
        let (shelf, report, env_files) = (Shelf::default(), Report::default(), EnvFiles::opened_by(self.open));
        let parsed = Parsed::of(self, &shelf, &report);
        let files = shelf.files();
        let own = self.environment.iter().map(|(name, value)| (name.clone(), (value.clone(), is_secret(name))));
        let variables =
            Variables { own: own.gather(), outer: self.variables, noted: &report.noted, is_disguised: false };
        let shared = Shared::default();
        let around = Surroundings {
            report: &report,
            files: &files,
            variables: &variables,
            host: self.host,
            env_files: &env_files,
            shared: &shared,
            certificates: &any_certificate,
            processors: &one_processor,
            scales: None,
        };
        let mut overlaid = Overlaid::default();
        read_daemon(&parsed, self, spec, &around, &mut overlaid.disguises);
        let mut left = self.most_variables;
        let mut rules = Vec::with_capacity(self.programs.len());
        for (program, documents) in self.programs.iter().zip(&parsed.programs) {
            let entries = program_entries(program.name, documents, self.refused_of_program, &report);
            rules.push(read_program(program, &entries, spec, &around, &mut left, &mut overlaid.disguises));
        }
        depend::resolve(self, rules, spec, &report);
        overlaid.looked_at = env_files.looked_at();
        overlaid.files = env_files.into_files();
        let (diagnostics, secrets) = report.into_diagnostics(&shelf.into_files());
        (overlaid.diagnostics, overlaid.disguises.secrets) = (diagnostics, secrets);
        overlaid
    }
}

/// The trees of all texts.
struct Parsed<'t> {
    daemon: Vec<Document<'t>>,
    programs: Vec<Vec<Document<'t>>>,
}

impl<'t> Parsed<'t> {
    fn of(overlay: &Overlay<'_>, shelf: &'t Shelf, report: &Report) -> Parsed<'t> {
        let (mut shelf, mut id) = (shelf, 0);
        let mut parse = |keys: &OwnKeys<'_>| {
            let (file, rest): (&'t File, _) = shelf.put(text::file(keys));
            shelf = rest;
            let document = Document { id, table: dialect::toml::parse(id, file, report), source: None };
            id += 1;
            document
        };
        let daemon = overlay.daemon.iter().map(&mut parse).collect();
        let programs = overlay.programs.iter().map(|program| program.keys.iter().map(&mut parse).collect());
        Parsed { daemon, programs: programs.collect() }
    }
}

/// The keys of a table; unknown ones and those that cannot stand here are reported.
fn entries<'t>(
    (table, owner): (Table, Owner<'t>),
    (file, keys): (usize, impl IntoIterator<Item = (&'t Name<'t>, &'t Value<'t>)>),
    refused: &[Refused],
    report: &Report,
) -> Vec<Entry<'t>> {
    let known = |(name, value): (&'t Name<'t>, &'t Value<'t>)| {
        let place = Place::new(file, name.span());
        if let Some((key, instead)) = refused.iter().find(|(key, _)| *key == name.as_str()) {
            let finding = owner.finding(Severity::Error, place, format_args!("{key} cannot be set here"));
            report.add(finding.hint(*instead));
            return None;
        }
        let key = known_key(table, name.as_str(), name.as_str(), value, place, owner, report)?;
        Some(Entry { key, owner, file, value })
    };
    keys.into_iter().filter_map(known).collect()
}

fn program_entries<'t>(
    name: &'t str,
    documents: &'t [Document<'t>],
    refused: &[Refused],
    report: &Report,
) -> Vec<Entry<'t>> {
    let all = documents.iter().flat_map(|document| {
        entries((Table::Program, Owner::Program(name)), (document.id, &document.table), refused, report)
    });
    active(all.collect())
}

/// The entries that no later one replaces: a section may stand in several files.
fn active(entries: Vec<Entry<'_>>) -> Vec<Entry<'_>> {
    let stays = |index: usize| {
        let entry: &Entry<'_> = &entries[index];
        !entries[index + 1..].iter().any(|later| later.replaces(entry))
    };
    (0..entries.len()).filter(|&index| stays(index)).map(|index| entries[index]).collect()
}

/// The daemon's keys, and under `http` those of its socket.
fn read_daemon(
    parsed: &Parsed<'_>,
    overlay: &Overlay<'_>,
    spec: &mut Spec,
    around: &Surroundings<'_>,
    disguises: &mut Disguises,
) {
    let mut daemon = DaemonDraft { spec: spec.daemon.clone(), ..DaemonDraft::default() };
    let mut control = ControlDraft::of(spec.control.clone());
    let (musterd, http) = ((Table::Musterd, Owner::Table("musterd")), (Table::Http, Owner::Table("http")));
    let mut all = Vec::new();
    for document in &parsed.daemon {
        let is_http = |(name, value): &(&Name<'_>, &Value<'_>)| name.as_str() == "http" && value.as_table().is_some();
        let (of_http, own): (Vec<_>, Vec<_>) = document.table.iter().partition(is_http);
        all.extend(entries(musterd, (document.id, own), overlay.refused_of_daemon, around.report));
        let keys = of_http.into_iter().filter_map(|(_, value)| value.as_table()).flatten();
        all.extend(entries(http, (document.id, keys), &[], around.report));
    }
    for entry in active(all) {
        let noted = &around.report.noted;
        noted.take_used();
        match entry.key.reader {
            Reader::Daemon(read) => {
                read(&mut daemon, &field(&entry, around, None));
                disguises.musterd.extend(noted.take_used().then_some(entry.key.name));
            }
            Reader::Control(read) => {
                read(&mut control, &field(&entry, around, None));
                disguises.http.extend(noted.take_used().then_some(entry.key.name));
            }
            _ => {}
        }
    }
    control.finish(around.certificates, around.report);
    (spec.daemon, spec.control) = (daemon.spec, control.spec);
}

/// The rules of a section's programs, and the keys of each of their processes.
fn read_program(
    program: &OwnProgram<'_>,
    entries: &[Entry<'_>],
    spec: &mut Spec,
    around: &Surroundings<'_>,
    left: &mut usize,
    disguises: &mut Disguises,
) -> Rules {
    let Some(&(first, _)) = program.processes.first() else { return Rules::default() };
    let mut rules = Rules::of(&spec.programs[first]);
    let mut secret_keys = Vec::new();
    for entry in entries {
        if let Reader::Rules(read) = entry.key.reader {
            around.report.noted.take_used();
            read(&mut rules, &field(entry, around, Some(program.name)));
            secret_keys.extend(around.report.noted.take_used().then_some(entry.key.name));
        }
    }
    rules.follow_schedule();
    rules.check(Owner::Program(program.name), around.report);
    rules.check_memory(spec.daemon.state_dir.is_some(), Owner::Program(program.name), around.report);
    for &(at, number) in &program.processes {
        let errors = around.report.errors();
        let old = &spec.programs[at];
        disguises.rules.extend(secret_keys.iter().map(|key| (old.name.clone(), *key)));
        let one = One { program, number, entries };
        let instances = old.instances.iter().map(|instance| one.instance(instance, around, disguises)).collect();
        let new = rules.program(ProgramSpec { instances, ..ProgramSpec::clone(old) }, &spec.daemon.timezone);
        let variables = new.instances.iter().map(|instance| instance.process.environment.len()).sum();
        spec.programs[at] = Arc::new(new);
        match left.checked_sub(variables) {
            Some(rest) => *left = rest,
            None => too_many_variables(program, entries, around.report),
        }
        // The other processes of the section would repeat its errors.
        if around.report.errors() > errors {
            break;
        }
    }
    rules
}

fn too_many_variables(program: &OwnProgram<'_>, entries: &[Entry<'_>], report: &Report) {
    if let Some(entry) = entries.iter().find(|entry| entry.key.sets_variables()) {
        let place = Place::new(entry.file, entry.value.span());
        let message = format_args!("{} brings in too many variables for so many processes", entry.key.name);
        let finding = Owner::Program(program.name).finding(Severity::Error, place, message);
        report.add(finding.hint("set in it what these processes need"));
    }
}

/// A process while its keys are read.
struct One<'a> {
    program: &'a OwnProgram<'a>,
    number: u32,
    entries: &'a [Entry<'a>],
}

impl One<'_> {
    fn instance(
        &self,
        old: &Arc<InstanceSpec>,
        around: &Surroundings<'_>,
        disguises: &mut Disguises,
    ) -> Arc<InstanceSpec> {
        around.report.noted.take_used();
        let (new, _) = self.read(old, around, true);
        let new = Arc::new(new);
        if around.report.noted.take_used() {
            let variables = Variables { own: around.variables.own.clone(), is_disguised: true, ..*around.variables };
            let (report, shared) = (Report::default(), Shared::default());
            let masked = Surroundings { report: &report, variables: &variables, shared: &shared, ..*around };
            let (shown, hidden) = self.read(old, &masked, false);
            let process =
                ProcessSpec { environment: new.process.environment.clone(), ..ProcessSpec::clone(&shown.process) };
            let shown = InstanceSpec { process: process.into(), ..shown };
            disguises.instances.push(Disguise { real: Arc::clone(&new), shown, hidden });
        }
        new
    }

    /// The instance with the keys read over it, and the keys that had errors.
    fn read(
        &self,
        old: &InstanceSpec,
        around: &Surroundings<'_>,
        has_variables: bool,
    ) -> (InstanceSpec, Vec<&'static str>) {
        let numprocs = u32::try_from(self.program.processes.len()).unwrap_or(u32::MAX);
        let words = InstanceWords { name: &old.name, index: self.number, numprocs };
        let (mut parts, mut wrong) = (Parts::of(old), Vec::new());
        let is_file = |entry: &&Entry<'_>| entry.key.reads_variables();
        let (files, others): (Vec<_>, Vec<_>) = self.entries.iter().partition(is_file);
        let shown = |entry: &&Entry<'_>| has_variables || !entry.key.sets_variables();
        // Which files are trusted depends on `user`.
        for entry in others.into_iter().chain(files).filter(shown) {
            if let Reader::Parts(read) = entry.key.reader {
                let errors = around.report.errors();
                let field = field(entry, around, Some(self.program.name));
                read(&mut parts, &Field { instance: Some(words), ..field });
                wrong.extend((around.report.errors() > errors).then_some(entry.key.name));
            }
        }
        parts.check(Owner::Program(self.program.name), around.report);
        let process = &old.process;
        let below = process.environment.iter().map(|(name, value)| (name.clone(), (value.clone(), false)));
        let (refusal, own_variables) = (process.refusal.clone(), process.own_variables);
        let mut read = ProcessSpec { refusal, own_variables, ..parts.process(self.program.name, &below.gather()) };
        if let (Some(read), Some(old)) = (&mut read.listener, &process.listener) {
            *read = ListenerSpec { pool: old.pool.clone(), ..ListenerSpec::clone(read) }.into();
        }
        let process = read;
        (parts.instance(old.name.clone(), old.index, process, around.shared), wrong)
    }
}
