//! `[program:x]` to `[program.x]`.

use muster_spec::arrange;
use std::collections::BTreeMap;

use muster_import::supervisord::{Autorestart, Entry, GroupKind, Process, split_command};

use super::draft::Draft;
use super::written::{Program, TakenNames};
use super::{Conversion, Members};
use crate::report::Verdict;
use crate::template::{self, Expected, Names, Part, Settled};
use crate::toml::{self, Table};

/// The most instances of a program.
const MOST_INSTANCES: usize = 1000;

/// The longest time, in seconds: ten years.
const LONGEST: i64 = 10 * 365 * 86_400;

/// The longest value that is converted, in bytes: the kernel takes arguments of 128 KiB.
const LONGEST_VALUE: usize = 128 << 10;

/// The input for all keys of a section.
pub(super) struct Source<'s, 'c> {
    pub(super) section: usize,
    /// Its processes, by number.
    pub(super) processes: &'s [&'c Process],
    own: &'s BTreeMap<String, Vec<Part>>,
    /// Whether values are written as this machine reads them, without references.
    pub(super) is_fixed: bool,
    program: &'s str,
    group: &'s str,
}

impl<'s, 'c> Source<'s, 'c> {
    pub(super) fn first(&self) -> &'c Process {
        self.processes[0]
    }

    pub(super) fn names(&self) -> Names<'s> {
        Names { program: Some(self.program), group: Some(self.group), own: self.own }
    }

    pub(super) fn expected(&self, value: impl Fn(&'c Process) -> &'c str) -> Vec<Expected<'c>> {
        self.processes.iter().map(|process| Expected { number: process.number, value: value(process) }).collect()
    }
}

/// A value needs a text for each instance.
#[derive(Debug)]
pub(super) struct Apart;

impl<'c> Conversion<'c> {
    /// Adds the programs of a section: one, or as many as it has processes if their values share no text.
    pub(super) fn programs_of(
        &mut self,
        section: usize,
        members: &Members<'c>,
        names: &mut TakenNames,
        programs: &mut Vec<Program>,
    ) {
        let mut processes = members.processes.clone();
        arrange::sort_by_key(&mut processes, |process| process.number);
        if !self.is_convertible(section, members, &processes) {
            return;
        }
        let full = &self.configuration.sections[section].name;
        let base = full.split_once(':').map_or(full.as_str(), |(_, name)| name).trim().to_owned();
        let has_numbers = processes[0].number >= 0 && processes[0].number <= 1_000_000;
        if processes.len() > MOST_INSTANCES && has_numbers {
            let text = (format!("numprocs={}", processes.len()), "numprocs = 1000, the most", "write a second program");
            self.section_line(Verdict::Lost, section, text);
            processes.truncate(MOST_INSTANCES);
        }
        let (mut name, none) = (String::new(), BTreeMap::new());
        if has_numbers {
            name = names.take(&base, "-program");
            let source = self.source(section, &base, members, &processes, &none);
            if let Ok(program) = self.program(&source, members, &name, &base) {
                self.report_names(section, &base, members, &processes, &name);
                programs.push(program);
                return;
            }
        }
        let is_shared = match &members.group.kind {
            GroupKind::Listener { .. } => Some("a pool of listeners"),
            _ => processes[0].socket.is_some().then_some("FastCGI processes on one socket"),
        };
        if let Some(what) = is_shared.filter(|_| processes.len() > 1) {
            let was = format!("{what} with values that {{instance}} cannot express");
            self.leave_out(section, was, "give all processes the same values");
            return;
        }
        let text = (
            "a value that differs between processes in a way that {instance} cannot express",
            "a program for each process",
            "",
        );
        self.section_line(Verdict::Differs, section, text);
        names.names.remove(&name);
        for process in processes {
            let one = [process];
            let name = names.take(&format!("{base}-{}", process.number), "-program");
            let source = Source { is_fixed: true, ..self.source(section, &base, members, &one, &none) };
            match self.program(&source, members, &name, &base) {
                Ok(program) => programs.push(Program { is_split: true, ..program }),
                Err(Apart) => {
                    let text = (format!("process {}", process.name), "left out", "a value of it has no form in TOML");
                    self.section_line(Verdict::Lost, section, text);
                }
            }
        }
    }

