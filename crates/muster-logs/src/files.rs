//! All log files that streams write to, each opened once, however many streams share it.
//!
//! A file is [`Here`](Place::Here), or lent to the thread that is writing to it, or late, with its own thread
//! and a [`backlog`](super::backlog) until it is on time again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backlog::{Backlog, Origin, Room};
use super::compress::Compressor;
use super::file::LogFile;
use super::policy::FilePolicy;
use super::queue::Waiter;

/// The files, by their paths.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: HashMap<PathBuf, Shared>,
    /// Whether there may be late ones.
    has_late: bool,
    /// The number of files shared by several streams.
    of_several: usize,
    compressor: Arc<Compressor>,
}

#[derive(Debug)]
struct Shared {
    place: FileLocation,
    streams: usize,
    /// The number of streams since it is known here, including those that have ended.
    all_streams: usize,
    /// The last stream to write, unless it ended a line.
    open: Option<u64>,
}

/// A file that moves to another thread, with everything known about it.
#[derive(Debug)]
pub(super) struct Taken {
    path: PathBuf,
    shared: Shared,
}

/// Where a file is.
#[derive(Debug)]
enum FileLocation {
    Here(Box<LogFile>),
    /// The thread that reads the pipes is writing to it.
    Lent,
    /// It has its own thread.
    Late(Arc<Backlog>),
}

/// A file that no stream writes to any longer.
pub(super) struct Unused {
    pub(super) file: Box<LogFile>,
    /// The number of streams that wrote to it.
    pub(super) all_streams: usize,
}

impl Files {
    pub(super) fn new(compressor: Arc<Compressor>) -> Files {
        Files { compressor, ..Files::default() }
    }

    /// Adds a stream to this file.
    pub(super) fn attach(&mut self, path: &Path, policy: FilePolicy) {
        let compressor = &self.compressor;
        let open = || Shared {
            place: FileLocation::Here(Box::new(LogFile::at(path, policy, compressor))),
            streams: 0,
            all_streams: 0,
            open: None,
        };
        let shared = self.files.entry(path.to_owned()).or_insert_with(open);
        shared.streams += 1;
        shared.all_streams += 1;
        self.of_several += usize::from(shared.streams == 2);
        if let FileLocation::Late(backlog) = &shared.place {
            backlog.leave(false);
        }
        self.change_policy(path, policy);
    }

    /// Removes a stream. Returns the file if that was the last one, to be closed.
    pub(super) fn detach(&mut self, path: &Path) -> Option<Unused> {
        let shared = self.files.get_mut(path)?;
        shared.streams -= 1;
        self.of_several -= usize::from(shared.streams == 1);
        if shared.streams > 0 {
            return None;
        }
        if let FileLocation::Late(backlog) = &shared.place {
            backlog.leave(true);
        }
        self.settle(path)
    }

    /// The thread of this file has ended. Returns the file if no stream writes to it any longer.
    pub(super) fn settle(&mut self, path: &Path) -> Option<Unused> {
        let shared = self.files.get_mut(path)?;
        shared.take_back();
        match &shared.place {
            FileLocation::Here(_) if shared.streams == 0 => {}
            FileLocation::Here(_) | FileLocation::Lent | FileLocation::Late(_) => return None,
        }
        let Shared { place, all_streams, .. } = self.files.remove(path)?;
        match place {
            FileLocation::Here(file) => Some(Unused { file, all_streams }),
            FileLocation::Lent | FileLocation::Late(_) => None,
        }
    }

    /// Removes a file from here, as it is.
    pub(super) fn take_out(&mut self, path: &Path) -> Option<Taken> {
        let (path, mut shared) = self.files.remove_entry(path)?;
        self.of_several -= usize::from(shared.streams > 1);
        shared.all_streams = shared.streams;
        Some(Taken { path, shared })
    }

