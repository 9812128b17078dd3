//! A value of the configuration under its key, and the ways to read it.
//!
//! A [`Field`] knows whom it belongs to and where it stands, so that whoever reads it only says what it expects: every
//! reading method tells its own mistakes and answers `None` then. Text is interpolated as it is read. Numbers and
//! booleans may be given as text if that text has an interpolation (`numprocs = "${WORKERS:-2}"`).

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::diagnostic::{Finding, Place, Report, Severity};
use crate::env_file::EnvFiles;
use crate::interpolate::{interpolate, is_plain};
use crate::keys::{Key, Table};
use crate::mask::{MASK, is_secret, masked};
use crate::source::{File, resolve};
use crate::units::{LONGEST, parse_duration, parse_octal, parse_size, seconds_to_duration};
use crate::variables::{InstanceWords, Scope, Variables};
use crate::words;

/// What every value of a load has in common.
pub(crate) struct Surroundings<'a> {
    pub(crate) report: &'a Report,
    pub(crate) files: &'a [&'a File],
    pub(crate) variables: &'a Variables<'a>,
    pub(crate) host: &'a str,
    pub(crate) env_files: &'a EnvFiles,
}

/// Whose value it is, as messages say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// Keys outside of every table.
    Root,
    /// `[musterd]`, `[http]` or `[defaults]`.
    Table(&'static str),
    /// A program's.
    Program(&'a str),
    /// A group's.
    Group(&'a str),
}

impl Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Root => Ok(()),
            Owner::Table(name) => write!(f, "[{name}]: "),
            Owner::Program(name) => write!(f, "program {name:?}: "),
            Owner::Group(name) => write!(f, "group {name:?}: "),
        }
    }
}

impl<'a> Owner<'a> {
    /// The program's name, where it is one.
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

/// A value, and everything that reading it takes.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) around: &'a Surroundings<'a>,
    pub(crate) owner: Owner<'a>,
    /// The program that reads it, which for a value of `[defaults]` is not its owner.
    pub(crate) program: Option<&'a str>,
    pub(crate) instance: Option<InstanceWords<'a>>,
    pub(crate) parent: Option<&'a Field<'a>>,
    pub(crate) name: &'a str,
    pub(crate) key: Option<&'static Key>,
    pub(crate) file: usize,
    pub(crate) value: &'a Spanned<DeValue<'a>>,
}

/// Text as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    pub(crate) text: Cow<'a, str>,
    /// Whether a secret is part of it.
    pub(crate) secret: bool,
}

impl<'a> Field<'a> {
    /// Where the value stands.
    pub(crate) fn place(&self) -> Place {
        Place::new(self.file, self.value.span())
    }

    /// The key with those above it: `logs.stdout`.
    pub(crate) fn path(&self) -> String {
        match self.parent {
            Some(parent) if self.name.is_empty() => parent.path(),
            Some(parent) => format!("{}.{}", parent.path(), self.name),
            None => self.name.to_owned(),
        }
    }

