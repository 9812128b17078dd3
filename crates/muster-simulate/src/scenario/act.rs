//! What happens from outside in a scenario: `{ at = "80s", do = "pause", for = "15s" }`.

use muster_spec::arrange;
use std::time::Duration;

use muster_config::reading::{Field, Finding, nearest};

/// A time in which the daemon itself does not run: it was stopped, frozen or starved. Its programs go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub span: Duration,
}

const KEYS: [&str; 3] = ["at", "do", "for"];
const EXAMPLE: &str = "act = [{ at = \"80s\", do = \"pause\", for = \"15s\" }]";

/// Reads a list of them, in the order of their times.
pub(super) fn read(field: &Field<'_>) -> Vec<Pause> {
    let Some(items) = field.list() else {
        field.error_with_hint("must be a list", EXAMPLE);
        return Vec::new();
    };
    let mut pauses: Vec<Pause> = items.iter().filter_map(read_one).collect();
    arrange::sort_by_key(&mut pauses, |pause| pause.at);
    if pauses.windows(2).any(|two| two[1].at < two[0].at + two[0].span) {
        field.error_with_hint("has pauses that overlap", "make one of them, or begin the second after the first");
    }
    pauses
}

fn read_one(field: &Field<'_>) -> Option<Pause> {
    let Some(entries) = field.entries() else {
        field.error_with_hint("must be a list of tables", EXAMPLE);
        return None;
    };
    let (mut at, mut span, mut action) = (None, None, None);
    for (place, child) in entries {
        match child.name() {
            "at" => at = child.duration(),
            "for" => span = child.duration(),
            "do" => action = child.choice(&[("pause", ())]),
            unknown => {
                let finding = Finding::error(place, format!("{} is not a key of an act", child.path()));
                let hint = nearest(unknown, KEYS.into_iter()).map(|key| format!("did you mean {key}?"));
                field.report(finding.hint(hint.unwrap_or_else(|| format!("there are {}", KEYS.join(", ")))));
            }
        }
    }
    for key in KEYS.into_iter().filter(|key| !field.has(key)) {
        field.error_with_hint(format_args!("lacks {key}"), EXAMPLE);
    }
    action?;
    Some(Pause { at: at?, span: span? })
}
