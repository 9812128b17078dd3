//! `[program.NAME.logs]`: where the two output streams go, and how.

use std::time::Duration;

use muster_spec::{LineFormat, OutputSpec, Overflow, PerStream, RateLimit, Rotation, Sink, StreamEvents, Target};

use crate::diagnostic::Place;
use crate::drafts::rotation;
use crate::drafts::users::read_user;
use crate::field::{Field, Text};
use crate::keys::{Reader, Table};
use crate::value::Content;

/// The state of `logs` while its keys are read.
#[derive(Clone, Default)]
pub(crate) struct OutputDraft {
    pub(crate) spec: OutputSpec,
    pub(crate) stdout_at: Option<Place>,
    pub(crate) stderr_at: Option<Place>,
    /// The same, if the program itself has it.
    pub(crate) own_stderr_at: Option<Place>,
    /// The place of a key that makes events of stdout, or of stderr, if the program itself has one.
    pub(crate) events_at: [Option<Place>; 2],
    /// Rotation of stderr's files where it differs from stdout's.
    stderr_max_size: Option<u64>,
    stderr_max_files: Option<u32>,
}

const EXPECTED: &str = "console, syslog, memory, none, inherit, a path, or a list of console, syslog and paths";

/// The most text between two tokens that is kept for an event, in bytes: it is in memory, for each run.
const MOST_CAPTURED: u64 = 16 << 20;

/// The words that a target may be.
const WORDS: [&str; 5] = ["console", "syslog", "memory", "none", "inherit"];

impl OutputDraft {
    /// Begins with these settings.
    pub(crate) fn of(spec: &OutputSpec) -> OutputDraft {
        OutputDraft { spec: spec.clone(), ..OutputDraft::default() }
    }

    /// Reads the table.
    pub(crate) fn read(&mut self, field: &Field<'_>) {
        if matches!(field.value.content, Content::Text(_) | Content::List(_)) {
            field.expected_with_hint("a table", format!("logs = {{ stdout = {} }}", field.shown()));
            return;
        }
        field.each_key(Table::Logs, |key, child| {
            if let Reader::Logs(read) = key.reader {
                read(self, child);
            }
        });
    }

    pub(crate) fn stdout(&mut self, field: &Field<'_>) {
        self.stdout_at = Some(field.place());
        if field.value.literal() == Some("stderr") {
            field.error_with_hint("cannot be merged into stderr", "logs.stderr = \"stdout\" merges the two");
        } else if let Some(target) = read_target(field) {
            self.spec.stdout = target;
        }
    }

    pub(crate) fn stderr(&mut self, field: &Field<'_>) {
        self.stderr_at = Some(field.place());
        self.own_stderr_at = field.owner.program().map(|_| field.place());
        if field.value.literal() == Some("stdout") {
            self.spec.stderr = None;
        } else if let Some(target) = read_target(field) {
            self.spec.stderr = Some(target);
        }
    }

    pub(crate) fn format(&mut self, field: &Field<'_>) {
        if let Some(format) = field.choice(&LineFormat::ALL) {
            self.spec.format = format;
        }
    }

    pub(crate) fn timestamps(&mut self, field: &Field<'_>) {
        if let Some(flag) = field.flag() {
            self.spec.timestamps = flag;
        }
    }

    pub(crate) fn max_size(&mut self, field: &Field<'_>) {
        self.change_rotation(|rotation| rotation::max_size(rotation, field));
    }

    pub(crate) fn max_files(&mut self, field: &Field<'_>) {
        self.change_rotation(|rotation| rotation::max_files(rotation, field));
    }

    pub(crate) fn compress(&mut self, field: &Field<'_>) {
        self.change_rotation(|rotation| rotation::compress(rotation, field));
    }

    pub(crate) fn stderr_max_size(&mut self, field: &Field<'_>) {
        let mut rotation = self.spec.rotation.stderr;
        rotation::max_size(&mut rotation, field);
        self.stderr_max_size = Some(rotation.max_size);
        self.change_rotation(|_| {});
    }

