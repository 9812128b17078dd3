//! supervisord.conf to TOML.
//!
//! [`convert`] reads through `muster-import`, on a [`lenient`] machine: the configuration may be for another one.
//! `source` joins several files and finds places in them again; `draft` is a table under construction with the comments
//! of its source; `program`, `logs`, `daemon` and `listeners` make tables of sections, `written` holds them; `shared` looks at all programs
//! together: what they have in common, and the time that stopping takes.

mod daemon;
mod draft;
mod environment;
mod fcgi;
mod lenient;
mod listeners;
mod logs;
mod own;
mod program;
mod shared;
mod source;
mod written;

use std::collections::{BTreeMap, HashMap, HashSet};

use muster_import::supervisord::{self, Configuration, Entry, Group, Kind, Mode, Process, SourcePlace, World};

use crate::report::{Place, Report, Verdict};
use crate::template::{self, Expected, Names, Part, Scope, Settled};
use crate::toml::{Table, comment};
use crate::{Converted, Mistake};
use source::Joined;
use written::{Program, TakenNames};

pub use source::Input;

/// Converts files that are read as one configuration. One of them may be a main file, with `[supervisord]`.
pub fn convert(inputs: &[Input], world: &dyn World) -> Result<Converted, Vec<Mistake>> {
    let Some(joined) = Joined::of(inputs) else { return Err(Vec::new()) };
    let files = BTreeMap::from([(joined.main.clone(), joined.text.clone())]);
    let mut machine = lenient::Lenient::new(world, &files);
    let mode = Mode::of(&joined.text);
    let mut read = supervisord::read(&joined.main, mode, &machine);
    let standins = machine.fill_in();
    if !standins.is_empty() {
        read = supervisord::read(&joined.main, mode, &machine);
    }
    let configuration = read.map_err(|mistakes| {
        let problems = mistakes.problems.iter();
        let mistake = problems.map(|problem| {
            let place = joined.place(&problem.place);
            let hint = problem.allowed.as_deref().filter(|allowed| !problem.message.contains(allowed));
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            let message = crate::report::visible(&format!("{}{hint}", problem.message));
            Mistake { file: place.file, line: place.line, message }
        });
        mistake.collect::<Vec<_>>()
    })?;
    let mut variables: HashMap<String, String> = machine.variables().into_iter().collect();
    let global = configuration.supervisord.environment.iter();
    variables.extend(global.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let host = world.host();
    let here = source::directory(&joined.main, &world.cwd());
    let mut conversion = Conversion {
        configuration: &configuration,
        joined: &joined,
        variables: &variables,
        here: &here,
        host: &host,
        report: Report::default(),
        rotations: HashMap::new(),
        addresses: HashSet::new(),
        is_exact: own::is_exact(&configuration),
        lead: Vec::new(),
    };
    Ok(conversion.run(&standins))
}

/// The state of one conversion.
struct Conversion<'c> {
    configuration: &'c Configuration,
    joined: &'c Joined,
    variables: &'c HashMap<String, String>,
    here: &'c str,
    host: &'c str,
    report: Report,
    /// The rotation of each log file so far: size and number.
    rotations: HashMap<String, (i64, i64)>,
    /// The addresses of FastCGI sockets so far.
    addresses: HashSet<String>,
    /// Whether `[musterd] compat = "exact"` turns off what is better on purpose.
    is_exact: bool,
    /// Comments of sections that are not written, for the top of the file.
    lead: Vec<String>,
}

/// Finds the text of a value by its parts and the values that the original made.
type Settle = fn(Option<&[Part]>, &[Expected<'_>], &Scope<'_>) -> Settled;

/// The processes of one section, and the group that they belong to.
struct Members<'c> {
    group: &'c Group,
    processes: Vec<&'c Process>,
}

