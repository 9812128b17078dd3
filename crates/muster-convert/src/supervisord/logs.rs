//! `stdout_logfile`, `stderr_logfile` and their rotation to `logs`.

use muster_import::supervisord::{LogFile, Process, Stream};

use super::Conversion;
use super::draft::Draft;
use super::program::{Apart, Source};
use crate::report::Verdict;
use crate::template::{self, Expected, Names, Settled};
use crate::toml;

/// Where a stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// No console and no file with a known name.
    Memory,
    /// The daemon's standard output.
    Stdout,
    /// The daemon's standard error.
    Stderr,
    Nothing,
    /// A file, as it is written.
    File(String),
}

/// How many bytes a megabyte has.
const MEGABYTE: i64 = 1 << 20;

/// The most text between two tokens that is kept for an event, in bytes.
const MOST_CAPTURED: i64 = 16 * MEGABYTE;

fn target_of_path(path: &str) -> Option<Target> {
    match path {
        "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" | "/proc/1/fd/1" => Some(Target::Stdout),
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" | "/proc/1/fd/2" => Some(Target::Stderr),
        "/dev/null" => Some(Target::Nothing),
        "" => Some(Target::Memory),
        _ => None,
    }
}

impl<'c> Conversion<'c> {
    /// Adds `logs.…`. Fails if the instances' files share no text.
    pub(super) fn logs(
        &mut self,
        source: &Source<'_, 'c>,
        is_listener: bool,
        draft: &mut Draft<'_>,
    ) -> Result<(), Apart> {
        let (section, processes, is_fixed) = (source.section, source.processes, source.is_fixed);
        let (first, names) = (source.first(), &source.names());
        let of = |stream: fn(&'c Process) -> &'c Stream| -> Vec<(i64, &'c Stream)> {
            processes.iter().map(|process| (process.number, stream(process))).collect()
        };
        let (outs, errs) = (of(|process| &process.stdout), of(|process| &process.stderr));
        // A stream that is read for listeners has no log of its own.
        let read = |target: Target, is_read: bool| match target {
            Target::Nothing if is_read => Target::Memory,
            target => target,
        };
        let causes_events = |stream: &Stream| stream.events_enabled || stream.capture_maxbytes > 0;
        let stdout = self.target(section, "stdout_logfile", &outs, names, is_fixed)?;
        let stdout = read(stdout, is_listener || causes_events(&first.stdout));
        let stderr = match first.redirect_stderr {
            true => None,
            false => {
                let stderr = self.target(section, "stderr_logfile", &errs, names, is_fixed)?;
                Some(read(stderr, causes_events(&first.stderr)))
            }
        };
        self.auto(section, first);
        if stdout == Target::Stderr {
            let text = ("standard output went to standard error", "goes to the console's standard output", "");
            self.key_line_at(Verdict::Differs, section, "stdout_logfile", text);
        }
        set_target(draft, "stdout", &stdout, first.stdout.syslog);
        match &stderr {
            None => draft.set_from("logs.stderr", "\"stdout\"", "redirect_stderr"),
            Some(target) if !is_listener && self.is_merged(section, first, &stdout, target) => {
                draft.set_from("logs.stderr", "\"stdout\"", "stderr_logfile");
            }
            Some(target) => set_target(draft, "stderr", target, first.stderr.syslog),
        }
        let is_console = |target: &Target| matches!(target, Target::Stdout | Target::Stderr);
        if is_console(&stdout) || stderr.as_ref().is_some_and(is_console) {
            draft.set("logs.format", "\"raw\"");
        }
        self.rotation(section, first, &stdout, stderr.as_ref(), draft);
        self.events(section, first, is_listener, draft);
        Ok(())
    }

    fn target(
        &mut self,
        section: usize,
        key: &str,
        streams: &[(i64, &'c Stream)],
        names: &Names<'_>,
        is_fixed: bool,
    ) -> Result<Target, Apart> {
        let Some((_, first)) = streams.first() else { return Ok(Target::Nothing) };
        let path = match &first.logfile {
            LogFile::Auto => return Ok(Target::Memory),
            LogFile::None => return Ok(Target::Nothing),
            LogFile::Path(path) => path,
        };
        let entry = self.configuration.sections[section].entry(key).filter(|_| !is_fixed);
        let depends = entry.is_some_and(|entry| entry.written().contains("%(ENV_"));
        if let Some(target) = target_of_path(path) {
            if let Some(entry) = entry.filter(|_| depends) {
                let text = (format!("{key} depended on a variable"), "fixed as this machine reads it", "");
                self.entry_line(Verdict::Check, entry, section, text);
            }
            return Ok(target);
        }
        let expected: Vec<Expected<'_>> = streams
            .iter()
            .map(|(number, stream)| {
                let value = match &stream.logfile {
                    LogFile::Path(path) => path.as_str(),
                    _ => "",
                };
                Expected { number: *number, value }
            })
            .collect();
        let settled = self.settle(entry, *names, true, &expected, template::settle);
        self.report_settled(&settled, entry, section);
        let (Settled::Exact(text) | Settled::Near(text) | Settled::Fixed(text)) = settled else { return Err(Apart) };
        if depends {
            let text = (
                format!("{key} depended on a variable"),
                "a path with it",
                "write \"console\" if it names /dev/stdout",
            );
            self.key_line_at(Verdict::Check, section, key, text);
        }
        self.check_relative(section, key, path);
        // A name without a slash is a word of ours, and one with a scheme an address.
        let needs_dot = !path.contains('/') || !path.starts_with('/') && path.contains("://");
        Ok(Target::File(if needs_dot { format!("./{text}") } else { text }))
    }

    /// Whether standard error goes to the same place as standard output, and is one stream with it.
    fn is_merged(&mut self, section: usize, first: &Process, stdout: &Target, stderr: &Target) -> bool {
        if first.stdout.syslog != first.stderr.syslog {
            return false;
        }
        match (stdout, stderr) {
            (Target::Stdout | Target::Stderr, Target::Stdout) => true,
            (_, Target::Stdout) => {
                let text = ("standard error went to standard output", "goes to the console's standard error", "");
                self.key_line_at(Verdict::Differs, section, "stderr_logfile", text);
                false
            }
            (Target::File(out), Target::File(err)) => out == err,
            _ => false,
        }
    }

    fn auto(&mut self, section: usize, first: &Process) {
        let streams = [
            ("standard output", Some(&first.stdout)),
            ("standard error", Some(&first.stderr).filter(|_| !first.redirect_stderr)),
        ];
        let auto = streams.iter().filter(|(_, stream)| stream.is_some_and(|stream| stream.logfile == LogFile::Auto));
        let names: Vec<&str> = auto.map(|(name, _)| *name).collect();
        if !names.is_empty() {
            let text = (
                format!("{} went to a file with a random name in childlogdir", names.join(" and ")),
                "is kept in memory for musterctl logs",
                "leave logs.stdout and logs.stderr out for the console",
            );
            self.section_line(Verdict::Differs, section, text);
        }
    }

    /// Rotation of the files: `max_size` and `max_files` for the first, and stderr's own keys where it differs.
    fn rotation(
        &mut self,
        section: usize,
        first: &Process,
        stdout: &Target,
        stderr: Option<&Target>,
        draft: &mut Draft<'_>,
    ) {
        let streams = [("stdout", &first.stdout, Some(stdout)), ("stderr", &first.stderr, stderr)];
        let mut before = (50 * MEGABYTE, 10);
        let mut prefix = "";
        for (name, stream, target) in streams {
            let Some(Target::File(path)) = target else { continue };
            let (size, count) = self.agreed(section, stream, path);
            if size != before.0 {
                let key = format!("logs.{prefix}max_size");
                draft.set_from(&key, size_text(size), &format!("{name}_logfile_maxbytes"));
            }
            if count != before.1 && size != 0 {
                let key = format!("logs.{prefix}max_files");
                draft.set_from(&key, count.to_string(), &format!("{name}_logfile_backups"));
            }
            if stream.backups > 1000 {
                let text = (format!("{name}_logfile_backups={}", stream.backups), "max_files = 1000, the most", "");
                self.section_line(Verdict::Differs, section, text);
            }
            // The keys of stdout are the defaults of stderr.
            (before, prefix) = ((size, if size == 0 { before.1 } else { count }), "stderr_");
        }
    }

    /// The rotation of a file: that of the first program that writes it.
    fn agreed(&mut self, section: usize, stream: &Stream, path: &str) -> (i64, i64) {
        let own = (stream.maxbytes.max(0), stream.backups.clamp(0, 1000));
        let agreed = *self.rotations.entry(path.to_owned()).or_insert(own);
        if agreed != own {
            let text = (
                "a log file with another rotation elsewhere",
                "the rotation of its first program",
                "give each program a file of its own",
            );
            self.section_line(Verdict::Differs, section, text);
        }
        agreed
    }

    /// Events of output for listeners. Standard output of a listener, and standard error that is part of standard output,
    /// cause none.
    fn events(&mut self, section: usize, first: &Process, is_listener: bool, draft: &mut Draft<'_>) {
        let stdout = Some(("stdout", &first.stdout)).filter(|_| !is_listener);
        let stderr = Some(("stderr", &first.stderr)).filter(|_| !first.redirect_stderr);
        for (name, stream) in [stdout, stderr].into_iter().flatten() {
            if stream.events_enabled {
                draft.set_from(&format!("logs.{name}_events"), "true", &format!("{name}_events_enabled"));
            }
            let size = stream.capture_maxbytes.clamp(0, MOST_CAPTURED);
            let key = format!("{name}_capture_maxbytes");
            if size > 0 {
                draft.set_from(&format!("logs.{name}_capture"), size_text(size), &key);
            }
            if size < stream.capture_maxbytes {
                let was = format!("{key}={}", stream.capture_maxbytes);
                let text = (was, format!("logs.{name}_capture = {}, the most", size_text(size)), "");
                self.key_line_at(Verdict::Differs, section, &key, text);
            }
        }
    }
}

/// A size as a person writes it.
pub(super) fn size_text(size: i64) -> String {
    match size {
        0 => "0".to_owned(),
        size if size % MEGABYTE == 0 => format!("\"{}MB\"", size / MEGABYTE),
        size if size % 1024 == 0 => format!("\"{}KB\"", size / 1024),
        size => size.to_string(),
    }
}

fn set_target(draft: &mut Draft<'_>, name: &str, target: &Target, has_syslog: bool) {
    let syslog = || "\"syslog\"".to_owned();
    let written = match (target, has_syslog) {
        (Target::Stdout | Target::Stderr, false) => return,
        (Target::Stdout | Target::Stderr, true) => toml::list(["\"console\"".to_owned(), syslog()]),
        (Target::File(path), false) => toml::text(path),
        (Target::File(path), true) => toml::list([toml::text(path), syslog()]),
        // Everything that is captured is remembered as well.
        (Target::Memory | Target::Nothing, true) => syslog(),
        (Target::Memory, false) => "\"memory\"".to_owned(),
        (Target::Nothing, false) => "\"none\"".to_owned(),
    };
    draft.set_from(&format!("logs.{name}"), written, &format!("{name}_logfile"));
}
