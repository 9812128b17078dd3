//! Formats bytes as whole console lines: `web | line`, a JSON object per line, or the bytes themselves.
//!
//! A line is passed on when it is complete, so that lines of several programs never mix. Of an incomplete line at
//! most [`LONGEST`] bytes are kept ([`LONGEST_RAW`] of raw ones): it is written in parts, and the parts after the first are
//! marked (`web + rest`, or `"part":2`). The beginning of a line whose stream is silent is emitted, too: as text and raw
//! without a newline, so that the rest can follow it ([`Lines::continuation`] handles output that came in between).
//! As text, a line keeps its colours but no other terminal sequences ([`visible`]), which could
//! forge or hide other programs' lines. Raw bytes are never changed; [`json`](super::json) handles bytes that JSON cannot represent.

use std::ops::Range;
use std::time::SystemTime;

use memchr::{memchr_iter, memrchr};
use muster_api::{Timestamp, visible};
use muster_spec::LineFormat;
use muster_sys::local_time;

use super::Source;
use super::json;

/// The longest line, in bytes, that is written in one piece.
pub(super) const LONGEST: usize = 64 * 1024;

/// The longest piece of a raw line, which cannot be marked as a part, and of a line in a shared file.
pub(super) const LONGEST_RAW: usize = 1024 * 1024;

/// The lines of one stream of one run.
#[derive(Debug)]
pub(super) struct Lines {
    form: Form,
    partial: Vec<u8>,
    /// How many parts of the incomplete line have been emitted.
    parts: u64,
    /// Whether the last of them had no newline, so that the rest belongs directly behind it.
    is_open: bool,
    /// Maximum number of bytes kept of a line.
    most: usize,
}

/// The decoration of a line.
#[derive(Debug)]
enum Form {
    Text {
        prefix: Prefix,
        timestamps: bool,
    },
    Json {
        head: Vec<u8>,
    },
    Raw,
    /// The bytes as they come: nothing is kept, added or left out.
    Verbatim,
}

/// The format of a stream's lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) format: LineFormat,
    pub(super) timestamps: bool,
    pub(super) colour: bool,
}

impl Style {
    /// A formatter for lines of this stream.
    pub(super) fn lines_of(self, name: &str, source: Source, run: u64) -> Lines {
        let form = match self.format {
            LineFormat::Text => Form::Text { prefix: Prefix::of(name, self.colour), timestamps: self.timestamps },
            LineFormat::Json => Form::Json { head: json::head(name, source, run) },
            LineFormat::Raw => Form::Raw,
        };
        Lines { form, partial: Vec::new(), parts: 0, is_open: false, most: LONGEST }
    }
}

impl Lines {
    /// The bytes of a stream as they come.
    pub(super) fn verbatim() -> Lines {
        Lines { form: Form::Verbatim, partial: Vec::new(), parts: 0, is_open: false, most: LONGEST }
    }
}

/// The name and separator, padded with zeros to a whole number of blocks.
#[derive(Debug)]
struct Prefix {
    padded: Box<[u8]>,
    length: usize,
}

impl Prefix {
    /// The name, in a colour derived from it. Resets any attributes that the previous line left on.
    fn of(name: &str, colour: bool) -> Prefix {
        let text = if colour {
            let sum = name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
            format!("\x1b[0;{}m{name} |\x1b[0m ", 31 + sum % 6)
        } else {
            format!("{name} | ")
        };
        let (length, mut padded) = (text.len(), text.into_bytes());
        padded.resize(length.next_multiple_of(BLOCK), 0);
        Prefix { padded: padded.into_boxed_slice(), length }
    }

    fn put(&self, out: &mut Vec<u8>) {
        append(out, &self.padded, 0..self.length);
    }

    /// Appends the prefix of the second and later parts of a line.
    fn put_continued(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.put(out);
        if let Some(mark) = memrchr(b'|', &out[start..]) {
            out[start + mark] = b'+';
        }
    }
}

/// Short pieces are copied in blocks of a fixed size and then truncated. Per line this costs a
/// fraction of a memcpy call, which has a slow start in some C libraries.
const BLOCK: usize = 32;
const FEW_BLOCKS: usize = 8;

