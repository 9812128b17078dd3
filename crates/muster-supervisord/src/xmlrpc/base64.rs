//! Base64 as Python's `base64` module reads and writes it.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes in one line of text.
const IN_LINE: usize = 57;

/// `encodebytes`: lines of at most 76 characters, each with a line end.
pub(crate) fn encode_lines(bytes: &[u8], out: &mut String) {
    for line in bytes.chunks(IN_LINE) {
        line.chunks(3).for_each(|group| push_group(group, out));
        out.push('\n');
    }
}

fn push_group(group: &[u8], out: &mut String) {
    let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
        let letter = ALPHABET[(bits >> shift & 63) as usize];
        out.push(if at <= group.len() { char::from(letter) } else { '=' });
    }
}

/// `decodebytes`: other characters are skipped, and padding ends the text. `None` where Python raises an error.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut letters, mut pads) = (0u32, 0, 0);
    for letter in text.bytes() {
        if letter == b'=' {
            pads += 1;
            if letters >= 2 && letters + pads >= 4 {
                return Some(bytes);
            }
            continue;
        }
        let Some(value) = value_of(letter) else { continue };
        pads = 0;
        bits = bits << 6 | value;
        letters = (letters + 1) % 4;
        match letters {
            1 => {}
            2 => bytes.push((bits >> 4) as u8),
            3 => bytes.push((bits >> 2) as u8),
            _ => bytes.push(bits as u8),
        }
    }
    (letters == 0).then_some(bytes)
}

fn value_of(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_a_round_trip() {
        for length in 0..200u8 {
            let bytes: Vec<u8> = (0..length).map(|at| at.wrapping_mul(83)).collect();
            let mut text = String::new();
            encode_lines(&bytes, &mut text);
            assert!(text.lines().all(|line| line.len() <= 76));
            assert_eq!(decode(&text), Some(bytes));
        }
    }

    /// Each answer is that of Python 3.11.
    #[test]
    fn odd_texts_are_read_as_python_does() {
        let check = |text: &str, expected: Option<&[u8]>| assert_eq!(decode(text).as_deref(), expected, "{text:?}");
        check("", Some(b""));
        check("aGk=", Some(b"hi"));
        check(" aG\nk = ", Some(b"hi"));
        check("aG!k*=", Some(b"hi"));
        check("aGk=aGk=", Some(b"hi"));
        check("aA==", Some(b"h"));
        check("=aGk=", Some(b"hi"));
        check("aGk", None);
        check("aA=", None);
        check("a", None);
        check("====", Some(b""));
        check("a=A==", Some(b"h"));
    }
}
