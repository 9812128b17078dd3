//! Diagnostics with their places, and the report that collects those of a load.
//!
//! While files are read, a place is a range of bytes in one of them; lines, columns and excerpts are computed at the end,
//! for reported findings only. The same message at the same place is reported once, so a wrong value in `[defaults]` does
//! not appear for every program.

use muster_spec::arrange;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;

use crate::field::Owner;
use crate::ranges::Ranges;
use crate::redact;
use crate::secrets::{Noted, Secrets};
use crate::source::File;

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration is rejected.
    Error,
    /// The configuration is valid, but probably not as intended.
    Warning,
    /// The configuration is valid, and this is good to know.
    Note,
}

impl Severity {
    /// Its name, in text and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// An error or warning about a configuration, with its place and a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The message, including the program's name. Never contains a secret.
    pub message: String,
    /// How to fix it.
    pub hint: Option<String>,
    /// The program it is about, if it is about one.
    pub program: Option<String>,
    /// The bytes of the file it is about.
    pub span: Range<usize>,
    /// The lines to show, secrets masked; `None` where there is no text, as with a missing file.
    pub excerpt: Option<Excerpt>,
}

/// Lines of a file with the part to underline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Whole lines, secrets masked.
    pub text: String,
    /// The number of the first of them, from 1.
    pub first_line: usize,
    /// The bytes of `text` to underline.
    pub span: Range<usize>,
}

/// A range of bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file's number, in the order of reading.
    pub(crate) file: usize,
    /// The first byte.
    pub(crate) start: usize,
    /// One past the last byte.
    pub(crate) end: usize,
}

impl Place {
    /// The place of a span in a file.
    pub(crate) fn new(file: usize, span: Range<usize>) -> Place {
        Place { file, start: span.start, end: span.end }
    }

    /// The very beginning of a file.
    pub(crate) fn start_of(file: usize) -> Place {
        Place { file, start: 0, end: 0 }
    }
}

/// A diagnostic while files are still being read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    pub(crate) severity: Severity,
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) program: Option<String>,
}

impl Finding {
    /// An error that concerns no particular program.
    pub fn error(place: Place, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Error, place, message: message.into(), hint: None, program: None }
    }

    /// A warning that concerns no particular program.
    pub(crate) fn warning(place: Place, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(place, message) }
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the program it is about.
    pub(crate) fn about(mut self, program: &str) -> Finding {
        self.program = Some(program.to_owned());
        self
    }
}

/// An error message with a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The message, which continues after the key's name.
    pub message: String,
    /// How to fix it.
    pub hint: String,
}

/// Collects the findings of a load.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: RefCell<Vec<Finding>>,
    told: RefCell<HashSet<(Place, String)>>,
    elsewhere: RefCell<Vec<Diagnostic>>,
    /// By file.
    torn: RefCell<HashMap<usize, Ranges>>,
    misnamed: RefCell<HashMap<String, Vec<String>>>,
    /// The secrets that were read, which are masked in every message.
    pub(crate) noted: Noted,
}

impl Report {
    /// Adds a finding, unless it was added before or lies in text whose syntax is broken.
    pub(crate) fn add(&self, finding: Finding) {
        let is_torn = |torn: &Ranges| torn.contains(finding.place.start);
        if self.torn.borrow().get(&finding.place.file).is_some_and(is_torn) {
            return;
        }
        if self.told.borrow_mut().insert((finding.place, finding.message.clone())) {
            self.findings.borrow_mut().push(finding);
        }
    }

    /// Records an unknown key, with the hint that suggests another one.
    pub(crate) fn add_misnamed(&self, owner: Owner<'_>, table: &str, hint: &str) {
        self.misnamed.borrow_mut().entry(format!("{owner}{table}")).or_default().push(hint.to_owned());
    }