    /// Adds a file that was elsewhere. `token_of` tells the new token of a stream by its former one.
    pub(super) fn put_in(&mut self, taken: Taken, token_of: impl Fn(u64) -> u64) {
        let Taken { path, mut shared } = taken;
        shared.open = shared.open.map(token_of);
        self.of_several += usize::from(shared.streams > 1);
        self.has_late |= matches!(shared.place, FileLocation::Late(_));
        self.files.insert(path, shared);
    }

    /// Whether each of these has a single stream.
    pub(super) fn are_of_one_stream(&self, paths: &[PathBuf]) -> bool {
        let is_of_one = |path: &PathBuf| self.files.get(path).is_none_or(|shared| shared.streams == 1);
        self.of_several == 0 || paths.iter().all(is_of_one)
    }

    /// Prepares the bytes that a stream is about to write, which may be the rest of a line that it began. If the
    /// file ends with the beginning of another stream's line, a newline comes first; the
    /// newline of a line broken this way is omitted.
    pub(super) fn join<'a>(
        &mut self,
        path: &Path,
        stream: u64,
        is_rest: bool,
        [mut first, mut second]: [&'a [u8]; 2],
    ) -> [&'a [u8]; 3] {
        let Some(shared) = self.files.get_mut(path) else { return [b"", first, second] };
        let is_own = shared.open == Some(stream);
        if is_rest && !is_own {
            let start = if first.is_empty() { &mut second } else { &mut first };
            *start = start.strip_prefix(b"\n").unwrap_or(start);
        }
        let Some(last) = second.last().or(first.last()) else { return [b"", first, second] };
        let breaks_line = shared.open.is_some() && !is_own;
        shared.open = (*last != b'\n').then_some(stream);
        [if breaks_line { b"\n" } else { b"" }, first, second]
    }

    /// Lends a file for writing, unless it is late.
    pub(super) fn lend(&mut self, path: &Path) -> Option<Box<LogFile>> {
        let shared = self.files.get_mut(path)?;
        shared.take_back();
        match std::mem::replace(&mut shared.place, FileLocation::Lent) {
            FileLocation::Here(file) => Some(file),
            other => {
                shared.place = other;
                None
            }
        }
    }

    /// Takes back a file that was lent.
    pub(super) fn put_back(&mut self, path: &Path, file: Box<LogFile>) {
        if let Some(shared) = self.files.get_mut(path) {
            shared.place = FileLocation::Here(file);
        }
    }

    /// Marks a lent file as late.
    pub(super) fn begin_late(&mut self, path: &Path, backlog: Arc<Backlog>) {
        self.has_late = true;
        match self.files.get_mut(path) {
            Some(shared) => shared.place = FileLocation::Late(backlog),
            // It was being closed for good.
            None => backlog.leave(true),
        }
    }

    /// Whether another file on this device is stalled: then this one will be, too, and is not tried.
    pub(super) fn is_on_late_device(&mut self, file: &LogFile) -> bool {
        if !self.has_late {
            return false;
        }
        let device = file.device();
        let is_there = device.is_some() && self.late().any(|backlog| backlog.device() == device);
        let has_late = self.late().next().is_some();
        self.has_late = has_late;
        is_there
    }

    /// Queues bytes for a late file; fails if it has come back meanwhile.
    pub(super) fn push(&self, path: &Path, pieces: &[&[u8]], origin: &Origin) -> bool {
        match self.files.get(path) {
            Some(Shared { place: FileLocation::Late(backlog), .. }) => backlog.push(pieces, origin),
            _ => true,
        }
    }

    /// Whether there is room for more. If not, the waiter is called when there is.
    pub(super) fn room(&self, path: &Path, origin: &Origin, waiter: impl FnOnce() -> Waiter) -> Room {
        match self.files.get(path).filter(|_| self.has_late) {
            Some(Shared { place: FileLocation::Late(backlog), .. }) => backlog.room(origin, waiter),
            _ => Room::Some,
        }
    }