    pub(crate) fn stderr_max_files(&mut self, field: &Field<'_>) {
        let mut rotation = self.spec.rotation.stderr;
        rotation::max_files(&mut rotation, field);
        self.stderr_max_files = Some(rotation.max_files);
        self.change_rotation(|_| {});
    }

    /// Changes the rotation of both streams, except for the keys that stderr has of its own, in whichever order they come.
    fn change_rotation(&mut self, change: impl Fn(&mut Rotation)) {
        let PerStream { stdout, stderr } = &mut self.spec.rotation;
        change(stdout);
        change(stderr);
        stderr.max_size = self.stderr_max_size.unwrap_or(stderr.max_size);
        stderr.max_files = self.stderr_max_files.unwrap_or(stderr.max_files);
    }

    pub(crate) fn strip_ansi(&mut self, field: &Field<'_>) {
        if let Some(flag) = field.flag() {
            self.spec.strip_ansi = PerStream::both(flag);
        }
    }

    pub(crate) fn stdout_events(&mut self, field: &Field<'_>) {
        self.events(0, field);
    }

    pub(crate) fn stderr_events(&mut self, field: &Field<'_>) {
        self.events(1, field);
    }

    pub(crate) fn stdout_capture(&mut self, field: &Field<'_>) {
        self.capture(0, field);
    }

    pub(crate) fn stderr_capture(&mut self, field: &Field<'_>) {
        self.capture(1, field);
    }

    fn events(&mut self, stream: usize, field: &Field<'_>) {
        if let Some(flag) = field.flag() {
            self.change_events(stream, field, flag, |events| events.log = flag);
        }
    }

    fn capture(&mut self, stream: usize, field: &Field<'_>) {
        match field.size() {
            Some(size @ 0..=MOST_CAPTURED) => {
                self.change_events(stream, field, size > 0, |events| events.capture = size as usize);
            }
            Some(_) => field.error_with_hint(format_args!("must be at most 16 MiB: {}", field.shown()), "\"1MB\""),
            None => {}
        }
    }

    fn change_events(&mut self, stream: usize, field: &Field<'_>, is_on: bool, change: impl FnOnce(&mut StreamEvents)) {
        let PerStream { stdout, stderr } = &mut self.spec.events;
        change(if stream == 0 { stdout } else { stderr });
        if is_on && field.owner.program().is_some() {
            self.events_at[stream] = Some(field.place());
        }
    }

    pub(crate) fn mode(&mut self, field: &Field<'_>) {
        let Some(mode) = field.octal() else { return };
        if mode & !0o666 == 0 {
            self.spec.file_mode = mode;
        } else {
            let problem = format_args!("must grant read and write permissions only: {}", field.shown());
            field.error_with_hint(problem, "\"0644\" is the default, \"0666\" the maximum");
        }
    }

    pub(crate) fn owner(&mut self, field: &Field<'_>) {
        if let Some(owner) = read_user(field) {
            self.spec.file_owner = owner;
        }
    }

    pub(crate) fn buffer_size(&mut self, field: &Field<'_>) {
        match field.size() {
            Some(size @ 4096..=0x4000_0000) => self.spec.buffer_size = size as usize,
            Some(_) => field.error_with_hint(
                format_args!("must be between 4 KiB and 1 GiB: {}", field.shown()),
                "\"1MB\" is the default",
            ),
            None => {}
        }
    }

    pub(crate) fn memory(&mut self, field: &Field<'_>) {
        match field.size() {
            Some(size @ (0 | 4096..=0x4000_0000)) => self.spec.memory = Some(size as usize),
            Some(_) => field.error_with_hint(
                format_args!("must be 0 or between 4 KiB and 1 GiB: {}", field.shown()),
                "\"256KB\" is the default, 0 keeps nothing",
            ),
            None => {}
        }
    }

    pub(crate) fn overflow(&mut self, field: &Field<'_>) {
        if let Some(overflow) = field.choice(&Overflow::ALL) {
            self.spec.overflow = overflow;
        }
    }

