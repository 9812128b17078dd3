//! What the rules need to know of the daemon's own configuration.

use std::time::Duration;

/// What the core must know of the daemon's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The one budget for stopping everything.
    pub shutdown_timeout: Duration,
    /// Whether to exit when every autostarted program has ended for good by itself.
    pub exit_when_done: bool,
}
