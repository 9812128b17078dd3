//! One output stream of one run: what is done with what was read from its pipe.
//!
//! Everything passes [`Stream::take`]: it is looked through for readiness, remembered, counted, limited, written to files, sent to syslog and shown on the
//! console, in this order and without being copied where nothing is to be added. Files get whole lines, unchanged; the beginning of a
//! line waits for its end, or for the end of the run. Reading and waiting is the [`pump`](super::pump)'s.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use memchr::{memchr, memchr_iter, memrchr};
use muster_core::spec::RateLimit;
use nix::fcntl::{FcntlArg, fcntl};

use super::Recorder;
use super::console::Console;
use super::counters::Counters;
use super::file::Piece;
use super::files::Files;
use super::lines::{LONGEST, Lines};
use super::queue::{Gap, LaneId, Waiter};
use super::rate::Rate;
use super::syslog::courier::Courier;
use crate::notify::ReadyMatcher;

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
    /// The program waits when nobody reads.
    pub(super) is_blocking: bool,
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
    pub(super) counters: Arc<Counters>,
    pub(super) limited: Option<Box<Limited>>,
    pub(super) shown: Option<Shown>,
    /// Where lines are shown that a file refused, if they are shown nowhere else.
    pub(super) spare: Option<Box<Shown>>,
    pub(super) files: Box<[PathBuf]>,
    pub(super) syslog: Option<Box<Courier>>,
    /// The beginning of a line on its way to files.
    pub(super) held: Vec<u8>,
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
    /// What a burst has needed is given back.
    pub(super) fn shrink(&mut self) {
        *self = Scratch::default();
    }
}

impl Stream {
    /// Takes in what was read. Every byte of every stream comes by here, once and in order.
    pub(super) fn take(&mut self, bytes: &[u8], moment: Moment, files: &mut Files, scratch: &mut Scratch) {
        self.matcher.take_if(|matcher| matcher.saw(bytes));
        self.recorder.record(bytes, moment.at);
        let Some(limited) = self.limited.as_deref_mut() else {
            self.write(bytes, moment.now, files);
            self.send(bytes, moment.at);
            let shown = self.show(bytes, moment.at, scratch);
            let lines = shown.unwrap_or_else(|| memchr_iter(b'\n', bytes).count() as u64);
            return self.counters.count_read(lines, bytes.len());
        };
        self.counters.count_read(memchr_iter(b'\n', bytes).count() as u64, bytes.len());
        let mut passed = std::mem::take(&mut scratch.passed);
        passed.clear();
        limited.rate.pass(bytes, moment.now, &mut passed);
        let lost = limited.rate.take_lost();
        self.write(&passed, moment.now, files);
        self.send(&passed, moment.at);
        self.show(&passed, moment.at, scratch);
        scratch.passed = passed;
        if let Some((lines, bytes)) = lost {
            self.tell_limited(lines, bytes, scratch);
        }
    }

    fn tell_limited(&mut self, lines: u64, bytes: u64, scratch: &mut Scratch) {
        self.counters.count_dropped(lines, usize::try_from(bytes).unwrap_or(usize::MAX));
        if let (Some(limited), Some(shown)) = (&self.limited, &self.shown) {
            let why = format!("more than {} in {} s", limited.limit.lines, limited.limit.per.as_secs());
            limited.gap.put(lines, bytes, &why, &mut scratch.lines);
            shown.console.push(shown.lane, &mut scratch.lines, 0);
        }
    }

    /// Gives how many lines were complete with these bytes, where it had to look at them.
    fn show(&mut self, bytes: &[u8], at: SystemTime, scratch: &mut Scratch) -> Option<u64> {
        let shown = self.shown.as_mut()?;
        let count = shown.lines.push(bytes, at, &mut scratch.lines);
        shown.push(count, scratch);
        Some(count)
    }

    fn send(&mut self, bytes: &[u8], at: SystemTime) {
        if let Some(courier) = &mut self.syslog {
            courier.push(bytes, at);
        }
    }

    /// Whole lines go to the files; what begins the next is held back.
    fn write(&mut self, bytes: &[u8], now: Instant, files: &mut Files) {
        if self.files.is_empty() {
            return;
        }
        let (mut lines, rest) = bytes.split_at(memrchr(b'\n', bytes).map_or(0, |end| end + 1));
        if !self.held.is_empty()
            && let Some(end) = memchr(b'\n', lines)
        {
            self.held.extend_from_slice(&lines[..=end]);
            self.write_held(now, files);
            lines = &lines[end + 1..];
        }
        self.append(lines, now, files);
        if self.held.len() + rest.len() > LONGEST {
            self.write_held(now, files);
            self.append(rest, now, files);
        } else {
            self.held.extend_from_slice(rest);
        }
    }

    fn append(&mut self, bytes: &[u8], now: Instant, files: &mut Files) {
        let piece = Piece { bytes, counters: &self.counters, now };
        if bytes.is_empty() {
            return;
        }
        let refused = self.files.iter().map(|path| files.append(path, piece)).max_by_key(|refused| refused.len());
        if let (Some(spare), Some(refused @ [_, ..])) = (&mut self.spare, refused) {
            let mut scratch = Scratch::default();
            let count = spare.lines.push(refused, SystemTime::now(), &mut scratch.lines);
            spare.push(count, &mut scratch);
        }
    }

    /// The beginning of a line goes to the files without its end.
    pub(super) fn write_held(&mut self, now: Instant, files: &mut Files) {
        let mut held = std::mem::take(&mut self.held);
        self.append(&held, now, files);
        held.clear();
        self.held = held;
    }

    fn send_partial(&mut self, at: SystemTime) {
        if let Some(courier) = &mut self.syslog {
            courier.deliver(at);
        }
    }

    /// Whether something waits for the end of its line on the way to a file.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Everything that was read goes out, the beginning of a line, too. More may come.
    pub(super) fn deliver(&mut self, moment: Moment, files: &mut Files, scratch: &mut Scratch) {
        self.write_held(moment.now, files);
        self.send_partial(moment.at);
        if let Some(shown) = &mut self.shown {
            shown.lines.put_partial(moment.at, &mut scratch.lines);
            shown.push(1, scratch);
        }
    }

    /// Nothing more comes. A last line without an end goes out with one, but to files, which are never changed.
    pub(super) fn end(&mut self, moment: Moment, files: &mut Files, scratch: &mut Scratch) {
        self.recorder.end(moment.at);
        self.write_held(moment.now, files);
        self.send_partial(moment.at);
        if let Some(shown) = self.shown.as_mut().or(self.spare.as_deref_mut()) {
            shown.lines.end(moment.at, &mut scratch.lines);
            shown.push(1, scratch);
        }
    }

    /// Whether more of it can be read now. If not, the waiter is called when it can.
    pub(super) fn has_room(&self, waiter: impl FnOnce() -> Waiter) -> bool {
        match &self.shown {
            Some(shown) if shown.is_blocking => shown.console.has_room(shown.lane, waiter),
            _ => true,
        }
    }

    /// How much is read of it at once. Who waits for room may come too late by that much.
    pub(super) fn most_at_once(&self, buffer: usize) -> usize {
        match &self.shown {
            Some(shown) if shown.is_blocking => buffer.min(PIECE),
            _ => buffer,
        }
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

impl Shown {
    fn push(&self, count: u64, scratch: &mut Scratch) {
        if !scratch.lines.is_empty() {
            self.console.push(self.lane, &mut scratch.lines, count);
        }
    }
}
