//! The states of an instance, and its goal: two axes that are never mixed.

use std::fmt;

/// Where an instance is. supervisord's words and codes, and WAITING.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Down, because nothing or somebody wanted it so.
    Stopped,
    /// Wanted up, but something must happen first.
    Waiting,
    /// A run has begun and has not yet lasted long enough.
    Starting,
    /// Up.
    Running,
    /// A run ended, and another will follow after a delay.
    Backoff,
    /// Being stopped, until nothing of the tree is left.
    Stopping,
    /// Ended, and the policy does not restart it.
    Exited,
    /// Ended too often in a row.
    Fatal,
}

impl State {
    /// Every state.
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

    /// supervisord's number for it; 5 for WAITING, which supervisord does not have.
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

    /// Its name in capital letters.
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

    /// Whether nothing will change it but a command.
    pub const fn is_final(self) -> bool {
        matches!(self, State::Stopped | State::Exited | State::Fatal)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wished of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Goal {
    /// It should run.
    Up,
    /// It should not.
    Down,
}
