//! `start_delay = "2s"`, or `{ delay = "2s", stagger = "500ms" }`.

use muster_spec::StartDelay;

use crate::drafts::program::Rules;
use crate::field::Field;
use crate::value::Content;

impl Rules {
    /// A duration, or a table.
    pub(crate) fn read_start_delay(&mut self, field: &Field<'_>) {
        let Content::Table(entries) = &field.value.content else {
            if let Some(delay) = field.duration() {
                self.start_delay = StartDelay { delay, ..StartDelay::NONE };
            }
            return;
        };
        let mut start_delay = StartDelay::NONE;
        for (name, value) in entries {
            let child = field.child(name.as_str(), value);
            match name.as_str() {
                "delay" => start_delay.delay = child.duration().unwrap_or_default(),
                "stagger" => start_delay.stagger = child.duration().unwrap_or_default(),
                _ => child.error_with_hint("is not a key of start_delay", "it has delay and stagger"),
            }
        }
        self.start_delay = start_delay;
    }
}
