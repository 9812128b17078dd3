//! The story of an instance: `GET /v1/programs/{name}/why`.
//!
//! `summary` and `story` are for people, in the daemon's words; the rest is the same for programs.

use serde::{Deserialize, Serialize};

use crate::program::Run;
use crate::state::{Goal, State};
use crate::timestamp::Timestamp;

/// Why an instance is where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The instance.
    pub name: String,
    /// Where it is.
    pub state: State,
    /// What the operator wants.
    pub goal: Goal,
    /// Where it is and since when, in a sentence.
    pub summary: String,
    /// What happened, what was decided and what comes next: a sentence each, in this order.
    pub story: Vec<String>,
    /// What comes next, the last of these sentences.
    pub next: String,
    /// When the next run starts, in BACKOFF.
    pub next_start_at: Option<Timestamp>,
    /// What it waits for, in WAITING.
    pub waiting_for: Vec<String>,
    /// The last run that ended; `null` if none has.
    pub run: Option<Run>,
    /// The runs that ended before it, the newest first.
    pub earlier: Vec<Run>,
}

/// Who ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The program itself: it exited, or committed a fault.
    Itself,
    /// musterd: a stop, a probe, a watchdog, a signal that was asked for.
    Musterd,
    /// The kernel, for want of memory, as far as its counters tell.
    OutOfMemory,
    /// Somebody else sent the signal.
    SomebodyElse,
    /// It never began.
    NotSpawned,
}

impl EndedBy {
    /// Every answer.
    pub const ALL: [EndedBy; 5] =
        [EndedBy::Itself, EndedBy::Musterd, EndedBy::OutOfMemory, EndedBy::SomebodyElse, EndedBy::NotSpawned];

    /// The word on the wire.
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

/// Which step of making the process failed, and with which error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnFailure {
    /// The step: `exec`, `chdir`, `user` and so on.
    pub step: String,
    /// The error number of the system call; 0 where none applies.
    pub errno: i32,
    /// All of it in words.
    pub message: String,
}

/// A line that a run wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLine {
    /// When it was read.
    pub time: Timestamp,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The line, with U+FFFD for what is no UTF-8; at most 1 KiB of it.
    pub text: String,
    /// Whether it was longer.
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
