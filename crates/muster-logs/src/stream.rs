//! One output stream of one run: what is done with what was read from its pipe.
//!
//! Everything passes [`Stream::take`]: it is looked through for readiness, remembered, limited, sent to syslog, shown on the
//! console and counted, without being copied where nothing is to be added. Files come last: only writing to them can take
//! long. A file that no other stream writes gets every byte at once, unchanged. Files that several share get whole lines:
//! the beginning of a line waits for its end, for the end of the run, or until the stream has been silent ([`idle`]). So do
//! the console and those who follow. Reading, writing to files and waiting is the [`pump`](super::pump)'s.
//!
//! [`idle`]: super::idle

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use memchr::{memchr, memchr_iter, memrchr};
use muster_spec::{RateLimit, Span};
use nix::fcntl::{FcntlArg, fcntl};

use super::Recorder;
use super::backlog::{Origin, Room};
use super::console::Console;
use super::console_format::{LONGEST, LONGEST_RAW, Lines};
use super::files::Files;
use super::idle::OpenLine;
use super::queue::{Gap, LaneId, Waiter};
use super::rate::Rate;
use super::syslog::encoder::Courier;
use crate::ready::ReadyMatcher;

/// A pipe that is well filled at every look is made larger, so that its writer waits less often.
const LARGE_PIPE: usize = 256 * 1024;
const FULL_READ: usize = 24 * 1024;
const FULL_READS: u8 = 3;

/// What is read at once of a program that shall wait.
const PIECE: usize = 64 * 1024;

/// When something was read: for decisions, and to be shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) at: SystemTime,
}

impl Moment {
    pub(super) fn now() -> Moment {
        Moment { now: Instant::now(), at: SystemTime::now() }
    }
}

/// Where the lines of a stream are shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) console: Console,
    pub(super) lane: LaneId,
    pub(super) lines: Lines,
}

/// What keeps a stream within its rate limit.
#[derive(Debug)]
pub(super) struct Limited {
    pub(super) limit: RateLimit,
    pub(super) rate: Rate,
    pub(super) gap: Gap,
}

/// One stream of one run, and where it goes. What few streams have is boxed: there are two for every program.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) run: u64,
    pub(super) pipe: File,
    /// Waits for the line that says that the run is ready.
    pub(super) matcher: Option<Box<ReadyMatcher>>,
    pub(super) recorder: Recorder,
    pub(super) origin: Origin,
    pub(super) limited: Option<Box<Limited>>,
    pub(super) shown: Option<Shown>,
    pub(super) files: Arc<[PathBuf]>,
    pub(super) syslog: Option<Box<Courier>>,
    /// The beginning of a line on its way to files.
    pub(super) held: Vec<u8>,
    /// What went to files last was no end of a line.
    pub(super) is_midline: bool,
    pub(super) line: OpenLine,
    /// The permission to keep more than 64 KiB of a line.
    pub(super) long: Option<Arc<()>>,
    /// It is not read for now: it waits for room.
    pub(super) is_parked: bool,
    pub(super) full_reads: u8,
    pub(super) is_large: bool,
}

/// Buffers that all streams share.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    passed: Vec<u8>,
    lines: Vec<u8>,
}

impl Scratch {
    /// A buffer that was lent comes back.
    pub(super) fn put_passed(&mut self, passed: Vec<u8>) {
        self.passed = passed;
    }

    /// What a burst has needed is given back.
    pub(super) fn shrink(&mut self) {
        *self = Scratch::default();
    }
}

/// Bytes on their way to the files of a stream.
#[derive(Debug, Default)]
pub(super) struct ForFiles {
    /// The end of a line of which the beginning was held back, with it.
    pub(super) head: Vec<u8>,
    /// What follows, of what was passed on.
    pub(super) body: Range<usize>,
    /// They go on with a line of which the beginning has gone to the files.
    pub(super) is_rest: bool,
}

impl Stream {
    /// Takes in what was read. Every byte of every stream comes by here, once and in order. What goes to files is returned
    /// where it is not all that was read.
    pub(super) fn take(&mut self, bytes: &[u8], moment: Moment, scratch: &mut Scratch) -> Option<Vec<u8>> {
        self.matcher.take_if(|matcher| matcher.saw(bytes));
        self.recorder.record(bytes, moment.at);
        self.line.note(bytes, moment.now);
        let Some(limited) = self.limited.as_deref_mut() else {
            self.send(bytes, moment.at);
            let shown = self.show(bytes, moment.at, scratch);
            let lines = shown.unwrap_or_else(|| memchr_iter(b'\n', bytes).count() as u64);
            self.origin.counters.count_read(lines, bytes.len());
            return None;
        };
        self.origin.counters.count_read(memchr_iter(b'\n', bytes).count() as u64, bytes.len());
        let mut passed = std::mem::take(&mut scratch.passed);
        passed.clear();
        limited.rate.pass(bytes, moment.now, &mut passed);
        let lost = limited.rate.take_lost();
        self.send(&passed, moment.at);
        self.show(&passed, moment.at, scratch);
        if let Some((lines, bytes)) = lost {
            self.tell_limited(lines, bytes, scratch);
        }
        Some(passed)
    }

