//! `ready`: how a run signals readiness.

use muster_spec::{CheckSpec, ReadySpec};
use regex_lite::Regex;

use crate::diagnostic::Place;
use crate::drafts::checks;
use crate::field::Field;
use crate::keys::{Reader, Table};
use crate::value::Content;

/// The state of `ready` while it is read.
#[derive(Clone, Default)]
pub(crate) struct ReadyDraft {
    pub(crate) spec: Option<ReadySpec>,
    pub(crate) at: Option<Place>,
}

const EXPECTED: &str = "\"notify\" or a table with fd, log, tcp, http or exec";

/// The lowest descriptor beyond the standard ones.
const FIRST_FD: i64 = 3;
/// The highest descriptor under the default soft limit of 1024.
const LAST_FD: i64 = 1023;

impl ReadyDraft {
    /// Reads the value.
    pub(crate) fn read(&mut self, field: &Field<'_>) {
        self.at = Some(field.place());
        let Content::Table(entries) = &field.value.content else { return self.word(field) };
        if entries.len() != 1 {
            let problem =
                if entries.is_empty() { "is empty" } else { "must have a single readiness check, not several" };
            field.error_with_hint(problem, "ready = { tcp = \"127.0.0.1:5432\" }; probes take more than one check");
            return;
        }
        field.each_key(Table::Ready, |key, child| {
            if let Reader::Ready(read) = key.reader {
                read(self, child);
            }
        });
    }

    fn word(&mut self, field: &Field<'_>) {
        if !matches!(field.value.content, Content::Text(_)) {
            field.expected_with_hint(EXPECTED, "ready = \"notify\" is sd_notify's READY=1");
            return;
        }
        let Some(text) = field.text() else { return };
        match text.text.as_ref() {
            "notify" => self.spec = Some(ReadySpec::Notify),
            "" => self.spec = None,
            word => {
                let hint = match word {
                    "sd_notify" | "systemd" | "notify-reload" => "ready = \"notify\"".to_owned(),
                    "fd" | "s6" => "ready = { fd = 3 }".to_owned(),
                    word if word.starts_with("http://") => format!("ready = {{ http = {word:?} }}"),
                    word if word.contains(':') => format!("ready = {{ tcp = {word:?} }}"),
                    _ => "ready = { log = \"…\" } waits for a line of its output".to_owned(),
                };
                field.text_expected(EXPECTED, &text, Some(hint));
            }
        }
    }

    pub(crate) fn fd(&mut self, field: &Field<'_>) {
        if let Some(fd) = field.integer(FIRST_FD..=LAST_FD).and_then(|fd| u32::try_from(fd).ok()) {
            self.spec = Some(ReadySpec::Fd(fd));
        }
    }

    pub(crate) fn log(&mut self, field: &Field<'_>) {
        let Some(text) = field.text() else { return };
        if text.text.is_empty() {
            field.error_with_hint("is empty and would match every line", "log = \"ready to accept connections\"");
            return;
        }
        match Regex::new(&text.text) {
            Ok(_) => self.spec = Some(ReadySpec::Log(text.text.into_owned())),
            Err(error) => {
                let problem = format_args!("is not a regular expression, {error}: {}", field.shown_text(&text));
                field.error_with_hint(problem, "\\ escapes a character, best in single quotes: '…'");
            }
        }
    }

    fn check(&mut self, check: Option<CheckSpec>) {
        if let Some(check) = check {
            self.spec = Some(ReadySpec::Check(check));
        }
    }

    pub(crate) fn tcp(&mut self, field: &Field<'_>) {
        self.check(checks::read_tcp(field));
    }

    pub(crate) fn http(&mut self, field: &Field<'_>) {
        self.check(checks::read_http(field));
    }

    pub(crate) fn exec(&mut self, field: &Field<'_>) {
        self.check(checks::read_exec(field));
    }
}
