//! Python's notions of text, as far as the original's reader and its messages depend on them.

/// Whether `str.isspace` holds for this character: Unicode's white space and the four ASCII separators.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `str.strip()`.
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.rstrip()`.
pub fn strip_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// `repr(str)`.
pub fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => push_escape(&mut out, c),
        }
    }
    out.push(quote);
    out
}

/// `ascii(str)`: as [`repr`], with everything beyond ASCII escaped.
pub fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for c in repr(text).chars() {
        if c.is_ascii() { out.push(c) } else { push_escape(&mut out, c) }
    }
    out
}

/// `repr(bytes)`.
pub fn bytes_repr(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { b'"' } else { b'\'' };
    let mut out = String::with_capacity(bytes.len() + 3);
    out.extend(['b', char::from(quote)]);
    for &byte in bytes {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            byte if byte == quote => out.extend(['\\', char::from(quote)]),
            b' '..=b'~' => out.push(char::from(byte)),
            byte => push_escape(&mut out, char::from(byte)),
        }
    }
    out.push(char::from(quote));
    out
}

fn push_escape(out: &mut String, c: char) {
    let code = u32::from(c);
    let escape = match code {
        0..=0xff => format!("\\x{code:02x}"),
        0x100..=0xffff => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    };
    out.push_str(&escape);
}

/// `str.isprintable` for one character. Rust's debug form escapes the same categories; only behind another character
/// does it leave a combining mark as it is.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    let behind = String::from_iter(['a', c]);
    behind.escape_debug().nth(1) == Some(c)
}

/// `int(text)`, held at the ends of `i64`; `None` where Python raises ValueError.
pub fn int(text: &str) -> Option<i64> {
    let (negative, digits) = sign(strip(text));
    digits_in(10, digits, negative)
}

/// `int(text, 8)`, held at the ends of `i64`.
pub fn octal(text: &str) -> Option<i64> {
    let (negative, digits) = sign(strip(text));
    let prefixed = digits.strip_prefix("0o").or_else(|| digits.strip_prefix("0O"));
    let digits = match prefixed {
        Some(rest) => rest.strip_prefix('_').unwrap_or(rest),
        None => digits,
    };
    digits_in(8, digits, negative)
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Digits with single underscores between them.
fn digits_in(base: u32, text: &str, negative: bool) -> Option<i64> {
    let mut value: i64 = 0;
    let mut after_digit = false;
    for c in text.chars() {
        if c == '_' {
            if !after_digit {
                return None;
            }
            after_digit = false;
            continue;
        }
        let digit = i64::from(decimal(c).filter(|digit| *digit < base)?);
        let digit = if negative { -digit } else { digit };
        value = value.saturating_mul(i64::from(base)).saturating_add(digit);
        after_digit = true;
    }
    after_digit.then_some(value)
}

/// The value of a decimal digit of any script (Unicode's category Nd, as of Python 3.11).
pub fn decimal(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    let code = u32::from(c);
    let zero = ZEROS[..ZEROS.partition_point(|zero| *zero <= code)].last()?;
    Some(code - zero).filter(|digit| *digit < 10)
}

/// The zeros of all scripts but ASCII.
const ZEROS: [u32; 65] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20,
    0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0,
    0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0,
    0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0,
    0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn representations_are_python_s() {
        let check = |text: &str, expected: &str| assert_eq!(repr(text), expected);
        check("a", "'a'");
        check("it's", "\"it's\"");
        check("it's \"x\"", "'it\\'s \"x\"'");
        check("a\\b\n\r\t", "'a\\\\b\\n\\r\\t'");
        check("\x07\u{7f}\u{a0}\u{feff}\u{e000}", "'\\x07\\x7f\\xa0\\ufeff\\ue000'");
        check("ü\u{301}\u{1f600}\u{e0001}", "'ü\u{301}\u{1f600}\\U000e0001'");
        assert_eq!(bytes_repr(b"a'\\\n\x00\xe9"), "b\"a'\\\\\\n\\x00\\xe9\"");
        assert_eq!(bytes_repr(b"READY\n"), "b'READY\\n'");
        assert_eq!(bytes_repr(b"'\""), "b'\\'\"'");
        assert_eq!(ascii("ü€\u{1f600}'"), "\"\\xfc\\u20ac\\U0001f600'\"");
    }

    #[test]
    fn representations_of_bytes_are_python_s() {
        assert_eq!(bytes_repr(b"a'\"\\\n\t\r\x00\xff"), r#"b'a\'"\\\n\t\r\x00\xff'"#);
        assert_eq!(bytes_repr(b"it's"), "b\"it's\"");
    }

    #[test]
    fn whole_numbers_are_read_as_int_does() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(int(text), expected, "{text:?}");
        check(" 7\n", Some(7));
        check("+5", Some(5));
        check("-3", Some(-3));
        check("010", Some(10));
        check("1_0", Some(10));
        check("\u{663}", Some(3));
        check("\u{1fbf9}", Some(9));
        check("99999999999999999999", Some(i64::MAX));
        check("-99999999999999999999", Some(i64::MIN));
        for wrong in ["", " ", "0.5", "0x10", "0o10", "1__0", "_1", "1_", "+-1", "1 0", "- 1", "½", "a"] {
            check(wrong, None);
        }
    }

    #[test]
    fn octal_numbers_are_read_as_int_does() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(octal(text), expected, "{text:?}");
        check("022", Some(18));
        check("22", Some(18));
        check("0o22", Some(18));
        check("0o_22", Some(18));
        check("-1", Some(-1));
        check("01777", Some(1023));
        for wrong in ["", "9", "0x1", "0o", "0o-1", "0o__1", "8"] {
            check(wrong, None);
        }
    }

    #[test]
    fn white_space_is_python_s() {
        assert_eq!(strip("\u{a0}\x0c\u{85}\x1fa b\x1c\u{3000}"), "a b");
        assert_eq!(strip("\u{200b}a"), "\u{200b}a");
    }
}
