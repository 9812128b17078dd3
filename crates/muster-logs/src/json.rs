//! Formats a line of a program as a JSON object: `{"time":…,"program":"web","stream":"stdout","run":7,"line":"…"}`.
//!
//! A line that is itself a JSON object is nested unchanged. Characters that a terminal would interpret or not show become `\u`
//! escapes, which is equivalent JSON. JSON cannot represent invalid UTF-8: such a line has U+FFFD in its
//! place, and is repeated in base64 as `bytes`, so that nothing is lost.

use std::borrow::Cow;
use std::io::Write;

use muster_spec::{Hook, RunId};
use serde::de::IgnoredAny;

use super::Source;
use super::console_format::Part;

/// The part between the time and the line; the same for every line of a stream. `run` may be that of a hook's output.
pub(super) fn head(name: &str, source: Source, run: u64) -> Vec<u8> {
    let stream = match source {
        Source::Stdout => "stdout",
        Source::Stderr => "stderr",
    };
    let mut head = b"\",\"program\":".to_vec();
    put_text(name, &mut head);
    let (run, hook) = Hook::of_output(RunId(run));
    head.extend_from_slice(format!(",\"stream\":\"{stream}\",\"run\":{run}").as_bytes());
    if let Some(hook) = hook {
        head.extend_from_slice(format!(",\"hook\":\"{}\"", hook.name()).as_bytes());
    }
    head
}

/// Appends the object of a line.
pub(super) fn put(head: &[u8], line: &[u8], part: Option<Part>, time: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(time);
    out.extend_from_slice(head);
    out.extend_from_slice(b",\"line\":");
    match std::str::from_utf8(line) {
        Ok(text) if part.is_none() && is_object(text) => out.extend_from_slice(visible(text.trim()).as_bytes()),
        Ok(text) => put_text(text, out),
        Err(_) => {
            put_text(&String::from_utf8_lossy(line), out);
            out.extend_from_slice(b",\"bytes\":\"");
            put_base64(line, out);
            out.push(b'"');
        }
    }
    if let Some(part) = part {
        // Writing into a Vec cannot fail.
        let _ = write!(out, ",\"part\":{}", part.number);
        if part.is_last {
            out.extend_from_slice(b",\"last\":true");
        }
    }
    out.extend_from_slice(b"}\n");
}

/// Appends the object that reports missing lines.
pub(super) fn put_gap(head: &[u8], time: &str, lines: u64, bytes: u64, why: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(head);
    let _ = write!(out, ",\"lost_lines\":{lines},\"lost_bytes\":{bytes},\"why\":");
    put_text(why, out);
    out.extend_from_slice(b"}\n");
}

/// Whether the whole line is one JSON object. It is only scanned, without building a tree.
fn is_object(text: &str) -> bool {
    let text = text.trim();
    text.starts_with('{') && text.ends_with('}') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// JSON without characters that a terminal would interpret. ASCII control characters are already escaped in it; a carriage return can only
/// occur between its tokens.
fn visible(json: &str) -> Cow<'_, str> {
    let json = if json.contains('\r') { Cow::Owned(json.replace('\r', " ")) } else { Cow::Borrowed(json) };
    if json.bytes().any(|byte| byte >= 0x7f) { Cow::Owned(muster_api::visible::json(&json)) } else { json }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'"');
    let mut plain = 0;
    for (place, &byte) in text.as_bytes().iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain..place]);
        plain = place + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => drop(write!(out, "\\u{byte:04x}")),
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
    if text.bytes().any(|byte| byte >= 0x7f) {
        let escaped = String::from_utf8_lossy(&out[start..]).into_owned();
        out.truncate(start);
        out.extend_from_slice(muster_api::visible::json(&escaped).as_bytes());
    }
}

/// RFC 4648, with padding.
fn put_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize];
            out.push(if digit <= three.len() { letter } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn object(line: &[u8]) -> (String, Value) {
        let mut out = Vec::new();
        put(&head("web:\"1\"", Source::Stderr, 12), line, None, b"2026-11-23T12:00:00.120Z", &mut out);
        let text = String::from_utf8(out).unwrap();
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    #[test]
    fn a_line_has_its_time_program_stream_and_run() {
        let expected = json!({
            "time": "2026-11-23T12:00:00.120Z", "program": "web:\"1\"", "stream": "stderr", "run": 12, "line": "hello",
        });
        assert_eq!(object(b"hello").1, expected);
    }

    #[test]
    fn every_text_comes_back_as_it_was() {
        for line in
            ["", "\0\u{1}\u{1f}\u{7f}", "\t\r\\\"", "\u{1b}[31mred\u{1b}[0m", "grüße 🦀", "{ no object", "{} {}", "[1]"]
        {
            assert_eq!(object(line.as_bytes()).1["line"], json!(line));
        }
    }

    #[test]
    fn a_terminal_has_nothing_to_obey_in_it() {
        for line in ["\u{9b}2J \u{202e}x \u{7f}\u{1b}[2J", "{\"a\":\"\u{9b}\u{202e}\",\r\"b\":1}"] {
            let (text, value) = object(line.as_bytes());
            assert!(!text.trim_end().chars().any(muster_api::visible::is_unseen), "{text:?}");
            assert!(value["line"] == json!(line) || value["line"] == serde_json::from_str::<Value>(line).unwrap());
        }
    }

    #[test]
    fn an_object_is_nested_with_its_own_order_and_numbers() {
        let (text, value) = object(b"  {\"z\":1.00,\"a\":{\"b\":[1]}}\r");
        assert!(text.ends_with(",\"line\":{\"z\":1.00,\"a\":{\"b\":[1]}}}\n"), "{text}");
        assert_eq!(value["line"]["a"], json!({ "b": [1] }));
    }

    #[test]
    fn deep_nesting_harms_nobody() {
        let line = format!("{}{}", "{\"a\":".repeat(5000), "}");
        assert_eq!(object(line.as_bytes()).1["line"], json!(line));
    }

    #[test]
    fn what_is_no_utf8_is_told_twice_and_nothing_is_lost() {
        let (_, value) = object(b"a\xff\xfeb");
        assert_eq!(value["line"], json!("a\u{fffd}\u{fffd}b"));
        assert_eq!(value["bytes"], json!("Yf/+Yg=="));
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut out = Vec::new();
            put_base64(bytes.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
