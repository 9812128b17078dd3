//! Mistakes and oddities, with their places.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use muster_config::{Diagnostic, Severity};

use super::limits;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourcePlace {
    /// The file, as the original names it.
    pub file: Arc<str>,
    /// The line, from 1; 0 where there is no text.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl SourcePlace {
    /// A file as a whole.
    pub(super) fn whole(file: &Arc<str>) -> SourcePlace {
        SourcePlace { file: Arc::clone(file), line: 0, column: 0 }
    }
}

impl fmt::Display for SourcePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// A mistake: nothing is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: SourcePlace,
    /// The section's name, without brackets.
    pub section: Option<String>,
    /// The key.
    pub option: Option<String>,
    /// The value after expansion; left out where it may be a secret.
    pub value: Option<String>,
    /// The mistake, section and key included. Never contains a secret.
    pub message: String,
    /// Allowed values, or a remedy.
    pub allowed: Option<String>,
    /// The original's text after `Error: `, if this is its first mistake. May contain a secret value: write it to
    /// standard error or return it to the caller that asked, never to a log.
    pub original: Option<String>,
}

impl Problem {
    /// The mistake as it is shown to people.
    pub fn diagnostic(&self) -> Diagnostic {
        // Many messages say already what is allowed.
        let hint = self.allowed.as_deref().filter(|allowed| !self.message.contains(allowed));
        diagnostic(Severity::Error, &self.place, &self.message, hint, self.section.as_deref())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// An oddity: text that is accepted and probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub place: SourcePlace,
    /// The section's name, without brackets.
    pub section: Option<String>,
    /// The key.
    pub option: Option<String>,
    /// The oddity. Never contains a secret.
    pub message: String,
    /// A better way to write it.
    pub hint: Option<String>,
    /// The original's WARN line, if it logs one while it reads.
    pub original: Option<String>,
    /// The original's CRIT line, if it logs one later.
    pub critical: Option<String>,
    /// Whether it is only a note: musterd does this otherwise than the original, on purpose.
    pub is_note: bool,
}

impl Warning {
    pub(super) fn new(place: &SourcePlace, section: &str, message: impl Into<String>) -> Warning {
        let section = Some(section.to_owned()).filter(|name| !name.is_empty());
        let (option, hint, original, critical) = (None, None, None, None);
        Warning {
            place: place.clone(),
            section,
            option,
            message: message.into(),
            hint,
            original,
            critical,
            is_note: false,
        }
    }

    /// One that was found elsewhere.
    pub(super) fn of(found: &Diagnostic) -> Warning {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let file = Arc::from(found.file.to_string_lossy());
        let place = SourcePlace { file, line: number(found.line), column: number(found.column) };
        Warning { hint: found.hint.clone(), ..Warning::new(&place, "", &found.message) }
    }

    /// Of a difference on purpose.
    pub(super) fn note(mut self) -> Warning {
        self.is_note = true;
        self
    }

    pub(super) fn option(mut self, key: &str) -> Warning {
        self.option = Some(key.to_owned());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Warning {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn original(mut self, text: impl Into<String>) -> Warning {
        self.original = Some(text.into());
        self
    }

    pub(super) fn critical(mut self, text: impl Into<String>) -> Warning {
        self.critical = Some(text.into());
        self
    }
}

impl Warning {
    /// The oddity as it is shown to people.
    pub fn diagnostic(&self) -> Diagnostic {
        let severity = if self.is_note { Severity::Note } else { Severity::Warning };
        diagnostic(severity, &self.place, &self.message, self.hint.as_deref(), self.section.as_deref())
    }
}

/// The longest message in characters. A message quotes values, and a value can be as long as a file.
const LONGEST: usize = 1000;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn diagnostic(
    severity: Severity,
    place: &SourcePlace,
    message: &str,
    hint: Option<&str>,
    section: Option<&str>,
) -> Diagnostic {
    Diagnostic {
        severity,
        file: PathBuf::from(&*place.file),
        // A place without text is the file as a whole.
        line: place.line.max(1) as usize,
        column: place.column.max(1) as usize,
        message: shortened(message),
        hint: hint.map(shortened),
        program: section.and_then(|section| section.strip_prefix("program:")).map(str::to_owned),
        span: 0..0,
        excerpt: None,
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Why there is no configuration.
#[derive(Clone, Debug)]
pub struct Mistakes {
    /// All mistakes, at least one; the first is the original's first.
    pub problems: Vec<Problem>,
    /// Oddities besides.
    pub warnings: Vec<Warning>,
    /// The original's INFO lines.
    pub infos: Vec<String>,
}

/// All findings so far, in the original's order of reading; a message appears once per place.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
    /// The original's INFO lines.
    pub(super) infos: Vec<String>,
    said: HashSet<(SourcePlace, String)>,
    found: usize,
}

impl Report {
    pub(super) fn problem(&mut self, problem: Problem) {
        self.found += 1;
        match self.problems.len() {
            limits::PROBLEMS => {
                let message = "further mistakes are left out here".to_owned();
                let (allowed, value, original) = (None, None, None);
                self.problems.push(Problem { message, allowed, value, original, ..problem });
                return;
            }
            found if found > limits::PROBLEMS => return,
            _ => {}
        }
        if self.said.insert((problem.place.clone(), problem.message.clone())) {
            self.problems.push(problem);
        }
    }

    /// Adds a warning that the original repeats as well.
    pub(super) fn warn_again(&mut self, warning: Warning) {
        self.said.remove(&(warning.place.clone(), warning.message.clone()));
        self.warn(warning);
    }

    pub(super) fn warn(&mut self, warning: Warning) {
        match self.warnings.len() {
            limits::WARNINGS => {
                let further = Warning::new(&warning.place, "", "further warnings are left out here");
                self.warnings.push(further);
            }
            found if found > limits::WARNINGS => {}
            _ => {
                if self.said.insert((warning.place.clone(), warning.message.clone())) {
                    self.warnings.push(warning);
                }
            }
        }
    }

    /// Whether further warnings are no longer reported.
    pub(super) fn has_all_warnings(&self) -> bool {
        self.warnings.len() > limits::WARNINGS
    }

    /// Whether further mistakes are no longer reported.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() > limits::PROBLEMS
    }

    /// Number of reports so far, repeated ones included.
    pub(super) fn count(&self) -> usize {
        self.found
    }

    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Warning>, Vec<String>) {
        (self.problems, self.warnings, self.infos)
    }
}