impl<'c> Conversion<'c> {
    fn run(&mut self, standins: &[String]) -> Converted {
        let members = self.members();
        let mut musterd = self.musterd();
        let mut http = self.http();
        self.own_section(&mut musterd, &mut http);
        let mut programs = Vec::new();
        let mut names = TakenNames::default();
        let idioms = self.idioms();
        for (section, found) in members.iter().filter(|(section, _)| !idioms.contains_key(section)) {
            self.programs_of(*section, found, &mut names, &mut programs);
        }
        let groups = self.groups(&programs, &mut names);
        self.listeners(idioms, &mut programs);
        self.ignored();
        self.comments_left_out();
        self.always(&programs, standins);
        self.budget(&programs, &musterd);
        let defaults = self.defaults(&mut programs);
        let count = programs.len();
        self.nothing_to_run(count);
        let mut toml = String::new();
        let name = self.joined.main.rsplit('/').next().unwrap_or_default();
        comment(&format!("# Converted from {} by musterd convert.", crate::report::visible(name)), &mut toml);
        for line in std::mem::take(&mut self.lead) {
            comment(&line, &mut toml);
        }
        let tables = [musterd, http, defaults].into_iter().filter(|table| !table.is_empty());
        tables.for_each(|table| table.write(&mut toml));
        for program in programs {
            program.tables().iter().for_each(|table| table.write(&mut toml));
        }
        groups.iter().for_each(|group| group.write(&mut toml));
        self.report.sort();
        Converted { toml, programs: count, report: std::mem::take(&mut self.report) }
    }

