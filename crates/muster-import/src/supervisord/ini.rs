//! Text to sections, as Python 3.11's `RawConfigParser` reads it for the original: repeated sections and keys are
//! merged, `;` and `#` begin comments behind white space, an indented line continues the value above it.
//!
//! Never stops at a mistake: a line that the original refuses is noted and left out. Types and expansion are not its
//! business; see `values` and `expand`.

use std::collections::HashMap;
use std::sync::Arc;

use super::problem::{SourcePlace, Warning};
use super::{hints, limits, options};
use muster_supervisord::ini;
use muster_supervisord::python::{is_space, repr, strip, strip_end};

/// A key and its value, before expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key in small letters.
    pub key: String,
    /// The lines of the value, joined by `\n`; `%(here)s` is replaced where the original replaces it first.
    pub text: String,
    /// The same as it is written, if `%(here)s` was replaced.
    pub(super) symbolic: Option<String>,
    /// Where the key stands.
    pub key_place: SourcePlace,
    /// Where the value begins; behind the delimiter if it is empty.
    pub place: SourcePlace,
    /// The comments above the key and behind its value.
    pub comments: Comments,
}

/// Comments with their `;` or `#`, without white space around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comments {
    /// The lines above that are all comment.
    pub above: Vec<String>,
    /// The one behind the first line of the value, or behind the header.
    pub behind: Option<String>,
}

impl Entry {
    /// The value as it is written, before anything is replaced.
    pub fn written(&self) -> &str {
        self.symbolic.as_deref().unwrap_or(&self.text)
    }

    fn place_here(&mut self, here: &str) {
        let text = self.text.replace(HERE, here);
        self.symbolic.get_or_insert(std::mem::replace(&mut self.text, text));
    }
}

/// A section with its keys in the order of their first appearance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The text in the brackets.
    pub name: String,
    /// Its first header.
    pub place: SourcePlace,
    /// The file that the original names in messages: the included file that brought the section, or the main file.
    pub file: Arc<str>,
    /// Its keys, those of `[DEFAULT]` not included.
    pub entries: Vec<Entry>,
    /// The comments at its headers.
    pub comments: Comments,
    /// Comments at the end of a file whose last section it is.
    pub below: Vec<String>,
    /// Positions by key, once there are more than [`FEW`].
    index: HashMap<String, usize>,
}

/// Up to so many keys are found faster one by one.
const FEW: usize = 24;

impl Section {
    fn new(name: &str, place: SourcePlace) -> Section {
        let (file, comments, below, index) = (Arc::clone(&place.file), Comments::default(), Vec::new(), HashMap::new());
        Section { name: name.to_owned(), place, file, entries: Vec::new(), comments, below, index }
    }

    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.position(key).map(|at| &self.entries[at])
    }

    fn position(&self, key: &str) -> Option<usize> {
        match self.entries.len() {
            0..=FEW => self.entries.iter().position(|entry| entry.key == key),
            _ => self.index.get(key).copied(),
        }
    }

    /// Replaces the key's entry in its old position, or appends it; returns its position.
    fn set(&mut self, entry: Entry) -> usize {
        if let Some(at) = self.position(&entry.key) {
            self.entries[at] = entry;
            return at;
        }
        self.entries.push(entry);
        let at = self.entries.len() - 1;
        match at {
            0..FEW => {}
            FEW => self.index.extend(self.entries.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at))),
            _ => _ = self.index.insert(self.entries[at].key.clone(), at),
        }
        at
    }
}

/// All sections that were read, in the order of their first appearance.
#[derive(Debug)]
pub(super) struct Sections {
    list: Vec<Section>,
    by_name: HashMap<String, usize>,
    defaults: Section,
    /// Entries whose text holds `%(here)s`, since it was last replaced.
    unplaced: Vec<(Target, usize)>,
    /// Number of sections that already have the values of `[DEFAULT]` with `%(here)s`.
    filled: usize,
}

/// A section of the list, or `[DEFAULT]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Section(usize),
    Defaults,
}

const HERE: &str = "%(here)s";

impl Sections {
    pub(super) fn new(main: &Arc<str>) -> Sections {
        let defaults = Section::new("DEFAULT", SourcePlace::whole(main));
        let (list, by_name, unplaced) = (Vec::new(), HashMap::new(), Vec::new());
        Sections { list, by_name, defaults, unplaced, filled: 0 }
    }

    /// The sections, `[DEFAULT]` not included.
    pub(super) fn list(&self) -> &[Section] {
        &self.list
    }

