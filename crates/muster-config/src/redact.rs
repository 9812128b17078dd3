//! Keeps secrets out of messages: which names look secret, and where their values are in a file's text.
//!
//! A small lexer scans the text rather than the parsed tables, because the line to show may be one that does not parse. It
//! errs on the side of hiding: a needless `***` does no harm.

use std::ops::Range;

/// The text shown in place of a secret.
pub(crate) const MASK: &str = "***";

/// Whether the value under this name looks secret: `*PASSWORD*`, `*TOKEN*`, `*SECRET*`, `*KEY*` and the like in any case,
/// `PASS`, `AUTH` and the like as a word of it, and the headers `Authorization` and `Cookie`.
pub fn is_secret(name: &str) -> bool {
    const MARKS: [&[u8]; 9] = [
        b"PASSWORD",
        b"PASSWD",
        b"PASSPHRASE",
        b"TOKEN",
        b"SECRET",
        b"KEY",
        b"AUTHORIZATION",
        b"CREDENTIAL",
        b"COOKIE",
    ];
    const WORDS: [&str; 9] = ["PASS", "PW", "PSW", "PWD", "AUTH", "SIG", "SIGNATURE", "JWT", "DSN"];
    let contains = |mark: &[u8]| name.as_bytes().windows(mark.len()).any(|part| part.eq_ignore_ascii_case(mark));
    if MARKS.into_iter().any(contains) {
        return true;
    }
    let is_word = |part: &str| WORDS.iter().any(|word| part.eq_ignore_ascii_case(word));
    // A shell's PWD and OLDPWD are directories.
    !name.eq_ignore_ascii_case("PWD") && name.split(|c: char| !c.is_ascii_alphanumeric()).any(is_word)
}

/// A text with every `NAME=value` of a secret name masked.
pub(crate) fn masked(text: &str) -> String {
    let mut ranges = Vec::new();
    find_assignments(text, 0..text.len(), &mut ranges);
    apply(text, 0..text.len(), &ranges, 0..0).0
}

/// Some lines of a file with its secrets masked, and where a span of the file lies in them.
pub(crate) fn masked_excerpt(
    text: &str,
    lines: Range<usize>,
    secrets: &[Range<usize>],
    span: Range<usize>,
) -> (String, Range<usize>) {
    // They are sorted, so only those within these lines are considered.
    let first = secrets.partition_point(|range| range.end <= lines.start);
    let last = secrets.partition_point(|range| range.start < lines.end);
    apply(text, lines, &secrets[first..last.max(first)], span)
}

/// Copies `part` of `text` with `ranges` masked, and moves `span` along.
fn apply(text: &str, part: Range<usize>, ranges: &[Range<usize>], span: Range<usize>) -> (String, Range<usize>) {
    let clip = |range: &Range<usize>| range.start.max(part.start)..range.end.min(part.end);
    let ranges: Vec<_> = ranges.iter().filter(|r| r.start < part.end && r.end > part.start).map(clip).collect();
    let mut copy = String::with_capacity(part.len());
    let mut at = part.start;
    for range in &ranges {
        copy.push_str(&text[at..range.start]);
        copy.push_str(MASK);
        at = range.end;
    }
    copy.push_str(&text[at..part.end]);
    let clamp = |at: usize| at.clamp(part.start, part.end);
    let start = moved(clamp(span.start), part.start, &ranges, 0);
    let end = moved(clamp(span.end), part.start, &ranges, MASK.len());
    (copy, start..end.max(start))
}

/// Where a byte of the text lies in the copy; one within a masked value goes to `within` of the mask.
fn moved(at: usize, part_start: usize, ranges: &[Range<usize>], within: usize) -> usize {
    let mut copied = 0;
    let mut from = part_start;
    for range in ranges {
        if at <= range.start {
            break;
        }
        copied += range.start - from;
        if at < range.end {
            return copied + within;
        }
        copied += MASK.len();
        from = range.end;
    }
    copied + (at - from)
}

/// Where the values of secret names are in a TOML text, in order.
pub(crate) fn secret_ranges(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let bytes = text.as_bytes();
    let (mut at, mut key_is_secret) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'#' => {
                let end = line_end(bytes, at);
                find_assignments(text, at..end, &mut ranges);
                at = end;
            }
            b'\n' | b',' | b'{' => {
                key_is_secret = false;
                at += 1;
            }
            b'=' if key_is_secret => {
                let value = secret_value(bytes, at + 1);
                at = value.end;
                ranges.push(value);
                key_is_secret = false;
            }
            b'"' | b'\'' => {
                let end = string_end(bytes, at);
                key_is_secret |= is_secret(&text[at..end]) && followed_by_equals(bytes, end);
                find_assignments(text, at..end, &mut ranges);
                at = end;
            }
            byte if is_word(byte) => {
                let end = at + bytes[at..].iter().take_while(|&&byte| is_word(byte)).count();
                key_is_secret |= is_secret(&text[at..end]);
                at = end;
            }
            _ => at += 1,
        }
    }
    ranges
}

fn followed_by_equals(bytes: &[u8], from: usize) -> bool {
    let rest = bytes[from..].iter().find(|byte| !b" \t".contains(byte));
    matches!(rest, Some(b'=' | b'.'))
}