fn append(out: &mut Vec<u8>, bytes: &[u8], piece: Range<usize>) {
    let blocks = piece.len().div_ceil(BLOCK);
    match bytes.get(piece.start..piece.start + blocks * BLOCK) {
        Some(whole) if blocks <= FEW_BLOCKS => {
            let length = out.len() + piece.len();
            whole.as_chunks::<BLOCK>().0.iter().for_each(|block| out.extend_from_slice(block));
            out.truncate(length);
        }
        _ => out.extend_from_slice(&bytes[piece]),
    }
}

impl Lines {
    /// Consumes bytes and appends every complete line to `out`. Returns the number of lines.
    pub(super) fn push(&mut self, bytes: &[u8], at: SystemTime, out: &mut Vec<u8>) -> u64 {
        match self.form {
            Form::Raw => return self.push_raw(bytes, out),
            Form::Verbatim => {
                out.extend_from_slice(bytes);
                return memchr_iter(b'\n', bytes).count() as u64;
            }
            Form::Text { .. } | Form::Json { .. } => {}
        }
        let stamp = self.stamp(at);
        // Room for some prefixes, so that it rarely grows later.
        out.reserve(bytes.len() + bytes.len() / 4);
        let (mut start, mut count) = (0, 0);
        let is_plain = visible::is_plain(bytes);
        for end in memchr_iter(b'\n', bytes) {
            match &self.form {
                // The common case for a program that writes much.
                Form::Text { prefix, .. }
                    if is_plain
                        && self.partial.is_empty()
                        && self.parts == 0
                        && !self.is_open
                        && end - start <= LONGEST =>
                {
                    out.extend_from_slice(&stamp);
                    prefix.put(out);
                    append(out, bytes, start..end + 1);
                }
                _ => self.put_rest(&bytes[start..end], &stamp, out),
            }
            start = end + 1;
            count += 1;
        }
        self.keep(&bytes[start..], &stamp, out);
        count
    }

