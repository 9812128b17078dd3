//! The memory of an earlier life of the daemon, as the shell passes it on.

use serde::{Deserialize, Serialize};

/// The facts about an instance that are known from an earlier life of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Its name.
    pub name: String,
    /// Whether an operator stopped it, and it stays down: `restart = "unless-stopped"`.
    pub was_stopped: bool,
    /// Whether its present command has done its work: `once`.
    pub is_done: bool,
    /// Whether its last run by its schedule that ended by itself was a success.
    pub succeeded: Option<bool>,
}
