//! The protocol of musterd's control socket, shared by the server and its clients.
//!
//! [`Route`] is one enum that formats a path for a client and parses it for the server, so the two cannot disagree.
//! Bodies are plain serde structs, errors are [`Problem`]s (RFC 9457), and [`openapi`] describes all of it from the
//! same registry of [`ENDPOINTS`]. Nothing here does any I/O or knows how a connection is made.
//!
//! Start reading at [`Route`], then [`Program`]. To add a route see `endpoint.rs`.

#![forbid(unsafe_code)]

mod action;
pub mod calendar;
mod compatible;
mod config;
mod daemon;
mod debug;
mod endpoint;
mod event;
mod example;
mod exec;
mod log;
mod openapi;
mod parameter;
mod percent;
mod problem;
mod process;
mod program;
mod program_field;
mod query;
mod right;
mod route;
mod schedule;
mod schema;
mod session;
mod simulation;
mod source;
mod state;
mod stats;
mod timestamp;
mod version;
pub mod visible;
mod why;

pub use action::{ActionReport, ActionResult, Outcome, ScaleBody, ScaleReport, ShutdownBody, SignalBody, SignalScope};
pub use compatible::{COMPATIBLE, Compatible, compatible};
pub use config::{ChangedKey, Config, ConfigReport, Diagnostic, ReloadReport};
pub use daemon::{Alive, Goals, Info, Listener, Missing, Phase, Ready};
pub use debug::DebugPart;
pub use endpoint::{ENDPOINTS, Endpoint, Method, Parameter};
pub use event::{EVENT_STREAM, Event, Happening, Notification};
pub use exec::{ExecBody, TerminalSize};
pub use log::{
    BYTES, DEFAULT_LINES, EntryKind, JSON_LINES, LogEntry, LogFormat, LogQuery, LogStream, Since, StdinReport,
    encode_base64,
};
pub use openapi::openapi;
pub use problem::{COMMON_PROBLEMS, Problem, ProblemKind};
pub use process::{ExecProcesses, InstanceProcesses, ProcessInfo, ProcessState, Processes};
pub use program::{ExitInfo, HookFailure, LeftBehind, LeftProcess, Program, ProgramDetail, RollingProgress, Run};
pub use program_field::{ProgramField, ProgramFields};
pub use right::Right;
pub use route::{MAX_WAIT, Route, RouteError, Verb, WaitFor};
pub use schedule::{DEFAULT_TIMES, MOST_TIMES, ScheduledProgram, ScheduledTime};
pub use session::{Session, SessionBody};
pub use simulation::{
    LONGEST_SCRIPT, LONGEST_SIMULATION, MOST_SCRIPTS, SimulateBody, SimulatedMoment, SimulatedProgram, Simulation,
};
pub use source::{Source, SourceState, SourceVerb};
pub use state::{Goal, State};
pub use stats::{InstanceRuns, InstanceStats, RunSpan, Stats};
pub use timestamp::Timestamp;
pub use version::{API_HEADER, API_VERSION, SUPPORTED, compare_api};
pub use why::{EndedBy, OutputLine, SpawnFailure, Why};

/// The media type of JSON answers, except errors.
pub const JSON: &str = "application/json";

/// The media type of `GET /metrics`: the text format of Prometheus.
pub const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The media type of every error (RFC 9457).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The largest request body accepted, in bytes. A larger one is answered with 413.
pub const MAX_BODY: usize = 1 << 20;

/// The default path of the control socket, for the daemon and its clients.
pub const DEFAULT_SOCKET: &str = "/run/muster.sock";
