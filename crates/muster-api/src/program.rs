//! What is known of an instance: [`Program`] in lists, [`ProgramDetail`] of one.
//!
//! A field without a value is `null`, never missing, so that scripts can rely on every key.

use serde::{Deserialize, Serialize};

use crate::state::{Goal, State};
use crate::timestamp::Timestamp;
use crate::why::{EndedBy, OutputLine, SpawnFailure};

/// One instance, as `GET /v1/programs` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// `web`, or `web:3` where the program has several instances.
    pub name: String,
    /// The program it is an instance of.
    pub program: String,
    /// The group it belongs to: the program's own name where none is configured.
    pub group: String,
    /// What the operator wants.
    pub goal: Goal,
    /// Where it is.
    pub state: State,
    /// supervisord's number of the state.
    pub code: u16,
    /// Whether its run can serve; `null` where neither a readiness rule nor a readiness probe is set.
    pub ready: Option<bool>,
    /// What its probes say: `healthy`, `unhealthy`, or `unknown` as long as they have not said; `null` where it has none.
    pub health: Option<String>,
    /// What its run says of itself (sd_notify's `STATUS=`); `null` where it says nothing.
    pub status: Option<String>,
    /// Its main process, while there is one.
    pub pid: Option<u32>,
    /// Its current run, or else its last one.
    pub run: Option<u64>,
    /// When the current run started.
    pub started_at: Option<Timestamp>,
    /// For how long the current run has been up, in seconds.
    pub uptime: Option<f64>,
    /// How many ends in a row led to a restart.
    pub failures: u32,
    /// How many of these are allowed; `null` is without limit.
    pub startretries: Option<u32>,
    /// When the next run starts, in BACKOFF.
    pub next_start_at: Option<Timestamp>,
    /// How the last run ended.
    pub exit: Option<ExitInfo>,
    /// What it waits for, in WAITING.
    pub waiting_for: Vec<String>,
    /// Whether something of that will not come by itself. An older daemon does not say.
    #[serde(default)]
    pub waits_in_vain: bool,
    /// Whether it starts with the daemon.
    pub autostart: bool,
    /// Its place in the start order.
    pub priority: i64,
    /// A line for people: `pid 12, uptime 0:00:05`, or why it is not running.
    pub description: String,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitInfo {
    /// Its exit status, if it exited.
    pub code: Option<u8>,
    /// The signal that ended it, such as `SIGKILL`.
    pub signal: Option<String>,
    /// Whether this counts as a success for the program.
    pub success: bool,
    /// All of it in words: `exit status 1`, `terminated by SIGSEGV (core dumped)`, `spawn error: /x: no such file`.
    pub reason: String,
}

/// One instance with its configuration and its last runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramDetail {
    /// What the list shows.
    #[serde(flatten)]
    pub program: Program,
    /// Its effective configuration under the keys of the configuration file. Values of the environment are hidden.
    pub configuration: serde_json::Value,
    /// Its last runs, the newest first.
    pub runs: Vec<Run>,
}

/// A run of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its number, never reused while the daemon lives.
    pub run: u64,
    /// Its main process; `null` if it could not be spawned.
    pub pid: Option<u32>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended; `null` while it has not.
    pub ended_at: Option<Timestamp>,
    /// For how long it has been, or was, up, in seconds.
    pub uptime: f64,
    /// How it ended; `null` while it has not.
    pub exit: Option<ExitInfo>,
    /// Who ended it; `null` while it has not ended.
    pub ended_by: Option<EndedBy>,
    /// Why, if musterd ended it.
    pub cause: Option<String>,
    /// Whether the kernel says that it left a core dump.
    pub core_dumped: bool,
    /// Whether memory had run out; `null` where nobody had a reason to look, or the kernel does not tell.
    pub out_of_memory: Option<bool>,
    /// Why there never was a process.
    pub spawn_error: Option<SpawnFailure>,
    /// What was decided about its end, and by which rule.
    pub verdict: Option<String>,
    /// Which processes it left behind; `null` where there was nothing to tell of.
    pub left_behind: Option<LeftBehind>,
    /// The last lines it wrote, 20 at most; empty while it has not ended.
    pub last_lines: Vec<OutputLine>,
}

/// Processes that outlived the main process of their run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// Whether they got SIGKILL; otherwise they got the stop signal.
    pub killed: bool,
    /// How many there were.
    pub count: u64,
    /// The first five of them.
    pub processes: Vec<LeftProcess>,
    /// All of it in words.
    pub words: String,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftProcess {
    /// Its name, as the kernel knows it: at most 15 bytes.
    pub name: String,
    /// Its number.
    pub pid: u32,
}
