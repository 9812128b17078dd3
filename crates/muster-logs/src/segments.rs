//! A log file and its rotated predecessors as pieces of one log, for reading backwards.
//!
//! Each is opened when it is needed, newest first, so that a concurrent rotation does not affect the reader;
//! a file that is found again under its next number is skipped. Compressed ones are read from their beginning as often as
//! necessary. Files that a program put in their place are skipped: they could belong to another user. A disk may be slow, so this
//! runs on a separate thread.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use flate2::bufread::MultiGzDecoder;
use memchr::{memchr_iter, memmem};
use muster_sys::trusted::{Access, Inode, Missing, Refusal, TrustedPlace};

use super::rotate::{Names, compressed, plain};

const BLOCK: usize = 64 * 1024;

/// The limit of a search. The size of files is controlled by the program, and a compressed one may be a thousand times
/// larger than it looks.
pub(super) struct Effort {
    is_wanted: Box<dyn Fn() -> bool>,
    until: Instant,
    left: Cell<u64>,
}

impl Effort {
    /// As long as it is wanted, for this time and this many bytes.
    pub(super) fn bounded(is_wanted: impl Fn() -> bool + 'static, time: Duration, bytes: u64) -> Effort {
        Effort { is_wanted: Box::new(is_wanted), until: Instant::now() + time, left: Cell::new(bytes) }
    }

    /// Counts bytes read. An error if the limit is exceeded.
    fn spend(&self, bytes: usize) -> io::Result<()> {
        let left = self.left.get().checked_sub(bytes as u64);
        self.left.set(left.unwrap_or(0));
        if left.is_none() || Instant::now() > self.until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the search took too long"));
        }
        if (self.is_wanted)() { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    /// Reads to the end.
    fn skip(&self, source: &mut dyn Read) -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        loop {
            match source.read(&mut block) {
                Ok(0) => return Ok(()),
                Ok(count) => self.spend(count)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// One file of a log.
pub(super) struct Segment {
    effort: Rc<Effort>,
    file: File,
    is_compressed: bool,
    size: u64,
}

/// The files of a log, newest first.
pub(super) struct Segments<'a> {
    effort: Rc<Effort>,
    names: &'a Names,
    /// Resolved when the first is opened.
    place: Option<TrustedPlace>,
    number: u32,
    seen: Vec<Inode>,
}

impl Segments<'_> {
    pub(super) fn of(names: &Names, effort: Effort) -> Segments<'_> {
        Segments { effort: Rc::new(effort), names, place: None, number: 0, seen: Vec::new() }
    }

    fn open_next(&mut self) -> io::Result<Option<Segment>> {
        let number = self.number;
        self.number += 1;
        if number == 0 {
            return self.open("", false);
        }
        match self.open(&plain(number), false)? {
            Some(plain) => Ok(Some(plain)),
            None => self.open(&compressed(number), true),
        }
    }

    fn open(&mut self, suffix: &str, is_compressed: bool) -> io::Result<Option<Segment>> {
        let opened = {
            let mode = self.names.policy.creation.mode;
            self.place().and_then(|place| place.open_sibling(suffix, Access::Read, mode))
        };
        let opened = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound || Refusal::of(&error).is_some() => return Ok(None),
            opened => opened?,
        };
        if self.seen.contains(&opened.inode) {
            return Ok(None);
        }
        self.seen.push(opened.inode);
        let mut segment =
            Segment { effort: Rc::clone(&self.effort), file: opened.file, is_compressed, size: opened.size };
        if is_compressed {
            segment.size = 0;
            let mut size = 0;
            segment.search(0, u64::MAX, &mut |bytes| {
                size += bytes.len() as u64;
                true
            })?;
            segment.size = size;
        }
        Ok(Some(segment))
    }

    fn place(&mut self) -> io::Result<&TrustedPlace> {
        match &mut self.place {
            Some(place) => Ok(place),
            unresolved => Ok(unresolved.insert(self.names.place(Missing::Fail)?)),
        }
    }
}

