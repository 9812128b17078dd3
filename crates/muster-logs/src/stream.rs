//! One output stream of one run: processes the bytes read from its pipe.
//!
//! Everything passes [`Stream::take`]: it is matched for readiness, remembered, rate-limited, sent to syslog, shown on the
//! console and counted, and copied only where something is added. Files come last: only writing to them can take
//! long. A file with a single stream gets every byte at once, unchanged. Shared files get whole lines:
//! the beginning of a line waits for its end, for the end of the run, or until the stream has been silent ([`idle`]). So do
//! the console and followers. Reading, writing to files and waiting belong to the [`pump`](super::pump).
//!
//! [`idle`]: super::idle

use std::borrow::Cow;
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
use super::screen::Screen;
use super::strip::Stripper;
use super::syslog::encoder::Encoder;
use super::tap::Tap;
use crate::ready::ReadyMatcher;

/// A pipe that is well filled at every read is enlarged, so that its writer waits less often.
const LARGE_PIPE: usize = 256 * 1024;
/// The capacity of other pipes.
const PIPE: usize = 64 * 1024;
const FULL_READ: usize = 24 * 1024;
const FULL_READS: u8 = 3;

/// After this many reads in a row that found its pipe almost full a stream is one that floods: 6 to 8 MiB from an enlarged pipe, 1.5 to 2 from
/// others.
const FLOOD: u8 = 32;

/// How much is read at once of a program that must wait.
const PIECE: usize = 64 * 1024;

/// When something was read: for decisions, and for display.
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

/// Enforces the rate limit of a stream.
#[derive(Debug)]
pub(super) struct Limited {
    pub(super) limit: RateLimit,
    pub(super) rate: Rate,
    pub(super) gap: Gap,
}

/// One stream of one run, and its destinations. Rarely used parts are boxed: there are two streams for every program.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) run: u64,
    pub(super) pipe: File,
    /// Its clients, if it is a terminal and not a pipe.
    pub(super) screen: Option<Arc<Screen>>,
    /// Waits for the line that reports readiness.
    pub(super) matcher: Option<Box<ReadyMatcher>>,
    pub(super) recorder: Recorder,
    pub(super) origin: Origin,
    pub(super) limited: Option<Box<Limited>>,
    pub(super) shown: Option<Shown>,
    pub(super) files: Arc<[PathBuf]>,
    pub(super) syslog: Option<Box<Encoder>>,
    /// Passes on what event listeners are to know.
    pub(super) tap: Option<Box<Tap>>,
    /// Removes terminal sequences before anything else sees the bytes.
    pub(super) strip: Option<Box<Stripper>>,
    /// The beginning of a line for files.
    pub(super) held: Vec<u8>,
    /// Whether the last bytes for files did not end a line.
    pub(super) is_midline: bool,
    pub(super) line: OpenLine,
    /// The permission to keep more than 64 KiB of a line.
    pub(super) long: Option<Arc<()>>,
    /// Whether reading is paused: it waits for room.
    pub(super) is_parked: bool,
    pub(super) full_reads: u8,
    /// Reads without a pause that found the pipe almost full.
    pub(super) flood: u8,
    pub(super) is_large: bool,
}

/// Buffers that all streams share.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    passed: Vec<u8>,
    lines: Vec<u8>,
}

impl Scratch {
    /// Returns a borrowed buffer.
    pub(super) fn put_passed(&mut self, passed: Vec<u8>) {
        self.passed = passed;
    }

    /// Releases the memory that a burst needed.
    pub(super) fn shrink(&mut self) {
        *self = Scratch::default();
    }
}

/// Bytes for the files of a stream.
#[derive(Debug, Default)]
pub(super) struct ForFiles {
    /// The end of a line whose beginning was held back, together with that beginning.
    pub(super) head: Vec<u8>,
    /// The range of the input that follows.
    pub(super) body: Range<usize>,
    /// Whether they continue a line whose beginning was already written to the files.
    pub(super) is_rest: bool,
}

impl Stream {
    /// Processes bytes that were read. Every byte of every stream passes here once, in order. Returns the part for files
    /// if it is not all of the input.
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

