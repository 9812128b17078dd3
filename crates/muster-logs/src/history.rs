//! Output older than memory, from the log files.
//!
//! A separate thread locates the beginning of the remembered output in the files, goes back from there as far as requested,
//! and sends what it finds in bounded pieces. The overlap of memory and files is recognised by its bytes, since lines
//! may be pending for the file or lost, and other programs may write to it. There are at most [`MOST`] such
//! threads. One exits when its client disconnects or reads nothing for [`PATIENCE`], and a search that takes too long ends with what
//! it has found.

use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use muster_spec::InstanceSpec;
use muster_sys::user::Accounts;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tracing::{debug, warn};

use super::loss::Refusals;
use super::memory::{Edge, Wanted};
use super::policy::FilePolicy;
use super::rotate::Names;
use super::segments::{Effort, Segment, Segments};
use super::{Source, policy};

/// Maximum number of clients that read files at the same time.
pub const MOST: usize = 8;

/// How long a client may read nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Maximum time and bytes of a search before the first byte is sent.
const SEARCH: Duration = Duration::from_secs(10);
const MOST_SEARCHED: u64 = 2 << 30;

/// How far from its expected place the beginning of the remembered output is searched for.
const WINDOW: u64 = 1 << 20;

/// Maximum number of blocks queued for the client.
const AHEAD: usize = 2;

/// The file with the older lines of these streams, and the streams in it. If each stream has its own file, older output
/// is that of stdout: lines in files have no timestamps by which to merge two of them.
pub(super) fn file_of(spec: &InstanceSpec, wanted: Wanted) -> Option<FileLog> {
    let mut accounts = Accounts::default();
    let mut file = |source: Source| {
        let sinks = source.target(&spec.output)?.sinks();
        policy::files(spec, source, sinks, &mut accounts).ok()?.into_iter().next()
    };
    let (stdout, stderr) = (file(Source::Stdout), file(Source::Stderr));
    let path = |file: &Option<(PathBuf, FilePolicy)>| file.as_ref().map(|(path, _)| path.clone());
    let is_one = spec.output.stderr.is_none() || path(&stdout) == path(&stderr);
    let ((path, policy), streams) = match (wanted, stdout, stderr) {
        (_, Some(file), _) if is_one => (file, Wanted::Both),
        (Wanted::Both | Wanted::Only(Source::Stdout), Some(file), _) => (file, Wanted::Only(Source::Stdout)),
        (Wanted::Both | Wanted::Only(Source::Stderr), _, Some(file)) => (file, Wanted::Only(Source::Stderr)),
        _ => return None,
    };
    Some(FileLog { names: Names::new(&path, policy), streams })
}

/// A log file with its predecessors.
#[derive(Debug)]
pub struct FileLog {
    names: Names,
    /// The streams in it.
    pub streams: Wanted,
}

/// The number of threads, and limits for reports of unreadable files: a client can repeat its request.
#[derive(Debug, Default)]
pub(super) struct Readers {
    count: Rc<Cell<usize>>,
    failures: Arc<Mutex<Refusals>>,
}