    fn tell_limited(&mut self, lines: u64, bytes: u64, scratch: &mut Scratch) {
        self.origin.counters.count_dropped(lines, usize::try_from(bytes).unwrap_or(usize::MAX));
        if let (Some(limited), Some(shown)) = (&self.limited, &self.shown) {
            let why = format!("more than {} in {}", limited.limit.lines, Span(limited.limit.per));
            limited.gap.put(lines, bytes, &why, &mut scratch.lines);
            shown.console.push(shown.lane, &mut scratch.lines, 0, None);
        }
    }

    /// Gives how many lines were complete with these bytes, where it had to look at them.
    fn show(&mut self, bytes: &[u8], at: SystemTime, scratch: &mut Scratch) -> Option<u64> {
        let shown = self.shown.as_mut()?;
        let continuation = shown.lines.continuation(at);
        let count = shown.lines.push(bytes, at, &mut scratch.lines);
        shown.push(count, continuation, scratch);
        Some(count)
    }

    fn send(&mut self, bytes: &[u8], at: SystemTime) {
        if let Some(courier) = &mut self.syslog {
            courier.push(bytes, at);
        }
    }

    /// What of these bytes goes to the files now: all of them if no other stream writes there, otherwise whole lines, and
    /// what begins the next is held back.
    pub(super) fn cut(&mut self, bytes: &[u8], is_alone: bool) -> ForFiles {
        if self.files.is_empty() {
            return ForFiles::default();
        }
        let (mut start, mut end) = (0, memrchr(b'\n', bytes).map_or(0, |end| end + 1));
        let mut head = Vec::new();
        if is_alone {
            head = std::mem::take(&mut self.held);
            end = bytes.len();
        } else if !self.held.is_empty()
            && let Some(first) = memchr(b'\n', bytes)
        {
            head = std::mem::take(&mut self.held);
            start = first + 1;
            head.extend_from_slice(&bytes[..start]);
        }
        if self.held.len() + (bytes.len() - end) > self.most_kept() {
            head.append(&mut self.held);
            end = bytes.len();
        }
        self.held.extend_from_slice(&bytes[end..]);
        let is_rest = self.is_midline;
        if let Some(&last) = bytes[start..end].last().or(head.last()) {
            self.is_midline = last != b'\n';
        }
        ForFiles { head, body: start..end, is_rest }
    }

    fn most_kept(&self) -> usize {
        if self.long.is_some() { LONGEST_RAW } else { LONGEST }
    }

    /// How much it keeps of a line that has no end yet.
    fn kept(&self) -> usize {
        self.held.len().max(self.shown.as_ref().map_or(0, |shown| shown.lines.kept()))
    }

    /// Before these bytes are taken in: to keep more than 64 KiB of a line needs a permission, for as long as it is kept.
    pub(super) fn allow_long(&mut self, bytes: &[u8], is_alone: bool, permissions: &Arc<()>, most: usize) {
        let is_needed = self.kept() + bytes.len() > LONGEST && {
            let is_raw = self.shown.as_ref().is_some_and(|shown| shown.lines.is_raw());
            let begun = memrchr(b'\n', bytes).map_or(self.kept() + bytes.len(), |end| bytes.len() - end - 1);
            (is_raw || !is_alone) && begun > LONGEST
        };
        if !is_needed {
            self.end_long();
        } else if self.long.is_none() && Arc::strong_count(permissions) <= most {
            self.set_long(Some(Arc::clone(permissions)));
        }
    }

    fn end_long(&mut self) {
        if self.long.is_some() {
            self.set_long(None);
        }
    }

    fn set_long(&mut self, permission: Option<Arc<()>>) {
        if let Some(shown) = &mut self.shown {
            shown.lines.allow_long(permission.is_some());
        }
        self.long = permission;
    }

    /// The buffer of a head that was written is used for the next.
    pub(super) fn reuse(&mut self, mut head: Vec<u8>) {
        if self.held.capacity() == 0 && head.capacity() <= 2 * LONGEST {
            head.clear();
            self.held = head;
        }
    }

    fn send_partial(&mut self, at: SystemTime) {
        if let Some(courier) = &mut self.syslog {
            courier.deliver(at);
        }
    }