    /// Raw lines have no decoration, so all complete ones are emitted at once.
    fn push_raw(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> u64 {
        let complete = memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        let (lines, rest) = bytes.split_at(complete);
        if !lines.is_empty() {
            out.append(&mut self.partial);
            out.extend_from_slice(lines);
            self.is_open = false;
            if self.partial.capacity() > LONGEST {
                self.partial = Vec::new();
            }
        }
        self.keep(rest, &[], out);
        memchr_iter(b'\n', lines).count() as u64
    }

    /// Emits the kept beginning and this end as one line.
    fn put_rest(&mut self, end: &[u8], stamp: &[u8], out: &mut Vec<u8>) {
        if self.partial.is_empty() && end.len() <= LONGEST {
            self.put(end, true, stamp, out);
        } else {
            self.keep(end, stamp, out);
            let mut partial = std::mem::take(&mut self.partial);
            self.put(&partial, true, stamp, out);
            partial.clear();
            self.partial = partial;
        }
        self.parts = 0;
    }

    /// Keeps the beginning of a line, and emits it in parts once it is too long.
    fn keep(&mut self, mut bytes: &[u8], stamp: &[u8], out: &mut Vec<u8>) {
        while self.partial.len() + bytes.len() > self.most {
            let (fits, rest) = bytes.split_at(self.most.saturating_sub(self.partial.len()));
            self.partial.extend_from_slice(fits);
            let mut partial = std::mem::take(&mut self.partial);
            self.put(&partial, false, stamp, out);
            self.parts += 1;
            partial.clear();
            self.partial = partial;
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
    }

    /// Sets whether a raw line is kept up to [`LONGEST_RAW`].
    pub(super) fn allow_long(&mut self, is_allowed: bool) {
        self.most = if is_allowed && self.is_raw() { LONGEST_RAW } else { LONGEST };
    }

    pub(super) fn is_raw(&self) -> bool {
        matches!(self.form, Form::Raw)
    }

    /// The number of bytes kept of an incomplete line.
    pub(super) fn kept(&self) -> usize {
        self.partial.len()
    }

    /// The prefix for the rest of a line that cannot follow its emitted beginning, because other output came
    /// in between. `None` if the next bytes begin a line.
    pub(super) fn continuation(&self, at: SystemTime) -> Option<Vec<u8>> {
        if !self.is_open {
            return None;
        }
        let mut front = Vec::new();
        if let Form::Text { prefix, .. } = &self.form {
            front = self.stamp(at);
            prefix.put_continued(&mut front);
        }
        Some(front)
    }

    /// Emits the incomplete line so far: as JSON marked as a part, otherwise without a newline.
    /// The rest may follow later.
    pub(super) fn put_partial(&mut self, at: SystemTime, out: &mut Vec<u8>) {
        // A carriage return may belong to the end of the line; elsewhere a terminal would interpret it.
        let has_return = !self.is_raw() && self.partial.last() == Some(&b'\r');
        let end = self.partial.len() - usize::from(has_return);
        if end == 0 {
            return;
        }
        let stamp = self.stamp(at);
        let partial = std::mem::take(&mut self.partial);
        let line = &partial[..end];
        match &self.form {
            Form::Text { .. } => {
                self.put_front(&stamp, out);
                visible::put_visible(line, out);
                self.is_open = true;
            }
            Form::Json { .. } | Form::Raw | Form::Verbatim => self.put(line, false, &stamp, out),
        }
        self.parts += 1;
        self.partial.extend_from_slice(&partial[end..]);
    }

    /// The run has ended, but other processes may still write to its stream: as text, an open line ends here.
    pub(super) fn deliver(&mut self, at: SystemTime, out: &mut Vec<u8>) {
        self.put_partial(at, out);
        if matches!(self.form, Form::Text { .. }) && std::mem::take(&mut self.is_open) {
            out.push(b'\n');
        }
    }

    /// The stream has ended: an incomplete last line gets a newline.
    pub(super) fn end(&mut self, at: SystemTime, out: &mut Vec<u8>) {
        if !self.partial.is_empty() || self.is_open {
            let stamp = self.stamp(at);
            self.put_rest(&[], &stamp, out);
        }
        self.parts = 0;
        // A single line can be large, and the next stream has its own buffer.
        self.partial = Vec::new();
    }

    /// Appends a piece of a line, up to the line's end or a part of it.
    fn put(&mut self, line: &[u8], is_last: bool, stamp: &[u8], out: &mut Vec<u8>) {
        match &self.form {
            // Its beginning already got its newline.
            Form::Text { .. } if line.is_empty() && self.parts > 0 && !self.is_open => {}
            Form::Text { .. } => {
                self.put_front(stamp, out);
                visible::put_visible(line, out);
                out.push(b'\n');
                self.is_open = false;
            }
            Form::Json { head } => json::put(head, line, part(self.parts, is_last), stamp, out),
            Form::Raw | Form::Verbatim => {
                out.extend_from_slice(line);
                if is_last {
                    out.push(b'\n');
                }
                self.is_open = !is_last;
            }
        }
    }

    /// Appends the prefix of a piece of text, unless it follows one without a newline.
    fn put_front(&self, stamp: &[u8], out: &mut Vec<u8>) {
        if let Form::Text { prefix, .. } = &self.form
            && !self.is_open
        {
            out.extend_from_slice(stamp);
            if self.parts > 0 { prefix.put_continued(out) } else { prefix.put(out) }
        }
    }

    /// The timestamp in front of a line; empty if there is none.
    fn stamp(&self, at: SystemTime) -> Vec<u8> {
        match self.form {
            Form::Text { timestamps: true, .. } => {
                let at = Timestamp::from(at);
                format!("{} ", at.in_zone(local_time::offset(at.unix_ms().div_euclid(1000)))).into_bytes()
            }
            Form::Json { .. } => Timestamp::from(at).to_string().into_bytes(),
            Form::Text { .. } | Form::Raw | Form::Verbatim => Vec::new(),
        }
    }
}

/// A part of a line that is not written whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// From 1.
    pub(super) number: u64,
    pub(super) is_last: bool,
}

fn part(parts_before: u64, is_last: bool) -> Option<Part> {
    (parts_before > 0 || !is_last).then_some(Part { number: parts_before + 1, is_last })
}

#[cfg(test)]
mod tests;
