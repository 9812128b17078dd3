//! Where output goes: streams, destinations, rotation, and what happens when a reader falls behind.

use std::path::PathBuf;
use std::time::Duration;

use super::UserSpec;

/// Destinations and settings of an instance's two output streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSpec {
    /// Destination of stdout.
    pub stdout: Target,
    /// Destination of stderr; `None` makes it the same descriptor as stdout.
    pub stderr: Option<Target>,
    /// The format of lines on the console.
    pub format: LineFormat,
    /// Whether lines on the console start with a timestamp.
    pub timestamps: bool,
    /// How its log files are rotated.
    pub rotation: Rotation,
    /// Mode of newly created files.
    pub file_mode: u32,
    /// Owner of newly created files; `None` leaves it to the user that creates them.
    pub file_owner: Option<UserSpec>,
    /// How much of a stream is buffered for a slow reader, in bytes.
    pub buffer_size: usize,
    /// The policy for a full buffer.
    pub overflow: Overflow,
    /// Maximum rate of lines; `None` is unlimited.
    pub rate_limit: Option<RateLimit>,
    /// How much of it is kept in memory, in bytes; `None` chooses a size by the destination.
    pub memory: Option<usize>,
}

/// Captured for the console, files rotated at 50 MiB, no rate limit.
impl Default for OutputSpec {
    fn default() -> OutputSpec {
        let console = || Target::Capture(vec![Sink::Console]);
        OutputSpec {
            stdout: console(),
            stderr: Some(console()),
            format: LineFormat::Text,
            timestamps: false,
            rotation: Rotation::DEFAULT,
            file_mode: 0o644,
            file_owner: None,
            buffer_size: 1 << 20,
            overflow: Overflow::Drop,
            rate_limit: None,
            memory: None,
        }
    }
}

/// The format of lines on the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// `web | line`.
    Text,
    /// One JSON object per line.
    Json,
    /// The unmodified bytes, line by line.
    Raw,
}

/// How a log file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Maximum size in bytes; 0 is unlimited.
    pub max_size: u64,
    /// Number of rotated files to keep.
    pub max_files: u32,
    /// Whether rotated files are compressed.
    pub compress: bool,
}

impl Rotation {
    /// Rotated at 50 MiB, ten rotated files kept.
    pub const DEFAULT: Rotation = Rotation { max_size: 50 << 20, max_files: 10, compress: false };
}

/// The policy for a reader that falls behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest lines are dropped and counted.
    Drop,
    /// Backpressure: the program blocks in write(2).
    Block,
}

/// A maximum number of lines per interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Number of lines.
    pub lines: u64,
    /// Length of the interval.
    pub per: Duration,
}

/// The destination of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Captured, and sent line by line to each of these sinks.
    Capture(Vec<Sink>),
    /// The daemon's own descriptor, not captured.
    Inherit,
    /// /dev/null.
    Discard,
}

/// A destination of captured lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// The daemon's own stdout or stderr, prefixed with the instance's name.
    Console,
    /// A file, written unmodified.
    File(PathBuf),
    /// The daemon's syslog receiver, one message per line.
    Syslog,
}