    /// The processes of each section, in the order of the text.
    fn members(&mut self) -> BTreeMap<usize, Members<'c>> {
        let mut members: BTreeMap<usize, Members<'c>> = BTreeMap::new();
        let mut repeated = Vec::new();
        let configuration = self.configuration;
        for group in &configuration.groups {
            let mut last = None;
            for process in &group.processes {
                let is_first = last != Some(process.section);
                last = Some(process.section);
                match members.entry(process.section) {
                    std::collections::btree_map::Entry::Vacant(free) => {
                        free.insert(Members { group, processes: vec![process] });
                    }
                    std::collections::btree_map::Entry::Occupied(mut known)
                        if std::ptr::eq(known.get().group, group) =>
                    {
                        known.get_mut().processes.push(process);
                    }
                    std::collections::btree_map::Entry::Occupied(_) if is_first => {
                        repeated.push((process.section, group.name.clone()));
                    }
                    std::collections::btree_map::Entry::Occupied(_) => {}
                }
            }
        }
        for (section, group) in repeated {
            let text = (
                format!("ran once more in the group {group}"),
                "runs once, and is a member of every group",
                "copy the program under another name if it must run twice",
            );
            self.section_line(Verdict::Differs, section, text);
        }
        members
    }

    fn groups(&mut self, programs: &[Program], names: &mut TakenNames) -> Vec<Table> {
        let mut tables = Vec::new();
        let mut by_section: HashMap<usize, Vec<String>> = HashMap::new();
        for program in programs.iter() {
            by_section.entry(program.section).or_default().push(crate::toml::text(&program.name));
        }
        let is_group = |group: &&Group| group.kind == supervisord::GroupKind::Mixed;
        for group in self.configuration.groups.iter().filter(is_group) {
            let mut sections: Vec<usize> = group.processes.iter().map(|process| process.section).collect();
            let mut seen = HashSet::new();
            sections.retain(|section| seen.insert(*section));
            let members: Vec<String> = sections.iter().filter_map(|at| by_section.get(at)).flatten().cloned().collect();
            let section = &self.configuration.sections[group.section];
            if members.is_empty() {
                self.lead.extend(section.comments.above.iter().cloned());
                continue;
            }
            let name = names.take(&group.name, "-group");
            if name != group.name {
                let text = (
                    format!("group {:?}", group.name),
                    format!("group {name:?}"),
                    "a group may not have the name of a program; change scripts that name it",
                );
                self.section_line(Verdict::Differs, group.section, text);
            }
            let mut draft = draft::Draft::new(format!("group.{}", crate::toml::key(&name)), section);
            draft.set_from("programs", crate::toml::list(members), "programs");
            tables.push(draft.finish());
        }
        for (name, members) in shared::split_sections(programs) {
            let mut table = Table::new(format!("group.{}", crate::toml::key(&names.take(&name, "-group"))));
            table.set("programs", crate::toml::list(members.iter().map(|name| crate::toml::text(name))));
            tables.push(table);
        }
        tables
    }

    /// Lines about keys and sections that nothing read.
    fn ignored(&mut self) {
        for warning in &self.configuration.warnings {
            let place = self.joined.place(&warning.place);
            let subject = warning.section.as_deref().unwrap_or_default();
            if warning.message.ends_with("is not a key that is read") {
                let was = format!("{} was ignored", warning.option.as_deref().unwrap_or_default());
                let hint = warning.hint.clone().unwrap_or_default();
                self.report.add(Verdict::Same, &place, subject, (was, "is left out", hint));
            } else if warning.original.is_some() || warning.critical.is_none() {
                let hint = warning.hint.clone().unwrap_or_default();
                let was = warning.message.trim_start_matches(&format!("[{subject}] "));
                self.report.add(Verdict::Check, &place, subject, (was, "read as the original reads it", hint));
            }
        }
        for (at, section) in self.configuration.sections.iter().enumerate() {
            if Kind::of(&section.name).is_none() {
                self.section_line(Verdict::Same, at, ("the section was ignored", "is left out", ""));
            }
        }
    }

    fn comments_left_out(&mut self) {
        let Some(place) = &self.configuration.comments_end else { return };
        let was = format!("more than {} lines of comment", supervisord::limits::COMMENTS);
        let place = self.place(place);
        self.report.add(Verdict::Lost, &place, "", (was, "those from here on are left out", "copy those that matter"));
    }

    fn nothing_to_run(&mut self, programs: usize) {
        if programs == 0 {
            let advice = "name the files with its programs too, or add [program.NAME] with a command";
            let place = Place::new(&self.joined.main_name(), 1);
            self.report.add(Verdict::Check, &place, "", ("no program", "a configuration that cannot be run", advice));
        }
    }

    fn scope(&self, total: usize) -> Scope<'_> {
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        Scope { variables: self.variables, here: self.here, host: self.host, total }
    }

    /// The text of a value: with the references of its source, or as this machine reads it.
    fn settle(
        &self,
        entry: Option<&Entry>,
        names: Names<'_>,
        is_expanded_again: bool,
        expected: &[Expected<'_>],
        decide: Settle,
    ) -> Settled {
        let scope = self.scope(expected.len());
        let parts = |text: &str| {
            let parts = template::parse(text, names)?;
            Some(if is_expanded_again { template::expanded_again(parts) } else { parts })
        };
        let Some(entry) = entry else { return decide(None, expected, &scope) };
        let settled = decide(parts(entry.written()).as_deref(), expected, &scope);
        match settled {
            Settled::Exact(_) => settled,
            // In an included file `%(here)s` is another directory than the main file's.
            _ if entry.text != entry.written() => decide(parts(&entry.text).as_deref(), expected, &scope),
            _ => settled,
        }
    }

    /// Reports a text that is not read as the original in every case.
    fn report_settled(&mut self, settled: &Settled, entry: Option<&Entry>, section: usize) {
        let Some(entry) = entry else { return };
        let text = match settled {
            Settled::Near(_) => "written with ${NAME}, without width, precision or a second expansion",
            Settled::Fixed(_) if entry.written().contains("%(") => "written as this machine reads it",
            _ => return,
        };
        // Not the value: it may hold a secret.
        let was = format!("{} had references", entry.key);
        self.entry_line(Verdict::Check, entry, section, (was, text, "compare the two values"));
    }

    fn place(&self, place: &SourcePlace) -> Place {
        self.joined.place(place)
    }

    fn section_name(&self, section: usize) -> String {
        self.configuration.sections[section].name.clone()
    }

    /// Adds a line about a section.
    fn section_line(
        &mut self,
        verdict: Verdict,
        section: usize,
        text: (impl Into<String>, impl Into<String>, impl Into<String>),
    ) {
        let place = self.place(&self.configuration.sections[section].place);
        let name = self.section_name(section);
        self.report.add(verdict, &place, &name, text);
    }

    /// Adds a line about a key.
    fn entry_line(
        &mut self,
        verdict: Verdict,
        entry: &Entry,
        section: usize,
        text: (impl Into<String>, impl Into<String>, impl Into<String>),
    ) {
        let (place, name) = (self.place(&entry.key_place), self.section_name(section));
        self.report.add(verdict, &place, &name, text);
    }
}
