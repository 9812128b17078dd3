//! Percent-encoding (RFC 3986, section 2.1) of path segments and query values.

use std::fmt::Write;

/// Appends `text` to `path`, encoding all characters that are special in a path or query.
///
/// `*`, `:` and `,` stay as they are, since selectors contain them and both places allow them.
pub(crate) fn encode(path: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~*:,".contains(&byte) {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
}

/// Decodes `encoded`; `None` if an escape is truncated or not hexadecimal, or the bytes are not valid UTF-8.
pub(crate) fn decode(encoded: &str) -> Option<String> {
    if !encoded.contains('%') {
        return Some(encoded.to_owned());
    }
    let mut bytes = encoded.bytes();
    let mut decoded = Vec::with_capacity(encoded.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' { hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)? } else { byte });
    }
    String::from_utf8(decoded).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str) -> String {
        let mut path = String::new();
        encode(&mut path, text);
        path
    }

    #[test]
    fn selectors_stay_readable_and_everything_else_is_escaped() {
        for (text, expected) in [
            ("web:*", "web:*"),
            ("a,b-c_d.e", "a,b-c_d.e"),
            ("w?b", "w%3Fb"),
            ("a/b c%", "a%2Fb%20c%25"),
            ("gr\u{fc}n", "gr%C3%BCn"),
        ] {
            assert_eq!(encoded(text), expected);
            assert_eq!(decode(expected).as_deref(), Some(text));
        }
    }

    #[test]
    fn broken_escapes_are_refused() {
        for text in ["%", "%4", "%zz", "%+1", "%C3", "%FF%FE", "a%2"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn small_letters_and_needless_escapes_are_read() {
        assert_eq!(decode("%77%65b%3f").as_deref(), Some("web?"));
    }
}
