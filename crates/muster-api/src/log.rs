//! Program output: the query for it and its entries.
//!
//! A request is a [`LogQuery`]; the answer, with `format=json`, is one [`LogEntry`] per line. Text that is not valid
//! UTF-8 is sent twice: readable, with replacement characters, and exactly, in base64.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::query::{Query, bad};
use crate::route::RouteError;
use crate::timestamp::Timestamp;

/// The media type of entries, one JSON object per line.
pub const JSON_LINES: &str = "application/x-ndjson";

/// The media type of unmodified output.
pub const BYTES: &str = "application/octet-stream";

/// Number of past lines in an answer by default.
pub const DEFAULT_LINES: u64 = 100;

/// A selection of a program's output streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// Both, in the order they were read.
    #[default]
    Both,
}

impl LogStream {
    /// All values.
    pub const ALL: [LogStream; 3] = [LogStream::Stdout, LogStream::Stderr, LogStream::Both];

    /// Its name in the query.
    pub const fn name(self) -> &'static str {
        match self {
            LogStream::Stdout => "stdout",
            LogStream::Stderr => "stderr",
            LogStream::Both => "both",
        }
    }
}

/// The format of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// The unmodified bytes.
    #[default]
    Raw,
    /// One [`LogEntry`] per line.
    Json,
}

impl LogFormat {
    /// All values.
    pub const ALL: [LogFormat; 2] = [LogFormat::Raw, LogFormat::Json];

    /// Its name in the query.
    pub const fn name(self) -> &'static str {
        match self {
            LogFormat::Raw => "raw",
            LogFormat::Json => "json",
        }
    }
}

/// The start of the wanted output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// From this time on.
    At(Timestamp),
    /// From this long ago on.
    Ago(Duration),
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Since::At(at) => at.fmt(f),
            Since::Ago(span) => write!(f, "{}ms", span.as_millis()),
        }
    }
}

impl FromStr for Since {
    type Err = ();

    /// Accepts an RFC 3339 time or a span: `90` (seconds), `5m`, `1h30m`, `250ms`, `2d`.
    fn from_str(text: &str) -> Result<Since, ()> {
        if let Ok(at) = Timestamp::parse_rfc3339(text) {
            return Ok(Since::At(at));
        }
        parse_span(text).map(Since::Ago).ok_or(())
    }
}

fn parse_span(text: &str) -> Option<Duration> {
    let (mut rest, mut total_ms) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            // A number alone is seconds.
            "" if digits == text.len() => 1_000,
            _ => return None,
        };
        total_ms = total_ms.checked_add(number.parse::<u64>().ok()?.checked_mul(unit_ms)?)?;
        rest = tail;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total_ms))
}

/// The wanted part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// The streams.
    pub stream: LogStream,
    /// Maximum number of past lines; `None` is [`DEFAULT_LINES`], or no limit if `since` is given.
    pub lines: Option<u64>,
    /// Only output read since then.
    pub since: Option<Since>,
    /// Whether to continue with new output.
    pub follow: bool,
    /// The format.
    pub format: LogFormat,
}

impl LogQuery {
    pub(crate) fn take(query: &mut Query) -> Result<LogQuery, RouteError> {
        let stream = take_word(query, "stream", &LogStream::ALL.map(|it| (it.name(), it)), STREAMS)?;
        Ok(LogQuery { stream, ..LogQuery::take_common(query)? })
    }

    /// Parses all parameters but the stream, for logs that have only one.
    pub(crate) fn take_common(query: &mut Query) -> Result<LogQuery, RouteError> {
        let lines = query.take("lines");
        let since = take_since(query)?;
        let number = |text: String| text.parse().map_err(|_| bad("lines", "must be a whole number", &text));
        Ok(LogQuery {
            stream: LogStream::Both,
            lines: lines.map(number).transpose()?,
            since,
            follow: take_word(query, "follow", &[("false", false), ("true", true)], "must be true or false")?,
            format: take_word(query, "format", &LogFormat::ALL.map(|it| (it.name(), it)), "must be raw or json")?,
        })
    }

    /// Appends the query string for this: nothing, or a question mark and whatever differs from the default.
    pub(crate) fn write(&self, path: &mut String) {
        let default = LogQuery::default();
        let mut parts = Vec::new();
        if self.stream != default.stream {
            parts.push(format!("stream={}", self.stream.name()));
        }
        parts.extend(self.lines.map(|lines| format!("lines={lines}")));
        parts.extend(self.since.map(|since| format!("since={since}")));
        if self.follow {
            parts.push("follow=true".to_owned());
        }
        if self.format != default.format {
            parts.push(format!("format={}", self.format.name()));
        }
        if !parts.is_empty() {
            path.push('?');
            path.push_str(&parts.join("&"));
        }
    }
}

/// Takes a time, if it is given.
pub(crate) fn take_since(query: &mut Query) -> Result<Option<Since>, RouteError> {
    let moment = |text: String| text.parse().map_err(|()| bad("since", MOMENT, &text));
    query.take("since").map(moment).transpose()
}