    /// A value within this one, under a key of its own.
    pub(crate) fn child(&'a self, name: &'a str, value: &'a Spanned<DeValue<'a>>) -> Field<'a> {
        Field { parent: Some(self), name, key: None, value, ..*self }
    }

    /// Tells an error: `program "web": KEY problem`.
    pub(crate) fn error(&self, problem: impl Display) {
        self.tell(Severity::Error, problem, None);
    }

    /// Tells an error and what to do.
    pub(crate) fn error_with_hint(&self, problem: impl Display, hint: impl Into<String>) {
        self.tell(Severity::Error, problem, Some(hint.into()));
    }

    /// Tells a warning and what to do.
    pub(crate) fn warning(&self, problem: impl Display, hint: impl Into<String>) {
        self.tell(Severity::Warning, problem, Some(hint.into()));
    }

    fn tell(&self, severity: Severity, problem: impl Display, hint: Option<String>) {
        let message = format!("{} {problem}", self.path());
        let finding = self.owner.finding(severity, self.place(), message);
        self.around.report.add(Finding { hint, ..finding });
    }

    /// `KEY must be EXPECTED: "value"`.
    pub(crate) fn expected(&self, expected: &str) {
        self.error(format_args!("must be {expected}: {}", self.shown()));
    }

    /// As [`Field::expected`], with what to do.
    pub(crate) fn expected_with_hint(&self, expected: &str, hint: impl Into<String>) {
        self.error_with_hint(format_args!("must be {expected}: {}", self.shown()), hint);
    }

    /// As [`Field::expected`], for a text that was read already and may hold a secret.
    fn text_expected(&self, expected: &str, text: &Text<'_>, hint: Option<String>) {
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

    /// The value as it was written, or what it came to where it was interpolated; a mask where it is secret.
    pub(crate) fn shown(&self) -> String {
        if self.is_secret() {
            return MASK.to_owned();
        }
        match self.value.get_ref() {
            DeValue::String(text) => match interpolate(text, &self.scope(&self.here())) {
                Ok(done) => self.shown_text(&Text { text: done.text, secret: done.secret }),
                Err(_) => format!("{:?}", masked(text)),
            },
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Datetime(datetime) => datetime.to_string(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    fn here(&self) -> Cow<'a, str> {
        self.around.files[self.file].directory.to_string_lossy()
    }

    fn scope<'s>(&self, here: &'s str) -> Scope<'s>
    where
        'a: 's,
    {
        Scope {
            variables: self.around.variables,
            host: self.around.host,
            here,
            program: self.program,
            instance: self.instance,
        }
    }

    /// Replaces what is to be replaced in a part of this value's text.
    pub(crate) fn interpolated(&self, text: &'a str) -> Option<Text<'a>> {
        let done = if is_plain(text) {
            Text { text: Cow::Borrowed(text), secret: false }
        } else {
            match interpolate(text, &self.scope(&self.here())) {
                Ok(done) => Text { text: done.text, secret: done.secret },
                Err(problem) => {
                    self.error_with_hint(problem.message, problem.hint);
                    return None;
                }
            }
        };
        if done.text.contains('\0') {
            self.error("must not contain a NUL character");
            return None;
        }
        Some(done)
    }

    /// As [`Field::interpolated`], for text that does not live as long as the value.
    pub(crate) fn interpolated_owned(&self, text: &str) -> Option<String> {
        let here: Field<'_> = *self;
        here.interpolated(text).map(|done| done.text.into_owned())
    }

    /// Text; anything else is a mistake.
    pub(crate) fn text(&self) -> Option<Text<'a>> {
        match self.value.get_ref() {
            DeValue::String(text) => self.interpolated(text),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
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

    /// The text of a value that should be a number or a boolean, if it was interpolated.
    fn computed(&self) -> Option<Option<Text<'a>>> {
        let raw = self.value.get_ref().as_str()?;
        if is_plain(raw) { None } else { Some(self.interpolated(raw)) }
    }

    /// True or false.
    pub(crate) fn flag(&self) -> Option<bool> {
        const EXPECTED: &str = "true or false";
        if let Some(flag) = self.value.get_ref().as_bool() {
            return Some(flag);
        }
        if let Some(computed) = self.computed() {
            let text = computed?;
            let flag = text.text.trim().parse().ok();
            if flag.is_none() {
                self.text_expected(EXPECTED, &text, None);
            }
            return flag;
        }
        let guess = match self.value.get_ref().as_str().unwrap_or_default().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        };
        match guess {
            Some(flag) => self.expected_with_hint(EXPECTED, format!("{} = {flag}", self.name)),
            None => self.expected(EXPECTED),
        }
        None
    }

    /// A whole number within bounds.
    pub(crate) fn integer(&self, bounds: RangeInclusive<i64>) -> Option<i64> {
        let number = match self.value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(raw) => match self.computed() {
                Some(computed) => computed?.text.trim().parse().ok(),
                None => {
                    self.no_number(raw);
                    return None;
                }
            },
            _ => None,
        };
        match number {
            Some(number) if bounds.contains(&number) => return number.into(),
            Some(number) if number < 0 && *bounds.start() == 0 => self.negative(),
            _ => self.expected(&bounded("a whole number", &bounds)),
        }
        None
    }

    fn no_number(&self, raw: &str) {
        match raw.trim().parse::<i64>() {
            Ok(number) => {
                self.expected_with_hint("a number", format!("write it without quotes: {} = {number}", self.name))
            }
            Err(_) => self.expected("a number"),
        }
    }

    fn negative(&self) {
        let problem = format!("must not be negative: {}", self.shown());
        self.tell(Severity::Error, problem, self.default_hint());
    }

    /// `leave it out for the default of 10 seconds`.
    fn default_hint(&self) -> Option<String> {
        let default = self.key.map(|key| key.default).filter(|default| !["", "\"\""].contains(default))?;
        let seconds = self.key.is_some_and(|key| key.value == "duration") && default.parse::<f64>().is_ok();
        let unit = match (seconds, default) {
            (true, "1") => " second",
            (true, _) => " seconds",
            (false, _) => "",
        };
        Some(format!("leave it out for the default of {default}{unit}"))
    }

    /// A number within bounds.
    pub(crate) fn number(&self, bounds: RangeInclusive<f64>) -> Option<f64> {
        let number: Option<f64> = match self.value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n as f64),
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::String(_) => match self.computed() {
                Some(computed) => computed?.text.trim().parse().ok(),
                None => None,
            },
            _ => None,
        };
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            self.expected(&bounded("a number", &bounds));
        }
        number
    }

    /// A span of time, zero included.
    pub(crate) fn duration(&self) -> Option<Duration> {
        const EXPECTED: &str = "a duration";
        const SPELLING: &str = "a number of seconds, or text such as \"500ms\", \"2m\", \"1h30m\"";
        let seconds: Option<f64> = match self.value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n as f64),
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::String(_) => {
                let text = self.text()?;
                let duration = parse_duration(&text.text);
                if duration.is_none() && text.text.trim_start().starts_with('-') {
                    self.negative();
                } else if duration.is_none() {
                    self.text_expected(EXPECTED, &text, Some(SPELLING.to_owned()));
                }
                return duration;
            }
            _ => None,
        };
        match seconds {
            Some(seconds) if seconds < 0.0 => self.negative(),
            Some(seconds) if seconds > LONGEST.as_secs_f64() => {
                self.error(format_args!("must not be longer than ten years: {}", self.shown()));
            }
            Some(seconds) if seconds.is_finite() => return seconds_to_duration(seconds),
            _ => self.expected_with_hint(EXPECTED, SPELLING),
        }
        None
    }

    /// A number of bytes or things: a whole number, or a size in text.
    pub(crate) fn size(&self) -> Option<u64> {
        const SPELLING: &str = "a number, or text such as \"10MB\" or \"1GiB\", 1024-based";
        match self.value.get_ref() {
            DeValue::String(_) => {
                let text = self.text()?;
                let size = parse_size(&text.text);
                if size.is_none() {
                    self.text_expected("a size", &text, Some(SPELLING.to_owned()));
                }
                size
            }
            DeValue::Integer(_) => self.integer(0..=i64::MAX).map(i64::unsigned_abs),
            _ => {
                self.expected_with_hint("a size", SPELLING);
                None
            }
        }
    }

    /// An octal number: text, or an integer that is written as one.
    pub(crate) fn octal(&self) -> Option<u32> {
        const EXPECTED: &str = "an octal number in quotes";
        match self.value.get_ref() {
            DeValue::String(_) => {
                let text = self.text()?;
                let number = parse_octal(text.text.trim());
                if number.is_none() {
                    self.text_expected(EXPECTED, &text, Some(format!("{} = \"022\"", self.name)));
                }
                number
            }
            DeValue::Integer(number) if number.radix() == 8 => {
                let parsed = u32::from_str_radix(number.as_str(), 8).ok().filter(|&mode| mode <= 0o7777);
                if parsed.is_none() {
                    self.expected(EXPECTED);
                }
                parsed
            }
            DeValue::Integer(number) => {
                self.expected_with_hint(EXPECTED, format!("{} = \"0{}\"", self.name, number.as_str()));
                None
            }
            _ => {
                self.expected(EXPECTED);
                None
            }
        }
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(word, _)| *word == text.text).map(|&(_, value)| value);
        if found.is_none() {
            let all: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            let nearest = words::nearest(&text.text, choices.iter().map(|&(word, _)| word));
            let hint = nearest.map(|word| format!("did you mean {word:?}?"));
            self.text_expected(&words::alternatives(&all), &text, hint);
        }
        found
    }

    /// A path, relative to the file it is written in; `None` within for an empty text, which stands for none.
    pub(crate) fn optional_path(&self) -> Option<Option<PathBuf>> {
        let text = self.text()?;
        Some((!text.text.is_empty()).then(|| self.resolved(&text.text)))
    }

    /// A path relative to the file this value is written in.
    pub(crate) fn resolved(&self, path: &str) -> PathBuf {
        resolve(&self.around.files[self.file].directory, path)
    }

    /// The elements of a list, or the value itself as the only one. Their mistakes bear this key's name.
    pub(crate) fn items(&'a self) -> Vec<Field<'a>> {
        match self.value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| self.child("", item)).collect(),
            _ => vec![*self],
        }
    }

    /// The texts of a list, or of a single text.
    pub(crate) fn texts(&'a self) -> Option<Vec<Text<'a>>> {
        let items = self.items();
        let texts: Vec<_> = items.iter().map(|item| Field { name: item.name, ..*item }.text()).collect();
        texts.into_iter().collect()
    }

    /// Reads each key of a table that the registry knows; tells those that it does not.
    pub(crate) fn each_key(&'a self, table: Table, mut read: impl FnMut(&'static Key, &Field<'_>)) {
        let DeValue::Table(entries) = self.value.get_ref() else {
            self.expected("a table");
            return;
        };
        for (name, value) in entries {
            let place = Place::new(self.file, name.span());
            let field = self.child(name.get_ref(), value);
            let path = field.path();
            if let Some(key) =
                words::known_key(table, &path, name.get_ref(), value, place, self.owner, self.around.report)
            {
                read(key, &Field { key: Some(key), ..field });
            }
        }
    }
}

fn bounded<T: Display + PartialEq + Bound>(what: &str, bounds: &RangeInclusive<T>) -> String {
    let (low, high) = (bounds.start(), bounds.end());
    match (low.is_extreme(), high.is_extreme()) {
        (true, true) => what.to_owned(),
        (false, true) => format!("{what} of at least {low}"),
        (true, false) => format!("{what} of at most {high}"),
        (false, false) => format!("{what} from {low} to {high}"),
    }
}

/// Whether a bound is only that of its type.
trait Bound {
    fn is_extreme(&self) -> bool;
}

impl Bound for i64 {
    fn is_extreme(&self) -> bool {
        *self == i64::MIN || *self == i64::MAX
    }
}

impl Bound for f64 {
    fn is_extreme(&self) -> bool {
        !self.is_finite()
    }
}
