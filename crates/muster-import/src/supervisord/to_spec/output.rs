//! The output of a process: files, the daemon's own descriptors, memory and syslog.

use std::path::PathBuf;

use muster_spec::{LineFormat, OutputSpec, Rotation, Sink, Target};

use super::super::model::{LogFile, Process, Stream};
use super::super::paths;
use super::Context;

/// The descriptors of the daemon's own output, as log files name them.
pub(super) const OWN_OUTPUT: [&str; 8] = [
    "/dev/stdout",
    "/dev/stderr",
    "/dev/fd/1",
    "/dev/fd/2",
    "/proc/self/fd/1",
    "/proc/self/fd/2",
    "/proc/1/fd/1",
    "/proc/1/fd/2",
];

/// Where the output of a process goes.
pub(super) fn output(context: &mut Context<'_>, process: &Process) -> OutputSpec {
    let stdout = target(context, &process.stdout);
    let stderr = (!process.redirect_stderr).then(|| target(context, &process.stderr));
    let rotated = if is_in_file(&stdout) { &process.stdout } else { &process.stderr };
    let rotation = rotation(rotated);
    let differs = is_in_file(&stdout) && stderr.as_ref().is_some_and(is_in_file) && {
        rotation != self::rotation(&process.stderr)
    };
    if differs {
        let message = "both streams are rotated as standard output is";
        context.warn(
            process.section,
            Some("stderr_logfile_maxbytes"),
            message,
            "give both the same maxbytes and backups",
        );
    }
    for (stream, key) in [(&process.stdout, "stdout_capture_maxbytes"), (&process.stderr, "stderr_capture_maxbytes")] {
        if stream.capture_maxbytes > 0 {
            let message = format!("{key} has no effect yet: communication events go to the log as text");
            context.warn(process.section, Some(key), message, "no event listener runs yet that could get them");
        }
    }
    OutputSpec { stdout, stderr, format: LineFormat::Raw, rotation, ..OutputSpec::default() }
}

fn is_in_file(target: &Target) -> bool {
    matches!(target, Target::Capture(sinks) if sinks.iter().any(|sink| matches!(sink, Sink::File(_))))
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
        // In memory alone.
        LogFile::Auto => true,
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
        path if OWN_OUTPUT.contains(&path) => Some(Sink::Console),
        path => Some(Sink::File(PathBuf::from(paths::absolute(path, context.world)))),
    }
}
