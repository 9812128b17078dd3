//! A value of the configuration under its key, and the ways to read it.
//!
//! A [`Field`] knows its owner and its place, so a reader only says what it expects: every reading method reports its own
//! mistakes and then returns `None`. The names in a text are replaced as it is read, by its dialect. Numbers and other
//! single values are read in `scalars`.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::ops::Range;
use std::path::PathBuf;

use muster_spec::Scales;

use crate::diagnostic::{Finding, Place, Report, Severity};
use crate::drafts::shared::Shared;
use crate::drafts::tls::CertificateCheck;
use crate::env_file::EnvFiles;
use crate::habits;
use crate::keys::{Key, Table};
use crate::redact::{MASK, is_secret, masked};
use crate::source::{File, resolve};
use crate::value::{Content, Name, Value};
use crate::variables::{InstanceWords, Variables};
use crate::words;

/// The context shared by all values of a load.
pub(crate) struct Surroundings<'a> {
    pub(crate) report: &'a Report,
    pub(crate) files: &'a [&'a File],
    pub(crate) variables: &'a Variables<'a>,
    pub(crate) host: &'a str,
    pub(crate) env_files: &'a EnvFiles<'a>,
    pub(crate) shared: &'a Shared,
    pub(crate) certificates: &'a CertificateCheck,
    /// The number of processors.
    pub(crate) processors: &'a dyn Fn() -> u32,
    /// The numbers of instances that were chosen at run time.
    pub(crate) scales: Option<&'a Scales>,
}

/// The owner of a value, as messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// The file's root, outside all tables.
    Root,
    /// `[musterd]`, `[http]` or `[defaults]`.
    Table(&'static str),
    /// A program.
    Program(&'a str),
    /// A group.
    Group(&'a str),
    /// A source.
    Source(&'a str),
    /// A notifier.
    Notifier(&'a str),
}

impl Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Root => Ok(()),
            Owner::Table(name) => write!(f, "[{name}]: "),
            Owner::Program(name) => write!(f, "program {name:?}: "),
            Owner::Group(name) => write!(f, "group {name:?}: "),
            Owner::Source(name) => write!(f, "source {name:?}: "),
            Owner::Notifier(name) => write!(f, "notify {name:?}: "),
        }
    }
}

impl<'a> Owner<'a> {
    /// The program's name, if the owner is one.
    pub(crate) fn program(self) -> Option<&'a str> {
        match self {
            Owner::Program(name) => Some(name),
            _ => None,
        }
    }

    /// A finding in this owner's name.
    pub(crate) fn finding(self, severity: Severity, place: Place, message: impl Display) -> Finding {
        let finding = Finding { severity, ..Finding::error(place, format!("{self}{message}")) };
        match self.program() {
            Some(program) => finding.about(program),
            None => finding,
        }
    }
}

/// A value with the context needed to read it.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    pub(crate) around: &'a Surroundings<'a>,
    pub(crate) owner: Owner<'a>,
    /// The program it is read for, which for a value in `[defaults]` is not its owner.
    pub(crate) program: Option<&'a str>,
    pub(crate) instance: Option<InstanceWords<'a>>,
    pub(crate) parent: Option<&'a Field<'a>>,
    pub(crate) name: &'a str,
    pub(crate) key: Option<&'static Key>,
    pub(crate) file: usize,
    pub(crate) value: &'a Value<'a>,
}

/// Text as read, with names replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The text, names replaced.
    pub text: Cow<'a, str>,
    /// Whether a secret is part of it.
    pub secret: bool,
}

impl<'a> Field<'a> {
    /// The place of the value.
    pub fn place(&self) -> Place {
        Place::new(self.file, self.value.span())
    }

