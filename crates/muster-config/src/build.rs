//! Loading as a whole: files to documents, documents to sections, sections to programs, and those to a [`Spec`].
//!
//! Every step continues after an error, so that one load reports all of them; the spec is returned only if there is none.
//! Checks against the file system and the user database are in `lint` and not part of a load.

use muster_spec::arrange;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_spec::{Hook, InstanceSpec, ProcessSpec, ProgramSpec, SourceSpec, Spec, UserSpec};

use crate::check;
use crate::depend;
use crate::diagnostic::{Diagnostic, Finding, Place, Report, Severity};
use crate::drafts::control::ControlDraft;
use crate::drafts::daemon::DaemonDraft;
use crate::drafts::instance::Parts;
use crate::drafts::logs::OutputDraft;
use crate::drafts::notifier::read_notifiers;
use crate::drafts::own_user;
use crate::drafts::program::Rules;
use crate::drafts::shared::Shared;
use crate::drafts::sockets::check_start_on;
use crate::drafts::source::SourceDraft;
use crate::env_file::EnvFiles;
use crate::field::{Field, Owner, Surroundings};
use crate::foreground;
use crate::keys::Reader;
use crate::read::{Document, read_all};
use crate::remote::{Remote, check_program};
use crate::secrets::{Disguise, Disguises};
use crate::sections::{Entry, Named, Sections};
use crate::source::{File, LookedAt, Shelf, Source};
use crate::variables::{InstanceWords, Variables};

/// The result of a load.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` when there is any error.
    pub spec: Option<Spec>,
    /// Every file that was read, in order, environment files after the configuration's.
    pub files: Vec<PathBuf>,
    /// Every error and warning, in the order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
    /// The masked copies of everything that holds a secret.
    pub disguises: Disguises,
    /// Every file and directory that was looked at: if one of them changes, another load may have another result.
    pub looked_at: Vec<LookedAt>,
    /// The texts, for diagnostics that are added later.
    pub(crate) texts: Vec<File>,
    /// The places of some of each program's keys, in the order of the programs.
    pub(crate) places: Vec<Places>,
    /// The place of the users in `[http]`.
    pub(crate) clients_at: Option<Place>,
}

/// The result of reading a configuration in another language.
#[derive(Debug, Default)]
pub struct Foreign {
    /// The configuration; `None` when there is any error.
    pub spec: Option<Spec>,
    /// Every file that was read, in order.
    pub files: Vec<PathBuf>,
    /// Every error and warning.
    pub diagnostics: Vec<Diagnostic>,
    /// The masked copies of everything that holds a secret.
    pub disguises: Disguises,
    /// Every file and directory that was looked at.
    pub looked_at: Vec<LookedAt>,
}

impl From<Foreign> for Loaded {
    fn from(foreign: Foreign) -> Loaded {
        let Foreign { spec, files, mut diagnostics, disguises, mut looked_at } = foreign;
        arrange::sort_by(&mut diagnostics, |a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        looked_at.sort();
        looked_at.dedup();
        let (texts, places, clients_at) = (Vec::new(), Vec::new(), None);
        Loaded { spec, files, diagnostics, disguises, looked_at, texts, places, clients_at }
    }
}

/// The places of the keys that `lint` checks against the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) command: Place,
    pub(crate) user: Place,
    pub(crate) groups: Place,
    pub(crate) directory: Place,
    /// Of the commands of its hooks, in the order of a run.
    pub(crate) hooks: [Place; 4],
}

/// A program, with the places that later checks report.
pub(crate) struct Built<'t> {
    pub(crate) owner: Owner<'t>,
    pub(crate) at: Place,
    pub(crate) rules: Rules,
    pub(crate) spec: ProgramSpec,
    /// Each instance's output, with its places.
    pub(crate) outputs: Vec<OutputDraft>,
    pub(crate) places: Places,
    /// How long the hooks of a stop may take, if that is written down, and where.
    pub(crate) hook_patience: Option<(Duration, Place)>,
}

/// Reads a whole configuration and reports every mistake in it. Never panics, prints or exits.
pub fn load(source: &Source<'_>) -> Loaded {
    load_remote(source, &Remote::default())
}