    pub(crate) fn rate_limit(&mut self, field: &Field<'_>) {
        let Some(text) = field.text() else { return };
        match text.text.trim() {
            "" => self.spec.rate_limit = None,
            limit => match parse_rate(limit) {
                Some(limit) => self.spec.rate_limit = Some(limit),
                None => field.text_expected("a number of lines per s, m or h", &text, Some("\"1000/s\"".to_owned())),
            },
        }
    }
}

/// `1000/s`.
pub(super) fn parse_rate(text: &str) -> Option<RateLimit> {
    let (lines, unit) = text.split_once('/')?;
    let per = match unit.trim() {
        "s" | "sec" | "second" => 1,
        "m" | "min" | "minute" => 60,
        "h" | "hour" => 3600,
        _ => return None,
    };
    let lines = lines.trim().parse().ok().filter(|lines| (1..=1_000_000_000).contains(lines))?;
    Some(RateLimit { lines, per: Duration::from_secs(per) })
}

fn read_target(field: &Field<'_>) -> Option<Target> {
    if let Content::List(_) = &field.value.content {
        return read_sinks(field);
    }
    let text = field.text()?;
    match text.text.as_ref() {
        "none" => Some(Target::Discard),
        // Captured output is always remembered; no sink gets it.
        "memory" => Some(Target::Capture(Vec::new())),
        "inherit" => Some(Target::Inherit),
        _ => read_sink(field, &text).map(|sink| Target::Capture(vec![sink])),
    }
}

fn read_sinks(field: &Field<'_>) -> Option<Target> {
    let items = field.items();
    if items.is_empty() {
        field.error_with_hint("is an empty list", "\"none\" discards the output");
        return None;
    }
    let mut sinks = Vec::with_capacity(items.len());
    for item in &items {
        let text = item.text()?;
        if ["none", "memory", "inherit", "stdout", "stderr"].contains(&text.text.as_ref()) {
            item.error_with_hint(
                format_args!("cannot go to both {} and another target", item.shown_text(&text)),
                "a list holds \"console\", \"syslog\" and paths",
            );
            return None;
        }
        let sink = read_sink(item, &text)?;
        if sinks.contains(&sink) {
            item.error(format_args!("names {} twice", item.shown_text(&text)));
            return None;
        }
        sinks.push(sink);
    }
    Some(Target::Capture(sinks))
}

fn read_sink(field: &Field<'_>, text: &Text<'_>) -> Option<Sink> {
    match text.text.as_ref() {
        "console" => Some(Sink::Console),
        "syslog" => Some(Sink::Syslog),
        path if crate::habits::scheme(path).is_some() => {
            let hint = crate::habits::scheme(path).map(crate::habits::instead_of);
            field.text_expected(EXPECTED, text, hint);
            None
        }
        path if path.contains('/') => {
            let is_own = ["/proc/self/fd/", "/proc/1/fd/", "/dev/fd/"]
                .iter()
                .any(|directory| matches!(path.strip_prefix(directory), Some("1" | "2")));
            if is_own || matches!(path, "/dev/stdout" | "/dev/stderr") {
                let hint = "write \"console\"; \"inherit\" passes the descriptor on";
                field.warning(format_args!("means the console: {path:?}"), hint);
            } else if ["/proc/", "/sys/"].iter().any(|top| path.starts_with(top)) {
                field.warning(
                    format_args!("is not a place for log files: {path:?}"),
                    "\"console\", or a path elsewhere",
                );
            }
            field.resolved(path).map(Sink::File)
        }
        word => {
            let problem = format_args!("must be {EXPECTED}: {}", field.shown_text(text));
            let hint = match word.to_ascii_lowercase().as_str() {
                "" | "null" | "off" | "discard" | "/dev/null" => "\"none\" discards the output".to_owned(),
                "auto" | "stdout" | "stderr" | "journal" | "default" | "-" => {
                    "\"console\" is the default: leave it out".to_owned()
                }
                word => match crate::words::nearest(word, WORDS.into_iter()) {
                    Some(ours) => format!("did you mean {ours:?}?"),
                    None => "a path contains a slash: \"./file.log\"".to_owned(),
                },
            };
            field.error_with_hint(problem, hint);
            None
        }
    }
}
