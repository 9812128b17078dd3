//! `tty = true`, or a table: a terminal instead of pipes.

use muster_spec::{OutputSpec, Stdin, Target, TerminalSpec};

use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::logs::OutputDraft;
use crate::field::{Field, Owner};
use crate::value::Content;

/// The longest type of a terminal.
const LONGEST: usize = 64;

/// The state of `tty` while it is read.
#[derive(Clone, Default)]
pub(crate) struct TerminalDraft {
    pub(crate) spec: Option<TerminalSpec>,
    at: Option<Place>,
}

impl TerminalDraft {
    /// Begins with a terminal, or none.
    pub(crate) fn of(spec: Option<&TerminalSpec>) -> TerminalDraft {
        TerminalDraft { spec: spec.cloned(), at: None }
    }

    /// Reads a boolean or a table.
    pub(crate) fn read(&mut self, field: &Field<'_>) {
        self.at = Some(field.place());
        let Content::Table(entries) = &field.value.content else {
            if let Some(is_wanted) = field.flag() {
                self.spec = is_wanted.then(TerminalSpec::default);
            }
            return;
        };
        let mut spec = TerminalSpec::default();
        for (name, value) in entries {
            let child = field.child(name.as_str(), value);
            match name.as_str() {
                "rows" => spec.rows = length(&child).unwrap_or(spec.rows),
                "cols" => spec.columns = length(&child).unwrap_or(spec.columns),
                "term" => spec.term = term(&child).unwrap_or(spec.term),
                _ => child.error_with_hint("is not a key of tty", "it has rows, cols and term"),
            }
        }
        self.spec = Some(spec);
    }

    /// The output of a program with a terminal: both streams are one, and what is not shown must be read all the same.
    pub(crate) fn output(&self, output: &OutputSpec) -> Option<OutputSpec> {
        (self.spec.is_some() && output.stderr.is_some()).then(|| OutputSpec { stderr: None, ..output.clone() })
    }

    /// Checks what a terminal excludes. That `ready.fd` is 3 or more, and a socket not its standard input, is checked where
    /// these are read.
    pub(crate) fn check(&self, stdin: Stdin, output: &OutputDraft, owner: Owner<'_>, report: &Report) {
        let Some(at) = self.at.filter(|_| self.spec.is_some()) else { return };
        let mistake = |place: Place, message: &str, hint: &str| {
            report.add(owner.finding(Severity::Error, place, message).hint(hint));
        };
        if stdin != Stdin::Nothing {
            mistake(at, "tty is its standard input, which is something else already", "leave `stdin` out");
        }
        let merged = "its standard error is its terminal, and part of standard output";
        if let Some(place) = output.own_stderr_at.filter(|_| output.spec.stderr.is_some()) {
            mistake(place, merged, "leave it out, or write \"stdout\"");
        }
        if let Some(place) = output.events_at[1] {
            mistake(place, merged, "write stdout_events and stdout_capture");
        }
        if output.spec.stdout == Target::Inherit {
            let hint = "logs.stdout = \"console\", \"memory\" or a path, or leave `tty` out";
            mistake(at, "the output of a terminal is read, and logs.stdout = \"inherit\" is not", hint);
        }
    }
}

fn length(field: &Field<'_>) -> Option<u16> {
    field.integer(1..=i64::from(TerminalSpec::MOST)).and_then(|length| u16::try_from(length).ok())
}

/// The name of a terminal's type, which programs look up in a directory.
fn term(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    if text.text.is_empty() || text.text.len() > LONGEST || !text.text.bytes().all(is_allowed) {
        field.text_expected("the name of a terminal's type", &text, Some("term = \"xterm-256color\"".to_owned()));
        return None;
    }
    Some(text.text.into_owned())
}
