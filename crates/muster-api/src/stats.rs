//! The resources that programs use: `GET /v1/stats`. And their runs over time: `GET /v1/runs`.

use serde::{Deserialize, Serialize};

use crate::program::ExitInfo;
use crate::state::State;
use crate::timestamp::Timestamp;
use crate::why::EndedBy;

/// The resources that instances use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// When they were measured.
    pub at: Timestamp,
    /// One entry for each instance, by name.
    pub programs: Vec<InstanceStats>,
}

/// The resources that one instance uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceStats {
    /// The instance.
    pub name: String,
    /// Its run; `null` if it has none.
    pub run: Option<u64>,
    /// The number of processes of its run.
    pub processes: u64,
    /// The resident memory of its run, in bytes; shared pages count for each process.
    pub memory: u64,
    /// The processor time of the processes of its run that have not ended, in seconds.
    pub cpu_seconds: f64,
    /// How many of its runs the restart policy has started.
    pub restarts: u64,
}

/// The runs of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceRuns {
    /// The instance.
    pub name: String,
    /// Its program.
    pub program: String,
    /// Its state.
    pub state: State,
    /// Its runs, the oldest first.
    pub runs: Vec<RunSpan>,
}

/// A run, without its output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpan {
    /// Its number.
    pub run: u64,
    /// When it started.
    pub started_at: Timestamp,
    /// When its main process ended; `null` until then, as everything below.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub exit: Option<ExitInfo>,
    /// The cause of its end.
    pub ended_by: Option<EndedBy>,
    /// The decision about its end, and the rule.
    pub verdict: Option<String>,
}
