//! Goal and state of an instance, in the words and numbers operators know from supervisord.
//!
//! What is wished and what is observed are separate axes: a program with the goal `up` may be in any state.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the operator wants of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// It shall run.
    Up,
    /// It shall not run.
    Down,
}

impl Goal {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Goal::Up => "up",
            Goal::Down => "down",
        }
    }
}

/// Where an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Not running, and not meant to.
    Stopped,
    /// Meant to run, but something it depends on is not there yet.
    Waiting,
    /// Its process is there, but has not been up for `startsecs` or is not ready.
    Starting,
    /// Up.
    Running,
    /// Its run ended and the next one comes after a delay.
    Backoff,
    /// Told to stop; something of its tree is still there.
    Stopping,
    /// Its run ended and its policy does not restart it.
    Exited,
    /// Its retries are used up.
    Fatal,
}

impl State {
    /// Every state, in the order of their numbers.
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

    /// supervisord's number for it; WAITING is ours.
    pub const fn code(self) -> u16 {
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

    /// The word on the wire and in tables.
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
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_wire_are_the_names() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        for goal in [Goal::Up, Goal::Down] {
            assert_eq!(serde_json::to_value(goal).unwrap(), goal.name());
        }
    }

    #[test]
    fn numbers_are_supervisords_and_ascend() {
        let codes: Vec<u16> = State::ALL.iter().map(|state| state.code()).collect();
        assert_eq!(codes, [0, 5, 10, 20, 30, 40, 100, 200]);
    }
}