    /// The part of what was read that everything else sees: without terminal sequences, and without captured text.
    pub(super) fn filter<'a>(&mut self, read: &'a [u8]) -> Cow<'a, [u8]> {
        self.screen.iter().for_each(|screen| screen.show(self.pipe.as_fd(), read));
        self.tap.iter().for_each(|tap| tap.take_raw(read));
        let text = self.strip.as_mut().map_or(Cow::Borrowed(read), |strip| strip.strip(read));
        let Some(tap) = &mut self.tap else { return text };
        match text {
            Cow::Borrowed(text) => tap.take(text),
            Cow::Owned(text) => Cow::Owned(tap.take(&text).into_owned()),
        }
    }

    fn tell_limited(&mut self, lines: u64, bytes: u64, scratch: &mut Scratch) {
        self.origin.counters.count_dropped(lines, usize::try_from(bytes).unwrap_or(usize::MAX));
        if let (Some(limited), Some(shown)) = (&self.limited, &self.shown) {
            let why = format!("more than {} in {}", limited.limit.lines, Span(limited.limit.per));
            limited.gap.put(lines, bytes, &why, &mut scratch.lines);
            shown.console.push(shown.lane, &mut scratch.lines, 0, None);
        }
    }

    /// Returns how many lines these bytes completed, if it had to count them.
    fn show(&mut self, bytes: &[u8], at: SystemTime, scratch: &mut Scratch) -> Option<u64> {
        let shown = self.shown.as_mut()?;
        let continuation = shown.lines.continuation(at);
        let count = shown.lines.push(bytes, at, &mut scratch.lines);
        shown.push(count, continuation, scratch);
        Some(count)
    }

    fn send(&mut self, bytes: &[u8], at: SystemTime) {
        if let Some(encoder) = &mut self.syslog {
            encoder.push(bytes, at);
        }
    }

    /// The part of these bytes that is written to the files now: all of them for a single stream, otherwise whole lines, and
    /// the beginning of the next is held back.
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

    /// How much it keeps of an incomplete line.
    fn kept(&self) -> usize {
        self.held.len().max(self.shown.as_ref().map_or(0, |shown| shown.lines.kept()))
    }

    /// Called before these bytes are processed: keeping more than 64 KiB of a line needs a permission, for as long as it is kept.
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

    /// Reuses the buffer of a head that was written.
    pub(super) fn reuse(&mut self, mut head: Vec<u8>) {
        if self.held.capacity() == 0 && head.capacity() <= 2 * LONGEST {
            head.clear();
            self.held = head;
        }
    }

    fn send_partial(&mut self, at: SystemTime) {
        if let Some(encoder) = &mut self.syslog {
            encoder.deliver(at);
        }
    }

    /// The stream has been silent in the middle of a line, which is emitted so far. Returns the part for
    /// files. Half a line is not a syslog message, so syslog waits for the end.
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

    /// Whether some of its output is still to be read, now or when there is room for it, so that it is not silent.
    pub(super) fn has_more(&self) -> bool {
        muster_sys::fd::readable(self.pipe.as_fd()).is_ok_and(|count| count > 0)
    }

    /// Emits everything that was read, including an incomplete line. More may come. Returns the part for files.
    pub(super) fn deliver(&mut self, moment: Moment, scratch: &mut Scratch) -> ForFiles {
        self.send_partial(moment.at);
        if let Some(shown) = &mut self.shown {
            let continuation = shown.lines.continuation(moment.at);
            shown.lines.deliver(moment.at, &mut scratch.lines);
            shown.push(0, continuation, scratch);
        }
        self.take_held()
    }

    /// The stream ends. An incomplete last line gets a newline, except in files, which are never changed. Returns
    /// the part for files.
    pub(super) fn end(&mut self, moment: Moment, scratch: &mut Scratch) -> ForFiles {
        let mut begun = self.strip.take().map_or_else(Vec::new, |strip| strip.rest());
        if let Some(mut tap) = self.tap.take() {
            begun = tap.take(&begun).into_owned();
            begun.extend(tap.end());
        }
        let begun = if begun.is_empty() { begun } else { self.take(&begun, moment, scratch).unwrap_or(begun) };
        self.recorder.end(moment.at);
        self.send_partial(moment.at);
        if let Some(shown) = &mut self.shown {
            let continuation = shown.lines.continuation(moment.at);
            shown.lines.end(moment.at, &mut scratch.lines);
            shown.push(1, continuation, scratch);
        }
        let mut held = self.take_held();
        held.head.extend_from_slice(&begun);
        held
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
        if self.tap.as_ref().is_some_and(|tap| !tap.has_room(&waiter)) {
            return Room::None;
        }
        let console = self.shown.iter().map(|shown| shown.console.room(shown.lane, &waiter));
        let mut rooms = console.chain(self.files.iter().map(|path| files.room(path, &self.origin, &waiter)));
        rooms.find(|room| *room != Room::Some).unwrap_or(Room::Some)
    }

    /// How much is read of it at once. A waiting program may exceed the bound by that much.
    pub(super) fn most_at_once(&self, buffer: usize) -> usize {
        if self.origin.is_blocking { buffer.min(PIECE) } else { buffer }
    }

    /// Whether it is worth enlarging its pipe.
    pub(super) fn is_busy(&mut self, read: usize) -> bool {
        if read < FULL_READ || self.full_reads > FULL_READS {
            return false;
        }
        self.full_reads += 1;
        self.full_reads > FULL_READS
    }

    /// Notes how much one read found in the pipe. Returns whether it begins to flood.
    pub(super) fn note_flood(&mut self, read: usize) -> bool {
        let was_flooding = self.is_flooding();
        let pipe = if self.is_large { LARGE_PIPE } else { PIPE };
        self.flood = if read >= self.most_at_once(pipe) / 4 * 3 { (self.flood + 1).min(FLOOD) } else { 0 };
        self.is_flooding() && !was_flooding
    }

    /// Whether it writes faster than it is read.
    pub(super) fn is_flooding(&self) -> bool {
        self.flood == FLOOD
    }

    /// Enlarges its pipe. If the kernel refuses, it works as before.
    pub(super) fn enlarge(&mut self) -> bool {
        self.is_large = fcntl(self.pipe.as_fd(), FcntlArg::F_SETPIPE_SZ(LARGE_PIPE as i32)).is_ok();
        self.is_large
    }
}

/// Shows lines that a file refused, if they are shown nowhere else.
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

/// No more bytes of the stream are pending: an incomplete last line gets a newline.
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
