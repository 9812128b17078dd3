//! Removes terminal sequences from a stream: from `ESC [` up to and including the first byte that ends one.
//!
//! A sequence may be cut by a read: its beginning is withheld until the rest has been read. At most [`MOST`] bytes are
//! withheld; a longer beginning without an end is text.

use std::borrow::Cow;

use memchr::memmem::find;

const BEGIN: &[u8] = b"\x1b[";

/// The bytes that end a sequence.
const ENDS: &[u8] = b"HfABCDRsuJKhlpm";

/// Maximum number of bytes withheld.
const MOST: usize = 64;

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Stripper {
    /// The beginning of a sequence whose end has not been read.
    held: Vec<u8>,
}

impl Stripper {
    /// Returns the text in these bytes, together with what was withheld of earlier ones.
    pub(super) fn strip<'a>(&mut self, read: &'a [u8]) -> Cow<'a, [u8]> {
        if self.held.is_empty() && memchr::memchr(BEGIN[0], read).is_none() {
            return Cow::Borrowed(read);
        }
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(read);
        let (mut text, mut rest) = (Vec::with_capacity(bytes.len()), &bytes[..]);
        while let Some(start) = find(rest, BEGIN) {
            text.extend_from_slice(&rest[..start]);
            rest = &rest[start..];
            match rest.iter().position(|byte| ENDS.contains(byte)) {
                Some(end) => rest = &rest[end + 1..],
                None => break,
            }
        }
        let withheld = withheld(rest);
        text.extend_from_slice(&rest[..rest.len() - withheld]);
        self.held = rest[rest.len() - withheld..].to_vec();
        Cow::Owned(text)
    }

    /// The beginning that was withheld, which no end will follow.
    pub(super) fn rest(self) -> Vec<u8> {
        self.held
    }
}

/// How many of the last bytes may be the beginning of a sequence. The rest of them contains no whole one.
fn withheld(rest: &[u8]) -> usize {
    if rest.starts_with(BEGIN) {
        if rest.len() <= MOST { rest.len() } else { 0 }
    } else {
        usize::from(rest.last() == BEGIN.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result for a stream that is read in these pieces.
    fn stripped<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut stripper = Stripper::default();
        let mut text: Vec<u8> = Vec::new();
        for piece in pieces {
            text.extend_from_slice(&stripper.strip(piece));
            assert!(stripper.held.len() <= MOST);
        }
        text.extend(stripper.rest());
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn sequences_are_removed_wherever_a_read_cuts_them() {
        let whole = "\x1b[1;31mred\x1b[0m and \x1b[2Jclear\x1b[12;40H\nplain \x1b]0;t\x07 \x1b\x1b[K.\n".as_bytes();
        let expected = "red and clear\nplain \x1b]0;t\x07 \x1b.\n";
        assert_eq!(stripped([whole]), expected);
        assert_eq!(stripped(whole.chunks(1)), expected);
        for cut in 0..whole.len() {
            let (first, second) = whole.split_at(cut);
            assert_eq!(stripped([first, second]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn each_final_byte_ends_a_sequence_and_no_other_does() {
        for end in 0x20..0x7f_u8 {
            let text = [b"a\x1b[1", &[end][..], b"mb"].concat();
            let expected = if ENDS.contains(&end) { "amb" } else { "ab" };
            assert_eq!(stripped([&text[..]]), expected, "{}", char::from(end));
        }
    }

    #[test]
    fn a_beginning_without_an_end_is_bounded_and_comes_out_as_it_is() {
        for text in ["half\x1b", "half\x1b[", "half\x1b[1;3"] {
            assert_eq!(stripped([text.as_bytes()]), text);
            assert_eq!(stripped(text.as_bytes().chunks(1)), text);
        }
        let long = format!("\x1b[{}", "1".repeat(10 * MOST));
        assert_eq!(stripped([long.as_bytes()]), long);
        assert_eq!(stripped(long.as_bytes().chunks(7)), long);
    }

    #[test]
    fn text_without_sequences_is_not_copied() {
        assert!(matches!(Stripper::default().strip(b"plain\n"), Cow::Borrowed(b"plain\n")));
    }
}
