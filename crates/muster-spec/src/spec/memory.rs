//! How much memory the processes of a run may have.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::OnFailure;

/// The memory that the tree of a run may have, and what happens if it has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryLimit {
    /// The most memory, in bytes.
    pub max: u64,
    /// How long it may have more.
    pub over: Duration,
    /// How often it is measured.
    pub period: Duration,
    /// The consequence.
    pub action: OnFailure,
    /// How memory is counted.
    pub count: MemoryCount,
}

impl MemoryLimit {
    /// The smallest limit, in bytes.
    pub const LEAST: u64 = 1024 * 1024;
    /// Default of `over` and of `period`.
    pub const SPAN: Duration = Duration::from_secs(10);

    /// A limit with defaults for everything else.
    pub const fn of(max: u64) -> MemoryLimit {
        MemoryLimit {
            max,
            over: MemoryLimit::SPAN,
            period: MemoryLimit::SPAN,
            action: OnFailure::Restart,
            count: MemoryCount::Pss,
        }
    }
}

/// How the memory of processes that share pages is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryCount {
    /// A shared page counts once, in parts: the proportional set size.
    Pss,
    /// A shared page counts for each process: the resident set size.
    Rss,
}

impl MemoryCount {
    /// Each by its word in the configuration.
    pub const ALL: [(&'static str, MemoryCount); 2] = [("pss", MemoryCount::Pss), ("rss", MemoryCount::Rss)];

    /// Its word in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            MemoryCount::Pss => "pss",
            MemoryCount::Rss => "rss",
        }
    }
}
