//! The recent output of an instance: the newest bytes with the time of reading, and the last lines of each of
//! its last runs.
//!
//! The thread that reads the pipes pushes (one copy, no allocation once the ring has its size), the loop's thread reads.
//! Both hold the lock for as long as one copy of a bounded piece takes. A reader keeps its own position and nothing is
//! queued for it: one that falls behind finds that its position was overwritten, and gets the number of bytes it has missed. Until the
//! first byte is pushed no memory is allocated. [`follow`](super::follow) waits for more; `ring.rs` holds the bytes.

mod kept;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use self::kept::Kept;
use super::Source;
use super::line_assembler::Line;
use super::ring::Piece;

/// How much of a line is kept with its run.
const LONGEST_LINE: usize = 1024;

/// With followers at least this much is kept, however small the configured memory.
const FOLLOWED: usize = 256 * 1024;

/// How much a reader gets at a time, about.
const BATCH: usize = 8 * 1024;

/// The streams that a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Both streams.
    Both,
    /// One of them.
    Only(Source),
}

impl Wanted {
    /// Whether this stream is included.
    pub fn includes(self, source: Source) -> bool {
        self == Wanted::Both || self == Wanted::Only(source)
    }
}

/// The position of a reader. Everything before it was read or missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The next byte to read, counted from the first one ever written.
    pub position: u64,
    /// Bytes of each stream before it, read or overwritten.
    passed: [u64; 2],
}

/// Some output, as it was read: consecutive pieces, and their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The number of bytes overwritten before the first of these pieces could be read.
    pub missed: u64,
    /// The pieces of the streams, in the order in which they were read.
    pub pieces: Vec<Piece>,
    /// The bytes of all pieces.
    pub bytes: Vec<u8>,
}

impl Batch {
    fn add(&mut self, piece: &Piece, front: &[u8], back: &[u8]) {
        self.pieces.push(*piece);
        self.bytes.extend_from_slice(front);
        self.bytes.extend_from_slice(back);
    }

    fn clear(&mut self) {
        self.missed = 0;
        self.pieces.clear();
        self.bytes.clear();
    }
}

/// A line that a run wrote shortly before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastLine {
    /// The stream it was written to.
    pub source: Source,
    /// When it was read, in microseconds since 1970.
    pub at: u64,
    /// Without its newline; at most 1 KiB of it.
    pub text: Box<[u8]>,
    /// Whether it was longer.
    pub is_cut: bool,
}

/// The recent output of one instance. Shared by the thread that pushes and the loop's.
#[derive(Debug)]
pub struct Memory {
    /// The bound of the ring in bytes; 0 keeps nothing without followers.
    size: AtomicUsize,
    kept: Mutex<Option<Box<Kept>>>,
}

impl Memory {
    /// Keeps at most about this many bytes, and 20 lines of each of 20 runs.
    pub fn of_size(size: usize) -> Arc<Memory> {
        Arc::new(Memory { size: AtomicUsize::new(size), kept: Mutex::new(None) })
    }

    fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Changes the size.
    pub fn set_size(&self, size: usize) {
        let earlier = self.size.swap(size, Ordering::Relaxed);
        if earlier != size
            && let Some(kept) = self.lock().as_mut()
        {
            kept.ring.set_capacity(if kept.is_followed { size.max(FOLLOWED) } else { size });
        }
    }

