//! Where output goes: streams, destinations, rotation, and what happens when a reader falls behind.

use std::path::{Path, PathBuf};
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
    /// How the log files of each stream are rotated.
    pub rotation: PerStream<Rotation>,
    /// Whether terminal sequences are removed from each stream.
    pub strip_ansi: PerStream<bool>,
    /// The events that each stream causes.
    pub events: PerStream<StreamEvents>,
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
            rotation: PerStream::both(Rotation::DEFAULT),
            strip_ansi: PerStream::both(false),
            events: PerStream::both(StreamEvents::NONE),
            file_mode: 0o644,
            file_owner: None,
            buffer_size: 1 << 20,
            overflow: Overflow::Drop,
            rate_limit: None,
            memory: None,
        }
    }
}

/// A setting of each of the two output streams. If stderr is merged into stdout, that of stdout counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerStream<T> {
    /// The setting of stdout.
    pub stdout: T,
    /// The setting of stderr.
    pub stderr: T,
}

impl<T: Copy> PerStream<T> {
    /// The same setting for both.
    pub const fn both(setting: T) -> PerStream<T> {
        PerStream { stdout: setting, stderr: setting }
    }
}

/// The events that a stream causes, for event listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEvents {
    /// Whether all output is sent as events.
    pub log: bool,
    /// How much of the text between supervisord's two tokens is sent as one event, in bytes: its end. Such text does not go
    /// to the log. 0 leaves the tokens alone.
    pub capture: usize,
}

impl StreamEvents {
    /// No events.
    pub const NONE: StreamEvents = StreamEvents { log: false, capture: 0 };
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
    /// Size in bytes at which it is rotated; 0 is never.
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

impl Target {
    /// Its sinks; none if it is not captured.
    pub fn sinks(&self) -> &[Sink] {
        match self {
            Target::Capture(sinks) => sinks,
            Target::Inherit | Target::Discard => &[],
        }
    }
}

/// A destination of captured output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// The daemon's own stdout or stderr, the same as the stream, in the console's format.
    Console,
    /// A descriptor of the daemon by its path ([`descriptor_of`]): it gets the bytes as they come, whatever the console's
    /// format. A stream with such a sink is not shown on the console in any other way.
    Descriptor(PathBuf),
    /// A file, written unmodified.
    File(PathBuf),
    /// A file of the daemon's own, with a name that the daemon chooses; `None` until it has, or if it could not be made:
    /// then the output is kept in memory only.
    Auto(Option<PathBuf>),
    /// The daemon's syslog receiver, one message per line.
    Syslog,
}

/// Where the files of [`Sink::Auto`] are, and their names: `PROGRAM-stdout---IDENTIFIER-XXXXXXXX.log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoLogSpec {
    /// Their directory.
    pub directory: PathBuf,
    /// The part of the name that tells files of this daemon from those of others.
    pub identifier: String,
    /// Whether files with this identifier from an earlier daemon are kept at the start.
    pub keep_old: bool,
}

impl Sink {
    /// The file that it is, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Sink::File(path) | Sink::Auto(Some(path)) => Some(path),
            Sink::Console | Sink::Descriptor(_) | Sink::Auto(None) | Sink::Syslog => None,
        }
    }
}

/// The number of the daemon's descriptor that a path stands for: `/dev/stdout`, `/dev/stderr`, `/dev/fd/N`,
/// `/proc/self/fd/N`, or `/proc/1/fd/N`, which means the container's own streams. Such a path is never opened as a file.
pub fn descriptor_of(path: &Path) -> Option<u32> {
    let absolute = path.to_str()?.strip_prefix('/')?;
    let names: Vec<&str> = absolute.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    match names.as_slice() {
        ["dev", "stdout"] => Some(1),
        ["dev", "stderr"] => Some(2),
        ["dev", "fd", number] | ["proc", "self" | "1", "fd", number] => {
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok()).flatten()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_daemons_descriptors_are_known_by_name() {
        for (path, number) in [
            ("/dev/stdout", 1),
            ("/dev/stderr", 2),
            ("/dev//fd/./7", 7),
            ("/proc/self/fd/1", 1),
            ("/proc/1/fd/2", 2),
            ("/dev/fd/0", 0),
        ] {
            assert_eq!(descriptor_of(Path::new(path)), Some(number), "{path}");
        }
        for path in [
            "dev/stdout",
            "/dev/fd",
            "/dev/fd/",
            "/dev/fd/+1",
            "/dev/fd/1x",
            "/dev/null",
            "/dev/stdout/x",
            "/proc/2/fd/1",
            "/",
            "",
        ] {
            assert_eq!(descriptor_of(Path::new(path)), None, "{path}");
        }
        assert_eq!(descriptor_of(Path::new("/proc/self/fd/1/x")), None);
        assert_eq!(descriptor_of(Path::new("/dev/fd/1/x")), None);
    }
}