#[derive(Debug)]
struct Slot(Rc<Cell<usize>>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A search request.
#[derive(Debug)]
pub struct Wish {
    /// The file to search.
    pub file: FileLog,
    /// Where memory begins.
    pub edge: Edge,
    /// The maximum number of lines before that.
    pub lines: Option<u64>,
}

/// Older output being read.
#[derive(Debug)]
pub struct Older {
    /// The output found, latest first.
    pub blocks: Receiver<Bytes>,
    /// The number of bytes that have not been sent yet.
    left: Arc<AtomicU64>,
    _slot: Slot,
}

impl Older {
    /// The number of bytes that will never come: the client took too long, or a file could not be read.
    pub fn missed(&self) -> u64 {
        self.left.load(Ordering::Acquire)
    }
}

impl Readers {
    /// Begins to read. `None` if too many reads are in progress, or no thread can be created.
    pub(super) fn read(&self, wish: Wish) -> Option<Older> {
        if self.count.get() >= MOST {
            return None;
        }
        self.count.set(self.count.get() + 1);
        let slot = Slot(Rc::clone(&self.count));
        let (sender, blocks) = mpsc::channel(AHEAD);
        let left = Arc::new(AtomicU64::new(0));
        let sending = Sending {
            sender,
            left: Arc::clone(&left),
            runtime: Handle::current(),
            failures: Arc::clone(&self.failures),
        };
        let thread = std::thread::Builder::new().name("logs-older".to_owned());
        thread.spawn(move || sending.run(&wish)).ok()?;
        Some(Older { blocks, left, _slot: slot })
    }
}

struct Sending {
    sender: Sender<Bytes>,
    left: Arc<AtomicU64>,
    runtime: Handle,
    failures: Arc<Mutex<Refusals>>,
}

impl Sending {
    fn run(&self, wish: &Wish) {
        if let Err(error) = self.send(wish).or_else(|error| if self.sender.is_closed() { Ok(()) } else { Err(error) }) {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            if failures.is_to_be_told(Instant::now()) {
                let (file, suppressed) = (wish.file.names.path.display(), failures.take_untold());
                warn!(%file, %error, suppressed, "cannot read a log file for a client");
            }
        }
    }

    fn send(&self, wish: &Wish) -> io::Result<()> {
        let sender = self.sender.clone();
        let effort = Effort::bounded(move || !sender.is_closed(), SEARCH, MOST_SEARCHED);
        let Found { ranges, unsearched } = find(wish, effort)?;
        let found: u64 = ranges.iter().map(|range| range.to - range.from).sum();
        self.left.store(found + unsearched, Ordering::Release);
        for Range { segment, from, to } in ranges {
            let is_taken = segment.read(from, to, &mut |bytes| {
                let sent = self.sender.send_timeout(Bytes::copy_from_slice(bytes), PATIENCE);
                let is_taken = self.runtime.block_on(sent).is_ok();
                if is_taken {
                    self.left.fetch_sub(bytes.len() as u64, Ordering::AcqRel);
                }
                is_taken
            })?;
            if !is_taken {
                break;
            }
        }
        Ok(())
    }
}

/// A part of a file.
struct Range {
    segment: Segment,
    from: u64,
    to: u64,
}

/// The result of a search.
struct Found {
    /// The requested parts of the files, oldest first.
    ranges: Vec<Range>,
    /// The number of bytes of a file that were not searched because the search took too long.
    unsearched: u64,
}

/// Finds the requested parts of the files.
fn find(wish: &Wish, effort: Effort) -> io::Result<Found> {
    let mut found = Found { ranges: Vec::new(), unsearched: 0 };
    match search(wish, effort, &mut found) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let file = wish.file.names.path.display();
            debug!(%file, "a search through log files took too long and ends with what it has found");
            found.unsearched = found.unsearched.max(1);
        }
        searched => {
            searched?;
            found.unsearched = 0;
        }
    }
    found.ranges.reverse();
    Ok(found)
}

/// Searches back through the files. The size of the current one counts as not searched until it is done.
fn search(wish: &Wish, effort: Effort, all: &mut Found) -> io::Result<()> {
    let Edge { mut bytes, ref needle, mut before } = wish.edge;
    let mut lines = wish.lines;
    let mut is_in_memory = bytes > 0;
    for segment in Segments::of(&wish.file.names, effort) {
        let segment = segment?;
        all.unsearched = segment.size();
        let mut to = segment.size();
        if is_in_memory {
            match beginning(&segment, bytes, needle)? {
                Some(place) => (to, is_in_memory) = (place, false),
                None => {
                    bytes = bytes.saturating_sub(segment.size());
                    continue;
                }
            }
        }
        let mut from = to.saturating_sub(before.unwrap_or(to));
        before = before.map(|before| before - (to - from));
        if from > 0 {
            from = next_line(&segment, from, to)?;
        }
        if let Some(left) = lines {
            let (start, found) = segment.last_lines(from, to, left)?;
            (from, lines) = (start, Some(left - found));
        }
        all.ranges.push(Range { segment, from, to });
        if from > 0 || lines == Some(0) || before == Some(0) {
            break;
        }
    }
    Ok(())
}

/// Where memory begins in this file, if it does: this many bytes before the end, or where its first bytes are.
fn beginning(segment: &Segment, bytes: u64, needle: &[u8]) -> io::Result<Option<u64>> {
    let near = segment.size().saturating_sub(bytes);
    if bytes > segment.size() + WINDOW {
        return Ok(None);
    }
    // The last of the remembered output may not be in the file yet: then the first line must suffice.
    let first_line = &needle[..memchr::memchr(b'\n', needle).map_or(needle.len(), |end| end + 1)];
    for needle in [needle, first_line] {
        if let Some(place) = segment.find_line(needle, near, WINDOW)? {
            return Ok(Some(place));
        }
    }
    Ok((bytes <= segment.size()).then_some(near))
}

