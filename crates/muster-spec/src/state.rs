//! The state and the goal of an instance: two separate axes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The observed state of an instance: supervisord's names and codes, plus WAITING.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not running: never started, or stopped on request.
    Stopped,
    /// To be started once a condition holds.
    Waiting,
    /// A run has started and has not yet lasted `startsecs`.
    Starting,
    /// The run has lasted long enough.
    Running,
    /// A run ended, and the next one starts after a delay.
    Backoff,
    /// Being stopped, until no process of the tree is left.
    Stopping,
    /// Exited, and the policy does not restart it.
    Exited,
    /// Given up after too many failures in a row.
    Fatal,
}

impl State {
    /// All states.
    pub const ALL: [State; 8] = [
        State::Stopped,
        State::Waiting,
        State::Starting,
        State::Running,
        State::Backoff,
        State::Stopping,
        State::Exited,
        State::Fatal,
    ];

    /// supervisord's code for the state; 5 for WAITING, which supervisord does not have.
    pub const fn code(self) -> u8 {
        match self {
            State::Stopped => 0,
            State::Waiting => 5,
            State::Starting => 10,
            State::Running => 20,
            State::Backoff => 30,
            State::Stopping => 40,
            State::Exited => 100,
            State::Fatal => 200,
        }
    }

    /// Its name in upper case.
    pub const fn name(self) -> &'static str {
        match self {
            State::Stopped => "STOPPED",
            State::Waiting => "WAITING",
            State::Starting => "STARTING",
            State::Running => "RUNNING",
            State::Backoff => "BACKOFF",
            State::Stopping => "STOPPING",
            State::Exited => "EXITED",
            State::Fatal => "FATAL",
        }
    }

    /// Whether only a command changes this state.
    pub const fn is_final(self) -> bool {
        matches!(self, State::Stopped | State::Exited | State::Fatal)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The desired state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// It should run.
    Up,
    /// It should not.
    Down,
}
