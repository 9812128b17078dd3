//! The expectations of a scenario: `{ at = "15.5s", program = "web", state = "FATAL" }`, `{ exit_code = 1, within = "20s" }`.

use std::time::Duration;

use muster_config::reading::{Field, Finding, Place, nearest};
use muster_spec::State;

/// One expectation, of an instance or of the container, at a time. All its parts must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// The text as written.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
    /// The program or instance it is about; `None` for all.
    pub program: Option<String>,
    /// At this time exactly, after all that happens then.
    pub at: Option<Duration>,
    /// At this time at the latest.
    pub within: Option<Duration>,
    /// The conditions that must hold.
    pub expected: Vec<Expected>,
    pub(super) program_at: Place,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// The instance is in this state: at a time, within a time, or at the end.
    State(State),
    /// The instance is never in this state.
    Never(State),
    /// The number of restarts, up to a time or in total.
    Restarts(usize),
    /// The times from each end to the next start.
    Delays(Vec<Duration>),
    /// The times at which its runs started.
    Starts(Vec<Duration>),
    /// The container exits with this: at a time, within a time, or ever.
    ExitCode(u8),
    /// The container has, or has not, exited: at a time, or at the end.
    Running(bool),
    /// The instance had, or had not, to be killed.
    Killed(bool),
    /// The reason of the container's exit has these words.
    Reason(String),
}

const KEYS: [&str; 12] = [
    "at",
    "within",
    "program",
    "state",
    "never",
    "restarts",
    "delays",
    "starts",
    "exit_code",
    "running",
    "killed",
    "reason",
];

/// Reads a list of them.
pub(super) fn read(field: &Field<'_>) -> Vec<Expectation> {
    let Some(items) = field.list() else {
        field.error_with_hint("must be a list", "expect = [{ at = \"15.5s\", program = \"web\", state = \"FATAL\" }]");
        return Vec::new();
    };
    if items.is_empty() {
        field.error_with_hint("is empty: nothing is checked", "leave it out, or say what must hold");
    }
    items.iter().filter_map(read_one).collect()
}

fn read_one(field: &Field<'_>) -> Option<Expectation> {
    let Some(entries) = field.entries() else {
        field.error_with_hint("must be a list of tables", "{ exit_code = 1, within = \"20s\" }");
        return None;
    };
    let mut found = Expectation {
        text: field.written().split_whitespace().collect::<Vec<_>>().join(" "),
        line: field.line(),
        program: None,
        at: None,
        within: None,
        expected: Vec::new(),
        program_at: field.place(),
    };
    for (place, child) in entries {
        read_key(&mut found, place, &child);
    }
    check(&found, field);
    Some(found)
}

fn read_key(found: &mut Expectation, place: Place, field: &Field<'_>) {
    let expected = match field.name() {
        "at" => return found.at = field.duration(),
        "within" => return found.within = field.duration(),
        "program" => {
            found.program = field.text().map(|text| text.text.into_owned());
            return found.program_at = field.place();
        }
        "state" => state(field).map(Expected::State),
        "never" => state(field).map(Expected::Never),
        "restarts" => field.integer(0..=i64::MAX).map(|count| Expected::Restarts(count.unsigned_abs() as usize)),
        "delays" => durations(field).map(Expected::Delays),
        "starts" => durations(field).map(Expected::Starts),
        "exit_code" => field.integer(0..=255).map(|code| Expected::ExitCode(code.unsigned_abs() as u8)),
        "running" => field.flag().map(Expected::Running),
        "killed" => field.flag().map(Expected::Killed),
        "reason" => field.text().map(|text| Expected::Reason(text.text.into_owned())),
        unknown => {
            let finding = Finding::error(place, format!("{} is not something to expect", field.path()));
            let hint = nearest(unknown, KEYS.into_iter()).map(|key| format!("did you mean {key}?"));
            field.report(finding.hint(hint.unwrap_or_else(|| format!("there are {}", KEYS.join(", ")))));
            None
        }
    };
    found.expected.extend(expected);
}

fn state(field: &Field<'_>) -> Option<State> {
    field.choice(&State::ALL.map(|state| (state.name(), state)))
}

fn durations(field: &Field<'_>) -> Option<Vec<Duration>> {
    let read: Vec<Option<Duration>> = field.items().iter().map(Field::duration).collect();
    read.into_iter().collect()
}

fn check(found: &Expectation, field: &Field<'_>) {
    // A condition with an invalid value was reported already.
    let is_something = |name: &str| !["at", "within", "program"].contains(&name);
    let says_something = field.entries().is_some_and(|mut keys| keys.any(|(_, key)| is_something(key.name())));
    if !says_something {
        field.error_with_hint("says nothing", format!("one of {}", KEYS[3..].join(", ")));
    }
    if found.at.is_some() && found.within.is_some() {
        field.error_with_hint("has at and within", "at is that very time, within is that time at the latest");
    }
    for expected in &found.expected {
        let needs_program =
            matches!(expected, Expected::State(_) | Expected::Never(_) | Expected::Delays(_) | Expected::Starts(_));
        if needs_program && found.program.is_none() {
            field.error_with_hint("does not say of which program", "program = \"web\"");
            return;
        }
    }
}
