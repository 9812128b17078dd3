//! How a run ended.
//!
//! [`Exit`] is what the kernel reports for a process, [`SpawnError`] why no process was started, [`RunEnd`] either of
//! them. The container's exit code is derived from these alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::signal::Signal;

/// The end of a process as the kernel reports it (waitid(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It returned from main or called exit with this status.
    Code(u8),
    /// It was killed by a signal.
    Signal {
        /// The signal.
        signal: Signal,
        /// Whether it dumped core.
        core_dumped: bool,
    },
}

impl Exit {
    /// The exit code a shell would report: the status itself, or 128+n for signal n.
    pub fn shell_code(self) -> u8 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal { signal, .. } => 128 + signal.number() as u8,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal { signal, core_dumped: false } => write!(f, "terminated by {signal}"),
            Exit::Signal { signal, core_dumped: true } => write!(f, "terminated by {signal} (core dumped)"),
        }
    }
}

/// The step of a spawn that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpawnStep {
    /// The hook before it: `pre_start`.
    PreStart,
    /// Reading the files of `secrets` and `credentials`.
    Secret,
    /// Opening the program's sockets.
    Socket,
    /// Preparation in the daemon: pipes, log files, stdin.
    Prepare,
    /// Creating the process: clone(2).
    Fork,
    /// Creating its session: setsid(2).
    Session,
    /// Connecting stdin, stdout and stderr.
    Stdio,
    /// Setting the OOM score adjustment: /proc/self/oom_score_adj.
    OomScoreAdj,
    /// Setting a resource limit: setrlimit(2).
    Rlimit,
    /// Setting the nice value: setpriority(2).
    Nice,
    /// Setting the I/O priority: ioprio_set(2).
    Ioprio,
    /// Setting the scheduling policy: sched_setscheduler(2).
    Sched,
    /// Choosing the processors: sched_setaffinity(2).
    Affinity,
    /// Reducing the capabilities, or setting what goes with them: capabilities(7).
    Capabilities,
    /// Looking up the user or group, or switching to it.
    User,
    /// Changing the working directory: chdir(2).
    Chdir,
    /// Finding or executing the program: execve(2).
    Exec,
}

impl SpawnStep {
    /// All steps, in the order a spawn performs them.
    pub const ALL: [SpawnStep; 17] = [
        SpawnStep::PreStart,
        SpawnStep::Secret,
        SpawnStep::Socket,
        SpawnStep::Prepare,
        SpawnStep::Fork,
        SpawnStep::Session,
        SpawnStep::Stdio,
        SpawnStep::OomScoreAdj,
        SpawnStep::Rlimit,
        SpawnStep::Nice,
        SpawnStep::Ioprio,
        SpawnStep::Sched,
        SpawnStep::Affinity,
        SpawnStep::Capabilities,
        SpawnStep::User,
        SpawnStep::Chdir,
        SpawnStep::Exec,
    ];

    /// Its name in the API, one word.
    pub const fn name(self) -> &'static str {
        match self {
            SpawnStep::PreStart => "pre_start",
            SpawnStep::Secret => "secret",
            SpawnStep::Socket => "socket",
            SpawnStep::Prepare => "prepare",
            SpawnStep::Fork => "fork",
            SpawnStep::Session => "session",
            SpawnStep::Stdio => "stdio",
            SpawnStep::Rlimit => "rlimit",
            SpawnStep::Nice => "nice",
            SpawnStep::OomScoreAdj => "oom_score_adj",
            SpawnStep::Ioprio => "ioprio",
            SpawnStep::Sched => "sched",
            SpawnStep::Affinity => "affinity",
            SpawnStep::Capabilities => "capabilities",
            SpawnStep::User => "user",
            SpawnStep::Chdir => "chdir",
            SpawnStep::Exec => "exec",
        }
    }
}

/// Why a process could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpawnError {
    /// The step that failed.
    pub step: SpawnStep,
    /// The errno, 0 if none applies.
    pub errno: i32,
    /// The complete reason, worded for the user: `/usr/bin/postgre: no such file`.
    pub message: String,
}

const ENOENT: i32 = 2;
/// EAGAIN, ENOMEM, ENFILE, EMFILE, ENOBUFS.
const SHORTAGES: [i32; 5] = [11, 12, 23, 24, 105];

/// Whether this errno means that the daemon or the machine is temporarily out of a resource.
pub fn is_shortage(errno: i32) -> bool {
    SHORTAGES.contains(&errno)
}

impl SpawnError {
    /// Whether the daemon lacked descriptors, memory or processes for the spawn, which is not the program's fault.
    pub fn is_shortage(&self) -> bool {
        matches!(self.step, SpawnStep::Secret | SpawnStep::Socket | SpawnStep::Prepare | SpawnStep::Fork)
            && is_shortage(self.errno)
    }

    /// The exit code a shell would report: 127 for "not found", 126 for "cannot execute".
    pub fn shell_code(&self) -> u8 {
        if self.step == SpawnStep::Exec && self.errno == ENOENT { 127 } else { 126 }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SpawnError {}

/// How a run ended, or why it never started.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// Its main process exited or was killed.
    Exited(Exit),
    /// The PID recorded as its main process no longer belongs to the run, so its exit status is unknown.
    MainLost,
    /// It could not be spawned.
    NotSpawned(SpawnError),
}

impl RunEnd {
    /// The exit code a shell would report.
    pub fn shell_code(&self) -> u8 {
        match self {
            RunEnd::Exited(exit) => exit.shell_code(),
            RunEnd::MainLost => 1,
            RunEnd::NotSpawned(error) => error.shell_code(),
        }
    }
}

impl fmt::Display for RunEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunEnd::Exited(exit) => exit.fmt(f),
            RunEnd::MainLost => f.write_str("its main process no longer belongs to the run"),
            RunEnd::NotSpawned(error) if error.step == SpawnStep::PreStart => error.fmt(f),
            RunEnd::NotSpawned(error) => write!(f, "spawn error: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_daemon_itself_lacks_is_a_shortage() {
        let error = |step, errno| SpawnError { step, errno, message: String::new() };
        assert!(error(SpawnStep::Prepare, 24).is_shortage() && error(SpawnStep::Fork, 11).is_shortage());
        assert!(error(SpawnStep::Secret, 24).is_shortage() && !error(SpawnStep::Secret, ENOENT).is_shortage());
        assert!(!error(SpawnStep::Prepare, ENOENT).is_shortage());
        assert!(!error(SpawnStep::User, 11).is_shortage(), "the program's own RLIMIT_NPROC");
        assert!(!error(SpawnStep::Exec, 12).is_shortage());
    }

    #[test]
    fn exit_codes_are_the_shells() {
        let killed = Exit::Signal { signal: Signal::KILL, core_dumped: false };
        let missing = SpawnError { step: SpawnStep::Exec, errno: ENOENT, message: String::new() };
        let no_directory = SpawnError { step: SpawnStep::Chdir, errno: ENOENT, message: String::new() };
        assert_eq!(RunEnd::Exited(Exit::Code(42)).shell_code(), 42);
        assert_eq!(RunEnd::Exited(killed).shell_code(), 137);
        assert_eq!(RunEnd::NotSpawned(missing).shell_code(), 127);
        assert_eq!(RunEnd::NotSpawned(no_directory).shell_code(), 126);
    }
}