const STREAMS: &str = "must be stdout, stderr or both";
const MOMENT: &str = "must be a time such as 2026-11-23T00:34:05Z or a span such as 5m";

fn take_word<T: Copy + Default>(
    query: &mut Query,
    name: &str,
    words: &[(&str, T)],
    reason: &'static str,
) -> Result<T, RouteError> {
    let Some(text) = query.take(name) else { return Ok(T::default()) };
    let known = words.iter().find(|(word, _)| *word == text);
    known.map(|(_, value)| *value).ok_or_else(|| bad(name, reason, &text))
}

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A line, or a part of a long one.
    Line,
    /// Output is missing here: it was overwritten before this client had read it.
    Missed,
    /// The following entries are new output.
    Live,
}

impl EntryKind {
    /// All kinds.
    pub const ALL: [EntryKind; 3] = [EntryKind::Line, EntryKind::Missed, EntryKind::Live];

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            EntryKind::Line => "line",
            EntryKind::Missed => "missed",
            EntryKind::Live => "live",
        }
    }
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its kind.
    pub kind: EntryKind,
    /// When it was read from the program. A line read back from a file has no time.
    pub time: Option<Timestamp>,
    /// The instance; `musterd` in the daemon's own log.
    pub program: String,
    /// `stdout` or `stderr`, if known.
    pub stream: Option<String>,
    /// The run that wrote it, if known.
    pub run: Option<u64>,
    /// The hook of that run that wrote it, if one did.
    #[serde(default)]
    pub hook: Option<String>,
    /// The line without its newline, with U+FFFD in place of invalid UTF-8.
    pub line: Option<String>,
    /// The exact bytes of the line in base64, if it is not valid UTF-8.
    pub bytes: Option<String>,
    /// Whether it ended with a newline: false for all but the last part of a line over 64 KiB, and for an unfinished
    /// last line.
    pub ended: bool,
    /// Number of missing bytes.
    pub missed: Option<u64>,
}

impl LogEntry {
    /// An entry of this kind for this instance, with all other fields empty.
    pub fn of(kind: EntryKind, program: &str) -> LogEntry {
        LogEntry {
            kind,
            time: None,
            program: program.to_owned(),
            stream: None,
            run: None,
            hook: None,
            line: None,
            bytes: None,
            ended: true,
            missed: None,
        }
    }

    /// Sets the text, which may be any bytes.
    pub fn with_text(mut self, text: &[u8]) -> LogEntry {
        match std::str::from_utf8(text) {
            Ok(text) => self.line = Some(text.to_owned()),
            Err(_) => {
                self.line = Some(String::from_utf8_lossy(text).into_owned());
                self.bytes = Some(encode_base64(text));
            }
        }
        self
    }

    /// The exact bytes of the line.
    pub fn text(&self) -> Vec<u8> {
        let exact = self.bytes.as_deref().and_then(decode_base64);
        exact.unwrap_or_else(|| self.line.clone().unwrap_or_default().into_bytes())
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4. A crate for these two functions would be larger than they are.
pub fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        for place in 0..3 {
            bits = bits << 8 | u32::from(group.get(place).copied().unwrap_or(0));
        }
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// The result of writing to a program's standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StdinReport {
    /// Number of bytes written to the pipe.
    pub written: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_spans_are_read() {
        let ago = |ms| Since::Ago(Duration::from_millis(ms));
        for (text, expected) in [
            ("90", ago(90_000)),
            ("5m", ago(300_000)),
            ("1h30m", ago(5_400_000)),
            ("250ms", ago(250)),
            ("2d1s", ago(172_801_000)),
            ("1970-01-01T00:00:01Z", Since::At(Timestamp::from_unix_ms(1000))),
            ("1970-01-01T01:00:01.5+01:00", Since::At(Timestamp::from_unix_ms(1500))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
            assert_eq!(expected.to_string().parse(), Ok(expected));
        }
        for text in ["", "m", "5 m", "-5m", "5x", "5m3", "yesterday", "1970-01-01", "99999999999999999999d"] {
            assert_eq!(text.parse::<Since>(), Err(()), "{text}");
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc_and_every_byte_comes_back() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode_base64(bytes.as_bytes()), text);
        }
        let all: Vec<u8> = (0..=255).collect();
        for length in 0..all.len() {
            assert_eq!(decode_base64(&encode_base64(&all[..length])).as_deref(), Some(&all[..length]));
        }
        assert_eq!(decode_base64("Z*=="), None);
    }

    #[test]
    fn a_line_that_is_no_utf_8_is_there_readable_and_exact() {
        let line = LogEntry::of(EntryKind::Line, "web").with_text(b"caf\xc3");
        assert_eq!((line.line.as_deref(), line.text()), (Some("caf\u{fffd}"), b"caf\xc3".to_vec()));
        let line = LogEntry::of(EntryKind::Line, "web").with_text("café\0".as_bytes());
        assert_eq!((line.bytes.as_deref(), line.text()), (None, "café\0".as_bytes().to_vec()));
    }

    #[test]
    fn words_on_the_wire_are_the_names() {
        for kind in EntryKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
