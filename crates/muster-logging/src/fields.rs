//! The fields of a message as text: `program=web run=7`, on one line whatever they contain.
//!
//! The only place where text of programs, servers and files enters the daemon's own log. Every character that a
//! terminal would interpret or not show is escaped, and a value that contains an equals sign is quoted, so that no
//! value can pass for another line or another field.

use std::fmt::{self, Debug, Write};

use muster_api::visible::Escaped;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Writes the fields.
pub(crate) struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer: Escaped(writer), is_empty: true, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'w> {
    writer: Escaped<Writer<'w>>,
    is_empty: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn put(&mut self, name: &str, value: &str) -> fmt::Result {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.writer.write_char(' ')?;
        }
        let name = name.strip_prefix("r#").unwrap_or(name);
        match name {
            "message" => self.writer.write_str(value),
            _ if value.contains('=') && !is_quoted(value) => write!(self.writer, "{name}={value:?}"),
            _ => write!(self.writer, "{name}={value}"),
        }
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.result.is_ok() {
            self.result = self.put(field.name(), &format!("{value:?}"));
        }
    }
}

/// Whether all of it is one text in quotes, as `Debug` writes text.
fn is_quoted(value: &str) -> bool {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return false };
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return false,
            // Escaped characters do not count, and a backslash at the end would escape the closing quote.
            '\\' if characters.next().is_none() => return false,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &[(&str, &str)]) -> String {
        let mut text = String::new();
        let mut line = Line { writer: Escaped(Writer::new(&mut text)), is_empty: true, result: Ok(()) };
        fields.iter().for_each(|(name, value)| line.put(name, value).unwrap());
        text
    }

    #[test]
    fn nothing_in_a_value_passes_for_another_line_or_field() {
        assert_eq!(line(&[("message", "ready"), ("program", "web"), ("run", "7")]), "ready program=web run=7");
        assert_eq!(
            line(&[("message", "unhealthy"), ("detail", "503\n2026 INFO asked to stop signal=SIGTERM uid=0\x1b[2J")]),
            "unhealthy detail=\"503\\n2026 INFO asked to stop signal=SIGTERM uid=0\\u{1b}[2J\""
        );
        assert_eq!(line(&[("message", "a\nb\u{202e}")]), "a\\nb\\u{202e}");
        assert_eq!(line(&[("detail", "\"a\" b=\"c\"")]), r#"detail="\"a\" b=\"c\"""#);
        assert_eq!(line(&[("detail", r#""a\" b=c""#)]), r#"detail="a\" b=c""#);
        assert_eq!(line(&[("detail", r#""a=b\""#)]), r#"detail="\"a=b\\\"""#);
    }
}
