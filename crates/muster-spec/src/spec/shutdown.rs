//! How the daemon shuts down: its time budget, its order, its exit code, and repeated signals.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::signal::Signal;
use crate::span::Span;

/// How long a shutdown may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShutdownBudget {
    /// Everything is stopped within this time.
    Within(Duration),
    /// Every program gets its full patience.
    Unlimited,
}

impl ShutdownBudget {
    /// The default of `shutdown_timeout`: less than the 10 s of `docker stop`.
    pub const DEFAULT: ShutdownBudget = ShutdownBudget::Within(Duration::from_secs(9));

    /// The time; `None` is unlimited.
    pub const fn limit(self) -> Option<Duration> {
        match self {
            ShutdownBudget::Within(span) => Some(span),
            ShutdownBudget::Unlimited => None,
        }
    }
}

impl fmt::Display for ShutdownBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShutdownBudget::Within(span) => Span(*span).fmt(f),
            ShutdownBudget::Unlimited => f.write_str("unlimited"),
        }
    }
}

/// The order in which programs of equal rank stop at a shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShutdownOrder {
    /// All at the same time.
    #[default]
    Parallel,
    /// One after another, by descending name.
    Serial,
}

/// The daemon's exit code after a shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// That of the program whose end caused the shutdown; 0 after a signal or a command.
    #[default]
    Cause,
    /// The same, and after a signal from one of the daemon's own programs that of the last failure.
    Failures,
    /// Always 0.
    Zero,
}

/// The effect of a repeated signal that asks for a shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondSignal {
    /// SIGKILL to all programs.
    #[default]
    Hurry,
    /// The same for SIGINT; the others are ignored.
    Interrupt,
    /// None.
    Ignore,
}

/// How methods of XML-RPC that change nothing are answered while the daemon shuts down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RpcDuringShutdown {
    /// As always.
    #[default]
    Answer,
    /// With the fault `SHUTDOWN_STATE`, as by supervisord.
    Fault,
}

impl SecondSignal {
    /// Whether this signal, if repeated, kills all programs.
    pub fn hurries(self, signal: Signal) -> bool {
        match self {
            SecondSignal::Hurry => true,
            SecondSignal::Interrupt => signal == Signal::INT,
            SecondSignal::Ignore => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_signal_hurries_only_if_it_may() {
        let hurries = |mode: SecondSignal| [Signal::TERM, Signal::INT, Signal::QUIT].map(|signal| mode.hurries(signal));
        assert_eq!(hurries(SecondSignal::Hurry), [true; 3]);
        assert_eq!(hurries(SecondSignal::Interrupt), [false, true, false]);
        assert_eq!(hurries(SecondSignal::Ignore), [false; 3]);
    }
}
