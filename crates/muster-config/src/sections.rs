//! Sorts the tables of all documents by program, group and daemon section, and reports unknown keys.
//!
//! Entries are in order of precedence: those of later files come after those of earlier ones. Which of them are active is
//! decided when a program is built, since `[defaults]` come before the program's own.

use std::collections::BTreeMap;

use muster_spec::{SourceSpec, is_valid_name};

use crate::diagnostic::{Finding, Place, Report, Severity};
use crate::field::Owner;
use crate::keys::{Key, Table};
use crate::read::Document;
use crate::remote::may_use;
use crate::value::{Content, Entries, Name, Value};
use crate::words::known_key;

/// A key with its value and owner.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'t> {
    pub(crate) key: &'static Key,
    pub(crate) owner: Owner<'t>,
    pub(crate) file: usize,
    pub(crate) value: &'t Value<'t>,
}

impl Entry<'_> {
    /// Whether it replaces an earlier value completely: tables are merged key by key, other values are replaced.
    pub(crate) fn replaces(&self, earlier: &Entry<'_>) -> bool {
        std::ptr::eq(self.key, earlier.key) && !matches!(self.value.content, Content::Table(_))
    }
}

/// A program or group, merged over all files.
pub(crate) struct Named<'t> {
    /// The first place of its name.
    pub(crate) at: Place,
    /// Its keys.
    pub(crate) entries: Vec<Entry<'t>>,
}

/// The whole configuration, sorted.
#[derive(Default)]
pub(crate) struct Sections<'t> {
    pub(crate) musterd: Vec<Entry<'t>>,
    pub(crate) http: Vec<Entry<'t>>,
    pub(crate) defaults: Vec<Entry<'t>>,
    pub(crate) programs: BTreeMap<&'t str, Named<'t>>,
    pub(crate) groups: BTreeMap<&'t str, Named<'t>>,
    pub(crate) sources: BTreeMap<&'t str, Named<'t>>,
    pub(crate) notifiers: BTreeMap<&'t str, Named<'t>>,
}

impl<'t> Sections<'t> {
    /// Sorts the tables of a document in, limited by the rules of its source.
    pub(crate) fn add(&mut self, document: &'t Document<'t>, rules: Option<&SourceSpec>, report: &Report) {
        let mut sorter = Sorter { file: document.id, report, rules, sections: self };
        sorter.root(&document.table);
    }
}

struct Sorter<'t, 's> {
    file: usize,
    report: &'s Report,
    rules: Option<&'s SourceSpec>,
    sections: &'s mut Sections<'t>,
}

impl<'t> Sorter<'t, '_> {
    fn root(&mut self, table: &'t Entries<'t>) {
        for (name, value) in table {
            let place = Place::new(self.file, name.span());
            let Some(key) =
                known_key(Table::Root, name.as_str(), name.as_str(), value, place, Owner::Root, self.report)
            else {
                continue;
            };
            if self.rules.is_some_and(|rules| !may_use(rules, key.name, place, self.report)) {
                continue;
            }
            match key.name {
                "musterd" => {
                    let entries = self.table(Table::Musterd, Owner::Table("musterd"), value);
                    self.sections.musterd.extend(entries.into_iter().flatten());
                }
                "http" => {
                    let entries = self.table(Table::Http, Owner::Table("http"), value);
                    self.sections.http.extend(entries.into_iter().flatten());
                }
                "defaults" => {
                    let entries = self.table(Table::Program, Owner::Table("defaults"), value);
                    self.sections.defaults.extend(entries.into_iter().flatten());
                }
                "program" => self.named(Table::Program, "program", value),
                "group" => self.named(Table::Group, "group", value),
                "source" => self.named(Table::Source, "source", value),
                "notify" => self.named(Table::Notifier, "notify", value),
                // `include` was handled when the files were read.
                _ => {}
            }
        }
    }

    fn error(&self, place: Place, message: String, hint: impl Into<String>) {
        self.report.add(Finding::error(place, message).hint(hint));
    }

    fn table(&self, table: Table, owner: Owner<'t>, value: &'t Value<'t>) -> Option<Vec<Entry<'t>>> {
        let Content::Table(entries) = &value.content else {
            let place = Place::new(self.file, value.span());
            let is_list = matches!(value.content, Content::List(_));
            let message = if is_list { "must be a table, not a list: use single brackets" } else { "must be a table" };
            let finding = owner.finding(Severity::Error, place, message);
            self.report.add(match owner {
                Owner::Program(name) if !is_list => finding.hint(format!("[program.{name}] with command = \"…\"")),
                _ => finding,
            });
            return None;
        };
        let known = |(name, value): (&'t Name<'t>, &'t Value<'t>)| {
            let place = Place::new(self.file, name.span());
            let key = known_key(table, name.as_str(), name.as_str(), value, place, owner, self.report)?;
            Some(Entry { key, owner, file: self.file, value })
        };
        Some(entries.iter().filter_map(known).collect())
    }

    /// Sorts all `[program.NAME]` or `[group.NAME]` tables.
    fn named(&mut self, table: Table, word: &str, value: &'t Value<'t>) {
        let Content::Table(members) = &value.content else {
            let place = Place::new(self.file, value.span());
            return self.error(place, format!("{word} must contain tables by name"), format!("[{word}.NAME]"));
        };
        for (name, value) in members {
            let place = Place::new(self.file, name.span());
            let name: &'t str = name.as_str();
            let is_key = crate::keys::find(table, name).is_some() && !matches!(value.content, Content::Table(_));
            if is_key {
                self.error(
                    place,
                    format!("{name:?} is not within a {word}"),
                    format!("put it under a name: [{word}.NAME]"),
                );
                continue;
            }
            if !is_valid_name(name) {
                self.error(place, format!("{word} {name:?}: invalid name"), name_hint(name));
                continue;
            }
            let owner = match table {
                Table::Program => Owner::Program(name),
                Table::Source => Owner::Source(name),
                Table::Notifier => Owner::Notifier(name),
                _ => Owner::Group(name),
            };
            let Some(entries) = self.table(table, owner, value) else { continue };
            let sections = &mut *self.sections;
            let all = match table {
                Table::Program => &mut sections.programs,
                Table::Source => &mut sections.sources,
                Table::Notifier => &mut sections.notifiers,
                _ => &mut sections.groups,
            };
            all.entry(name).or_insert_with(|| Named { at: place, entries: Vec::new() }).entries.extend(entries);
        }
    }
}

fn name_hint(name: &str) -> &'static str {
    match name {
        "all" => "`all` stands for every program in musterctl",
        _ => "names consist of letters, digits, `_`, `-` and `.`",
    }
}
