//! The data of an instance: [`Program`] in lists, [`ProgramDetail`] for one.
//!
//! A field without a value is `null`, never missing, so that scripts can rely on every key.

use serde::{Deserialize, Serialize};

use crate::state::{Goal, State};
use crate::timestamp::Timestamp;
use crate::why::{EndedBy, OutputLine, SpawnFailure};

/// One instance, as `GET /v1/programs` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// `web`, or `web:3` if the program has several instances.
    pub name: String,
    /// The program it belongs to.
    pub program: String,
    /// The group it belongs to: the program's own name if none is configured.
    pub group: String,
    /// Its goal.
    pub goal: Goal,
    /// Its state.
    pub state: State,
    /// supervisord's number of the state.
    pub code: u16,
    /// Whether its run is ready to serve; `null` without a readiness rule or readiness probe.
    pub ready: Option<bool>,
    /// The result of its probes: `healthy`, `unhealthy`, or `unknown` without results yet; `null` without probes.
    pub health: Option<String>,
    /// The status text its run sent (sd_notify's `STATUS=`); `null` if none.
    pub status: Option<String>,
    /// PID of its main process, if there is one.
    pub pid: Option<u32>,
    /// Its current run, otherwise its last one.
    pub run: Option<u64>,
    /// When the current run started.
    pub started_at: Option<Timestamp>,
    /// How long the current run has been up, in seconds.
    pub uptime: Option<f64>,
    /// Number of consecutive ends that led to a restart.
    pub failures: u32,
    /// Maximum number of these; `null` if unlimited.
    pub startretries: Option<u32>,
    /// When the next run starts: in BACKOFF, or at the next time of its schedule if it waits for that.
    pub next_start_at: Option<Timestamp>,
    /// How the last run ended.
    pub exit: Option<ExitInfo>,
    /// The unmet conditions, in WAITING.
    pub waiting_for: Vec<String>,
    /// Whether any of that cannot be met without intervention. Older daemons do not send it.
    #[serde(default)]
    pub waits_in_vain: bool,
    /// Whether it waits for a client and for nothing else, in WAITING. Older daemons do not send it.
    #[serde(default)]
    pub awaits_client: bool,
    /// Whether it starts with the daemon.
    pub autostart: bool,
    /// Its priority in the start order.
    pub priority: i64,
    /// A line for people: `pid 12, uptime 0:00:05`, or why it is not running.
    pub description: String,
    /// The hook that is running: `pre_start`, `post_start`, `pre_stop` or `post_stop`.
    #[serde(default)]
    pub phase: Option<String>,
    /// The rolling restart of its program, while there is one.
    #[serde(default)]
    pub rolling: Option<RollingProgress>,
    /// Whether its process is of an earlier configuration, since a rolling restart ended before its turn or has yet to come
    /// to it.
    #[serde(default)]
    pub old_process: bool,
    /// When the next time of its schedule comes, if it has one and is armed.
    #[serde(default)]
    pub next_due: Option<Timestamp>,
    /// The signal that has stopped its main process, such as `SIGSTOP`, until that is continued. Older daemons do not send it.
    #[serde(default)]
    pub stopped_by: Option<String>,
}

/// How far the rolling restart of a program is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollingProgress {
    /// The step, from 1.
    pub step: u32,
    /// The number of instances to restart.
    pub of: u32,
    /// Whether it has yet to begin, since another one goes first.
    pub queued: bool,
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
    /// The end in words: `exit status 1`, `terminated by SIGSEGV (core dumped)`, `spawn error: /x: no such file`.
    pub reason: String,
}

/// An instance with its configuration and its past runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramDetail {
    /// The fields of the list.
    #[serde(flatten)]
    pub program: Program,
    /// Its effective configuration under the keys of the configuration file. Environment values are hidden.
    pub configuration: serde_json::Value,
    /// Its past runs, the newest first.
    pub runs: Vec<Run>,
}

/// A run of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its number, not reused while the daemon runs.
    pub run: u64,
    /// PID of its main process; `null` if it could not be spawned.
    pub pid: Option<u32>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended; `null` if it has not.
    pub ended_at: Option<Timestamp>,
    /// How long it has been, or was, up, in seconds.
    pub uptime: f64,
    /// How it ended; `null` if it has not.
    pub exit: Option<ExitInfo>,
    /// The cause of its end; `null` if it has not ended.
    pub ended_by: Option<EndedBy>,
    /// Why musterd ended it, if it did.
    pub cause: Option<String>,
    /// Whether the kernel reports a core dump.
    pub core_dumped: bool,
    /// Whether memory had run out; `null` if there was no reason to check, or the kernel does not report it.
    pub out_of_memory: Option<bool>,
    /// Why the process could not be spawned.
    pub spawn_error: Option<SpawnFailure>,
    /// The decision about its end, and the rule applied.
    pub verdict: Option<String>,
    /// The processes it left behind; `null` if there were none to report.
    pub left_behind: Option<LeftBehind>,
    /// The last lines it wrote, at most 20; empty until it has ended.
    pub last_lines: Vec<OutputLine>,
    /// Its hooks that failed.
    #[serde(default)]
    pub hooks: Vec<HookFailure>,
}

/// A hook of a run that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookFailure {
    /// `pre_start`, `post_start`, `pre_stop` or `post_stop`.
    pub hook: String,
    /// How it failed, in words, with the last line it wrote.
    pub reason: String,
    /// The last lines it wrote, at most 20.
    pub last_lines: Vec<OutputLine>,
}

/// Processes that outlived the main process of their run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// Whether they got SIGKILL; otherwise they got the stop signal.
    pub killed: bool,
    /// Total number of processes.
    pub count: u64,
    /// The first five of them.
    pub processes: Vec<LeftProcess>,
    /// The same in words.
    pub words: String,
}

/// A process that was left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftProcess {
    /// Its name in the kernel: at most 15 bytes.
    pub name: String,
    /// Its PID.
    pub pid: u32,
}
