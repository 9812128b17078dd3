//! Text to sections, as Python 3.11's `RawConfigParser` reads it for the original: repeated sections and keys are
//! merged, `;` and `#` begin comments behind white space, an indented line continues the value above it.
//!
//! Never stops at a mistake: a line that the original refuses is noted and left out. Types and expansion are not its
//! business; see `values` and `expand`.

use std::sync::Arc;

use super::problem::{SourcePlace, Warning};
use super::sections::{Comments, Entry, HERE, Sections, Target};
use super::{hints, limits, options};
use muster_supervisord::ini;
use muster_supervisord::python::{is_space, repr, strip, strip_end};

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
        if reader.sections.beyond().is_some() {
            break;
        }
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
    /// The lines so far.
    text: String,
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
                (Some(comment), _) => self.keep_comment(strip(&content[comment..]), number),
                (None, Some(open)) => open.text.push('\n'),
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
            let text = &mut self.option.as_mut().expect("asked two lines above").text;
            text.push('\n');
            text.push_str(value);
            return;
        }
        self.close_option();
        self.indent = indent;
        let behind = comment.map(|comment| strip(&content[comment..]).to_owned());
        if let Some(name) = taken.header() {
            let place = self.place(&at, 0);
            let Some(target) = self.sections.open(name, place) else { return };
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

    fn keep_comment(&mut self, comment: &str, line: u32) {
        let file = self.file;
        if self.sections.has_room_for_comment(|| SourcePlace { file: Arc::clone(file), line, column: 1 }) {
            self.above.push(comment.to_owned());
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
        self.option = Some(Open { key, key_place, place, text: value.to_owned(), comments });
        true
    }

    fn close_option(&mut self) {
        let (Some(open), Some(target)) = (self.option.take(), self.section) else { return };
        let Open { key, key_place, place, mut text, comments } = open;
        text.truncate(strip_end(&text).len());
        text.shrink_to_fit();
        let is_new = self.sections.section_mut(target).position(&key).is_none();
        if is_new && !self.sections.has_room(1, &key_place) {
            return;
        }
        let unplaced = text.contains(HERE);
        let entry = Entry { key, text, symbolic: None, key_place, place, comments };
        let at = self.sections.section_mut(target).set(entry);
        if unplaced {
            self.sections.unplaced.push((target, at));
        }
    }

    fn section_name(&self) -> &str {
        match self.section {
            Some(Target::Section(at)) => &self.sections.list()[at].name,
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
