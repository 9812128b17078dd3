//! What must hold of other programs before one starts.

/// One program waits for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// For which: all its instances.
    pub program: String,
    /// Until what holds of it.
    pub condition: DependencyCondition,
}

/// What must hold of a program that others depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DependencyCondition {
    /// It is RUNNING, or has come to its good end already.
    Started,
    /// It is ready. A oneshot is when it has succeeded.
    Ready,
    /// Its probes have passed and do not fail.
    Healthy,
    /// It has ended with success.
    Completed,
    /// It has ended, well or not.
    Exited,
}
