//! How a program is stopped, and what becomes of the processes that outlive its main process.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::signal::Signal;

/// The processes that receive the stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopScope {
    /// The main process alone.
    Main,
    /// Every process group of the tree; with another [`StopKill`] than the tree, the group of the main process.
    Group,
}

/// The processes that a stop ends: they receive SIGKILL, and the stop waits for them. The rest of the tree is kept: it
/// belongs to no run any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopKill {
    /// The main process alone.
    Main,
    /// The process group of the main process.
    Group,
    /// Every process of the tree.
    Tree,
}

/// The fate of the processes that outlive the main process of a run that was not stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leftovers {
    /// They are stopped before the next run starts.
    Stop,
    /// They are kept: they belong to no run any longer.
    Keep,
}

/// One step of stopping: a signal, and how long to wait after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopStep {
    /// The signal to send.
    pub signal: Signal,
    /// How long to wait before the next step.
    pub patience: Duration,
}

/// How a program is stopped before SIGKILL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopSpec {
    /// The signals, at least one.
    pub steps: Vec<StopStep>,
    /// The processes that receive them.
    pub scope: StopScope,
    /// The processes that receive SIGKILL and that a stop waits for.
    pub kill: StopKill,
    /// The fate of the processes left behind by a run that ended by itself.
    pub leftovers: Leftovers,
    /// How long the processes left behind by a run that ended by itself may take to exit, over all signals; at most as
    /// long as after a stop.
    pub leftover_wait: Duration,
}

impl StopSpec {
    /// Default of `leftover_wait`.
    pub const LEFTOVER_WAIT: Duration = Duration::from_secs(2);
}

impl StopSpec {
    /// How long a program may take to stop before SIGKILL, over all steps.
    pub fn patience(&self) -> Duration {
        self.steps.iter().fold(Duration::ZERO, |total, step| total.saturating_add(step.patience))
    }
}
