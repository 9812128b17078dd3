//! What happens from outside in a scenario: `{ at = "80s", do = "pause", for = "15s" }`, `{ at = "5s", do = "connect", to = "web" }`.

use muster_spec::arrange;
use std::time::Duration;

use muster_config::reading::{Field, Finding, Place, nearest};

/// A time in which the daemon itself does not run: it was stopped, frozen or starved. Its programs go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub span: Duration,
}

/// A client that comes to a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// When.
    pub at: Duration,
    /// The program.
    pub to: String,
}

/// Everything that happens from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acts {
    /// Pauses of the daemon, in the order of their times.
    pub pauses: Vec<Pause>,
    /// Clients.
    pub connects: Vec<Connect>,
    /// The places of the programs that clients come to, each with its name.
    pub(super) connects_at: Vec<(String, Place)>,
}

#[derive(Clone, Copy)]
enum Act {
    Pause,
    Connect,
}

const KEYS: [&str; 4] = ["at", "do", "for", "to"];
const EXAMPLE: &str =
    "act = [{ at = \"80s\", do = \"pause\", for = \"15s\" }, { at = \"5s\", do = \"connect\", to = \"web\" }]";

/// Reads a list of them.
pub(super) fn read(field: &Field<'_>) -> Acts {
    let mut acts = Acts::default();
    let Some(items) = field.list() else {
        field.error_with_hint("must be a list", EXAMPLE);
        return acts;
    };
    items.iter().for_each(|item| read_one(item, &mut acts));
    arrange::sort_by_key(&mut acts.pauses, |pause| pause.at);
    if acts.pauses.windows(2).any(|two| two[1].at < two[0].at + two[0].span) {
        field.error_with_hint("has pauses that overlap", "make one of them, or begin the second after the first");
    }
    acts
}

fn read_one(field: &Field<'_>, acts: &mut Acts) {
    let Some(entries) = field.entries() else {
        return field.error_with_hint("must be a list of tables", EXAMPLE);
    };
    let (mut at, mut span, mut to, mut action) = (None, None, None, None);
    for (place, child) in entries {
        match child.name() {
            "at" => at = child.duration(),
            "for" => span = child.duration(),
            "to" => to = child.text().map(|text| (text.text.into_owned(), place)),
            "do" => action = child.choice(&[("pause", Act::Pause), ("connect", Act::Connect)]),
            unknown => {
                let finding = Finding::error(place, format!("{} is not a key of an act", child.path()));
                let hint = nearest(unknown, KEYS.into_iter()).map(|key| format!("did you mean {key}?"));
                field.report(finding.hint(hint.unwrap_or_else(|| format!("there are {}", KEYS.join(", ")))));
            }
        }
    }
    let (needed, unused) = match action {
        Some(Act::Connect) => (["at", "do", "to"], "for"),
        Some(Act::Pause) | None => (["at", "do", "for"], "to"),
    };
    for key in needed.into_iter().filter(|key| !field.has(key)) {
        field.error_with_hint(format_args!("lacks {key}"), EXAMPLE);
    }
    if action.is_some() && field.has(unused) {
        field.error_with_hint(format_args!("has no use for {unused}"), EXAMPLE);
    }
    match (action, at, span, to) {
        (Some(Act::Pause), Some(at), Some(span), _) => acts.pauses.push(Pause { at, span }),
        (Some(Act::Connect), Some(at), _, Some((to, place))) => {
            acts.connects.push(Connect { at, to: to.clone() });
            acts.connects_at.push((to, place));
        }
        _ => {}
    }
}
