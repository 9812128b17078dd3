//! Escaping of untrusted text for terminals and logs: output of programs, servers and files must not forge or hide
//! anything.
//!
//! [`is_unseen`] is the single list of characters that control a terminal or are invisible. The daemon writes them as
//! escapes ([`Escaped`], [`put_visible`]), the client shows U+FFFD. The exception is colours in a program's own output:
//! [`colour_length`] recognizes them.

use std::fmt::{self, Write};

/// Whether a character controls a terminal, changes the direction of text, or is invisible: C0, C1, DEL, line and
/// paragraph separators, and everything else of Unicode's category Cf with a few blank fillers.
pub fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}'
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Writes the escape of one character: `
/// `, `\x1b`, `\u{202e}`.
fn put_escape(character: char, out: &mut impl Write) -> fmt::Result {
    match character {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        '\0'..='\u{7f}' => write!(out, "\\x{:02x}", u32::from(character)),
        _ => write!(out, "\\u{{{:x}}}", u32::from(character)),
    }
}

/// A writer that passes text on, with every unseen character escaped.
#[derive(Debug)]
pub struct Escaped<W>(pub W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, character) in text.char_indices().filter(|&(_, character)| is_unseen(character)) {
            self.0.write_str(&text[plain..at])?;
            put_escape(character, &mut self.0)?;
            plain = at + character.len_utf8();
        }
        self.0.write_str(&text[plain..])
    }
}

/// Writes the unseen characters that JSON permits as `\u` escapes, which does not change the JSON value. Line ends and
/// tabs between tokens stay.
pub fn json(text: &str) -> String {
    let mut seen = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unseen(character) && !matches!(character, '\n' | '\t' | '\r') {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(seen, "\\u{unit:04x}");
            }
        } else {
            seen.push(character);
        }
    }
    seen
}

/// The length of the colour code these bytes start with: `ESC [`, numbers, `m`. `None` for a code that conceals text or
/// is longer than any program uses.
pub fn colour_length(bytes: &[u8]) -> Option<usize> {
    const LONGEST: usize = 64;
    let numbers = bytes.strip_prefix(b"\x1b[")?;
    let end = numbers.iter().take(LONGEST).position(|byte| !byte.is_ascii_digit() && !matches!(byte, b';' | b':'))?;
    (numbers[end] == b'm' && !conceals(&numbers[..end])).then_some(end + 3)
}

/// Whether one of the numbers is 8, which hides the text that follows. The numbers after 38, 48 and 58 are parts of a
/// colour.
fn conceals(numbers: &[u8]) -> bool {
    let number = |text: &[u8]| {
        text.iter().fold(0_u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
    };
    let mut parts = numbers.split(|&byte| byte == b';');
    while let Some(part) = parts.next() {
        let mut within = part.split(|&byte| byte == b':');
        let first = number(within.next().unwrap_or_default());
        let is_whole = within.next().is_none();
        match first {
            8 => return true,
            38 | 48 | 58 if is_whole => match parts.next().map(number_of_first) {
                Some(5) => drop(parts.next()),
                Some(2) => drop(parts.nth(2)),
                // Terminals differ in how they read the rest.
                _ => return numbers.split(|byte| !byte.is_ascii_digit()).any(|part| number(part) == 8),
            },
            _ => {}
        }
    }
    false
}

fn number_of_first(part: &[u8]) -> u32 {
    part.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |sum, digit| sum * 10 % 1000 + u32::from(digit - b'0'))
}

/// Whether a piece of output, like nearly all, consists of printable ASCII, tabs and line ends.
pub fn is_plain(bytes: &[u8]) -> bool {
    // Without an early exit within a chunk, so that it can be vectorized.
    bytes.chunks(256).all(|chunk| {
        let odd = |byte: u8| ((byte < b' ') & (byte != b'\n') & (byte != b'\t')) | (byte >= 0x7f);
        !chunk.iter().fold(false, |found, &byte| found | odd(byte))
    })
}

/// Appends a line of a program's output in a form that is safe for a console: text, tabs and colours unchanged,
/// everything else a terminal would interpret as an escape. A carriage return at the very end is part of the line end.
/// Invalid UTF-8 stays, except for bytes that are control characters to an older terminal.
pub fn put_visible(line: &[u8], out: &mut Vec<u8>) {
    let (line, end) = line.strip_suffix(b"\r").map_or((line, &b""[..]), |line| (line, b"\r"));
    let mut rest = line;
    while !rest.is_empty() {
        let plain = rest.iter().take_while(|&&byte| (b' '..0x7f).contains(&byte) || byte == b'\t').count();
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        if rest.is_empty() {
            break;
        }
        let taken = colour_length(rest).unwrap_or(0);
        out.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
        if taken == 0 {
            rest = &rest[put_odd(rest, out)..];
        }
    }
    out.extend_from_slice(end);
}

