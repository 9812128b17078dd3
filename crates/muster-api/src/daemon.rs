//! The daemon itself: its identity, liveness and readiness.

use serde::{Deserialize, Serialize};

use crate::state::State;
use crate::timestamp::Timestamp;

/// `GET /v1/info`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// musterd's version.
    pub version: String,
    /// The version of its API: `1.N`, where N counts additions. Empty before there were versions.
    #[serde(default)]
    pub api: String,
    /// Its PID.
    pub pid: u32,
    /// Whether it is the init process of its PID namespace.
    pub is_pid1: bool,
    /// Its phase.
    pub state: Phase,
    /// When it started.
    pub started_at: Timestamp,
    /// Time since it started, in seconds.
    pub uptime: f64,
    /// The configuration files it has read.
    pub config_files: Vec<String>,
    /// The listeners besides the control socket.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// The number of instances by goal.
    pub goals: Goals,
}

/// A listener of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its address.
    pub address: String,
    /// Whether it accepts connections.
    pub is_listening: bool,
    /// Why it does not.
    pub error: Option<String>,
    /// When its certificate expires.
    #[serde(default)]
    pub not_after: Option<Timestamp>,
}

/// The daemon's phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Starting the autostarted programs.
    Starting,
    /// Every autostarted program was started once.
    Running,
    /// Shutting down.
    Stopping,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Phase; 3] = [Phase::Starting, Phase::Running, Phase::Stopping];

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Stopping => "stopping",
        }
    }
}

/// The number of instances by goal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goals {
    /// Instances with the goal up.
    pub up: u32,
    /// Instances with the goal down.
    pub down: u32,
}

/// `GET /healthz` and `/livez`: any answer means the daemon is alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// Always true.
    pub alive: bool,
}

/// `GET /readyz`: 200 if ready, 503 with the same body if not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Whether all programs are ready.
    pub ready: bool,
    /// The instances that are not.
    pub missing: Vec<Missing>,
    /// The sources whose last version is not active, with the reason. They count only until the first version is active.
    #[serde(default)]
    pub sources: Vec<String>,
}

/// An instance that keeps the daemon from being ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// The reason, in words.
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
