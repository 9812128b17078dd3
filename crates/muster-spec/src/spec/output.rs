//! Where output goes: streams, destinations, rotation, and what happens when nobody reads.

use std::path::PathBuf;
use std::time::Duration;

use super::UserSpec;

/// Where an instance's two output streams go, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSpec {
    /// Its stdout.
    pub stdout: Target,
    /// Its stderr; `None` is merged into stdout at the source.
    pub stderr: Option<Target>,
    /// How its lines look on the console.
    pub format: LineFormat,
    /// Whether lines on the console begin with the time.
    pub timestamps: bool,
    /// How its files are rotated.
    pub rotation: Rotation,
    /// The mode of files that are made.
    pub file_mode: u32,
    /// Who owns files that are made; `None` leaves it to who makes them.
    pub file_owner: Option<UserSpec>,
    /// How much of a stream waits for a reader that does not read, in bytes.
    pub buffer_size: usize,
    /// What happens when that is full.
    pub overflow: Overflow,
    /// How many lines are kept at most; `None` is all.
    pub rate_limit: Option<RateLimit>,
    /// How much of it is remembered, in bytes; `None` is as much as is sensible for where it goes.
    pub memory: Option<usize>,
}

/// Captured for the console, files rotated at 50 MiB, nothing limited.
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

/// How lines look on the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// `web | line`.
    Text,
    /// An object a line.
    Json,
    /// The bytes, line by line.
    Raw,
}

/// How a file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How large it gets, in bytes; 0 is without limit.
    pub max_size: u64,
    /// How many earlier files are kept.
    pub max_files: u32,
    /// Whether these are compressed.
    pub compress: bool,
}

impl Rotation {
    /// At 50 MiB, with ten earlier files.
    pub const DEFAULT: Rotation = Rotation { max_size: 50 << 20, max_files: 10, compress: false };
}

/// What happens when nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest lines are dropped and counted.
    Drop,
    /// The program waits.
    Block,
}

/// So many lines in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub lines: u64,
    /// In which time.
    pub per: Duration,
}

/// Where one stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Captured, and sent line by line to each of these.
    Capture(Vec<Sink>),
    /// The daemon's own descriptor, not captured.
    Inherit,
    /// /dev/null.
    Discard,
}

/// A destination of captured lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// The daemon's own stdout or stderr, with the instance's name in front.
    Console,
    /// A file, as it is written.
    File(PathBuf),
    /// The daemon's syslog receiver, a message a line.
    Syslog,
}