/// Appends the first character of the bytes, escaped if necessary. Returns its length.
fn put_odd(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let chunk = bytes[..bytes.len().min(4)].utf8_chunks().next();
    let character = chunk.as_ref().and_then(|chunk| chunk.valid().chars().next());
    match character {
        Some(seen) if !is_unseen(seen) => out.extend_from_slice(&bytes[..seen.len_utf8()]),
        // Fast path: users do print whole files of zeros to a console.
        Some('\0'..='\u{7f}') if bytes[0] != b'\r' => put_byte(bytes[0], out),
        // Writing to a Vec cannot fail.
        Some(unseen) => drop(put_escape(unseen, &mut Bytes(out))),
        None if (0x80..0xa0).contains(&bytes[0]) => put_byte(bytes[0], out),
        None => out.push(bytes[0]),
    }
    character.map_or(1, char::len_utf8)
}

fn put_byte(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[b'\\', b'x', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

struct Bytes<'v>(&'v mut Vec<u8>);

impl Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_act_or_hide_are_unseen_and_letters_are_not() {
        for character in "\0\n\t\r\x1b\x7f\u{80}\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{200f}\u{2028}\u{2029}\u{202a}\
                          \u{202e}\u{2060}\u{2066}\u{2069}\u{206f}\u{feff}\u{fff9}\u{e0041}\u{3164}"
            .chars()
        {
            assert!(is_unseen(character), "{character:?}");
        }
        assert!(!" aZ~ü€日🎉é\u{fffd}".chars().any(is_unseen));
    }

    #[test]
    fn foreign_text_stays_on_its_line() {
        let mut out = Escaped(String::new());
        write!(out, "a\nb\x1b[2J\u{9b}\u{2028}\u{202e}ü\\").unwrap();
        assert_eq!(out.0, "a\\nb\\x1b[2J\\u{9b}\\u{2028}\\u{202e}ü\\");
    }

    #[test]
    fn json_stays_the_same_json() {
        let text = "{\n  \"a\": \"\u{9b}\u{202e}ü\u{e0041}\"}";
        assert_eq!(json(text), "{\n  \"a\": \"\\u009b\\u202eü\\udb40\\udc41\"}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json(text)).unwrap(),
            serde_json::from_str::<serde_json::Value>(text).unwrap()
        );
    }

    #[test]
    fn colours_are_recognized_and_concealing_ones_are_none() {
        for (code, expected) in [
            ("\x1b[m", Some(3)),
            ("\x1b[1;31mx", Some(7)),
            ("\x1b[38;5;8m", Some(9)),
            ("\x1b[38;2;8;8;8;1m", Some(15)),
            ("\x1b[38:5:8m", Some(9)),
            ("\x1b[888888888888m", Some(15)),
            ("\x1b[8m", None),
            ("\x1b[0008m", None),
            ("\x1b[1;8m", None),
            ("\x1b[8:1m", None),
            ("\x1b[38;5;1;8m", None),
            ("\x1b[38;8m", None),
            ("\x1b[2J", None),
            ("\x1b[?25l", None),
            ("\x1b[>4;1m", None),
            ("\x1b]0;x\x07", None),
            ("\x1b[1", None),
        ] {
            assert_eq!(colour_length(code.as_bytes()), expected, "{code:?}");
        }
        assert_eq!(colour_length(format!("\x1b[{}m", "1;".repeat(99)).as_bytes()), None);
    }

    #[test]
    fn a_console_is_sent_text_and_colours() {
        for (line, expected) in [
            (&b"plain\ttext"[..], &b"plain\ttext"[..]),
            (b"\x1b[31mred\x1b[0m", b"\x1b[31mred\x1b[0m"),
            (b"crlf\r", b"crlf\r"),
            (b"a\rb\r", b"a\\rb\r"),
            (b"\x1b[8mhidden", b"\\x1b[8mhidden"),
            (b"\x1b]0;title\x07", b"\\x1b]0;title\\x07"),
            (b"\x1bP1$r\x1b\\", b"\\x1bP1$r\\x1b\\"),
            (b"\0\x08\x7f", b"\\x00\\x08\\x7f"),
            ("c1 \u{9b}2J".as_bytes(), b"c1 \\u{9b}2J"),
            (b"raw \x9b2J", b"raw \\x9b2J"),
            (b"latin \xfc \xc3", b"latin \xfc \xc3"),
            ("ü€🎉 \u{202e}x".as_bytes(), "ü€🎉 \\u{202e}x".as_bytes()),
        ] {
            let mut out = Vec::new();
            put_visible(line, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expected));
        }
    }

    #[test]
    fn plain_output_is_ascii_lines() {
        assert!(is_plain(&b"a line\twith tabs\n".repeat(99)));
        for odd in ["\r", "\x1b", "\x7f", "ü", "\u{9b}"] {
            assert!(!is_plain(format!("{}{odd}", "x".repeat(300)).as_bytes()), "{odd:?}");
        }
    }
}