impl Iterator for Segments<'_> {
    type Item = io::Result<Segment>;

    fn next(&mut self) -> Option<io::Result<Segment>> {
        // A number may be missing while a file is being renumbered; two in a row are the end.
        let last = self.names.policy.rotation.max_files.max(1).saturating_add(1);
        for _ in 0..2 {
            if self.number > last {
                return None;
            }
            match self.open_next() {
                Ok(Some(segment)) => return Some(Ok(segment)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

impl Segment {
    /// Its decompressed size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The same as [`Self::read`], as part of the search.
    pub(super) fn search(&self, from: u64, to: u64, out: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<bool> {
        let mut spent = Ok(());
        let finished = self.read(from, to, &mut |bytes| {
            spent = self.effort.spend(bytes.len());
            spent.is_ok() && out(bytes)
        })?;
        spent.map(|()| finished)
    }

    /// Passes the bytes of this range to `out` until it has enough. Returns whether it reached the end.
    pub(super) fn read(&self, from: u64, to: u64, out: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<bool> {
        let mut file = &self.file;
        let mut source: Box<dyn Read + '_> = if self.is_compressed {
            file.seek(SeekFrom::Start(0))?;
            let mut decoder = MultiGzDecoder::new(BufReader::with_capacity(BLOCK, file));
            self.effort.skip(&mut decoder.by_ref().take(from))?;
            Box::new(decoder.take(to - from))
        } else {
            file.seek(SeekFrom::Start(from))?;
            Box::new(file.take(to - from))
        };
        let mut block = vec![0; BLOCK];
        loop {
            match source.read(&mut block) {
                Ok(0) => return Ok(true),
                Ok(count) if out(&block[..count]) => {}
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where the last lines of this range begin, and how many there are.
    pub(super) fn last_lines(&self, from: u64, to: u64, lines: u64) -> io::Result<(u64, u64)> {
        if lines == 0 || from >= to {
            return Ok((to, 0));
        }
        if self.is_compressed {
            self.last_lines_forward(from, to, lines)
        } else {
            self.last_lines_backward(from, to, lines)
        }
    }

    /// Block by block from the end. A newline at the very end ends a line and begins none.
    fn last_lines_backward(&self, from: u64, to: u64, lines: u64) -> io::Result<(u64, u64)> {
        let mut block = vec![0; BLOCK];
        let (mut found, mut end) = (0, to);
        while end > from {
            let start = end.saturating_sub(BLOCK as u64).max(from);
            let block = &mut block[..(end - start) as usize];
            self.file.read_exact_at(block, start)?;
            self.effort.spend(block.len())?;
            for place in memchr_iter(b'\n', block).rev() {
                let next = start + place as u64 + 1;
                if next < to {
                    found += 1;
                    if found == lines {
                        return Ok((next, found));
                    }
                }
            }
            end = start;
        }
        Ok((from, found + 1))
    }

    /// Twice from the beginning: to count, and to find the place.
    fn last_lines_forward(&self, from: u64, to: u64, lines: u64) -> io::Result<(u64, u64)> {
        let mut starts = 1;
        self.for_each_start(from, to, &mut |_| {
            starts += 1;
            true
        })?;
        if starts <= lines {
            return Ok((from, starts));
        }
        let (mut left, mut found) = (starts - lines, from);
        self.for_each_start(from, to, &mut |start| {
            left -= 1;
            found = start;
            left > 0
        })?;
        Ok((found, lines))
    }

    /// Calls `then` for every place after `from` where a line begins.
    fn for_each_start(&self, from: u64, to: u64, then: &mut dyn FnMut(u64) -> bool) -> io::Result<()> {
        let mut position = from;
        let finished = self.search(from, to, &mut |bytes| {
            let mut starts = memchr_iter(b'\n', bytes).map(|place| position + place as u64 + 1);
            let goes_on = starts.by_ref().filter(|&start| start < to).all(&mut *then);
            position += bytes.len() as u64;
            goes_on
        });
        finished.map(drop)
    }

    /// The place of `needle` at the beginning of a line that is nearest to `near`, at most `window` away.
    pub(super) fn find_line(&self, needle: &[u8], near: u64, window: u64) -> io::Result<Option<u64>> {
        let from = near.saturating_sub(window);
        let to = near.saturating_add(window).saturating_add(needle.len() as u64).min(self.size);
        if needle.is_empty() || from >= to {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.search(from, to, &mut |block| {
            bytes.extend_from_slice(block);
            true
        })?;
        let begins_line = |place: &usize| match place.checked_sub(1) {
            Some(before) => bytes[before] == b'\n',
            None => from == 0,
        };
        let places = memmem::find_iter(&bytes, needle).filter(begins_line).map(|place| from + place as u64);
        Ok(places.min_by_key(|place| place.abs_diff(near)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use muster_spec::Rotation;
    use tempfile::TempDir;

    fn freely() -> Effort {
        Effort::bounded(|| true, Duration::from_secs(3600), u64::MAX)
    }

    fn directory(files: &[(&str, &str)]) -> (TempDir, Names) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let mut file = File::create(directory.path().join(name)).unwrap();
            if name.ends_with(".gz") {
                let mut encoder = GzEncoder::new(file, Compression::fast());
                encoder.write_all(text.as_bytes()).unwrap();
                encoder.finish().unwrap();
            } else {
                file.write_all(text.as_bytes()).unwrap();
            }
        }
        let rotation = Rotation { max_size: 0, max_files: 5, compress: false };
        let names = Names::new(&directory.path().join("log"), rotation);
        (directory, names)
    }

    fn text(segment: &Segment, from: u64, to: u64) -> String {
        let mut read = Vec::new();
        segment
            .read(from, to, &mut |bytes| {
                read.extend_from_slice(bytes);
                true
            })
            .unwrap();
        String::from_utf8(read).unwrap()
    }

    #[test]
    fn files_are_read_newest_first_compressed_or_not() {
        let (_directory, names) =
            directory(&[("log", "4\n"), ("log.1", "3\n"), ("log.2.gz", "2\n"), ("log.4.gz", "1\n")]);
        let found: Vec<String> = Segments::of(&names, freely())
            .map(|segment| segment.map(|segment| text(&segment, 0, segment.size())).unwrap())
            .collect();
        assert_eq!(found, ["4\n", "3\n", "2\n", "1\n"]);
    }

    #[test]
    fn the_last_lines_are_found_in_both_kinds() {
        let long = format!("{}\n", "x".repeat(BLOCK));
        let content = format!("one\ntwo\n{long}{long}three\nfour\n");
        let (_directory, names) = directory(&[("log", &content), ("log.1.gz", &content)]);
        for segment in Segments::of(&names, freely()) {
            let segment = segment.unwrap();
            for (lines, expected, found) in [
                (0, "", 0),
                (1, "four\n", 1),
                (2, "three\nfour\n", 2),
                (6, content.as_str(), 6),
                (9, content.as_str(), 6),
            ] {
                let (start, count) = segment.last_lines(0, segment.size(), lines).unwrap();
                assert_eq!((text(&segment, start, segment.size()).as_str(), count), (expected, found), "{lines}");
            }
            assert_eq!(segment.last_lines(0, segment.size() - 1, 1).unwrap().0, content.len() as u64 - 5);
            let (start, count) = segment.last_lines(4, 8, 5).unwrap();
            assert_eq!((text(&segment, start, 8).as_str(), count), ("two\n", 1));
        }
    }

    #[test]
    fn a_line_is_found_where_it_is_nearest() {
        let (_directory, names) = directory(&[("log", "same\nother\nsame\nsame more\nx same\n")]);
        let segment = Segments::of(&names, freely()).next().unwrap().unwrap();
        let find = |needle: &str, near, window| segment.find_line(needle.as_bytes(), near, window).unwrap();
        assert_eq!(find("same\n", 0, 100), Some(0));
        assert_eq!(find("same\n", 30, 100), Some(11));
        assert_eq!(find("same\n", 30, 5), None);
        assert_eq!(find("nowhere", 0, 100), None);
    }
}
