//! Parts of the daemon that can be looked into while `[http] debug` is on. Their contents are for people and may change.

use std::time::Duration;

use crate::query::{Query, bad};
use crate::route::RouteError;

/// How long a trace lasts by default, and at most.
const TRACE: Duration = Duration::from_secs(10);
const LONGEST_TRACE: Duration = Duration::from_secs(600);

/// Takes how long a trace lasts.
pub(crate) fn take_span(query: &mut Query) -> Result<Duration, RouteError> {
    let span = query.take_seconds("seconds")?;
    match span {
        Duration::ZERO => Ok(TRACE),
        span if span > LONGEST_TRACE => Err(bad("seconds", "must be at most 600", &span.as_secs_f64().to_string())),
        span => Ok(span),
    }
}

/// A part of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DebugPart {
    /// How long turns of the event loop take.
    Loop,
    /// The next deadline of each instance.
    Timers,
    /// Open descriptors by kind.
    Fds,
    /// Memory, as the kernel and the largest structures see it.
    Memory,
    /// The connections of clients.
    Connections,
    /// The last inputs of the rules, and the state before the first of them, for `musterd simulate --replay`.
    Recording,
}

impl DebugPart {
    /// All parts.
    pub const ALL: [DebugPart; 6] = [
        DebugPart::Loop,
        DebugPart::Timers,
        DebugPart::Fds,
        DebugPart::Memory,
        DebugPart::Connections,
        DebugPart::Recording,
    ];

    /// Its name in the path.
    pub const fn name(self) -> &'static str {
        match self {
            DebugPart::Loop => "loop",
            DebugPart::Timers => "timers",
            DebugPart::Fds => "fds",
            DebugPart::Memory => "memory",
            DebugPart::Connections => "connections",
            DebugPart::Recording => "recording",
        }
    }

    pub(crate) fn named(name: &str) -> Option<DebugPart> {
        DebugPart::ALL.into_iter().find(|part| part.name() == name)
    }
}