    /// Whether a missing key was probably written under another name, which has been reported.
    pub(crate) fn was_misnamed(&self, owner: Owner<'_>, table: &str, name: &str) -> bool {
        let table = format!("{owner}{table}");
        let is_word =
            |hint: &str| hint.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == name);
        self.misnamed.borrow().get(&table).is_some_and(|hints| hints.iter().any(|hint| is_word(hint)))
    }

    /// Adds the diagnostics of a file that is not TOML, already located.
    pub(crate) fn add_elsewhere(&self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.elsewhere.borrow_mut().extend(diagnostics);
    }

    /// Marks text whose syntax is broken: later findings in it are consequences and dropped.
    pub(crate) fn tear(&self, file: usize, torn: Ranges) {
        self.torn.borrow_mut().entry(file).or_default().extend(torn);
    }

    /// Whether a file has text whose syntax is broken.
    pub(crate) fn is_torn(&self, file: usize) -> bool {
        self.torn.borrow().contains_key(&file)
    }

    /// Whether any file has.
    pub(crate) fn is_any_torn(&self) -> bool {
        !self.torn.borrow().is_empty()
    }

    /// Whether there are many more findings than are reported one by one.
    pub(crate) fn is_long(&self) -> bool {
        self.findings.borrow().len() > 2 * MOST
    }

    /// How many errors were found.
    pub(crate) fn errors(&self) -> usize {
        self.findings.borrow().iter().filter(|finding| finding.severity == Severity::Error).count()
    }

    /// Whether there is an error; warnings do not count.
    pub(crate) fn has_errors(&self) -> bool {
        let found = self.findings.borrow().iter().any(|finding| finding.severity == Severity::Error);
        found || self.elsewhere.borrow().iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// All diagnostics in the order of files and lines, and the secrets.
    pub(crate) fn into_diagnostics(self, files: &[File]) -> (Vec<Diagnostic>, Secrets) {
        let secrets = self.noted.into_secrets();
        let mut diagnostics = locate_first(self.findings.into_inner(), files, &secrets);
        diagnostics.extend(self.elsewhere.into_inner());
        (diagnostics, secrets)
    }
}

/// The number of errors, and of warnings, that are reported one by one; the rest is only counted.
pub const MOST: usize = 100;

/// The first errors and warnings, with secrets masked, and a finding that counts the rest.
fn first_of(findings: Vec<Finding>, secrets: &Secrets) -> (Vec<Finding>, Option<Finding>) {
    let (mut shown, mut errors, mut warnings, mut at) = (Vec::<Finding>::new(), 0_usize, 0_usize, None);
    for finding in findings {
        let count = if finding.severity == Severity::Error { &mut errors } else { &mut warnings };
        if *count >= MOST {
            *count += 1;
            at = at.or(Some(finding.place));
            continue;
        }
        let finding = masked(finding, secrets);
        let mut here = shown.iter().rev().take_while(|earlier| earlier.place == finding.place);
        // Messages that differ only in a secret are reported once.
        if !here.any(|earlier| earlier.message == finding.message) {
            *count += 1;
            shown.push(finding);
        }
    }
    let more = at.map(|place| {
        let severity = if errors > MOST { Severity::Error } else { Severity::Warning };
        Finding { severity, ..Finding::error(place, and_more(errors, warnings)) }
    });
    (shown, more)
}

/// Counts the errors and warnings after the first ones.
pub(crate) fn and_more(errors: usize, warnings: usize) -> String {
    let counts = [(errors, "error"), (warnings, "warning")].map(|(count, what)| (count.saturating_sub(MOST), what));
    let counts = counts.into_iter().filter(|&(count, _)| count > 0);
    let words: Vec<_> =
        counts.map(|(count, what)| format!("{count} more {what}{}", if count == 1 { "" } else { "s" })).collect();
    format!("and {} from here on", words.join(" and "))
}