    pub(super) fn change_policy(&mut self, path: &Path, policy: FilePolicy) {
        let shared = self.files.get_mut(path).map(|shared| {
            shared.take_back();
            &mut shared.place
        });
        match shared {
            Some(FileLocation::Here(file)) => file.set_policy(policy),
            Some(FileLocation::Late(backlog)) => backlog.set_policy(policy),
            Some(FileLocation::Lent) | None => {}
        }
    }

    /// Late files are reopened by their threads; returns the others.
    pub(super) fn reopen(&mut self) -> Vec<PathBuf> {
        self.files.values_mut().for_each(Shared::take_back);
        self.late().for_each(|backlog| backlog.reopen());
        let here = self.files.iter().filter(|(_, shared)| matches!(shared.place, FileLocation::Here(_)));
        here.map(|(path, _)| path.clone()).collect()
    }

    /// The backlogs of late files.
    pub(super) fn late(&self) -> impl Iterator<Item = &Arc<Backlog>> {
        self.files.values().filter_map(|shared| match &shared.place {
            FileLocation::Late(backlog) => Some(backlog),
            FileLocation::Here(_) | FileLocation::Lent => None,
        })
    }
}

impl Shared {
    fn take_back(&mut self) {
        if let FileLocation::Late(backlog) = &self.place
            && let Some(file) = backlog.take_back()
        {
            self.place = FileLocation::Here(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_spec::Rotation;

    #[test]
    fn lines_of_streams_that_share_a_file_stay_apart() {
        let (mut files, path) = (Files::default(), Path::new("/nowhere"));
        let policy = FilePolicy::from(Rotation { max_size: 0, max_files: 1, compress: false });
        files.attach(path, policy);
        assert!(files.are_of_one_stream(&[path.to_owned()]));
        files.attach(path, policy);
        assert!(!files.are_of_one_stream(&[path.to_owned()]));
        let steps: [(u64, bool, [&str; 2]); 9] = [
            (1, false, ["", "half"]),
            (1, true, [" a line\n", "begun"]),
            (2, false, ["", "one\n"]),
            (1, true, ["", "\n"]),
            (2, false, ["", "two"]),
            (1, false, ["", "also"]),
            (2, true, ["", "\nthree\n"]),
            (1, true, [" more\n", ""]),
            (2, false, ["", "four\n"]),
        ];
        let mut text = Vec::new();
        for (stream, is_rest, pieces) in steps {
            text.push(files.join(path, stream, is_rest, pieces.map(str::as_bytes)).concat());
        }
        let expected = "half a line\nbegun\none\ntwo\nalso\nthree\n more\nfour\n";
        assert_eq!(String::from_utf8(text.concat()).unwrap(), expected);
        assert!(files.detach(path).is_none());
        assert!(files.are_of_one_stream(&[path.to_owned()]));
        assert_eq!(files.detach(path).map(|unused| unused.all_streams), Some(2));
        assert!(files.take_out(path).is_none());
    }

    #[test]
    fn a_file_moves_with_its_open_line_and_counts_only_its_present_streams_from_then_on() {
        let (mut here, mut there, path) = (Files::default(), Files::default(), Path::new("/nowhere"));
        let policy = FilePolicy::from(Rotation { max_size: 0, max_files: 1, compress: false });
        (0..3).for_each(|_| here.attach(path, policy));
        assert!(here.detach(path).is_none());
        here.join(path, 7, false, [b"", b"begun"]);
        there.put_in(here.take_out(path).unwrap(), |former| former + 100);
        assert!(here.detach(path).is_none() && here.are_of_one_stream(&[path.to_owned()]));
        assert!(!there.are_of_one_stream(&[path.to_owned()]));
        // It is the same stream that goes on.
        assert_eq!(there.join(path, 107, true, [b"", b" and ended\n"]).concat(), b" and ended\n");
        assert!(there.detach(path).is_none());
        assert_eq!(there.detach(path).map(|unused| unused.all_streams), Some(2));
    }
}
