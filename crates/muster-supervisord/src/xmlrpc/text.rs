//! The characters of a document.

/// Whether XML 1.0 allows a character.
pub(super) fn is_legal(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => true,
        '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => false,
        _ => true,
    }
}

/// Appends a text as a document can contain it. Colours and cursor movements of a terminal (`ESC [ … letter`) are left
/// out, and other characters that XML does not allow become U+FFFD: with them, no parser would take the document.
pub(super) fn push_escaped(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((at, c)) = first_special(rest) {
        out.push_str(&rest[..at]);
        rest = &rest[at + c.len_utf8()..];
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\x1b' => match after_control_sequence(rest) {
                Some(behind) => rest = behind,
                None => out.push('\u{fffd}'),
            },
            _ => out.push('\u{fffd}'),
        }
    }
    out.push_str(rest);
}

/// The first character that cannot be written as it is. Most texts have none, so bytes are looked at first.
fn first_special(text: &str) -> Option<(usize, char)> {
    // U+FFFE and U+FFFF begin with the byte 0xef.
    let may_be = |byte: &u8| matches!(byte, b'&' | b'<' | b'>' | 0xef | 0..0x20);
    let mut from = 0;
    while let Some(at) = text.as_bytes()[from..].iter().position(may_be) {
        let found = text[from + at..].chars().next()?;
        if is_special(found) {
            return Some((from + at, found));
        }
        from += at + found.len_utf8();
    }
    None
}

fn is_special(c: char) -> bool {
    matches!(c, '&' | '<' | '>') || !is_legal(c)
}

/// The text behind the rest of a control sequence. Reads nothing that is not part of one, so reading stays linear.
fn after_control_sequence(behind_escape: &str) -> Option<&str> {
    let parameters = behind_escape.strip_prefix('[')?;
    let last = parameters.trim_start_matches(|c| matches!(c, ' '..='?'));
    last.strip_prefix(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_legal() {
        let check = |text: &str, expected: &str| {
            let mut out = String::new();
            push_escaped(text, &mut out);
            assert_eq!(out, expected, "{text:?}");
        };
        check("", "");
        check("a < b && c > d", "a &lt; b &amp;&amp; c &gt; d");
        check("\t\r\n\u{7f}\u{85}\u{10ffff}", "\t\r\n\u{7f}\u{85}\u{10ffff}");
        check("a\0b\x0c\u{ffff}", "a\u{fffd}b\u{fffd}\u{fffd}");
        check("\x1b[1;31mred\x1b[0m \x1b[?25l\x1b[K", "red ");
        check("\x1b[1;31", "\u{fffd}[1;31");
        check("\x1b]0;title\x07", "\u{fffd}]0;title\u{fffd}");
        check("\x1b\x1b[m", "\u{fffd}");
        check("\u{feff}\u{fffe}\u{fffd}<\u{f900}", "\u{feff}\u{fffd}\u{fffd}&lt;\u{f900}");
    }

    #[test]
    fn unfinished_sequences_are_read_once() {
        let mut out = String::new();
        push_escaped(&"\x1b[1;".repeat(200_000), &mut out);
        assert_eq!(out.chars().filter(|c| *c == '\u{fffd}').count(), 200_000);
    }
}
