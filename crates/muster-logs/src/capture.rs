//! Finds the text between supervisord's two tokens in a stream.
//!
//! A token may be cut by reads: a beginning of one is withheld until the rest has been read, and nothing else is. The
//! original withholds, and loses at the exit, whatever is shorter than a token.

use memchr::memmem::find;

const BEGIN: &[u8] = b"<!--XSUPERVISOR:BEGIN-->";
const END: &[u8] = b"<!--XSUPERVISOR:END-->";

/// A part of a stream, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Text outside of the tokens.
    Plain(&'a [u8]),
    /// Text between them, as it is read.
    Inside(&'a [u8]),
    /// The end token: this was between them, or as much of its end as is kept.
    Captured(Vec<u8>),
}

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Capture {
    /// How much is kept of a text.
    most: usize,
    /// The text since a begin token.
    captured: Option<Vec<u8>>,
    /// Perhaps the beginning of a token.
    held: Vec<u8>,
}

impl Capture {
    pub(super) fn keeping(most: usize) -> Capture {
        Capture { most, captured: None, held: Vec::new() }
    }

    /// Passes on what was read, in parts.
    pub(super) fn take(&mut self, read: &[u8], mut each: impl FnMut(Part<'_>)) {
        let mut joined = std::mem::take(&mut self.held);
        let mut rest = match joined.is_empty() {
            true => read,
            false => {
                joined.extend_from_slice(read);
                &joined
            }
        };
        loop {
            let token = if self.captured.is_some() { END } else { BEGIN };
            let Some(at) = find(rest, token) else { break };
            self.pass(&rest[..at], &mut each);
            match self.captured.take() {
                Some(captured) => each(Part::Captured(captured)),
                None => self.captured = Some(Vec::new()),
            }
            rest = &rest[at + token.len()..];
        }
        let token = if self.captured.is_some() { END } else { BEGIN };
        let (text, begun) = rest.split_at(rest.len() - begun(rest, token));
        self.pass(text, &mut each);
        self.held = begun.to_vec();
    }

    /// The stream has ended: what was withheld is text, and so is what no end token followed.
    pub(super) fn end(mut self, mut each: impl FnMut(Part<'_>)) {
        let held = std::mem::take(&mut self.held);
        self.pass(&held, &mut each);
        if let Some(captured) = self.captured {
            each(Part::Plain(&captured));
        }
    }

    fn pass(&mut self, text: &[u8], each: &mut impl FnMut(Part<'_>)) {
        match &mut self.captured {
            _ if text.is_empty() => {}
            Some(captured) => {
                each(Part::Inside(text));
                captured.extend_from_slice(&text[text.len().saturating_sub(self.most)..]);
                captured.drain(..captured.len().saturating_sub(self.most));
            }
            None => each(Part::Plain(text)),
        }
    }
}

/// How many of the last bytes may be the beginning of this token.
fn begun(text: &[u8], token: &[u8]) -> usize {
    let longest = text.len().min(token.len() - 1);
    (1..=longest).rev().find(|&length| text.ends_with(&token[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text outside, all that was inside, and the captured texts.
    fn captured<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, most: usize) -> (String, String, Vec<String>) {
        let mut capture = Capture::keeping(most);
        let (mut plain, mut inside, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        let mut each = |part: Part<'_>| match part {
            Part::Plain(text) => plain.extend_from_slice(text),
            Part::Inside(text) => inside.extend_from_slice(text),
            Part::Captured(text) => texts.push(String::from_utf8(text).unwrap()),
        };
        for piece in pieces {
            capture.take(piece, &mut each);
            assert!(capture.captured.as_ref().is_none_or(|captured| captured.len() <= most));
        }
        capture.end(&mut each);
        (String::from_utf8(plain).unwrap(), String::from_utf8(inside).unwrap(), texts)
    }

    #[test]
    fn tokens_are_found_wherever_a_read_cuts_them() {
        let whole =
            b"a<!--XSUPERVISOR:BEGIN-->one<!--XSUPERVISOR:END-->b<<!--X<!--XSUPERVISOR:BEGIN--><!--XSUPERVISOR:END-->\
            <!--XSUPERVISOR:BEGIN-->t<!--XSUPERVISOR:BEGIN-->wo<!--XSUPERVISOR:END-->c\n<!--XSUPERVISOR:END";
        let texts = ["one", "", "t<!--XSUPERVISOR:BEGIN-->wo"].map(str::to_owned).to_vec();
        let expected = ("ab<<!--Xc\n<!--XSUPERVISOR:END".to_owned(), texts.concat(), texts);
        for size in 1..=whole.len() {
            assert_eq!(captured(whole.chunks(size), 1000), expected, "pieces of {size}");
        }
    }

    #[test]
    fn the_end_of_a_long_text_is_kept() {
        let whole = b"<!--XSUPERVISOR:BEGIN-->0123456789<!--XSUPERVISOR:END-->";
        for size in 1..=whole.len() {
            let (_, inside, texts) = captured(whole.chunks(size), 4);
            assert_eq!((inside.as_str(), texts), ("0123456789", vec!["6789".to_owned()]), "pieces of {size}");
        }
    }

    #[test]
    fn nothing_is_lost_at_the_end() {
        for text in ["short", "<!--XSUPERVISOR:BEG", "x<"] {
            assert_eq!(captured([text.as_bytes()], 10).0, text);
        }
        assert_eq!(captured([&b"<!--XSUPERVISOR:BEGIN-->unended <!--"[..]], 100).0, "unended <!--");
    }
}
