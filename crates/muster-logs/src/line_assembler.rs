//! Reassembles pieces of output into lines, for readers of the memory.
//!
//! A line is returned when it is complete, with the time at which its end was read, so the lines of a stream are in
//! chronological order. If the stream is silent, the line is returned as far as it is there, and its rest, which may be empty, when
//! it arrives. If a reader missed the beginning of a line, its rest is skipped up to the next newline. Bytes are never
//! changed. A line that does not end is returned in parts of [`LONGEST`] bytes. The console uses `console_format.rs` instead.

use memchr::memchr;

use super::Source;
use super::console_format::LONGEST;
use super::ring::Piece;

/// A line, or a part of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The stream it was written to.
    pub source: Source,
    /// The run that wrote it.
    pub run: u64,
    /// When its end was read, in microseconds since 1970.
    pub at: u64,
    /// Without its newline.
    pub text: &'a [u8],
    /// Whether a newline ended it: false for all parts of a long line except the last, and for an incomplete last line of a run.
    pub is_ended: bool,
}

/// The lines of one instance.
#[derive(Debug, Default)]
pub struct LineAssembler {
    open: [Option<Open>; 2],
    /// Whether the rest of a line is returned as a line: the gap before it was reported.
    after_gap: [bool; 2],
}

#[derive(Debug)]
struct Open {
    run: u64,
    at: u64,
    text: Vec<u8>,
}

