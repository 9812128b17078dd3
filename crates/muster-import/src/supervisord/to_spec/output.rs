//! The output of a process: files, the daemon's own descriptors, memory and syslog.

use std::path::{Path, PathBuf};

use muster_spec::{LineFormat, OutputSpec, PerStream, Rotation, Sink, StreamEvents, Target, descriptor_of};

use super::super::model::{Group, GroupKind, LogFile, Process, Stream};
use super::super::paths;
use super::Context;

/// Where the output of a process goes. Standard output of an event listener is read for its answers, and causes no events.
pub(super) fn output(context: &Context<'_>, group: &Group, process: &Process) -> OutputSpec {
    let is_listener = matches!(group.kind, GroupKind::Listener { .. });
    let events = PerStream {
        stdout: if is_listener { StreamEvents::NONE } else { events(&process.stdout) },
        stderr: events(&process.stderr),
    };
    let stdout = target(context, &process.stdout, is_listener || events.stdout != StreamEvents::NONE);
    let stderr = || target(context, &process.stderr, events.stderr != StreamEvents::NONE);
    OutputSpec {
        stdout,
        stderr: (!process.redirect_stderr).then(stderr),
        format: LineFormat::Raw,
        rotation: PerStream { stdout: rotation(&process.stdout), stderr: rotation(&process.stderr) },
        strip_ansi: PerStream::both(context.configuration.supervisord.strip_ansi),
        events,
        ..OutputSpec::default()
    }
}

fn events(stream: &Stream) -> StreamEvents {
    StreamEvents { log: stream.events_enabled, capture: usize::try_from(stream.capture_maxbytes).unwrap_or(0) }
}

fn rotation(stream: &Stream) -> Rotation {
    Rotation {
        max_size: u64::try_from(stream.maxbytes).unwrap_or(0),
        max_files: u32::try_from(stream.backups.max(0)).unwrap_or(u32::MAX),
        compress: false,
    }
}

/// A stream that is read for events needs no log.
fn target(context: &Context<'_>, stream: &Stream, is_read: bool) -> Target {
    let mut sinks = Vec::new();
    let is_captured = match &stream.logfile {
        LogFile::Auto => {
            sinks.push(Sink::Auto(None));
            true
        }
        LogFile::None => false,
        LogFile::Path(path) if path == "/dev/null" => false,
        LogFile::Path(path) => {
            sinks.extend(file(context, path));
            true
        }
    };
    sinks.extend(stream.syslog.then_some(Sink::Syslog));
    if is_captured || is_read || stream.syslog { Target::Capture(sinks) } else { Target::Discard }
}

/// An empty path is no file.
fn file(context: &Context<'_>, path: &str) -> Option<Sink> {
    match path {
        "" => None,
        path if descriptor_of(Path::new(path)).is_some() => Some(Sink::Descriptor(PathBuf::from(path))),
        path => Some(Sink::File(PathBuf::from(paths::absolute(path, context.world)))),
    }
}