/// The value after an equals sign: a string, a bracketed value, or the rest of the line.
fn secret_value(bytes: &[u8], from: usize) -> Range<usize> {
    let start = from + bytes[from..].iter().take_while(|byte| b" \t".contains(byte)).count();
    let end = match bytes.get(start) {
        Some(b'"' | b'\'') => string_end(bytes, start),
        Some(b'[' | b'{') => bracket_end(bytes, start),
        _ => start + bytes[start..].iter().take_while(|&&byte| is_word(byte) || b"+.:".contains(&byte)).count(),
    };
    // Text right after the value is a mistake, and may be more of the secret.
    let next = bytes[end..].iter().find(|byte| !b" \t".contains(byte));
    let is_clean = next.is_none_or(|byte| b",}]#\r\n".contains(byte));
    start..if is_clean { end } else { line_end(bytes, end) }
}

fn bracket_end(bytes: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b'"' | b'\'' => {
                at = string_end(bytes, at);
                continue;
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    at
}

/// One past the end of the string that begins at `from`; the end of its line, or of the text, where it is not closed.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let quote = bytes[from];
    let triple = [quote; 3];
    if bytes[from..].starts_with(&triple) {
        let mut at = from + 3;
        while at < bytes.len() && !bytes[at..].starts_with(&triple) {
            at += if quote == b'"' && bytes[at] == b'\\' { 2 } else { 1 };
        }
        // Up to two quotes may stand before the closing three.
        let more = bytes.get(at..).map_or(0, |rest| rest.iter().take_while(|&&byte| byte == quote).count());
        return (at + more.min(5)).min(bytes.len());
    }
    let mut at = from + 1;
    while at < bytes.len() && bytes[at] != quote && bytes[at] != b'\n' {
        at += if quote == b'"' && bytes[at] == b'\\' { 2 } else { 1 };
    }
    match bytes.get(at) {
        Some(&byte) if byte == quote => at + 1,
        _ => at.min(bytes.len()),
    }
}

/// Finds `NAME=value` within text that is not TOML: a comment, a command, an environment written as one string.
fn find_assignments(text: &str, part: Range<usize>, ranges: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = part.start;
    while at < part.end {
        let word = bytes[at..part.end].iter().take_while(|&&byte| is_word(byte)).count();
        if word == 0 {
            at += 1;
            continue;
        }
        let name = at..at + word;
        at = name.end;
        let spaces = bytes[at..part.end].iter().take_while(|&&byte| byte == b' ').count();
        if bytes.get(at + spaces) != Some(&b'=') || at + spaces >= part.end || !is_secret(&text[name]) {
            continue;
        }
        let gap = bytes[at + spaces + 1..part.end].iter().take_while(|&&byte| byte == b' ').count();
        let start = at + spaces + 1 + gap;
        at = match bytes[start..part.end].first() {
            Some(b'"' | b'\'') => string_end(bytes, start).min(part.end),
            _ => start + bytes[start..part.end].iter().take_while(|byte| !b" \t,;'\"\r\n".contains(byte)).count(),
        };
        ranges.push(start..at);
    }
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    from + bytes[from..].iter().take_while(|&&byte| byte != b'\n').count()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> String {
        masked_excerpt(text, 0..text.len(), &secret_ranges(text), 0..0).0
    }

    #[test]
    fn names_are_secret_in_any_case() {
        for (name, expected) in [
            ("DB_PASSWORD", true),
            ("token", true),
            ("ApiKey", true),
            ("MY_SECRET_2", true),
            ("PORT", false),
            ("", false),
            ("DB_PASS", true),
            ("SMTP_PASSWD", true),
            ("MYSQL_PWD", true),
            ("PWD", false),
            ("OLDPWD", false),
            ("BYPASS", false),
            ("AUTHOR", false),
        ] {
            assert_eq!(is_secret(name), expected, "{name}");
        }
    }

    #[test]
    fn values_of_secret_keys_are_masked_wherever_they_stand() {
        for (text, expected) in [
            ("API_KEY = \"abc\"\n", "API_KEY = ***\n"),
            (
                "environment = { A = \"1\", DB_PASSWORD = 'x, y', B = 2 }",
                "environment = { A = \"1\", DB_PASSWORD = ***, B = 2 }",
            ),
            ("environment.DB_PASSWORD = \"x\\\"y\" # z", "environment.DB_PASSWORD = *** # z"),
            ("\"my token\" = \"\"\"a\nb\"\"\"\nc = 1", "\"my token\" = ***\nc = 1"),
            ("SECRET = [\"a]\", 'b']\nc = 1", "SECRET = ***\nc = 1"),
            ("TOKEN = abc def # no quotes\nc = 1", "TOKEN = ***\nc = 1"),
            ("environment = \"A=1,API_KEY=abc,B=2\"", "environment = \"A=1,API_KEY=***,B=2\""),
            ("command = \"app --token=abc -v\"", "command = \"app --token=*** -v\""),
            ("# PASSWORD = \"x y\"\nb = 1", "# PASSWORD = ***\nb = 1"),
            ("TOKEN = \"never closed\nb = 1", "TOKEN = ***\nb = 1"),
            ("TOKEN =", "TOKEN ="),
        ] {
            assert_eq!(whole(text), expected);
        }
    }

    #[test]
    fn the_underlined_part_moves_with_the_mask() {
        let text = "a = { TOKEN = \"abcdef\", b = 5 }";
        let at = text.find('5').unwrap();
        let (masked, span) = masked_excerpt(text, 0..text.len(), &secret_ranges(text), at..at + 1);
        assert_eq!((masked.as_str(), &masked[span]), ("a = { TOKEN = ***, b = 5 }", "5"));
        let value = text.find("\"abc").unwrap();
        let (masked, span) = masked_excerpt(text, 0..text.len(), &secret_ranges(text), value..value + 8);
        assert_eq!(&masked[span], MASK);
    }
}
