//! The daemon settings that the rules depend on.

use serde::{Deserialize, Serialize};

use muster_spec::{DaemonSpec, ExitStatus, SecondSignal, ShutdownBudget, ShutdownOrder};

/// The daemon settings that the core uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The time budget for a shutdown.
    pub shutdown_timeout: ShutdownBudget,
    /// The order in which programs of equal rank stop at a shutdown.
    pub shutdown_order: ShutdownOrder,
    /// The exit code after a shutdown.
    pub exit_status: ExitStatus,
    /// The effect of a repeated signal.
    pub second_signal: SecondSignal,
    /// Whether to exit when every autostarted program has exited and will not be restarted.
    pub exit_when_done: bool,
    /// The most instances that are STARTING at a time; 0 is without limit.
    pub max_parallel_starts: u32,
}

impl Settings {
    /// The defaults of the configuration.
    pub const DEFAULT: Settings = Settings {
        shutdown_timeout: ShutdownBudget::DEFAULT,
        shutdown_order: ShutdownOrder::Parallel,
        exit_status: ExitStatus::Cause,
        second_signal: SecondSignal::Hurry,
        exit_when_done: true,
        max_parallel_starts: 0,
    };
}

impl From<&DaemonSpec> for Settings {
    fn from(daemon: &DaemonSpec) -> Settings {
        Settings {
            shutdown_timeout: daemon.shutdown_timeout,
            shutdown_order: daemon.shutdown_order,
            exit_status: daemon.exit_status,
            second_signal: daemon.second_signal,
            exit_when_done: daemon.exit_when_done,
            max_parallel_starts: daemon.max_parallel_starts,
        }
    }
}
