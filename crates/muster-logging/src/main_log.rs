//! Lines of the main log in supervisord's words, which monitoring and scripts search for.
//!
//! They are ordinary messages with the target [`TARGET`], and only a log in that format shows them; there, the daemon's
//! own messages are one level less important. `musterd/src/main_log_events.rs` writes those about the core's events.

use std::fmt::Display;

use muster_spec::Exit;
use muster_supervisord::ends::message;
use muster_supervisord::python::repr;
use tracing::{debug, error, info, warn};

/// The target of these lines.
pub const TARGET: &str = "supervisord";
/// The target of critical ones, since a message has no such level.
pub const CRITICAL: &str = "supervisord::critical";

/// The target of lines that repeat what a program wrote. Their text may have several lines.
pub const OUTPUT: &str = "supervisord::output";

/// The level of a line, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// CRIT
    Critical,
    /// ERRO
    Error,
    /// WARN
    Warn,
    /// INFO
    Info,
    /// DEBG
    Debug,
}

/// A line for when there is a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    level: Level,
    text: String,
}

impl Line {
    /// A line of this level.
    pub fn new(level: Level, text: impl Into<String>) -> Line {
        Line { level, text: text.into() }
    }

    /// Its level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Writes it.
    pub fn write(&self) {
        line(self.level, &self.text);
    }
}

/// Whether the log has this format.
pub fn is_on() -> bool {
    tracing::enabled!(target: CRITICAL, tracing::Level::ERROR)
}

/// Writes a line.
pub fn line(level: Level, text: impl Display) {
    match level {
        Level::Critical => error!(target: CRITICAL, "{text}"),
        Level::Error => error!(target: TARGET, "{text}"),
        Level::Warn => warn!(target: TARGET, "{text}"),
        Level::Info => info!(target: TARGET, "{text}"),
        Level::Debug => debug!(target: TARGET, "{text}"),
    }
}

/// Whether the log shows lines of the level DEBG.
pub fn shows_debug() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::DEBUG)
}

/// Whether the log repeats what programs write.
pub fn repeats_output() -> bool {
    tracing::enabled!(target: OUTPUT, tracing::Level::DEBUG)
}

/// Repeats what a process wrote to a channel.
pub fn output(process: &str, channel: &str, text: impl Display) {
    debug!(target: OUTPUT, "{} {channel} output:\n{text}", repr(process));
}

/// A process that belonged to no program was reaped.
pub fn reaped(pid: impl Display, exit: Exit) {
    if is_on() {
        line(Level::Info, format_args!("reaped unknown pid {pid} ({})", message(exit)));
    }
}
