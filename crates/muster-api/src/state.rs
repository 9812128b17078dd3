//! Goal and state of an instance, with the names and numbers known from supervisord.
//!
//! The desired and the observed state are separate: a program with the goal `up` may be in any state.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The desired state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// It should run.
    Up,
    /// It should not run.
    Down,
}

impl Goal {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Goal::Up => "up",
            Goal::Down => "down",
        }
    }
}

/// The observed state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Not running, and not supposed to.
    Stopped,
    /// Supposed to run, but a dependency is not met yet.
    Waiting,
    /// Its process is running, but has not been up for `startsecs` or is not ready.
    Starting,
    /// Up.
    Running,
    /// Its run ended and the next one starts after a delay.
    Backoff,
    /// Being stopped; processes of its tree are left.
    Stopping,
    /// Its run ended and its restart policy does not restart it.
    Exited,
    /// Its retries are used up.
    Fatal,
}

impl State {
    /// All states, in the order of their numbers.
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

    /// supervisord's number for the state; WAITING is musterd's own.
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

    /// Its name in JSON and in tables.
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
