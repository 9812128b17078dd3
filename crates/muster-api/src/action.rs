//! Requests for programs, and their results.

use serde::{Deserialize, Serialize};

use crate::state::State;

/// The report of a request: one result for each selected instance, in the order in which they were handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReport {
    /// One result per instance.
    pub results: Vec<ActionResult>,
}

/// The result of a request for one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionResult {
    /// The instance.
    pub name: String,
    /// The outcome.
    pub outcome: Outcome,
    /// Its current state.
    pub state: State,
    /// PID of its main process, if there is one.
    pub pid: Option<u32>,
    /// The reason, if the outcome is an error: `spawn error: /x: no such file`.
    pub error: Option<String>,
    /// A remark on the outcome: why a restart was not a rolling one, although that was asked for.
    #[serde(default)]
    pub note: Option<String>,
}

/// The outcome of a request for one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Accepted, with no client waiting for the result.
    #[serde(rename = "accepted")]
    Accepted,
    /// Not done when the wait ended.
    #[serde(rename = "pending")]
    Pending,
    /// Started.
    #[serde(rename = "started")]
    Started,
    /// There was nothing to start.
    #[serde(rename = "already started")]
    AlreadyStarted,
    /// It starts at the times of its schedule from now on.
    #[serde(rename = "armed")]
    Armed,
    /// Stopped, with its whole tree.
    #[serde(rename = "stopped")]
    Stopped,
    /// There was nothing to stop or to signal.
    #[serde(rename = "not running")]
    NotRunning,
    /// Stopped if it ran, and started.
    #[serde(rename = "restarted")]
    Restarted,
    /// It starts when a client comes: `start_on = "connection"`.
    #[serde(rename = "waiting")]
    Waiting,
    /// The signal was sent.
    #[serde(rename = "signalled")]
    Signalled,
    /// The awaited condition is met.
    #[serde(rename = "reached")]
    Reached,
    /// It failed: see `error`.
    #[serde(rename = "error")]
    Error,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Outcome; 12] = [
        Outcome::Accepted,
        Outcome::Pending,
        Outcome::Started,
        Outcome::AlreadyStarted,
        Outcome::Armed,
        Outcome::Stopped,
        Outcome::NotRunning,
        Outcome::Restarted,
        Outcome::Waiting,
        Outcome::Signalled,
        Outcome::Reached,
        Outcome::Error,
    ];

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Pending => "pending",
            Outcome::Started => "started",
            Outcome::AlreadyStarted => "already started",
            Outcome::Armed => "armed",
            Outcome::Stopped => "stopped",
            Outcome::NotRunning => "not running",
            Outcome::Restarted => "restarted",
            Outcome::Waiting => "waiting",
            Outcome::Signalled => "signalled",
            Outcome::Reached => "reached",
            Outcome::Error => "error",
        }
    }
}

/// The body of `POST /v1/programs/{name}/scale`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleBody {
    /// The number of instances.
    pub numprocs: u32,
}

/// The answer to `POST /v1/programs/{name}/scale`. Names are those of instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleReport {
    /// The program.
    pub name: String,
    /// The number of instances from now on.
    pub numprocs: u32,
    /// The number in the configuration.
    pub configured: u32,
    /// New instances, which start if others of the program are up.
    pub added: Vec<String>,
    /// Instances that stop and are removed.
    pub removed: Vec<String>,
}

/// The body of `POST /v1/programs/{select}/signal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalBody {
    /// The signal: `HUP`, `SIGHUP`, `1`, `RTMIN+3`.
    pub signal: String,
    /// The processes that receive it.
    #[serde(default)]
    pub scope: SignalScope,
}

/// The processes of a run that receive a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalScope {
    /// The main process alone.
    #[default]
    Main,
    /// The process group of the main process.
    Group,
    /// Every process that descends from it.
    Tree,
}

impl SignalScope {
    /// All scopes.
    pub const ALL: [SignalScope; 3] = [SignalScope::Main, SignalScope::Group, SignalScope::Tree];

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            SignalScope::Main => "main",
            SignalScope::Group => "group",
            SignalScope::Tree => "tree",
        }
    }
}

/// The body of `POST /v1/shutdown`, which may be omitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownBody {
    /// The budget for the whole shutdown in seconds, instead of the configured `shutdown_timeout`. During a shutdown it
    /// takes effect if it is shorter than the time left.
    #[serde(default)]
    pub timeout: Option<f64>,
    /// No budget at all: every program gets its full `stopwaitsecs`. Excludes `timeout`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unlimited: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // Serde's interface.
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_wire_are_the_names() {
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
        }
        for scope in SignalScope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.name());
        }
    }

    #[test]
    fn a_signal_goes_to_the_main_process_unless_told_otherwise() {
        let body: SignalBody = serde_json::from_str(r#"{"signal": "HUP"}"#).unwrap();
        assert_eq!(body, SignalBody { signal: "HUP".to_owned(), scope: SignalScope::Main });
    }

    #[test]
    fn a_misspelt_key_is_refused_and_not_ignored() {
        assert!(serde_json::from_str::<SignalBody>(r#"{"signal": "HUP", "scop": "tree"}"#).is_err());
        assert!(serde_json::from_str::<ShutdownBody>(r#"{"time_out": 5}"#).is_err());
    }
}