    pub(super) fn into_list(self) -> Vec<Section> {
        self.list
    }

    /// The position of a section.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// A key of a section, or the default for all sections.
    pub(super) fn entry(&self, section: usize, key: &str) -> Option<&Entry> {
        self.list[section].entry(key).or_else(|| self.defaults.entry(key))
    }

    /// All keys of a section, then those that it has from `[DEFAULT]`.
    pub(super) fn entries(&self, section: usize) -> impl Iterator<Item = &Entry> {
        let own = &self.list[section];
        own.entries.iter().chain(self.defaults.entries.iter().filter(|entry| own.entry(&entry.key).is_none()))
    }

    /// Replaces `%(here)s` in all values. A default that holds it becomes a value of each section.
    pub(super) fn place_here(&mut self, here: &str) {
        for (target, entry) in std::mem::take(&mut self.unplaced) {
            match target {
                Target::Section(section) => {
                    self.list[section].entries[entry].place_here(here);
                }
                Target::Defaults => self.filled = 0,
            }
        }
        for entry in self.defaults.entries.iter().filter(|entry| entry.text.contains(HERE)) {
            let mut placed = Entry { comments: Comments::default(), ..entry.clone() };
            placed.place_here(here);
            for section in self.list[self.filled..].iter_mut().filter(|section| section.entry(&entry.key).is_none()) {
                section.set(placed.clone());
            }
        }
        self.filled = self.list.len();
    }

    /// Adds a section that no text has, or finds the one of this name.
    pub(super) fn add(&mut self, name: &str, place: SourcePlace) -> usize {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        self.by_name.insert(name.to_owned(), self.list.len());
        self.list.push(Section::new(name, place));
        self.list.len() - 1
    }

    fn open(&mut self, name: &str, place: SourcePlace) -> Target {
        if name == "DEFAULT" { Target::Defaults } else { Target::Section(self.add(name, place)) }
    }

    fn section_mut(&mut self, target: Target) -> &mut Section {
        match target {
            Target::Section(at) => &mut self.list[at],
            Target::Defaults => &mut self.defaults,
        }
    }
}

/// A line that the original refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) place: SourcePlace,
    /// The line's representation.
    pub(super) repr: String,
    /// Whether it stands before any header.
    pub(super) homeless: bool,
    /// Offset of its end in the text, in bytes.
    pub(super) end: usize,
}

/// Refused lines and oddities of one file.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    pub(super) bad: Vec<BadLine>,
    pub(super) warnings: Vec<Warning>,
}

impl Noticed {
    /// Whether further warnings would not be reported.
    fn is_full(&self) -> bool {
        self.warnings.len() > limits::WARNINGS
    }
}

/// Reads one file's text into the sections.
pub(super) fn parse(text: &str, file: &Arc<str>, sections: &mut Sections) -> Noticed {
    let (section, option, above, noticed) = (None, None, Vec::new(), Noticed::default());
    let mut reader = Reader { file, sections, section, option, indent: 0, above, noticed };
    let (mut number, mut end) = (0, 0);
    for line in ini::lines(text) {
        number += 1;
        end += line.len();
        reader.line(line, number, end);
    }
    reader.close_option();
    if let Some(target) = reader.section {
        reader.sections.section_mut(target).below.append(&mut reader.above);
    }
    reader.noticed
}

/// The option that an indented line continues.
struct Open {
    key: String,
    key_place: SourcePlace,
    place: SourcePlace,
    lines: Vec<String>,
    comments: Comments,
}

struct Reader<'r> {
    file: &'r Arc<str>,
    sections: &'r mut Sections,
    section: Option<Target>,
    option: Option<Open>,
    /// The indent, in characters, that a continuation exceeds.
    indent: usize,
    /// Lines that are all comment, since the last key or header.
    above: Vec<String>,
    noticed: Noticed,
}

