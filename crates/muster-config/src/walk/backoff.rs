//! `backoff`: a preset's name, or a table of delays that may begin with a preset.

use muster_core::restart::{Backoff, Growth, Limit, Preset, Reset};
use toml::de::DeValue;

use crate::field::Field;
use crate::keys::{Reader, Table};

/// What `backoff` has said so far.
pub(crate) struct BackoffDraft {
    pub(crate) backoff: Backoff,
    /// The limit that comes with a preset.
    pub(crate) limit: Option<Limit>,
}

impl Default for BackoffDraft {
    fn default() -> BackoffDraft {
        BackoffDraft { backoff: Backoff::DEFAULT, limit: None }
    }
}

impl BackoffDraft {
    /// Reads the whole value. A table changes what is there, so a program can change one delay of `[defaults]`.
    pub(crate) fn read(&mut self, field: &Field<'_>) {
        let DeValue::Table(entries) = field.value.get_ref() else {
            if matches!(field.value.get_ref(), DeValue::String(_)) {
                self.preset(field);
            } else {
                field.expected_with_hint(
                    "a table or the name of a preset",
                    "backoff = { delay = \"1s\", max = \"30s\" }",
                );
            }
            return;
        };
        // The preset comes first, wherever it stands, so that the other keys change it.
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
    }

    pub(crate) fn preset(&mut self, field: &Field<'_>) {
        if let Some(preset) = field.choice(&Preset::ALL) {
            self.backoff = preset.backoff();
            self.limit = Some(preset.limit());
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

    pub(crate) fn max(&mut self, field: &Field<'_>) {
        if let Some(max) = field.duration() {
            self.backoff.max = max;
        }
    }

    pub(crate) fn jitter(&mut self, field: &Field<'_>) {
        if let Some(jitter) = field.number(0.0..=1.0) {
            self.backoff.jitter = jitter;
        }
    }

    pub(crate) fn reset_after(&mut self, field: &Field<'_>) {
        if let Some(span) = field.duration() {
            self.backoff.reset = Reset::AfterUp(span);
        }
    }
}
