//! The explanation of an instance's state: `GET /v1/programs/{name}/why`.
//!
//! `summary` and `story` are for people, worded by the daemon; the other fields carry the same facts for programs.

use serde::{Deserialize, Serialize};

use crate::program::Run;
use crate::state::{Goal, State};
use crate::timestamp::Timestamp;

/// Why an instance is in its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The instance.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Its goal.
    pub goal: Goal,
    /// Its state and since when, in a sentence.
    pub summary: String,
    /// What happened, what was decided and what comes next: one sentence each, in this order.
    pub story: Vec<String>,
    /// The next step, the last of these sentences.
    pub next: String,
    /// When the next run starts, in BACKOFF.
    pub next_start_at: Option<Timestamp>,
    /// The unmet conditions, in WAITING.
    pub waiting_for: Vec<String>,
    /// The last run that ended; `null` if none has.
    pub run: Option<Run>,
    /// The runs that ended before it, the newest first.
    pub earlier: Vec<Run>,
}

/// The cause of a run's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The program itself: it exited or crashed.
    Itself,
    /// musterd: a stop, a probe, a watchdog, a requested signal.
    Musterd,
    /// The kernel, because memory ran out, as far as its counters show.
    OutOfMemory,
    /// A signal from another process.
    SomebodyElse,
    /// It could not be spawned.
    NotSpawned,
}

impl EndedBy {
    /// All values.
    pub const ALL: [EndedBy; 5] =
        [EndedBy::Itself, EndedBy::Musterd, EndedBy::OutOfMemory, EndedBy::SomebodyElse, EndedBy::NotSpawned];

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            EndedBy::Itself => "itself",
            EndedBy::Musterd => "musterd",
            EndedBy::OutOfMemory => "out_of_memory",
            EndedBy::SomebodyElse => "somebody_else",
            EndedBy::NotSpawned => "not_spawned",
        }
    }
}

/// The step of a spawn that failed, and its error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnFailure {
    /// The step: `exec`, `chdir`, `user` and so on.
    pub step: String,
    /// The errno of the system call; 0 if none applies.
    pub errno: i32,
    /// The complete message.
    pub message: String,
}

/// A line that a run wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLine {
    /// When it was read.
    pub time: Timestamp,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The line, with U+FFFD in place of invalid UTF-8; at most 1 KiB of it.
    pub text: String,
    /// Whether it was truncated.
    pub is_cut: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_wire_are_the_names() {
        for by in EndedBy::ALL {
            assert_eq!(serde_json::to_value(by).unwrap(), by.name());
        }
    }
}