impl Reader<'_> {
    fn line(&mut self, line: &str, number: u32, end: usize) {
        let taken = ini::Line::new(line);
        let ini::Line { content, value, comment } = taken;
        if value.is_empty() {
            match (comment, &mut self.option) {
                (Some(comment), _) => self.above.push(strip(&content[comment..]).to_owned()),
                (None, Some(open)) => open.lines.push(String::new()),
                (None, None) => {}
            }
            return;
        }
        let indent = taken.indent();
        let at = Line { number, indent, taken };
        if let Some(comment) = comment {
            self.warn_of_comment(&at, comment);
        }
        if indent > self.indent && self.option.is_some() {
            self.warn_of_continuation(&at);
            self.option.as_mut().expect("asked in the line above").lines.push(value.to_owned());
            return;
        }
        self.close_option();
        self.indent = indent;
        let behind = comment.map(|comment| strip(&content[comment..]).to_owned());
        if let Some(name) = taken.header() {
            let place = self.place(&at, 0);
            let target = self.sections.open(name, place);
            self.section = Some(target);
            let comments = &mut self.sections.section_mut(target).comments;
            comments.above.append(&mut self.above);
            comments.behind = comments.behind.take().or(behind);
        } else if self.section.is_none() || !self.open_option(&at, behind) {
            let shown = if line.len() > content.len() { format!("{content}\n") } else { content.to_owned() };
            let (place, homeless) = (self.place(&at, 0), self.section.is_none());
            self.noticed.bad.push(BadLine { place, repr: repr(&shown), homeless, end });
        }
    }

    /// The place of a byte of the stripped value.
    fn place(&self, at: &Line<'_>, byte: usize) -> SourcePlace {
        let column = at.indent + at.taken.value[..byte].chars().count() + 1;
        SourcePlace { file: Arc::clone(self.file), line: at.number, column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    fn open_option(&mut self, at: &Line<'_>, remark: Option<String>) -> bool {
        let Some((key, behind)) = at.taken.option() else { return false };
        let value = strip(behind);
        let start = at.taken.value.len() - behind.trim_start_matches(is_space).len();
        let (key_place, place) = (self.place(at, 0), self.place(at, start));
        let comments = Comments { above: std::mem::take(&mut self.above), behind: remark };
        self.option = Some(Open { key, key_place, place, lines: vec![value.to_owned()], comments });
        true
    }

    fn close_option(&mut self) {
        let (Some(open), Some(target)) = (self.option.take(), self.section) else { return };
        let text = strip_end(&open.lines.join("\n")).to_owned();
        let unplaced = text.contains(HERE);
        let Open { key, key_place, place, comments, .. } = open;
        let entry = Entry { key, text, symbolic: None, key_place, place, comments };
        let at = self.sections.section_mut(target).set(entry);
        if unplaced {
            self.sections.unplaced.push((target, at));
        }
    }

    fn section_name(&self) -> &str {
        match self.section {
            Some(Target::Section(at)) => &self.sections.list[at].name,
            Some(Target::Defaults) => "DEFAULT",
            None => "",
        }
    }

    fn warn_of_comment(&mut self, at: &Line<'_>, comment: usize) {
        if self.noticed.is_full() {
            return;
        }
        let place = |reader: &Self, byte: usize| {
            let column = at.taken.content[..byte].chars().count() + 1;
            let column = u32::try_from(column).unwrap_or(u32::MAX);
            SourcePlace { file: Arc::clone(reader.file), line: at.number, column }
        };
        if let Some(quote) = hints::cut_quote(at.taken.value, &at.taken.content[comment..]) {
            let message = format!("a comment begins here, inside {quote}: quotes do not protect `;` and `#`");
            let hint = "leave out the blank before it, or put the command into a script";
            let warning = Warning::new(&place(self, comment), self.section_name(), message).hint(hint);
            self.noticed.warnings.push(warning);
        }
        let earliest = at.taken.earliest_comment();
        if let Some(earliest) = earliest.filter(|earliest| *earliest < comment) {
            let message = "this is part of the value, and a comment where the original runs on Python 3.13";
            let hint = "leave out the blank before it, or use only one kind of comment in a line";
            let warning = Warning::new(&place(self, earliest), self.section_name(), message).hint(hint);
            self.noticed.warnings.push(warning);
        }
    }

    fn warn_of_continuation(&mut self, at: &Line<'_>) {
        let Some(open) = self.option.as_ref().filter(|_| !self.noticed.is_full()) else { return };
        let what = match at.taken.header() {
            Some(_)
                if at.taken.value.ends_with(']')
                    && options::is_section(&at.taken.value[1..at.taken.value.len() - 1]) =>
            {
                "section"
            }
            _ => match at.taken.option().is_some_and(|(key, _)| options::is_key(&key)) {
                true => "key",
                false => return,
            },
        };
        let message = format!("this {what} is indented, so it is part of the value of {} above", open.key);
        let key = open.key.clone();
        let warning = Warning::new(&self.place(at, 0), self.section_name(), message);
        self.noticed.warnings.push(warning.option(&key).hint("begin the line in the first column"));
    }
}

/// A line and its place.
struct Line<'l> {
    number: u32,
    /// In characters.
    indent: usize,
    taken: ini::Line<'l>,
}

#[cfg(test)]
mod tests;