/// As [`load`], together with the texts of servers.
pub fn load_remote(source: &Source<'_>, remote: &Remote<'_>) -> Loaded {
    load_with((source, remote), |_, _| ()).0
}

/// As [`load`]; before the tables are sorted, `take` may read and remove keys that are not part of the configuration.
pub(crate) fn load_with<T>(
    (source, remote): (&Source<'_>, &Remote<'_>),
    take: impl FnOnce(&mut [Document<'_>], &Surroundings<'_>) -> T,
) -> (Loaded, T) {
    let (shelf, report, env_files) = (Shelf::default(), Report::default(), EnvFiles::opened_by(source.open));
    let mut looked_at = Vec::new();
    let mut disguises = Disguises::default();
    let (spec, (places, clients_at), taken) =
        build((source, remote), &shelf, &report, &env_files, (&mut looked_at, &mut disguises), take);
    looked_at.extend(env_files.looked_at());
    looked_at.sort();
    looked_at.dedup();
    let texts = shelf.into_files();
    let spec = if report.has_errors() { None } else { Some(spec) };
    let read = texts.iter().filter(|file| file.was_read).map(|file| file.path.clone());
    let files = read.chain(env_files.into_files()).collect();
    let (diagnostics, secrets) = report.into_diagnostics(&texts);
    disguises.secrets = secrets;
    disguises.place_origins(&texts);
    (Loaded { spec, files, diagnostics, disguises, looked_at, texts, places, clients_at }, taken)
}

fn build<T>(
    (source, remote): (&Source<'_>, &Remote<'_>),
    shelf: &Shelf,
    report: &Report,
    env_files: &EnvFiles<'_>,
    (looked_at, disguises): (&mut Vec<LookedAt>, &mut Disguises),
    take: impl FnOnce(&mut [Document<'_>], &Surroundings<'_>) -> T,
) -> (Spec, (Vec<Places>, Option<Place>), T) {
    let mut documents = read_all((source, remote), shelf, report, looked_at);
    let files = shelf.files();
    let outer = Variables { own: BTreeMap::new(), outer: source.variables, noted: &report.noted, is_disguised: false };
    let shared = Shared::default();
    let around = Surroundings {
        report,
        files: &files,
        variables: &outer,
        host: source.host,
        env_files,
        shared: &shared,
        certificates: source.certificates,
        processors: source.processors,
        scales: remote.scales,
    };
    let taken = take(&mut documents, &around);
    let (local, texts) = documents.split_at(documents.iter().take_while(|document| document.source.is_none()).count());
    let mut sections = Sections::default();
    local.iter().for_each(|document| sections.add(document, None, report));
    let sources = read_sources(&sections, &around);
    for document in texts {
        // A source that no longer exists has no part in the configuration.
        if let Some(rules) = sources.iter().find(|rules| Some(rules.name.as_str()) == document.source) {
            sections.add(document, Some(rules), report);
        }
    }
    let sections = sections;
    let daemon = read_daemon(&sections.musterd, &around, &mut disguises.musterd);
    let variables = Variables { own: daemon.environment.clone(), ..outer };
    let around = Surroundings { variables: &variables, ..around };
    let mut control = read_control(&sections.http, &around, &mut disguises.http);
    let mut programs = build_programs(&sections, &daemon, &around, disguises);
    check_remote(&programs, &sections, (texts, &sources), remote.own_user, report);
    check::groups(&sections.groups, &mut programs, report);
    depend::resolve(&mut programs, &sections.groups, report);
    check::all(&programs, &daemon, report);
    let notifiers = read_notifiers(&sections, (&daemon, &programs), &around, &mut disguises.notifiers);
    if programs.is_empty() && sources.is_empty() && !report.has_errors() {
        report.add(no_programs());
    }
    let places = programs.iter().map(|built| built.places).collect();
    let programs = programs.into_iter().map(|built| Arc::new(built.spec)).collect();
    own_user::give_sockets(daemon.spec.user.as_ref(), &mut control.spec);
    let spec = Spec { daemon: daemon.spec, control: control.spec, sources, notifiers, programs };
    (spec, (places, control.users_at), taken)
}

fn read_sources(sections: &Sections<'_>, around: &Surroundings<'_>) -> Vec<SourceSpec> {
    let read = |(name, source): (&&str, &Named<'_>)| {
        let mut draft = SourceDraft::default();
        for entry in active(&source.entries) {
            if let Reader::Source(read) = entry.key.reader {
                read(&mut draft, &field(entry, around, None));
            }
        }
        draft.finish(name, source.at, around)
    };
    sections.sources.iter().filter_map(read).collect()
}

/// Checks every program that a remote text has a part in.
fn check_remote(
    programs: &[Built<'_>],
    sections: &Sections<'_>,
    (texts, sources): (&[Document<'_>], &[SourceSpec]),
    own_user: &[String],
    report: &Report,
) {
    let rules_of = |file: usize| {
        let document = texts.iter().find(|document| document.id == file)?;
        sources.iter().find(|rules| Some(rules.name.as_str()) == document.source)
    };
    for built in programs.iter().filter(|_| !texts.is_empty()) {
        let own = sections.programs.get(built.spec.name.as_str()).map_or(&[][..], |named| &named.entries);
        let entries = [&sections.defaults[..], own].concat();
        check_program(&built.spec, &entries, rules_of, own_user, report);
    }
}

fn no_programs() -> Finding {
    Finding::error(Place::start_of(0), "there are no programs").hint("[program.NAME] with a command defines one")
}

/// The field of an entry that belongs to no instance.
pub(crate) fn field<'a>(entry: &Entry<'a>, around: &'a Surroundings<'a>, program: Option<&'a str>) -> Field<'a> {
    Field {
        around,
        owner: entry.owner,
        program,
        instance: None,
        parent: None,
        name: entry.key.name,
        key: Some(entry.key),
        file: entry.file,
        value: entry.value,
    }
}

/// Reads `[musterd]`; adds the keys that a secret went into to `hidden`.
fn read_daemon(entries: &[Entry<'_>], around: &Surroundings<'_>, hidden: &mut Vec<&'static str>) -> DaemonDraft {
    let mut draft = DaemonDraft::default();
    for entry in active(entries) {
        if let Reader::Daemon(read) = entry.key.reader {
            around.report.noted.take_used();
            read(&mut draft, &field(entry, around, None));
            hidden.extend(around.report.noted.take_used().then_some(entry.key.name));
        }
    }
    draft
}

fn read_control(entries: &[Entry<'_>], around: &Surroundings<'_>, hidden: &mut Vec<&'static str>) -> ControlDraft {
    let mut draft = ControlDraft::default();
    for entry in active(entries) {
        if let Reader::Control(read) = entry.key.reader {
            around.report.noted.take_used();
            read(&mut draft, &field(entry, around, None));
            hidden.extend(around.report.noted.take_used().then_some(entry.key.name));
        }
    }
    draft.finish(around.certificates, around.report);
    draft.spec.secret_files = around.env_files.secret_files();
    draft
}

/// The active entries: those that no later one replaces.
pub(crate) fn active<'e, 't>(entries: &'e [Entry<'t>]) -> impl Iterator<Item = &'e Entry<'t>> {
    let stays = |(index, entry): &(usize, &Entry<'t>)| !entries[index + 1..].iter().any(|later| later.replaces(entry));
    entries.iter().enumerate().filter(stays).map(|(_, entry)| entry)
}

fn build_programs<'t>(
    sections: &Sections<'t>,
    daemon: &DaemonDraft,
    around: &Surroundings<'_>,
    disguises: &mut Disguises,
) -> Vec<Built<'t>> {
    check_replaced(&sections.defaults, around);
    let mut entries = Vec::new();
    let mut programs = Vec::with_capacity(sections.programs.len());
    for (name, program) in &sections.programs {
        check_replaced(&program.entries, around);
        entries.clear();
        entries.extend_from_slice(&sections.defaults);
        entries.extend_from_slice(&program.entries);
        programs.push(build_program((name, program), &entries, daemon, around, disguises));
    }
    programs
}

/// Checks entries that may not be active: those a later file replaces, and all of `[defaults]`.
///
/// Skips values that depend on a variable: a later file may replace one because the variable is not set.
fn check_replaced(entries: &[Entry<'_>], around: &Surroundings<'_>) {
    let is_replaced = |(index, entry): &(usize, &Entry<'_>)| {
        let is_default = !matches!(entry.owner, Owner::Program(_));
        is_default || entries[index + 1..].iter().any(|later| later.replaces(entry))
    };
    for (_, entry) in entries.iter().enumerate().filter(is_replaced) {
        if entry.key.reads_variables() || !entry.value.is_constant() {
            continue;
        }
        match entry.key.reader {
            Reader::Rules(read) => read(&mut Rules::default(), &field(entry, around, None)),
            Reader::Parts(read) => read(&mut Parts::default(), &field(entry, around, None)),
            _ => {}
        }
    }
}

fn build_program<'t>(
    (name, program): (&'t str, &Named<'t>),
    entries: &[Entry<'_>],
    daemon: &DaemonDraft,
    around: &Surroundings<'_>,
    disguises: &mut Disguises,
) -> Built<'t> {
    let owner = Owner::Program(name);
    let mut rules = Rules::default();
    let mut varies = false;
    let mut origins: Vec<(&'static str, u32)> = Vec::new();
    for entry in active(entries) {
        origins.push((entry.key.name, entry.file as u32));
        match entry.key.reader {
            Reader::Rules(read) => {
                around.report.noted.take_used();
                read(&mut rules, &field(entry, around, Some(name)));
                if around.report.noted.take_used() {
                    disguises.rules.push((name.to_owned(), entry.key.name));
                }
            }
            Reader::Parts(_) => varies |= !entry.value.is_constant(),
            _ => {}
        }
    }
    origins.sort_by_key(|(key, _)| *key);
    origins.dedup();
    disguises.origins.insert(name.to_owned(), origins);
    rules.follow_schedule();
    rules.check(owner, around.report);
    let numprocs = rules.numprocs.spec();
    let scale = around.scales.and_then(|scales| scales.get(name)).filter(|scale| scale.holds(numprocs));
    let number = scale.map_or(numprocs.configured, |scale| scale.numprocs);
    let several = (number, rules.numprocs.first, varies);
    let (instances, outputs, parts) = build_instances(name, several, entries, daemon, around, disguises);
    let is_missing = parts.command_at.is_none() && !around.report.was_misnamed(owner, "", "command");
    if is_missing && !around.report.is_torn(program.at.file) {
        let finding = owner.finding(Severity::Error, program.at, "command is missing");
        around.report.add(finding.hint("command = \"…\" says what to run"));
    }
    let command_at = parts.command_at.unwrap_or(program.at);
    if rules.schedule.is_some() && number > 1 && !varies {
        let message = format!("all {number} instances do the same at the same time");
        let hint = "{instance} in the command is the number of each; or numprocs = 1";
        around.report.add(owner.finding(Severity::Warning, command_at, message).hint(hint));
    }
    let places = Places {
        command: command_at,
        user: parts.user_at.unwrap_or(command_at),
        groups: parts.groups_at.unwrap_or(command_at),
        directory: parts.directory_at.unwrap_or(command_at),
        hooks: Hook::EVERY.map(|hook| parts.hooks.place(hook).unwrap_or(command_at)),
    };
    if let Some(command) = instances.first().map(|instance| &instance.process.command)
        && let Some(habit) = foreground::leaves_foreground(command)
    {
        let finding = owner.finding(Severity::Warning, command_at, habit.message());
        around.report.add(finding.hint(habit.hint()));
    }
    let spec = ProgramSpec {
        name: name.to_owned(),
        groups: Vec::new(),
        kind: rules.kind,
        autostart: rules.autostart,
        start_on: rules.start_on,
        start_delay: rules.start_delay,
        once: rules.once,
        restart: rules.restart_policy(),
        schedule: rules.schedule(&daemon.spec.timezone),
        startsecs: rules.startsecs,
        max_runtime: rules.max_runtime,
        exit_codes: rules.exit_codes.clone(),
        on_exit: rules.on_exit.clone(),
        depends_on: Vec::new(),
        restart_with: Vec::new(),
        priority: rules.priority,
        stop_unit: None,
        order: None,
        essential: rules.essential,
        stop: rules.stop(),
        reload_signal: rules.reload_signal,
        unshown: None,
        numprocs,
        rolling: rules.turns.rolling,
        recycle_after: rules.turns.recycle,
        watch: rules.watch.spec(),
        instances,
    };
    let has_sockets = spec.instances.iter().any(|instance| !instance.process.sockets.is_empty());
    check_start_on(&rules, has_sockets, owner, around.report);
    rules.check_memory(daemon.spec.state_dir.is_some(), owner, around.report);
    parts.hooks.check_kind(rules.kind, owner, around.report);
    let hook_patience = parts.hooks.written_patience();
    Built { owner, at: program.at, rules, spec, outputs, places, hook_patience }
}

type Instances = (Vec<Arc<InstanceSpec>>, Vec<OutputDraft>, Parts);

fn build_instances(
    program: &str,
    (numprocs, first, varies): (u32, u32, bool),
    entries: &[Entry<'_>],
    daemon: &DaemonDraft,
    around: &Surroundings<'_>,
    disguises: &mut Disguises,
) -> Instances {
    let mut instances = Vec::with_capacity(numprocs as usize);
    let mut outputs = Vec::new();
    let mut parts = Parts::default();
    let mut has_secrets = false;
    for index in first..first.saturating_add(numprocs) {
        let name = if numprocs == 1 { program.to_owned() } else { format!("{program}:{index}") };
        if index == first || varies {
            let words = InstanceWords { name: &name, index, numprocs };
            around.report.noted.take_used();
            parts = read_parts(program, words, entries, (daemon.spec.user.as_ref(), around));
            has_secrets = around.report.noted.take_used();
        }
        let process = parts.process(program, &daemon.environment);
        outputs.push(parts.output.clone());
        let words = InstanceWords { name: &name, index, numprocs };
        let real = Arc::new(parts.instance(name.clone(), index, process, around.shared));
        if has_secrets {
            disguises.instances.push(disguise(&real, program, words, entries, around));
        }
        instances.push(real);
    }
    (instances, outputs, parts)
}

/// Reads an instance again with a mask in place of each secret. A key that fails to parse with a mask in it is hidden.
fn disguise(
    real: &Arc<InstanceSpec>,
    program: &str,
    words: InstanceWords<'_>,
    entries: &[Entry<'_>],
    around: &Surroundings<'_>,
) -> Disguise {
    let variables = Variables { own: around.variables.own.clone(), is_disguised: true, ..*around.variables };
    let (report, shared) = (Report::default(), Shared::default());
    let around = Surroundings { report: &report, variables: &variables, shared: &shared, ..*around };
    let (mut parts, mut hidden) = (Parts::running_as(real.process.user.clone()), Vec::new());
    // Environments are never shown, and a masked file name names no file.
    let shown = |entry: &&Entry<'_>| !entry.key.sets_variables();
    for entry in active(entries).filter(shown) {
        if let Reader::Parts(read) = entry.key.reader {
            let errors = report.errors();
            read(&mut parts, &Field { instance: Some(words), ..field(entry, &around, Some(program)) });
            hidden.extend((report.errors() > errors).then_some(entry.key.name));
        }
    }
    let process =
        ProcessSpec { environment: real.process.environment.clone(), ..parts.process(program, &BTreeMap::new()) };
    let shown = parts.instance(real.name.clone(), real.index, process, &shared);
    Disguise { real: Arc::clone(real), shown, hidden }
}

fn read_parts(
    program: &str,
    words: InstanceWords<'_>,
    entries: &[Entry<'_>],
    (own_user, around): (Option<&UserSpec>, &Surroundings<'_>),
) -> Parts {
    let mut parts = Parts::running_as(own_user.cloned());
    // Which files are trusted depends on `user`, which may come after `env_file`: read those last.
    let is_file = |entry: &&Entry<'_>| entry.key.reads_variables();
    let (files, others): (Vec<&Entry<'_>>, Vec<&Entry<'_>>) = active(entries).partition(is_file);
    for entry in others.into_iter().chain(files) {
        if let Reader::Parts(read) = entry.key.reader {
            read(&mut parts, &Field { instance: Some(words), ..field(entry, around, Some(program)) });
        }
    }
    parts.run_as(own_user, Owner::Program(program), around.report);
    parts.check(Owner::Program(program), around.report);
    parts
}