    /// The stream has been silent in the middle of a line, which is given out as far as it is there. Returns what goes to
    /// files. A message for syslog is not a place for half a line: it waits for the end.
    pub(super) fn give_out(&mut self, moment: Moment, scratch: &mut Scratch) -> ForFiles {
        self.matcher.take_if(|matcher| matcher.saw_silence());
        self.recorder.give_out();
        if let Some(shown) = &mut self.shown {
            let continuation = shown.lines.continuation(moment.at);
            shown.lines.put_partial(moment.at, &mut scratch.lines);
            shown.push(0, continuation, scratch);
        }
        self.take_held()
    }

    /// Whether something that it wrote is still to be read, now or when there is room for it: that is no silence.
    pub(super) fn has_more(&self) -> bool {
        muster_sys::fd::readable(self.pipe.as_fd()).is_ok_and(|count| count > 0)
    }

    /// Everything that was read goes out, the beginning of a line, too. More may come. Returns what goes to files.
    pub(super) fn deliver(&mut self, moment: Moment, scratch: &mut Scratch) -> ForFiles {
        self.send_partial(moment.at);
        if let Some(shown) = &mut self.shown {
            let continuation = shown.lines.continuation(moment.at);
            shown.lines.deliver(moment.at, &mut scratch.lines);
            shown.push(0, continuation, scratch);
        }
        self.take_held()
    }

    /// Nothing more comes. A last line without an end goes out with one, but to files, which are never changed. Returns
    /// what goes to files.
    pub(super) fn end(&mut self, moment: Moment, scratch: &mut Scratch) -> ForFiles {
        self.recorder.end(moment.at);
        self.send_partial(moment.at);
        if let Some(shown) = &mut self.shown {
            let continuation = shown.lines.continuation(moment.at);
            shown.lines.end(moment.at, &mut scratch.lines);
            shown.push(1, continuation, scratch);
        }
        self.take_held()
    }

    /// The beginning of a line, which goes to the files without its end.
    fn take_held(&mut self) -> ForFiles {
        let held = ForFiles { head: std::mem::take(&mut self.held), body: 0..0, is_rest: self.is_midline };
        self.is_midline |= !held.head.is_empty();
        self.end_long();
        held
    }

    /// Whether more of it can be read now. If not, the waiter is called when it can.
    pub(super) fn room(&self, files: &Files, waiter: impl Fn() -> Waiter) -> Room {
        let console = self.shown.iter().map(|shown| shown.console.room(shown.lane, &waiter));
        let mut rooms = console.chain(self.files.iter().map(|path| files.room(path, &self.origin, &waiter)));
        rooms.find(|room| *room != Room::Some).unwrap_or(Room::Some)
    }

    /// How much is read of it at once. Who waits for room may come too late by that much.
    pub(super) fn most_at_once(&self, buffer: usize) -> usize {
        if self.origin.is_blocking { buffer.min(PIECE) } else { buffer }
    }

    /// Whether its pipe is worth being larger.
    pub(super) fn is_busy(&mut self, read: usize) -> bool {
        if read < FULL_READ || self.full_reads > FULL_READS {
            return false;
        }
        self.full_reads += 1;
        self.full_reads > FULL_READS
    }

    /// Makes its pipe larger. The kernel may refuse, and then it works as before.
    pub(super) fn enlarge(&mut self) -> bool {
        self.is_large = fcntl(self.pipe.as_fd(), FcntlArg::F_SETPIPE_SZ(LARGE_PIPE as i32)).is_ok();
        self.is_large
    }
}

/// Where lines are shown that a file refused, if they are shown nowhere else.
#[derive(Debug)]
pub(super) struct Spare(Mutex<Shown>);

impl Spare {
    pub(super) fn new(shown: Shown) -> Arc<Spare> {
        Arc::new(Spare(Mutex::new(shown)))
    }

    pub(super) fn show(&self, refused: &[u8]) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = Scratch::default();
        let count = shown.lines.push(refused, SystemTime::now(), &mut scratch.lines);
        shown.push(count, None, &mut scratch);
    }
}

/// Nothing of the stream is on its way any more: a last line without an end goes out with one.
impl Drop for Spare {
    fn drop(&mut self) {
        let shown = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = Scratch::default();
        shown.lines.end(SystemTime::now(), &mut scratch.lines);
        shown.push(1, None, &mut scratch);
    }
}

impl Shown {
    fn push(&self, count: u64, continuation: Option<Vec<u8>>, scratch: &mut Scratch) {
        if !scratch.lines.is_empty() {
            self.console.push(self.lane, &mut scratch.lines, count, continuation);
        }
    }
}
