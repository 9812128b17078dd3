//! Processes, as `musterctl ps` shows them.
//!
//! A tree is a flat list with parents before their children, not nested objects: a chain of forks can be deeper than
//! any JSON reader's limit.

use serde::{Deserialize, Serialize};

use crate::state::State;

/// The trees of the selected instances; without a selection also processes that belong to no program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Processes {
    /// One entry per instance.
    pub programs: Vec<InstanceProcesses>,
    /// One entry per command that a client executes in the context of one of the instances.
    #[serde(default)]
    pub execs: Vec<ExecProcesses>,
    /// Processes under the daemon that belong to no program; empty if instances were selected.
    pub strays: Vec<ProcessInfo>,
    /// Number of processes left out: an answer has at most 20 000.
    #[serde(default)]
    pub omitted: u64,
}

/// The tree of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceProcesses {
    /// The instance.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Its current run, otherwise its last one.
    pub run: Option<u64>,
    /// Its processes, parents before their children; the main process comes first.
    pub processes: Vec<ProcessInfo>,
}

/// The tree of a command that a client executes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecProcesses {
    /// The instance in whose context it runs.
    pub name: String,
    /// The client that asked for it.
    pub by: String,
    /// The command, without its arguments.
    pub command: String,
    /// Its processes, parents before their children.
    pub processes: Vec<ProcessInfo>,
}

/// One process, from /proc.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its PID.
    pub pid: u32,
    /// Its parent's PID. An adopted process has its adopter's PID here and is a root of the tree.
    pub ppid: u32,
    /// Its command line, or its name in brackets if that is empty.
    pub command: String,
    /// Its scheduling state.
    pub state: ProcessState,
    /// Resident memory in bytes.
    pub memory: u64,
    /// CPU time used so far, in seconds.
    pub cpu: f64,
}

/// The scheduling state of a process: the third field of /proc/PID/stat in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// R.
    Running,
    /// S.
    Sleeping,
    /// D: in uninterruptible sleep, usually waiting for a device.
    Blocked,
    /// T: stopped by a signal.
    Stopped,
    /// t: stopped by a debugger.
    Traced,
    /// Z: exited, and not reaped yet.
    Zombie,
    /// X: dead.
    Dead,
    /// I: an idle kernel thread.
    Idle,
    /// Any other letter.
    #[serde(other)]
    Unknown,
}

impl ProcessState {
    /// All states with the kernel's letter (proc_pid_stat(5)); the last stands for all other letters.
    pub const LETTERS: [(char, ProcessState); 9] = [
        ('R', ProcessState::Running),
        ('S', ProcessState::Sleeping),
        ('D', ProcessState::Blocked),
        ('T', ProcessState::Stopped),
        ('t', ProcessState::Traced),
        ('Z', ProcessState::Zombie),
        ('X', ProcessState::Dead),
        ('I', ProcessState::Idle),
        ('?', ProcessState::Unknown),
    ];

    /// The state for a letter of the kernel.
    pub fn from_letter(letter: char) -> ProcessState {
        let known = ProcessState::LETTERS.iter().find(|(known, _)| *known == letter);
        known.map_or(ProcessState::Unknown, |&(_, state)| state)
    }

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            ProcessState::Running => "running",
            ProcessState::Sleeping => "sleeping",
            ProcessState::Blocked => "blocked",
            ProcessState::Stopped => "stopped",
            ProcessState::Traced => "traced",
            ProcessState::Zombie => "zombie",
            ProcessState::Dead => "dead",
            ProcessState::Idle => "idle",
            ProcessState::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_words_stand_for_the_same() {
        for (letter, state) in ProcessState::LETTERS {
            assert_eq!(ProcessState::from_letter(letter), state);
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        assert_eq!(ProcessState::from_letter('K'), ProcessState::Unknown);
    }

    #[test]
    fn a_word_of_a_later_version_is_no_error() {
        assert_eq!(serde_json::from_str::<ProcessState>("\"parked\"").unwrap(), ProcessState::Unknown);
    }
}