    fn source<'s>(
        &self,
        section: usize,
        base: &'s str,
        members: &Members<'c>,
        processes: &'s [&'c Process],
        own: &'s BTreeMap<String, Vec<Part>>,
    ) -> Source<'s, 'c>
    where
        'c: 's,
    {
        Source { section, processes, own, is_fixed: false, program: base, group: &members.group.name }
    }

    /// Reports a section that no program can be made of.
    fn is_convertible(&mut self, section: usize, members: &Members<'_>, processes: &[&Process]) -> bool {
        let lost = |this: &mut Self, was: String, advice: &str| {
            this.leave_out(section, was, advice);
            false
        };
        if let Some(socket) = super::fcgi::socket_of(members.group, processes[0])
            && let Err(why) = self.check_address(&socket.address)
        {
            return lost(self, format!("a FastCGI socket on {}, {why}", socket.address.url()), "write another address");
        }
        let command = &processes[0].command;
        match split_command(command) {
            Ok(words) if words.first().is_some_and(|word| !word.is_empty()) => {}
            Ok(_) => return lost(self, "an empty command, which fails at every start".to_owned(), "write a command"),
            Err(why) => return lost(self, format!("a command that fails at every start: {why}"), "close the quotes"),
        }
        let values = |process: &&Process| {
            let variables = process.environment.iter().map(|(_, value)| value.len()).max().unwrap_or_default();
            process.command.len().max(variables) > LONGEST_VALUE || process.command.contains('\0')
        };
        if processes.iter().any(values) {
            return lost(
                self,
                "a value that no process can be given".to_owned(),
                "the kernel takes 128 KiB without NUL",
            );
        }
        true
    }

    /// Reports a section that is not written.
    fn leave_out(&mut self, section: usize, was: String, advice: &str) {
        self.section_line(Verdict::Lost, section, (was, "left out", advice));
        let section = &self.configuration.sections[section];
        self.lead.extend(section.comments.above.iter().cloned());
        self.lead.push(format!("# [{}] is left out, see the report", crate::report::visible(&section.name)));
    }

    fn report_names(&mut self, section: usize, base: &str, members: &Members<'_>, processes: &[&Process], name: &str) {
        let (first, last) = (processes[0], processes[processes.len() - 1]);
        let group = &members.group.name;
        let was = |process: &Process| match process.name == *group {
            true => process.name.clone(),
            false => format!("{group}:{}", process.name),
        };
        let text = match processes.len() {
            1 if first.name == base && name == base => return,
            1 => (was(first), name.to_owned(), "change scripts that use the name"),
            _ => {
                let now = format!("{name}:{} … {name}:{}", first.number, last.number);
                (format!("{} … {}", was(first), was(last)), now, "change scripts that use the names")
            }
        };
        self.section_line(Verdict::Differs, section, text);
    }

    fn program(
        &mut self,
        source: &Source<'_, 'c>,
        members: &Members<'c>,
        name: &str,
        base: &str,
    ) -> Result<Program, Apart> {
        let section = source.section;
        let lines = self.report.mark();
        let (mut pairs, own) = self.environment(source)?;
        self.server_variable(source, members, &mut pairs);
        let source = &Source { own: &own, ..*source };
        let header = format!("program.{}", toml::key(name));
        let mut draft = Draft::new(header.clone(), &self.configuration.sections[section]);
        let made = self.keys(source, members, &mut draft);
        let patience = match made {
            Ok(patience) => patience,
            Err(Apart) => {
                self.report.back_to(lines);
                return Err(Apart);
            }
        };
        let mut environment = None;
        if !pairs.is_empty() {
            match toml::inline(&pairs) {
                Some(line) => draft.set_from("environment", line, "environment"),
                None => {
                    let mut table = Table::new(format!("{header}.environment"));
                    pairs.iter().for_each(|(name, value)| table.set(&toml::key(name), value.as_str()));
                    environment = Some(table);
                }
            }
        }
        let first = source.first();
        let mut table = draft.finish();
        self.own_keys(section, first, environment.is_some(), &mut table);
        Ok(Program {
            section,
            base: base.to_owned(),
            name: name.to_owned(),
            is_split: false,
            table,
            environment,
            probes: Vec::new(),
            autostart: first.autostart,
            priority: members.group.priority,
            patience,
        })
    }

    /// Adds all keys but the environment. Returns the seconds for stopping.
    fn keys(&mut self, source: &Source<'_, 'c>, members: &Members<'c>, draft: &mut Draft<'c>) -> Result<i64, Apart> {
        let first = source.first();
        let command = self.command(source)?;
        draft.set_from("command", command, "command");
        if source.processes.len() > 1 {
            let written = self.symbolic(source, "numprocs").unwrap_or_else(|| source.processes.len().to_string());
            draft.set_from("numprocs", written, "numprocs");
        }
        if first.number > 0 && !source.is_fixed {
            draft.set_from("numprocs_start", first.number.to_string(), "numprocs_start");
        }
        self.number(source, draft, "priority", members.group.priority, 999);
        let is_listener = matches!(members.group.kind, GroupKind::Listener { .. });
        // The priority of a pool is that of its group.
        if first.priority != members.group.priority && !is_listener {
            let text = (
                format!("priority={} in a group with priority {}", first.priority, members.group.priority),
                format!("priority = {}", members.group.priority),
                "the group's priority decided about the start",
            );
            self.key_line(Verdict::Differs, source, "priority", text);
        }
        self.flag(source, draft, "autostart", first.autostart);
        let restart = match first.autorestart {
            Autorestart::Never => Some("\"no\""),
            Autorestart::Unexpected => None,
            Autorestart::Always => Some("\"always\""),
        };
        if let Some(restart) = restart {
            draft.set_from("restart", restart, "autorestart");
        }
        if self.symbolic(source, "autorestart").is_some() {
            let text =
                ("autorestart depended on a variable", "fixed as this machine reads it", "write restart yourself");
            self.key_line(Verdict::Check, source, "autorestart", text);
        }
        self.number(source, draft, "startsecs", first.startsecs.clamp(0, LONGEST), 1);
        self.number(source, draft, "startretries", first.startretries.clamp(0, u32::MAX.into()), 3);
        if first.exitcodes != [0] {
            let codes = first.exitcodes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
            draft.set_from("exitcodes", format!("[{codes}]"), "exitcodes");
        }
        let patience = self.stopping(source, draft);
        self.surroundings(source, draft)?;
        self.logs(source, is_listener, draft)?;
        self.listener(source.section, members, draft);
        self.socket(source, members, draft)?;
        if !is_listener && super::fcgi::socket_of(members.group, first).is_none() && reads_stdin(&first.command) {
            draft.set("stdin", "\"pipe\"");
            let text = ("standard input was an open pipe, which the command reads", "stdin = \"pipe\"", "");
            self.section_line(Verdict::Same, source.section, text);
        }
        self.leftovers(source, draft);
        Ok(patience)
    }

    /// The address of XML-RPC, for a program that was given one of its own, and for listeners, which are often clients.
    fn server_variable(&mut self, source: &Source<'_, 'c>, members: &Members<'_>, pairs: &mut Vec<(String, String)>) {
        const NAME: &str = "SUPERVISOR_SERVER_URL";
        let is_listener = matches!(members.group.kind, GroupKind::Listener { .. });
        let own = source.first().serverurl.as_deref();
        let Some(url) = own.or_else(|| self.server_url().filter(|_| is_listener)).filter(|url| !url.is_empty()) else {
            return;
        };
        let is_set = self.configuration.supervisord.environment.iter().any(|(name, _)| name == NAME);
        if is_set || pairs.iter().any(|(name, _)| name == NAME) {
            return;
        }
        pairs.push((NAME.to_owned(), toml::text(&template::literal(url))));
        if own.is_some() {
            let text = ("serverurl set SUPERVISOR_SERVER_URL", "environment sets it", "");
            self.key_line(Verdict::Same, source, "serverurl", text);
        }
    }

    fn command(&mut self, source: &Source<'_, 'c>) -> Result<String, Apart> {
        let expected = source.expected(|process| &process.command);
        let entry = self.entry(source, "command");
        let settled = self.settle(entry, source.names(), false, &expected, template::settle_command);
        self.settled(settled, source, entry)
    }

    /// The text of a value that stands in quotes.
    fn text(
        &mut self,
        source: &Source<'_, 'c>,
        key: &str,
        value: impl Fn(&'c Process) -> &'c str,
    ) -> Result<String, Apart> {
        let expected = source.expected(value);
        let entry = self.entry(source, key);
        let settled = self.settle(entry, source.names(), false, &expected, template::settle);
        self.settled(settled, source, entry).map(|text| toml::text(&text))
    }

    pub(super) fn settled(
        &mut self,
        settled: Settled,
        source: &Source<'_, 'c>,
        entry: Option<&Entry>,
    ) -> Result<String, Apart> {
        self.report_settled(&settled, entry, source.section);
        match settled {
            Settled::Exact(text) | Settled::Near(text) | Settled::Fixed(text) => Ok(text),
            Settled::Apart => Err(Apart),
        }
    }

    /// The entry of a key; `None` where references are not kept.
    pub(super) fn entry(&self, source: &Source<'_, 'c>, key: &str) -> Option<&'c Entry> {
        let entry = self.configuration.sections[source.section].entry(key);
        entry.filter(|_| !source.is_fixed)
    }

    /// A value that is a reference as a whole or in part, in quotes.
    fn symbolic(&self, source: &Source<'_, 'c>, key: &str) -> Option<String> {
        let entry = self.entry(source, key).filter(|entry| entry.written().contains("%(ENV_"))?;
        let parts = template::parse(entry.written(), source.names())?;
        let settled = template::settle(Some(&parts), &[], &self.scope(1));
        match settled {
            Settled::Exact(text) => Some(toml::text(&text)),
            _ => None,
        }
    }

    fn number(&self, source: &Source<'_, 'c>, draft: &mut Draft<'_>, key: &str, value: i64, default: i64) {
        match self.symbolic(source, key) {
            Some(written) => draft.set_from(key, written, key),
            None if value != default => draft.set_from(key, value.to_string(), key),
            None => {}
        }
    }

    fn flag(&self, source: &Source<'_, 'c>, draft: &mut Draft<'_>, key: &str, value: bool) {
        match self.symbolic(source, key) {
            Some(written) => draft.set_from(key, written, key),
            None if !value => draft.set_from(key, "false", key),
            None => {}
        }
    }

    fn stopping(&mut self, source: &Source<'_, 'c>, draft: &mut Draft<'_>) -> i64 {
        let first = source.first();
        match (self.symbolic(source, "stopsignal"), first.stopsignal.name(), first.stopsignal.0) {
            (Some(written), ..) => draft.set_from("stopsignal", written, "stopsignal"),
            (None, Some("TERM"), _) => {}
            (None, Some(name), 1..) => draft.set_from("stopsignal", toml::text(name), "stopsignal"),
            (None, None, number @ 1..) => draft.set_from("stopsignal", number.to_string(), "stopsignal"),
            (None, _, 0) => {
                let text = ("stopsignal=0 sent nothing and waited", "the program gets TERM", "");
                self.key_line(Verdict::Differs, source, "stopsignal", text);
            }
        }
        let patience = first.stopwaitsecs.clamp(0, LONGEST);
        self.number(source, draft, "stopwaitsecs", patience, 10);
        if first.stopasgroup {
            draft.set_from("stop_scope", "\"group\"", "stopasgroup");
        }
        patience
    }

    /// User, directory and mask.
    fn surroundings(&mut self, source: &Source<'_, 'c>, draft: &mut Draft<'_>) -> Result<(), Apart> {
        let first = source.first();
        if let Some(user) = &first.user {
            let written = self.symbolic(source, "user").unwrap_or_else(|| toml::text(&user.name));
            draft.set_from("user", written, "user");
            if user.name == user.id.to_string() {
                let advice = format!("write \"{0}:GROUP\" if /etc/passwd has no entry for it", user.id);
                let text = ("a user by its number", "its group is that of its entry in /etc/passwd", advice);
                self.key_line(Verdict::Check, source, "user", text);
            }
        }
        if first.directory.as_ref().is_some_and(|directory| !directory.is_empty()) {
            let written = self.text(source, "directory", |process| process.directory.as_deref().unwrap_or_default())?;
            draft.set_from("directory", written, "directory");
            self.check_relative(source.section, "directory", first.directory.as_deref().unwrap_or_default());
        }
        if let Some(umask) = first.umask {
            // The kernel takes the lowest nine bits.
            let written = self.symbolic(source, "umask").unwrap_or_else(|| format!("\"{:03o}\"", umask & 0o777));
            draft.set_from("umask", written, "umask");
        }
        Ok(())
    }

    /// Reports a path that was relative to the daemon's directory.
    pub(super) fn check_relative(&mut self, section: usize, key: &str, path: &str) {
        if !path.starts_with('/')
            && let Some(entry) = self.configuration.sections[section].entry(key)
        {
            let text = (
                format!("{key} was relative to supervisord's working directory"),
                "relative to the directory of the TOML file",
                "write an absolute path",
            );
            self.entry_line(Verdict::Check, entry, section, text);
        }
    }

    pub(super) fn key_line_at(
        &mut self,
        verdict: Verdict,
        section: usize,
        key: &str,
        text: (impl Into<String>, impl Into<String>, impl Into<String>),
    ) {
        match self.configuration.sections[section].entry(key) {
            Some(entry) => self.entry_line(verdict, entry, section, text),
            None => self.section_line(verdict, section, text),
        }
    }

    pub(super) fn key_line(
        &mut self,
        verdict: Verdict,
        source: &Source<'_, 'c>,
        key: &str,
        text: (impl Into<String>, impl Into<String>, impl Into<String>),
    ) {
        self.key_line_at(verdict, source.section, key, text);
    }
}

/// Commands that end at once without an open standard input.
fn reads_stdin(command: &str) -> bool {
    let words = split_command(command).unwrap_or_default();
    let name = words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
    words.len() == 1 && ["cat", "sh", "bash", "ash", "dash", "python", "python3"].contains(&name)
}