/// The start of the next line, if this place is in the middle of one.
fn next_line(segment: &Segment, from: u64, to: u64) -> io::Result<u64> {
    let mut place = from - 1;
    let mut is_found = false;
    segment.search(place, to, &mut |bytes| {
        match memchr::memchr(b'\n', bytes) {
            Some(end) => (place, is_found) = (place + end as u64 + 1, true),
            None => place += bytes.len() as u64,
        }
        !is_found
    })?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_spec::Rotation;

    /// The output found before memory in these files, oldest first.
    fn found(files: &[(&str, &str)], edge: Edge, lines: Option<u64>) -> String {
        let directory = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(directory.path().join(name), text).unwrap());
        let rotation = Rotation { max_size: 0, max_files: 9, compress: false };
        let names = Names::new(&directory.path().join("log"), rotation);
        let mut text = Vec::new();
        for Range { segment, from, to } in
            find(&Wish { file: FileLog { names, streams: Wanted::Both }, edge, lines }, freely()).unwrap().ranges
        {
            segment
                .read(from, to, &mut |bytes| {
                    text.extend_from_slice(bytes);
                    true
                })
                .unwrap();
        }
        String::from_utf8(text).unwrap()
    }

    fn freely() -> Effort {
        Effort::bounded(|| true, PATIENCE, u64::MAX)
    }

    #[test]
    fn a_search_that_becomes_too_long_ends_with_what_it_has_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "new\n").unwrap();
        std::fs::File::create(directory.path().join("log.1")).unwrap().set_len(1 << 42).unwrap();
        let rotation = Rotation { max_size: 0, max_files: 9, compress: false };
        let file = || FileLog { names: Names::new(&path, rotation), streams: Wanted::Both };
        let wish = Wish { file: file(), edge: edge("", None), lines: Some(5) };
        let found = find(&wish, Effort::bounded(|| true, PATIENCE, 8 << 20)).unwrap();
        assert_eq!((found.ranges.len(), found.unsearched), (1, 1 << 42));
        let gone = find(&wish, Effort::bounded(|| false, PATIENCE, u64::MAX));
        assert_eq!(gone.err().map(|error| error.kind()), Some(io::ErrorKind::BrokenPipe));
    }

    fn edge(remembered: &str, before: Option<u64>) -> Edge {
        Edge { bytes: remembered.len() as u64, needle: remembered.as_bytes().to_vec(), before }
    }

    const FILES: &[(&str, &str)] = &[("log", "5\n6\n7\n"), ("log.1", "3\n4\n"), ("log.2", "1\n2\n")];

    #[test]
    fn lines_before_memory_are_found_across_files() {
        assert_eq!(found(FILES, edge("7\n", None), Some(1)), "6\n");
        assert_eq!(found(FILES, edge("7\n", None), Some(3)), "4\n5\n6\n");
        assert_eq!(found(FILES, edge("4\n5\n6\n7\n", None), Some(2)), "2\n3\n");
        assert_eq!(found(FILES, edge("7\n", None), Some(99)), "1\n2\n3\n4\n5\n6\n");
        assert_eq!(found(FILES, edge("", None), Some(2)), "6\n7\n");
        assert_eq!(found(FILES, edge("1\n2\n3\n4\n5\n6\n7\n", None), Some(5)), "");
    }

    #[test]
    fn no_more_than_so_many_bytes_are_gone_back_and_only_whole_lines() {
        assert_eq!(found(FILES, edge("7\n", Some(0)), None), "");
        assert_eq!(found(FILES, edge("7\n", Some(3)), None), "6\n");
        assert_eq!(found(FILES, edge("7\n", Some(6)), None), "4\n5\n6\n");
        assert_eq!(found(FILES, edge("7\n", Some(99)), Some(2)), "5\n6\n");
    }

    #[test]
    fn what_is_remembered_is_recognised_where_the_file_has_more_or_less() {
        // The last line is not in the file yet.
        assert_eq!(found(&[("log", "old\nfirst\nsecond\n")], edge("first\nsecond\nthird\n", None), Some(9)), "old\n");
        // More has been written since memory was read.
        let files = [("log", "old\nfirst\nsecond\nthird\nfourth\n")];
        let edge = Edge { needle: b"second\n".to_vec(), ..edge("second\nthird\n", None) };
        assert_eq!(found(&files, edge, Some(9)), "old\nfirst\n");
    }

    #[test]
    fn without_a_file_there_is_nothing() {
        assert_eq!(found(&[], edge("x\n", None), Some(9)), "");
    }
}