    /// Adds output. Runs have ascending numbers; the first byte of a new one files the last lines of the one
    /// before. Never waits for a reader.
    pub fn push(&self, source: Source, run: u64, at: SystemTime, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.change(|kept| kept.push(source, run, micros(at), bytes));
        }
    }

    /// This run writes nothing more on this stream: a last line without a newline is complete.
    pub fn end(&self, source: Source, run: u64, at: SystemTime) {
        if self.lock().is_some() {
            self.change(|kept| kept.end(source, run, micros(at)));
        }
    }

    /// This stream is silent in the middle of a line: followers get the line so far.
    pub(crate) fn give_out(&self, source: Source, run: u64) {
        if self.lock().is_some() {
            self.change(|kept| kept.give_out(source, run));
        }
    }

    /// Whether the line that is open at this reader's position was emitted: its stream has written nothing since, and the
    /// reader has read all of it.
    pub fn is_given_out(&self, cursor: &Cursor, source: Source) -> bool {
        let place = source as usize;
        self.lock().as_ref().is_some_and(|kept| kept.given_out[place] == Some(cursor.passed[place]))
    }

    /// Changes the content, and wakes the waiting task once the lock is released.
    fn change(&self, change: impl FnOnce(&mut Kept)) {
        let mut place = self.lock();
        if place.is_none() && self.size() == 0 {
            return;
        }
        let kept = place.get_or_insert_with(|| Kept::new(self.size()));
        change(kept);
        let waker = kept.waker.take();
        drop(place);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Discards the output so far. Older output in files is hidden, too.
    pub fn clear(&self) {
        self.lock().get_or_insert_with(|| Kept::new(self.size())).clear();
    }

    /// The kept output of a stream, and the number of bytes written to it since it was last discarded.
    pub(super) fn held(&self, source: Source) -> (Vec<u8>, u64) {
        self.lock().as_ref().map_or_else(Default::default, |kept| kept.held(source))
    }

    /// The last lines of a run; empty if it wrote nothing or too long ago.
    pub fn last_lines(&self, run: u64) -> Vec<LastLine> {
        self.lock().as_ref().map_or_else(Vec::new, |kept| kept.last_lines(run))
    }

    /// The position at which to begin reading these streams: the last `lines` lines, and nothing read before
    /// `since`.
    pub fn locate(&self, wanted: Wanted, lines: Option<u64>, since: Option<SystemTime>) -> Located {
        self.lock().as_ref().map_or_else(Located::default, |kept| kept.locate(wanted, lines, since.map(micros)))
    }

    /// Where the kept output of these streams begins; `since` determines how far before that is of interest.
    pub fn edge(&self, wanted: Wanted, since: Option<SystemTime>) -> Edge {
        let nothing = || Edge { before: since.map(|_| 0), ..Edge::default() };
        self.lock().as_ref().map_or_else(nothing, |kept| kept.edge(wanted, since.map(micros)))
    }

    /// Reads on from `cursor`, about 8 KiB at most and not beyond the position `until`. The batch is empty if there is
    /// nothing new.
    pub fn read(&self, cursor: &mut Cursor, wanted: Wanted, until: u64, batch: &mut Batch) {
        batch.clear();
        if let Some(kept) = self.lock().as_ref() {
            kept.read(cursor, wanted, until, batch);
        }
    }

    /// A follower was added: pushed output is kept long enough to be read, whatever the size.
    pub(super) fn begin_following(&self) {
        let mut place = self.lock();
        let kept = place.get_or_insert_with(|| Kept::new(self.size()));
        kept.is_followed = true;
        kept.ring.set_capacity(self.size().max(FOLLOWED));
    }

    /// The last follower is gone.
    pub(super) fn end_following(&self) {
        let mut place = self.lock();
        match place.as_mut() {
            Some(kept) if self.size() > 0 => {
                kept.waker = None;
                kept.is_followed = false;
                kept.ring.set_capacity(self.size());
            }
            _ => *place = None,
        }
    }

    /// Ready as soon as more was written or emitted than `seen`; returns how much. One task at a time can wait.
    pub(super) fn poll_beyond(&self, seen: u64, context: &mut Context<'_>) -> Poll<u64> {
        let mut place = self.lock();
        let kept = place.get_or_insert_with(|| Kept::new(self.size()));
        match kept.progress() {
            progress if progress == seen => {
                kept.waker = Some(context.waker().clone());
                Poll::Pending
            }
            progress => Poll::Ready(progress),
        }
    }

    /// The ring is consistent even if a thread panicked while it held the lock.
    fn lock(&self) -> MutexGuard<'_, Option<Box<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where to begin to read, and what is available at that moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// The start.
    pub cursor: Cursor,
    /// How many lines from there exceed the request.
    pub skip: u64,
    /// How many lines there are after those.
    pub lines: u64,
    /// The end at that moment; everything after it is new.
    pub end: u64,
    /// Whether the request is met from memory, without older output.
    pub is_satisfied: bool,
}

/// Where the kept output begins, to locate it in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// The number of bytes kept, from the first whole line.
    pub bytes: u64,
    /// The first of them.
    pub needle: Vec<u8>,
    /// How many bytes before them were written since the moment of interest; `None` without one.
    pub before: Option<u64>,
}

fn micros(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |span| u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}

impl LastLine {
    fn of(line: Line<'_>) -> LastLine {
        let is_cut = line.text.len() > LONGEST_LINE;
        let text = line.text[..line.text.len().min(LONGEST_LINE)].into();
        LastLine { source: line.source, at: line.at, text, is_cut }
    }
}
