//! `watch = ["/app/**/*.py"]`, or a table: files whose changes restart a program.

use muster_spec::{Signal, WatchAction, WatchPath, WatchRate, WatchSpec};

use crate::drafts::logs::parse_rate;
use crate::field::Field;
use crate::value::Content;
use crate::words::nearest;

const EXAMPLE: &str = "watch = [\"/app/**/*.py\"]";
const KEYS: &str = "it has paths, exclude, debounce, action, at_most and poll";
/// The most patterns of a program; each is compared with every name in a directory.
const MOST_PATTERNS: usize = 256;

/// The files of a program while they are read.
#[derive(Default)]
pub(crate) struct WatchDraft {
    spec: Option<Box<WatchSpec>>,
}

impl WatchDraft {
    /// Begins with the files of a program.
    pub(crate) fn of(spec: Option<&WatchSpec>) -> WatchDraft {
        WatchDraft { spec: spec.cloned().map(Box::new) }
    }

    pub(crate) fn spec(&self) -> Option<Box<WatchSpec>> {
        self.spec.clone()
    }

    /// Paths, or a table with them. None of them watches nothing.
    pub(crate) fn read(&mut self, field: &Field<'_>) {
        let Content::Table(entries) = &field.value.content else {
            self.spec = Some(WatchSpec::of(read_paths(field))).filter(|spec| !spec.paths.is_empty()).map(Box::new);
            return;
        };
        let mut spec = WatchSpec::of(Vec::new());
        for (name, value) in entries {
            let child = field.child(name.as_str(), value);
            match name.as_str() {
                "paths" => spec.paths = read_paths(&child),
                "exclude" => spec.exclude = read_excluded(&child),
                "debounce" => spec.debounce = child.duration().unwrap_or(spec.debounce),
                "action" => spec.action = read_action(&child).unwrap_or(spec.action),
                "at_most" => spec.at_most = read_rate(&child).unwrap_or(spec.at_most),
                "poll" => spec.poll = child.duration_of_at_least(WatchSpec::SHORTEST_POLL),
                _ => child.error_with_hint("is not a key of watch", KEYS),
            }
        }
        if !entries.contains_key("paths") {
            field.error_with_hint("lacks paths", "watch = { paths = [\"/app/**/*.py\"], action = \"reload\" }");
        }
        self.spec = Some(spec).filter(|spec| !spec.paths.is_empty()).map(Box::new);
    }
}

fn read_paths(field: &Field<'_>) -> Vec<WatchPath> {
    let items = field.items();
    if items.len() > MOST_PATTERNS {
        field.error(format_args!("has more than {MOST_PATTERNS} paths"));
        return Vec::new();
    }
    items.iter().filter_map(read_path).collect()
}

fn read_path(field: &Field<'_>) -> Option<WatchPath> {
    let text = field.text()?;
    if text.text.starts_with('@') {
        let known = WatchPath::WORDS.into_iter().find(|(word, _)| *word == text.text);
        if known.is_none() {
            let words = WatchPath::WORDS.iter().map(|(word, _)| *word);
            let hint = nearest(&text.text, words).map(|word| format!("did you mean {word:?}?"));
            field.text_expected("@secrets, @env_file, @command or a path", &text, hint);
        }
        return known.map(|(_, path)| path);
    }
    if text.text.is_empty() {
        field.expected_with_hint("a path", EXAMPLE);
        return None;
    }
    pattern(field, &text.text).map(WatchPath::Pattern)
}

/// A name, which may be anywhere, or a path.
fn read_excluded(field: &Field<'_>) -> Vec<String> {
    let items = field.items();
    if items.len() > MOST_PATTERNS {
        field.error(format_args!("has more than {MOST_PATTERNS} patterns"));
        return Vec::new();
    }
    let read = |item: &Field<'_>| {
        let text = item.text()?;
        let name = text.text.trim_end_matches('/');
        match name {
            "" => {
                item.expected_with_hint("a name or a path", "exclude = [\"node_modules\", \"*.tmp\"]");
                None
            }
            name if name.contains('/') => pattern(item, name),
            name => Some(name.to_owned()),
        }
    };
    items.iter().filter_map(read).collect()
}

/// The absolute pattern, without `.` and `..`.
fn pattern(field: &Field<'_>, text: &str) -> Option<String> {
    let path = field.resolved(text)?;
    let mut parts: Vec<&str> = Vec::new();
    let path = path.to_str().unwrap_or(text);
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            // Several in a row mean the same as one.
            "**" if parts.last() == Some(&"**") => {}
            part if part.contains("**") && part != "**" => {
                let problem = format!("has ** beside other characters: {}", field.shown());
                field.error_with_hint(problem, "** stands for whole directories: /app/**/*.py");
                return None;
            }
            part => parts.push(part),
        }
    }
    let first = parts.iter().find(|part| !matches!(**part, "**" | "*"));
    if first.is_none() {
        field.error_with_hint(format_args!("would be every file: {}", field.shown()), EXAMPLE);
        return None;
    }
    Some(parts.iter().flat_map(|part| ["/", part]).collect())
}

fn read_action(field: &Field<'_>) -> Option<WatchAction> {
    if let Content::Text(_) = &field.value.content {
        let text = field.text()?;
        match text.text.as_ref() {
            "restart" => return Some(WatchAction::Restart),
            "reload" => return Some(WatchAction::Reload),
            word => match word.parse::<Signal>() {
                // These two say nothing to a program.
                Ok(signal) if signal != Signal::KILL && signal != Signal::STOP => {
                    return Some(WatchAction::Signal(signal));
                }
                _ => {
                    let hint = "action = \"HUP\" sends a signal, \"reload\" the one of reloadsignal";
                    field.text_expected("restart, reload or a signal", &text, Some(hint.to_owned()));
                    return None;
                }
            },
        }
    }
    crate::drafts::program::read_signal(field).map(WatchAction::Signal)
}

fn read_rate(field: &Field<'_>) -> Option<WatchRate> {
    let text = field.text()?;
    let rate = parse_rate(text.text.trim()).and_then(|rate| {
        let times = u32::try_from(rate.lines).ok().filter(|times| *times <= WatchRate::MOST)?;
        Some(WatchRate { times, per: rate.per })
    });
    if rate.is_none() {
        field.text_expected("a number per s, m or h, at most 1000", &text, Some("at_most = \"10/m\"".to_owned()));
    }
    rate
}
