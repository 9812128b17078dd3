//! The daemon's own log: events and their times.
//!
//! Daemons log as JSON here. The programs' lines in the same stream differ in their first byte.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{wait_for, wait_until};

/// A line of the log.
#[derive(Clone, Debug)]
pub struct Line {
    /// The time of day at which it was written. Only the difference between two lines is meaningful.
    pub at: Duration,
    pub level: String,
    pub message: String,
    fields: Value,
}

impl Line {
    /// A field as text, whether it is text or a number.
    pub fn field(&self, name: &str) -> Option<String> {
        match self.fields.get(name)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// Whether the line has this message about this program.
    pub fn says(&self, program: &str, message: &str) -> bool {
        self.message == message && self.field("program").as_deref() == Some(program)
    }

    fn parse(line: &str) -> Option<Line> {
        let fields: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| fields.get(name)?.as_str().map(str::to_owned);
        let (at, level, message) = (time_of_day(&text("timestamp")?)?, text("level")?, text("message")?);
        Some(Line { at, level, message, fields })
    }
}

/// Converts `2026-11-23T01:02:44.123456Z`, with 31 days in every month. Only differences count, and a test that runs
/// across the end of a shorter month may be repeated.
fn time_of_day(stamp: &str) -> Option<Duration> {
    let (date, time) = stamp.strip_suffix('Z')?.split_once('T')?;
    let date: Vec<u64> = date.split('-').map_while(|part| part.parse().ok()).collect();
    let [year, month, day] = date[..] else { return None };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let clock: Vec<u64> = clock.split(':').map_while(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = clock[..] else { return None };
    let whole = ((((year * 12 + month) * 31 + day) * 24 + hours) * 60 + minutes) * 60 + seconds;
    Some(Duration::from_secs(whole) + Duration::from_secs_f64(format!("0.{fraction}").parse().ok()?))
}

/// The log of one daemon.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
}

impl Log {
    pub(super) fn at(path: &Path) -> Log {
        Log { path: path.to_owned() }
    }

    /// Everything in it, including the programs' lines.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.path).unwrap_or_default()).into_owned()
    }

    /// The daemon's own lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.text().lines().filter_map(Line::parse).collect()
    }

    /// Waits for the first line that matches.
    pub fn wait_for(&self, what: &str, is_it: impl Fn(&Line) -> bool) -> Line {
        wait_for(&format!("a line in the log: {what}"), || self.lines().into_iter().find(&is_it))
    }

    /// Waits for the first line with this message about this program.
    pub fn wait_for_program(&self, program: &str, message: &str) -> Line {
        self.wait_for(&format!("{program}: {message}"), |line| line.says(program, message))
    }

    /// Waits until that number of lines has this message about this program, and returns them.
    pub fn wait_for_many(&self, count: usize, program: &str, message: &str) -> Vec<Line> {
        wait_for(&format!("{count} lines in the log: {program}: {message}"), || {
            let lines: Vec<Line> = self.lines().into_iter().filter(|line| line.says(program, message)).collect();
            (lines.len() >= count).then_some(lines)
        })
    }

    /// Waits until the log contains these words.
    pub fn wait_for_words(&self, words: &str) {
        wait_until(&format!("words in the log: {words}"), || self.text().contains(words));
    }

    /// The lines with this message so far, about any program. Of a running daemon see [`super::Daemon::has_said`].
    pub fn saying(&self, message: &str) -> Vec<Line> {
        self.lines().into_iter().filter(|line| line.message == message).collect()
    }
}
