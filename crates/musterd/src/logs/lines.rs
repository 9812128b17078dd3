//! Bytes into whole lines with a name in front.
//!
//! A line is passed on when it is complete, so that lines of several programs never mix. Of a line that does not end, at
//! most [`LONGEST`] bytes are kept: it goes out in parts, and the parts after the first are marked with `+` instead of `|`.
//! Bytes are never changed: colours, carriage returns, NULs and invalid UTF-8 pass as they are.

use memchr::memchr;

/// The longest line, in bytes, that goes out in one piece.
pub(super) const LONGEST: usize = 64 * 1024;

/// The lines of one stream.
#[derive(Debug)]
pub(super) struct Lines {
    name: Vec<u8>,
    partial: Vec<u8>,
    is_continued: bool,
}

impl Lines {
    pub(super) fn named(name: &str) -> Lines {
        Lines { name: name.as_bytes().to_vec(), partial: Vec::new(), is_continued: false }
    }

    /// Takes the next bytes in and appends every line that is complete with them to `out`.
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end + 1);
            self.put_prefix(out);
            out.append(&mut self.partial);
            out.extend_from_slice(line);
            self.is_continued = false;
            bytes = rest;
        }
        self.keep(bytes, out);
    }

    /// Keeps the beginning of a line, and passes it on in parts once it is too long to be kept.
    fn keep(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while self.partial.len() + bytes.len() > LONGEST {
            let (fits, rest) = bytes.split_at(LONGEST - self.partial.len());
            self.partial.extend_from_slice(fits);
            self.put_part(out);
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
    }

    /// The stream has ended: a last line without an end goes out with one.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            self.put_part(out);
            self.is_continued = false;
        }
    }

    fn put_part(&mut self, out: &mut Vec<u8>) {
        self.put_prefix(out);
        out.append(&mut self.partial);
        out.push(b'\n');
        self.is_continued = true;
    }

    fn put_prefix(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.name);
        out.extend_from_slice(if self.is_continued { b" + " } else { b" | " });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of a stream that is read in these pieces.
    fn told(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut lines, mut out) = (Lines::named("web"), Vec::new());
        pieces.iter().for_each(|piece| lines.push(piece, &mut out));
        lines.end(&mut out);
        out
    }

    #[test]
    fn lines_are_whole_however_they_are_read() {
        let expected = b"web | one\nweb | \nweb | two\n";
        assert_eq!(told(&[b"one\n\ntwo\n"]), expected);
        assert_eq!(told(&[b"on", b"e", b"\n\nt", b"wo", b"\n"]), expected);
        assert_eq!(told(&[b"one\n\ntwo"]), expected, "a last line without an end");
    }

    #[test]
    fn no_byte_of_a_line_is_changed() {
        assert_eq!(told(&[b"\x1b[31mred\r\0\xff\n"]), b"web | \x1b[31mred\r\0\xff\n");
    }

    #[test]
    fn nothing_comes_out_before_a_line_is_complete() {
        let (mut lines, mut out) = (Lines::named("web"), Vec::new());
        lines.push(b"no end yet", &mut out);
        assert_eq!(out, b"");
    }

    #[test]
    fn a_line_without_end_goes_out_in_marked_parts() {
        let long = vec![b'x'; 2 * LONGEST + 10];
        let mut expected = Vec::new();
        for (mark, length) in [('|', LONGEST), ('+', LONGEST), ('+', 10)] {
            expected.extend_from_slice(format!("web {mark} {}\n", "x".repeat(length)).as_bytes());
        }
        expected.extend_from_slice(b"web | short\n");
        assert_eq!(told(&[&long, b"\nshort\n"]), expected);
        let (mut lines, mut out) = (Lines::named("web"), Vec::new());
        lines.push(&long, &mut out);
        assert!(lines.partial.len() <= LONGEST);
    }
}