    /// Its key.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The value as the file has it, quotes and all.
    pub fn written(&self) -> &'a str {
        self.around.files[self.file].text.get(self.value.span()).unwrap_or_default()
    }

    /// The number of the line it begins in, from 1.
    pub fn line(&self) -> usize {
        let file = self.around.files[self.file];
        file.lines().line_and_column(&file.text, self.value.span().start).0
    }

    /// The place of some bytes of its text; of the whole value where the file does not have that text as it is.
    pub fn place_within(&self, part: Range<usize>) -> Place {
        let is_verbatim = self.value.as_str().is_some_and(|text| {
            let written = self.written();
            written.get(1..written.len().saturating_sub(1)) == Some(text)
        });
        if !is_verbatim {
            return self.place();
        }
        let first = self.value.span().start + 1;
        Place::new(self.file, first + part.start..first + part.end)
    }

    /// The key with its parents: `logs.stdout`.
    pub fn path(&self) -> String {
        match self.parent {
            Some(parent) if self.name.is_empty() => parent.path(),
            Some(parent) => format!("{}.{}", parent.path(), self.name),
            None => self.name.to_owned(),
        }
    }

    /// A value within this one, under a key of its own.
    pub(crate) fn child(&'a self, name: &'a str, value: &'a Value<'a>) -> Field<'a> {
        Field { parent: Some(self), name, key: None, value, ..*self }
    }

    /// Reports a finding.
    pub fn report(&self, finding: Finding) {
        self.around.report.add(finding);
    }

    /// Reports an error: `program "web": KEY problem`.
    pub(crate) fn error(&self, problem: impl Display) {
        self.tell(Severity::Error, problem, None);
    }

    /// Reports an error with a hint.
    pub fn error_with_hint(&self, problem: impl Display, hint: impl Into<String>) {
        self.tell(Severity::Error, problem, Some(hint.into()));
    }

    /// Reports a warning with a hint.
    pub(crate) fn warning(&self, problem: impl Display, hint: impl Into<String>) {
        self.tell(Severity::Warning, problem, Some(hint.into()));
    }

    pub(crate) fn tell(&self, severity: Severity, problem: impl Display, hint: Option<String>) {
        let message = format!("{} {problem}", self.path());
        let finding = self.owner.finding(severity, self.place(), message);
        self.around.report.add(Finding { hint, ..finding });
    }

    /// Reports `KEY must be EXPECTED: "value"`.
    pub(crate) fn expected(&self, expected: &str) {
        self.error(format_args!("must be {expected}: {}", self.shown()));
    }

    /// As [`Field::expected`], with a hint.
    pub(crate) fn expected_with_hint(&self, expected: &str, hint: impl Into<String>) {
        self.error_with_hint(format_args!("must be {expected}: {}", self.shown()), hint);
    }

    /// As [`Field::expected`], for text that was read already and may hold a secret.
    pub(crate) fn text_expected(&self, expected: &str, text: &Text<'_>, hint: Option<String>) {
        let problem = format!("must be {expected}: {}", self.shown_text(text));
        self.tell(Severity::Error, problem, hint);
    }

    /// Whether this key or one above it looks secret.
    fn is_secret(&self) -> bool {
        is_secret(self.name) || self.parent.is_some_and(Field::is_secret)
    }

    /// A text in quotes, or a mask.
    pub(crate) fn shown_text(&self, text: &Text<'_>) -> String {
        if text.secret || self.is_secret() { MASK.to_owned() } else { format!("{:?}", masked(&text.text)) }
    }

    /// The value as written, its names replaced; a mask where it is secret.
    pub(crate) fn shown(&self) -> String {
        if self.is_secret() {
            return MASK.to_owned();
        }
        match &self.value.content {
            Content::Text(text) => match self.replaced(text.as_str()) {
                Ok(done) => self.shown_text(&Text { text: done.text, secret: done.secret }),
                Err(_) => format!("{:?}", masked(text.as_str())),
            },
            Content::Integer(number) => number.to_string(),
            Content::Float(number) => number.to_string(),
            Content::Boolean(flag) => flag.to_string(),
            Content::Date(datetime) => datetime.to_string(),
            Content::List(_) => "a list".to_owned(),
            Content::Table(_) => "a table".to_owned(),
        }
    }

    /// Reads text; reports anything else.
    pub fn text(&self) -> Option<Text<'a>> {
        match &self.value.content {
            Content::Text(text) => self.interpolated(text.as_str()),
            Content::Integer(_) | Content::Float(_) | Content::Boolean(_) => {
                let assignment = if self.name.is_empty() { String::new() } else { format!("{} = ", self.name) };
                self.expected_with_hint("text", format!("put it in quotes: {assignment}\"{}\"", self.shown()));
                None
            }
            _ => {
                self.expected("text");
                None
            }
        }
    }

    /// Reads a path relative to the file it is written in; an empty text gives `Some(None)`.
    pub(crate) fn optional_path(&self) -> Option<Option<PathBuf>> {
        let text = self.text()?;
        if let Some(scheme) = habits::scheme(&text.text) {
            self.text_expected("a path", &text, Some(format!("{scheme}:// is no file")));
            return None;
        }
        if text.text.is_empty() {
            return Some(None);
        }
        self.resolved(&text.text).map(Some)
    }

    /// A path relative to the file this value is written in.
    pub(crate) fn resolved(&self, path: &str) -> Option<PathBuf> {
        let file = self.around.files[self.file];
        if file.is_remote && !path.starts_with('/') {
            self.error_with_hint(
                format_args!("must be absolute, since a remote text has no directory: {}", self.shown()),
                "begin the path with /",
            );
            return None;
        }
        Some(resolve(&file.directory, path))
    }

    /// The elements of a list, or the value itself as the only element. Their errors name this key.
    pub fn items(&'a self) -> Vec<Field<'a>> {
        match &self.value.content {
            Content::List(items) => items.iter().map(|item| self.child("", item)).collect(),
            _ => vec![*self],
        }
    }

    /// The elements of a list; `None` for anything else.
    pub fn list(&'a self) -> Option<Vec<Field<'a>>> {
        matches!(self.value.content, Content::List(_)).then(|| self.items())
    }

    /// The values of a table, each with the place of its name; `None` for anything else.
    pub fn entries(&'a self) -> Option<impl Iterator<Item = (Place, Field<'a>)>> {
        let entry = |(name, value): (&'a Name<'a>, &'a Value<'a>)| {
            (Place::new(self.file, name.span()), self.child(name.as_str(), value))
        };
        Some(self.value.as_table()?.iter().map(entry))
    }

    /// Whether it is a table with this key.
    pub fn has(&self, key: &str) -> bool {
        self.value.as_table().is_some_and(|entries| entries.contains_key(key))
    }

    /// The texts of a list, or of a single text.
    pub fn texts(&'a self) -> Option<Vec<Text<'a>>> {
        // Read all before the first failure returns, so that every mistake is reported.
        let texts: Vec<_> = self.items().iter().map(Field::text).collect();
        texts.into_iter().collect()
    }

    /// Reads each key of a table that the registry has; reports unknown ones.
    pub(crate) fn each_key(&'a self, table: Table, mut read: impl FnMut(&'static Key, &Field<'_>)) {
        let Content::Table(entries) = &self.value.content else {
            self.expected("a table");
            return;
        };
        for (name, value) in entries {
            let place = Place::new(self.file, name.span());
            let field = self.child(name.as_str(), value);
            let path = field.path();
            if let Some(key) =
                words::known_key(table, &path, name.as_str(), value, place, self.owner, self.around.report)
            {
                read(key, &Field { key: Some(key), ..field });
            }
        }
    }
}
