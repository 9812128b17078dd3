//! The daemon settings that the rules depend on.

use std::time::Duration;

/// The daemon settings that the core uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The time budget for a shutdown.
    pub shutdown_timeout: Duration,
    /// Whether to exit when every autostarted program has exited and will not be restarted.
    pub exit_when_done: bool,
}
