//! What is asked of programs, and what became of it.

use serde::{Deserialize, Serialize};

use crate::state::State;

/// What became of a request: one result for each selected instance, in the order in which they were handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReport {
    /// One for each instance.
    pub results: Vec<ActionResult>,
}

/// What became of a request for one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionResult {
    /// The instance.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Its state now.
    pub state: State,
    /// Its main process now, while there is one.
    pub pid: Option<u32>,
    /// Why, where the outcome is an error: `spawn error: /x: no such file`.
    pub error: Option<String>,
}

/// What became of a request for one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Nobody waits: the request will be carried out.
    #[serde(rename = "accepted")]
    Accepted,
    /// Not done when the wait was over.
    #[serde(rename = "pending")]
    Pending,
    /// Started.
    #[serde(rename = "started")]
    Started,
    /// There was nothing to start.
    #[serde(rename = "already started")]
    AlreadyStarted,
    /// Stopped, with its whole tree.
    #[serde(rename = "stopped")]
    Stopped,
    /// There was nothing to stop or to signal.
    #[serde(rename = "not running")]
    NotRunning,
    /// Stopped if it ran, and started.
    #[serde(rename = "restarted")]
    Restarted,
    /// The signal was sent.
    #[serde(rename = "signalled")]
    Signalled,
    /// What was waited for has come.
    #[serde(rename = "reached")]
    Reached,
    /// It failed: see `error`.
    #[serde(rename = "error")]
    Error,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 10] = [
        Outcome::Accepted,
        Outcome::Pending,
        Outcome::Started,
        Outcome::AlreadyStarted,
        Outcome::Stopped,
        Outcome::NotRunning,
        Outcome::Restarted,
        Outcome::Signalled,
        Outcome::Reached,
        Outcome::Error,
    ];

    /// The words on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Pending => "pending",
            Outcome::Started => "started",
            Outcome::AlreadyStarted => "already started",
            Outcome::Stopped => "stopped",
            Outcome::NotRunning => "not running",
            Outcome::Restarted => "restarted",
            Outcome::Signalled => "signalled",
            Outcome::Reached => "reached",
            Outcome::Error => "error",
        }
    }
}

/// The body of `POST /v1/programs/{select}/signal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalBody {
    /// Which signal: `HUP`, `SIGHUP`, `1`, `RTMIN+3`.
    pub signal: String,
    /// Who gets it.
    #[serde(default)]
    pub scope: SignalScope,
}

/// Which processes of a run get a signal.
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
    /// Every scope.
    pub const ALL: [SignalScope; 3] = [SignalScope::Main, SignalScope::Group, SignalScope::Tree];

    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            SignalScope::Main => "main",
            SignalScope::Group => "group",
            SignalScope::Tree => "tree",
        }
    }
}

/// The body of `POST /v1/shutdown`, which may be left out altogether.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownBody {
    /// The budget for all of it in seconds, instead of the configured `shutdown_timeout`. While everything is being stopped
    /// already, it counts if it is less than what is left.
    #[serde(default)]
    pub timeout: Option<f64>,
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
