//! Conditions on other programs that must hold before a program starts.

use serde::{Deserialize, Serialize};

/// A dependency of one program on another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The program it depends on, with all its instances.
    pub program: String,
    /// The condition to wait for.
    pub condition: DependencyCondition,
}

/// A condition on a program that others depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyCondition {
    /// It is RUNNING or has already succeeded.
    Started,
    /// It is ready; a oneshot is ready once it has succeeded.
    Ready,
    /// Its probes have passed and are not failing.
    Healthy,
    /// It has exited with success.
    Completed,
    /// It has exited, with success or not.
    Exited,
}
