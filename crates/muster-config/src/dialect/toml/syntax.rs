//! Explains TOML syntax errors, and determines how much of the text each makes unreliable.

use std::ops::Range;

use crate::diagnostic::{Finding, Place};
use crate::redact::masked;

/// One error for a file that is JSON or YAML.
pub(super) fn other_language(id: usize, text: &str) -> Option<Finding> {
    let lines = || text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let first = lines().next()?.trim();
    let looks_like_toml = |line: &str| line.starts_with('[') || line.contains(" = ");
    let is_pair = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ");
        let word = line.find(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c)).unwrap_or(0);
        word > 0 && (line[word..].trim_end() == ":" || line[word..].starts_with(": "))
    };
    let is_json = first.starts_with('{') || first == "[";
    let is_yaml = first == "---" || (is_pair(first) && !lines().any(looks_like_toml));
    let language = if is_json { "JSON" } else { "YAML" };
    let at = text.find(first).unwrap_or(0);
    (is_json || is_yaml).then(|| {
        let finding = Finding::error(Place::new(id, at..at + first.len()), format!("this is {language}, not TOML"));
        finding.hint("write [program.NAME], and below it command = \"…\"; a comment begins with #")
    })
}

/// The text that a syntax error makes unreliable: its line, and for a table header the table below it.
pub(super) fn torn_by(text: &str, at: usize, message: &str) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1);
    let is_header = text[start..].trim_start().starts_with('[');
    if !is_header || message == DUPLICATE {
        return start..line_end.max(start + 1);
    }
    let next_header = text[line_end..].find("\n[").map_or(text.len(), |newline| line_end + newline + 1);
    let end = if text[line_end..].starts_with('[') { line_end } else { next_header };
    start..end.max(start + 1)
}

/// The parser's message for a duplicate key or table.
const DUPLICATE: &str = "duplicate key";

pub(super) fn syntax_error(id: usize, text: &str, span: Range<usize>, message: &str) -> Finding {
    let start = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let words = if message == DUPLICATE {
        format!("{:?} is defined twice", masked(&text[span.clone()]))
    } else {
        format!("not TOML: {message}")
    };
    let finding = Finding::error(Place::new(id, span), words);
    match syntax_hint(line, message) {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

fn syntax_hint(line: &str, message: &str) -> Option<String> {
    let line = line.trim();
    let value = line.split_once('=').map(|(_, value)| value.trim());
    if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split([']', '#']).next()) {
        return header_hint(header.trim());
    }
    if line.starts_with(';') {
        return Some("comments begin with #".to_owned());
    }
    if message.contains("leading zero") {
        let digits = value.unwrap_or_default().split([' ', '#']).next().unwrap_or_default();
        return Some(format!("write octal numbers as text: \"{digits}\""));
    }
    if message.starts_with("string values must be quoted") {
        return unquoted_hint(value.unwrap_or_default());
    }
    if message.starts_with("unexpected key or value, expected newline") {
        return Some(
            "a line has one key and one value; put text with quotes in the other kind of quotes: '…'".to_owned(),
        );
    }
    if message.ends_with("expected `\"`") || message.ends_with("expected `'`") {
        return Some("close the quote; text over several lines goes between triple quotes".to_owned());
    }
    if value.is_some_and(|value| value.starts_with('"')) && message.contains("escape") {
        return Some("double the backslashes, or use single quotes: '…'".to_owned());
    }
    None
}

fn unquoted_hint(value: &str) -> Option<String> {
    Some(match value.to_ascii_lowercase().as_str() {
        "yes" | "on" | "true" => "write true".to_owned(),
        "no" | "off" | "false" => "write false, or \"no\" where a word is meant".to_owned(),
        _ => "put text in quotes: \"…\"".to_owned(),
    })
}

/// The hint for a header of supervisord.
fn header_hint(header: &str) -> Option<String> {
    let (kind, name) = header.split_once(':')?;
    let (kind, name) = (kind.trim(), name.trim());
    let name = if muster_spec::is_valid_name(name) { name } else { "NAME" };
    match kind {
        "program" | "group" => {
            Some(format!("write [{kind}.{name}]: TOML joins the parts of a table's name with a dot"))
        }
        "eventlistener" => {
            Some(format!("write [program.{name}] with stdin = \"supervisor-events\" and events = [\"PROCESS_STATE\"]"))
        }
        "fcgi-program" => {
            Some(format!("write [program.{name}] with sockets.NAME = {{ listen = \"…\", stdin = true }}"))
        }
        _ => None,
    }
}
