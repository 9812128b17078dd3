//! The daemon about itself: who it is, and whether it is alive and ready.

use serde::{Deserialize, Serialize};

use crate::state::State;
use crate::timestamp::Timestamp;

/// `GET /v1/info`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// musterd's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Whether it is the init of its pid namespace.
    pub is_pid1: bool,
    /// What it is about.
    pub state: Phase,
    /// When it started.
    pub started_at: Timestamp,
    /// For how long it has been up, in seconds.
    pub uptime: f64,
    /// The configuration files it has read.
    pub config_files: Vec<String>,
    /// How many instances are meant to run, and how many not.
    pub goals: Goals,
}

/// What the daemon is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Starting what is to start with it.
    Starting,
    /// Everything was started once.
    Running,
    /// Stopping everything, to exit.
    Stopping,
}

impl Phase {
    /// Every phase, in their order.
    pub const ALL: [Phase; 3] = [Phase::Starting, Phase::Running, Phase::Stopping];

    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Stopping => "stopping",
        }
    }
}

/// How many instances have which goal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goals {
    /// Meant to run.
    pub up: u32,
    /// Not meant to run.
    pub down: u32,
}

/// `GET /healthz` and `/livez`: an answer at all is the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// Always true.
    pub alive: bool,
}

/// `GET /readyz`: 200 when ready, 503 with the same body when not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Whether nothing is missing.
    pub ready: bool,
    /// What is missing.
    pub missing: Vec<Missing>,
}

/// An instance that keeps the whole from being ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which.
    pub name: String,
    /// Where it is.
    pub state: State,
    /// Why, in words.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_wire_are_the_names() {
        for phase in Phase::ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.name());
        }
    }
}
