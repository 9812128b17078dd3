//! The output of a process: files, the daemon's own descriptors, memory and syslog.

use std::path::{Path, PathBuf};

use muster_spec::{LineFormat, OutputSpec, PerStream, Rotation, Sink, Target, descriptor_of};

use super::super::model::{LogFile, Process, Stream};
use super::super::paths;
use super::Context;

/// Where the output of a process goes.
pub(super) fn output(context: &mut Context<'_>, process: &Process) -> OutputSpec {
    let stdout = target(context, &process.stdout);
    let stderr = (!process.redirect_stderr).then(|| target(context, &process.stderr));
    for (stream, key) in [(&process.stdout, "stdout_capture_maxbytes"), (&process.stderr, "stderr_capture_maxbytes")] {
        if stream.capture_maxbytes > 0 {
            let message = format!("{key} has no effect yet: communication events go to the log as text");
            context.warn(process.section, Some(key), message, "no event listener runs yet that could get them");
        }
    }
    OutputSpec {
        stdout,
        stderr,
        format: LineFormat::Raw,
        rotation: PerStream { stdout: rotation(&process.stdout), stderr: rotation(&process.stderr) },
        strip_ansi: PerStream::both(context.configuration.supervisord.strip_ansi),
        ..OutputSpec::default()
    }
}

fn rotation(stream: &Stream) -> Rotation {
    Rotation {
        max_size: u64::try_from(stream.maxbytes).unwrap_or(0),
        max_files: u32::try_from(stream.backups.max(0)).unwrap_or(u32::MAX),
        compress: false,
    }
}

fn target(context: &Context<'_>, stream: &Stream) -> Target {
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
    if is_captured || stream.syslog { Target::Capture(sinks) } else { Target::Discard }
}

/// An empty path is no file.
fn file(context: &Context<'_>, path: &str) -> Option<Sink> {
    match path {
        "" => None,
        path if descriptor_of(Path::new(path)).is_some() => Some(Sink::Descriptor(PathBuf::from(path))),
        path => Some(Sink::File(PathBuf::from(paths::absolute(path, context.world)))),
    }
}