impl LineAssembler {
    /// Consumes the next piece and returns every line that it completes.
    pub fn push(&mut self, piece: &Piece, mut bytes: &[u8], out: &mut dyn FnMut(Line<'_>)) {
        let place = piece.source as usize;
        let is_continued = self.open[place].as_ref().is_some_and(|open| open.run == piece.run) && !piece.starts_line;
        if !is_continued {
            self.finish_one(piece.source, out);
            if !std::mem::take(&mut self.after_gap[place]) && !piece.starts_line {
                let Some(end) = memchr(b'\n', bytes) else { return };
                bytes = &bytes[end + 1..];
            }
        }
        while let Some(end) = memchr(b'\n', bytes) {
            self.hand_out(piece, &bytes[..end], true, out);
            bytes = &bytes[end + 1..];
        }
        if !bytes.is_empty() {
            self.keep(piece, bytes, out);
        }
    }

    /// Handles a gap. Returns incomplete lines, and what is read next whether it begins a line or not.
    pub fn pass_gap(&mut self, out: &mut dyn FnMut(Line<'_>)) {
        self.finish(out);
        self.after_gap = [true; 2];
    }

    /// Returns incomplete lines.
    pub fn finish(&mut self, out: &mut dyn FnMut(Line<'_>)) {
        self.finish_one(Source::Stdout, out);
        self.finish_one(Source::Stderr, out);
    }

    /// The stream is silent: returns its line so far, as a part. The rest follows later.
    pub fn give_out(&mut self, source: Source, out: &mut dyn FnMut(Line<'_>)) {
        if let Some(open) = &mut self.open[source as usize]
            && !open.text.is_empty()
        {
            out(Line { source, run: open.run, at: open.at, text: &open.text, is_ended: false });
            open.text.clear();
        }
    }

    fn finish_one(&mut self, source: Source, out: &mut dyn FnMut(Line<'_>)) {
        if let Some(Open { run, at, text }) = self.open[source as usize].take()
            && !text.is_empty()
        {
            out(Line { source, run, at, text: &text, is_ended: false });
        }
    }

    fn keep(&mut self, piece: &Piece, mut bytes: &[u8], out: &mut dyn FnMut(Line<'_>)) {
        loop {
            let open = self.open[piece.source as usize].get_or_insert_with(|| Open {
                run: piece.run,
                at: piece.at,
                text: Vec::new(),
            });
            open.at = piece.at;
            let room = LONGEST - open.text.len();
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            if rest.is_empty() {
                return open.text.extend_from_slice(fits);
            }
            self.hand_out(piece, fits, false, out);
            bytes = rest;
        }
    }

    fn hand_out(&mut self, piece: &Piece, end: &[u8], is_ended: bool, out: &mut dyn FnMut(Line<'_>)) {
        let open = &mut self.open[piece.source as usize];
        let line = |text| Line { source: piece.source, run: piece.run, at: piece.at, text, is_ended };
        match open {
            Some(begun) if !begun.text.is_empty() => {
                begun.text.extend_from_slice(end);
                out(line(&begun.text));
                begun.text.clear();
            }
            _ => out(line(end)),
        }
        if is_ended {
            *open = None;
        } else {
            // The rest of this line continues from here.
            open.get_or_insert_with(|| Open { run: piece.run, at: piece.at, text: Vec::new() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(source: Source, run: u64, starts_line: bool) -> Piece {
        Piece { source, run, at: 0, starts_line, length: 0 }
    }

    /// The lines returned: `|` for the end of a line, `+` if it has none.
    fn joined(pieces: &[(Source, u64, bool, &str)]) -> Vec<String> {
        let (mut assembler, mut found) = (LineAssembler::default(), Vec::new());
        let mut put = |line: Line<'_>| {
            let end = if line.is_ended { '|' } else { '+' };
            found.push(format!("{}{end}", String::from_utf8_lossy(line.text)));
        };
        for (source, run, starts_line, text) in pieces {
            assembler.push(&piece(*source, *run, *starts_line), text.as_bytes(), &mut put);
        }
        assembler.finish(&mut put);
        found
    }

    use Source::{Stderr, Stdout};

    #[test]
    fn lines_are_whole_however_they_are_read_and_streams_do_not_mix() {
        let pieces = [
            (Stdout, 1, true, "one\ntw"),
            (Stderr, 1, true, "err"),
            (Stdout, 1, false, "o\n\nend"),
            (Stderr, 1, false, "or\n"),
        ];
        assert_eq!(joined(&pieces), ["one|", "two|", "|", "error|", "end+"]);
    }

    #[test]
    fn the_line_of_a_silent_stream_comes_out_in_parts() {
        let (mut assembler, mut found) = (LineAssembler::default(), Vec::new());
        let mut put = |line: Line<'_>| found.push((String::from_utf8_lossy(line.text).into_owned(), line.is_ended));
        assembler.give_out(Stdout, &mut put);
        assembler.push(&piece(Stdout, 1, true), b"one\nhalf", &mut put);
        assembler.push(&piece(Stderr, 1, true), b"prompt> ", &mut put);
        for _ in 0..2 {
            assembler.give_out(Stdout, &mut put);
        }
        assembler.push(&piece(Stdout, 1, false), b" a line\nnext", &mut put);
        assembler.give_out(Stdout, &mut put);
        assembler.push(&piece(Stdout, 1, false), b"\n", &mut put);
        assembler.finish(&mut put);
        let expected =
            [("one", true), ("half", false), (" a line", true), ("next", false), ("", true), ("prompt> ", false)];
        assert_eq!(found, expected.map(|(text, is_ended)| (text.to_owned(), is_ended)));
    }

    #[test]
    fn a_line_without_its_beginning_is_left_out() {
        assert_eq!(joined(&[(Stdout, 1, false, "half"), (Stdout, 1, false, " a line\nwhole\n")]), ["whole|"]);
    }

    #[test]
    fn after_a_gap_the_rest_of_a_line_is_there() {
        let (mut assembler, mut found) = (LineAssembler::default(), Vec::new());
        let mut put = |line: Line<'_>| found.push(String::from_utf8_lossy(line.text).into_owned());
        assembler.push(&piece(Stdout, 1, true), b"begun", &mut put);
        assembler.pass_gap(&mut put);
        assembler.push(&piece(Stdout, 1, false), b" end\nnext\n", &mut put);
        assert_eq!(found, ["begun", " end", "next"]);
    }

    #[test]
    fn another_run_does_not_go_on_with_the_line_of_the_last() {
        assert_eq!(joined(&[(Stdout, 1, true, "no end"), (Stdout, 2, true, "new\n")]), ["no end+", "new|"]);
    }

    #[test]
    fn a_line_without_end_comes_out_in_parts() {
        let long = "x".repeat(LONGEST + 10);
        let lines = joined(&[(Stdout, 1, true, &long), (Stdout, 1, false, "end\nnext\n")]);
        let expected = [format!("{}+", "x".repeat(LONGEST)), format!("{}end|", "x".repeat(10)), "next|".to_owned()];
        assert_eq!(lines, expected);
    }
}
