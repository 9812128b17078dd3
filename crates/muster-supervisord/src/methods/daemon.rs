//! The daemon as the methods see it.

use super::logs::Part;
use crate::status::{DaemonState, ProcessInfo, ProcessState};
use crate::xmlrpc::{Fault, Value};

/// A process as the methods find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The daemon's own name of it.
    pub key: String,
    /// Its group.
    pub group: String,
    /// Its name within the group.
    pub name: String,
    /// The place of its group among groups.
    pub group_priority: i64,
    /// Its place in its group.
    pub priority: i64,
    /// Its state.
    pub state: ProcessState,
}

impl Member {
    /// Its name among all processes: `NAME`, or `GROUP:NAME` if its group has another name.
    pub fn namespec(&self) -> String {
        namespec(&self.group, &self.name)
    }
}

/// The name of a process among all of them.
pub fn namespec(group: &str, process: &str) -> String {
    if group == process { process.to_owned() } else { format!("{group}:{process}") }
}

/// An output stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A log.
#[derive(Clone, Copy, Debug)]
pub enum Log<'a> {
    /// The daemon's own.
    Main,
    /// That of a process.
    Of(&'a Member, Channel),
}

/// A part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The number of bytes that were ever written to it.
    pub size: u64,
}

/// Why a log was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRead {
    /// There is none: the path at which there is none, if it should be in a file.
    NoLog(Option<String>),
    /// It cannot be read.
    Failed,
}

/// Why a process was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// It could not be spawned, or exited before it counted as started.
    Failed,
    /// It was stopped, or ended as expected.
    Ended,
    /// The daemon is shutting down.
    ShuttingDown,
}

/// Why a process got no input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotWritten {
    /// It does not run.
    NotRunning,
    /// Its standard input is closed, or is no pipe.
    Closed,
    /// It does not read.
    NotReading,
}

/// The groups that differ between the active configuration and the one that was read last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New ones.
    pub added: Vec<String>,
    /// Those that differ.
    pub changed: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<String>,
}

/// The daemon behind the methods. A member that a reload has removed in the meantime counts as stopped.
#[expect(async_fn_in_trait, reason = "one thread serves all clients: futures need not be Send")]
pub trait Daemon {
    /// The name in `[supervisord]`.
    fn identification(&self) -> String;
    /// Its process id.
    fn pid(&self) -> i64;
    /// Its state.
    fn state(&self) -> DaemonState;
    /// Whether methods that change nothing are answered while it shuts down.
    fn answers_while_ending(&self) -> bool;
    /// All processes: groups in the order in which they became active, members in the order of their group.
    fn members(&self) -> Vec<Member>;
    /// A process in full; `None` if it is gone.
    fn info(&self, member: &Member) -> Option<ProcessInfo>;
    /// All of these processes in full, in this order, giving others their turn in between.
    async fn infos(&self, members: &[Member]) -> Vec<Value>;
    /// Why no start of this process could succeed, in the original's words.
    async fn unstartable(&self, member: &Member) -> Option<Fault>;
    /// Starts a process; with `wait` until it counts as started.
    async fn start(&self, member: &Member, wait: bool) -> Result<(), NotStarted>;
    /// Stops a process; with `wait` until it has ended.
    async fn stop(&self, member: &Member, wait: bool) -> Result<(), Fault>;
    /// Signals the main process; false if there is none.
    async fn signal(&self, member: &Member, signal: u8) -> bool;
    /// Reads the wanted part of a log.
    async fn read(&self, log: Log<'_>, part: Part) -> Result<Piece, NotRead>;
    /// Empties the logs of a process, or the main log.
    async fn clear(&self, member: Option<&Member>) -> Result<(), Fault>;
    /// Writes to the standard input of a process.
    async fn write_stdin(&self, member: &Member, bytes: &[u8]) -> Result<(), NotWritten>;
    /// Reads the configuration, and keeps it for `add_group`. An error is the message.
    async fn reread(&self) -> Result<Changes, String>;
    /// Adds a group of the configuration that was read last.
    async fn add_group(&self, name: &str) -> Result<(), Fault>;
    /// Removes a group whose processes have ended.
    async fn remove_group(&self, name: &str) -> Result<(), Fault>;
    /// The processes of the configuration that was read last, as `getAllConfigInfo` shows them.
    fn configuration(&self) -> Vec<Value>;
    /// Emits an event for listeners.
    fn emit(&self, kind: &str, data: &str);
    /// Stops all programs, and then exits or starts again.
    async fn end(&self, state: DaemonState) -> Result<(), Fault>;
}
