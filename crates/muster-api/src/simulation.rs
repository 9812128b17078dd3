//! Simulations of a living daemon: `POST /v1/simulate`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// The longest time that a simulation looks at, in seconds: a year.
pub const LONGEST_SIMULATION: f64 = 31_536_000.0;

/// The most programs with a script, and the most bytes of one.
pub const MOST_SCRIPTS: usize = 256;
/// The most bytes of a script.
pub const LONGEST_SCRIPT: usize = 4096;

/// A question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulateBody {
    /// The scripts of runs by instance or program, in the words of `musterd simulate`. A present run is the first of its script,
    /// from now on.
    pub runs: BTreeMap<String, String>,
    /// How long to look ahead, in seconds; an hour by default.
    pub until: Option<f64>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simulation {
    /// The time at which it begins: all others are in seconds from then.
    pub at: Timestamp,
    /// Everything that would happen, in its order.
    pub timeline: Vec<SimulatedMoment>,
    /// Each instance at the end.
    pub programs: Vec<SimulatedProgram>,
    /// When it is over: at the time limit, with the exit of the container, or when nothing is left to happen.
    pub ended_at: f64,
    /// The exit code of the container, if it would exit.
    pub exit_code: Option<u8>,
    /// Why it would exit.
    pub reason: Option<String>,
    /// The instance that causes that.
    pub because_of: Option<String>,
}

/// Something that would happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimulatedMoment {
    /// When.
    pub at: f64,
    /// The instance; `null` for the container.
    pub program: Option<String>,
    /// The new state, or a word for the event.
    pub state: String,
    /// The event.
    pub happened: String,
    /// The decision, and its rule.
    pub decided: String,
    /// The state before, for a change of one.
    pub from: Option<String>,
    /// Which run from now on, counting a present one, for a change of state.
    pub run: Option<u64>,
    /// How the run ended, if it did.
    pub end: Option<String>,
    /// The delay until the next start, if there is one.
    pub delay: Option<f64>,
}

/// An instance at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimulatedProgram {
    /// The instance.
    pub name: String,
    /// Its state.
    pub state: String,
    /// The number of its runs, counting the present one, or otherwise the last one.
    pub runs: u64,
    /// How often it is started again from now on.
    pub restarts: u64,
    /// Whether the container depends on it.
    pub essential: bool,
    /// How its last run ended.
    pub last_end: Option<String>,
    /// The decision about that.
    pub decided: Option<String>,
}