/// The offsets at which the lines of a text begin.
#[derive(Debug)]
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub(crate) fn of(text: &str) -> Lines {
        Lines(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// Line and column, both from 1, of a byte; a column counts characters.
    pub(crate) fn line_and_column(&self, text: &str, at: usize) -> (usize, usize) {
        let line = self.0.partition_point(|&start| start <= at);
        (line, text[self.start(line)..at].chars().count() + 1)
    }

    /// The first byte of a line, counted from 1.
    pub(crate) fn start(&self, line: usize) -> usize {
        self.0[line - 1]
    }
}

/// The lines and the secrets of a text, computed once for all findings in it.
struct Layout {
    lines: Lines,
    secrets: Vec<Range<usize>>,
}

impl Layout {
    fn of(text: &str) -> Layout {
        Layout { lines: Lines::of(text), secrets: redact::secret_ranges(text) }
    }
}

/// The first findings in the order of files and lines, with line, column and excerpt, secrets masked.
pub(crate) fn locate_first(mut findings: Vec<Finding>, files: &[File], secrets: &Secrets) -> Vec<Diagnostic> {
    arrange::sort_by_key(&mut findings, |finding| (finding.place.file, finding.place.start));
    let (shown, more) = first_of(findings, secrets);
    let mut layouts: HashMap<usize, Layout> = HashMap::new();
    let locate = |finding: Finding| {
        let file = &files[finding.place.file];
        let layout = layouts.entry(finding.place.file).or_insert_with(|| Layout::of(&file.text));
        locate_in(finding, file, layout)
    };
    shown.into_iter().chain(more).map(locate).collect()
}

/// Masks secrets in a finding, but not in the name of its program or group.
fn masked(finding: Finding, secrets: &Secrets) -> Finding {
    let is_owned = finding.message.starts_with("program \"") || finding.message.starts_with("group \"");
    let owner = if is_owned { finding.message.find("\": ").map_or(0, |at| at + 3) } else { 0 };
    let (owner, message) = finding.message.split_at(owner);
    let message = format!("{owner}{}", secrets.mask(message));
    Finding { message, hint: finding.hint.map(|hint| secrets.mask(&hint)), ..finding }
}

fn locate_in(finding: Finding, file: &File, layout: &Layout) -> Diagnostic {
    let text = file.text.as_str();
    let Range { start, end } = on_boundaries(text, finding.place.start..finding.place.end);
    if let Some((line, column)) = file.origin(start) {
        let Finding { severity, message, hint, program, .. } = finding;
        let path = file.path.clone();
        return Diagnostic { severity, file: path, line, column, message, hint, program, span: 0..0, excerpt: None };
    }
    let (line, column) = layout.lines.line_and_column(text, start);
    Diagnostic {
        severity: finding.severity,
        file: file.path.clone(),
        line,
        column,
        message: finding.message,
        hint: finding.hint,
        program: finding.program,
        span: start..end,
        excerpt: excerpt(file, start..end, line, &layout.secrets),
    }
}

/// A span over more lines than this is shown by its first line only.
const MOST_LINES: usize = 5;

fn excerpt(file: &File, span: Range<usize>, line: usize, secrets: &[Range<usize>]) -> Option<Excerpt> {
    let text = file.text.as_str();
    if text.is_empty() {
        return None;
    }
    let line_start = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let first_line_end = end_of_line(text, span.start);
    let is_long = text[span.clone()].matches('\n').count() >= MOST_LINES;
    let end = if is_long { first_line_end } else { span.end };
    let lines = line_start..end_of_line(text, end.max(line_start));
    let (masked, span) = redact::masked_excerpt(text, lines, secrets, span.start..end);
    Some(Excerpt { text: masked, first_line: line, span })
}

fn end_of_line(text: &str, from: usize) -> usize {
    let end = text[from..].find('\n').map_or(text.len(), |newline| from + newline);
    if end > from && text.as_bytes()[end - 1] == b'\r' { end - 1 } else { end }
}

/// A span moved into the text and onto character boundaries; spans of a recovering parser may be neither.
pub(crate) fn on_boundaries(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    start..text.floor_char_boundary(span.end).max(start)
}
