//! `backoff`: a preset's name, or a table of delays that may begin with a preset.

use muster_spec::{Backoff, Growth, Jitter, Preset, Reset};

use crate::field::Field;
use crate::keys::{Reader, Table};
use crate::value::Content;

/// The state of `backoff` while its keys are read.
pub(crate) struct BackoffDraft {
    pub(crate) backoff: Backoff,
    /// The preset, which sets the whole restart policy.
    pub(crate) preset: Option<Preset>,
}

impl Default for BackoffDraft {
    fn default() -> BackoffDraft {
        BackoffDraft { backoff: Backoff::DEFAULT, preset: None }
    }
}

impl BackoffDraft {
    /// Begins with these delays.
    pub(crate) fn of(backoff: Backoff) -> BackoffDraft {
        BackoffDraft { backoff, preset: None }
    }

    /// Reads the value. A table is merged, so a program can change a single delay of `[defaults]`.
    pub(crate) fn read(&mut self, field: &Field<'_>) {
        let Content::Table(entries) = &field.value.content else {
            if matches!(field.value.content, Content::Text(_)) {
                self.preset(field);
            } else {
                field.expected_with_hint(
                    "a table or the name of a preset",
                    "backoff = { delay = \"1s\", max = \"30s\" }",
                );
            }
            return;
        };
        // The preset is applied first, wherever it stands, so that the other keys override it.
        if let Some(preset) = entries.get("preset") {
            self.preset(&field.child("preset", preset));
        }
        field.each_key(Table::Backoff, |key, child| {
            if let Reader::Backoff(read) = key.reader
                && key.name != "preset"
            {
                read(self, child);
            }
        });
        if let Some(steps) = entries.get("steps") {
            self.steps(&field.child("steps", steps));
            if let Some(factor) = entries.get("factor") {
                field.child("factor", factor).warning("has no effect beside steps", "keep one of the two");
            }
        }
    }

    pub(crate) fn preset(&mut self, field: &Field<'_>) {
        if let Some(preset) = field.choice(&Preset::ALL) {
            self.backoff = preset.backoff();
            self.preset = Some(preset);
        }
    }

    pub(crate) fn delay(&mut self, field: &Field<'_>) {
        if let Some(delay) = field.duration() {
            self.backoff.delay = delay;
        }
    }

    pub(crate) fn factor(&mut self, field: &Field<'_>) {
        if let Some(factor) = field.number(1.0..=1000.0) {
            self.backoff.growth = Growth::Factor(factor);
        }
    }

    pub(crate) fn steps(&mut self, field: &Field<'_>) {
        if let Some(steps) = field.integer(1..=1000).and_then(|steps| u32::try_from(steps).ok()) {
            self.backoff.growth = Growth::Steps(steps);
        }
    }

    pub(crate) fn max(&mut self, field: &Field<'_>) {
        if let Some(max) = field.duration() {
            self.backoff.max = max;
        }
    }

    pub(crate) fn jitter(&mut self, field: &Field<'_>) {
        const WORDS: [(&str, Jitter); 3] =
            [("full", Jitter::Full), ("equal", Jitter::Equal), ("decorrelated", Jitter::Decorrelated)];
        let jitter = match &field.value.content {
            Content::Table(entries) => match entries.get("up_to").filter(|_| entries.len() == 1) {
                Some(span) => field.child("up_to", span).duration().map(Jitter::UpTo),
                None => {
                    field.error_with_hint("must be a table with up_to alone", "jitter = { up_to = \"2s\" }");
                    None
                }
            },
            // Other text may be a template that comes to a number.
            Content::Text(word) if word.as_str().chars().next().is_some_and(char::is_alphabetic) => {
                field.choice(&WORDS)
            }
            _ => field.number(0.0..=1.0).map(Jitter::Add),
        };
        if let Some(jitter) = jitter {
            self.backoff.jitter = jitter;
        }
    }

    pub(crate) fn reset_after(&mut self, field: &Field<'_>) {
        if let Some(span) = field.duration() {
            self.backoff.reset = Reset::AfterUp(span);
        }
    }
}
