//! The queue of a log file that is stalled or slow, and the thread that writes it.
//!
//! The thread that reads the pipes never waits for a file: when one is late ([`late`](super::late)), or has no room
//! (a FIFO), the file and the unwritten bytes go to a separate thread, and further lines are queued here. The queue
//! is bounded by the `buffer_size` of the writing program. Beyond that the program waits, and when the file makes too little
//! [`progress`](super::progress), `overflow` decides: the program keeps waiting, or the oldest bytes are dropped, up to the end of a
//! line, and counted. When everything is written and the file is on time again, it goes back and the thread exits. There are at most
//! as many such threads as files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use memchr::{memchr, memchr_iter};
use tracing::warn;

use super::TELL_AGAIN;
use super::counters::Counters;
use super::file::{Left, LogFile, Piece};
use super::late::LATE;
use super::policy::FilePolicy;
use super::progress::Progress;
use super::queue::Waiter;
use super::stream::Spare;

/// Consecutive pieces are merged up to this many bytes.
const TOGETHER: usize = 64 * 1024;

/// On exit, a file that takes nothing for this long is abandoned.
const STALL: Duration = Duration::from_secs(1);

/// How far the bound may be exceeded before a program waits.
const SPARE: usize = 512 * 1024;

/// Whether more may be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Some,
    None,
    /// None until this moment, at the latest.
    NoneUntil(Instant),
}

/// The source of bytes: where losses are counted, how much may be queued, and whether the program waits when that is full.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) counters: Arc<Counters>,
    pub(super) bound: usize,
    pub(super) is_blocking: bool,
    /// Where bytes are shown that the file refuses.
    pub(super) spare: Option<Arc<Spare>>,
}

/// The backlog of one file.
pub(super) struct Backlog {
    path: PathBuf,
    /// The stalled disk, if that is the reason.
    device: Option<u64>,
    began: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Waiting>,
    /// Bytes queued, and bytes being written.
    queued: usize,
    in_hand: usize,
    /// The last write or loss, if any.
    progress: Option<Progress>,
    policy: Option<FilePolicy>,
    is_reopened: bool,
    /// Whether no stream currently writes to the file.
    is_left: bool,
    returned: Option<Box<LogFile>>,
    waiters: Vec<Waiter>,
    /// Whether the last bytes accepted ended a line.
    is_at_end_of_line: bool,
    /// Waiting programs continue when at most this much is queued.
    room: usize,
    lost_lines: u64,
    lost_bytes: u64,
    told_at: Option<Instant>,
}

impl Origin {
    /// Shows bytes that a file refused on the console instead.
    pub(super) fn show_refused(&self, refused: &[u8]) {
        self.spare.iter().for_each(|spare| spare.show(refused));
    }
}

/// Queued bytes.
pub(super) struct Waiting {
    bytes: Vec<u8>,
    counters: Arc<Counters>,
    spare: Option<Arc<Spare>>,
    is_blocking: bool,
    /// Whether lines before it were dropped.
    is_after_gap: bool,
}

enum Next {
    Write(Waiting),
    Reopen,
    Change(FilePolicy),
}

impl std::fmt::Debug for Backlog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backlog").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Backlog {
    /// A backlog for a file to which this many bytes are being written, possibly up to the end of a line.
    pub(super) fn new(path: PathBuf, in_hand: usize, is_at_end_of_line: bool, device: Option<u64>) -> Arc<Backlog> {
        let state = State { in_hand, is_at_end_of_line, ..State::default() };
        Arc::new(Backlog { path, device, began: Instant::now(), state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues bytes, unless the file is back. Never blocks.
    pub(super) fn push(&self, pieces: &[&[u8]], origin: &Origin) -> bool {
        let mut state = self.lock();
        if state.returned.is_some() {
            return false;
        }
        if state.left() == 0 {
            state.progress = Some(Progress::begin(Instant::now()));
        }
        pieces.iter().for_each(|bytes| state.push(bytes, origin));
        state.room = origin.bound / 2;
        // Output that was read before the program is made to wait, or that a run left behind, is accepted beyond the bound.
        let is_patient = Instant::now() < self.patience_ends(&state);
        let bound = if is_patient { 2 * origin.bound + SPARE } else { origin.bound };
        if !origin.is_blocking && state.keep_bound(bound) {
            self.tell_loss(&mut state);
        }
        self.changed.notify_all();
        true
    }

    fn tell_loss(&self, state: &mut State) {
        if state.told_at.is_none_or(|at| at.elapsed() >= TELL_AGAIN) {
            state.told_at = Some(Instant::now());
            let (lost_lines, lost_bytes) = (state.lost_lines, state.lost_bytes);
            warn!(file = %self.path.display(), lost_lines, lost_bytes, "a log file takes too little, its oldest lines are lost");
        }
    }

    /// Whether more may be queued. If not, the waiter is called once it may, and a program that does not wait indefinitely
    /// must be read again at the returned moment.
    pub(super) fn room(&self, origin: &Origin, waiter: impl FnOnce() -> Waiter) -> Room {
        let mut state = self.lock();
        let until = self.patience_ends(&state);
        let is_patient = origin.is_blocking || Instant::now() < until;
        if state.returned.is_some() || state.queued < origin.bound || !is_patient {
            return Room::Some;
        }
        state.waiters.push(waiter());
        if origin.is_blocking { Room::None } else { Room::NoneUntil(until) }
    }

    /// When programs stop waiting and lose lines, unless the file makes progress before.
    fn patience_ends(&self, state: &State) -> Instant {
        state.progress.unwrap_or(Progress::begin(self.began)).patience_ends()
    }

    pub(super) fn set_policy(&self, policy: FilePolicy) {
        self.lock().policy = Some(policy);
        self.changed.notify_all();
    }

    pub(super) fn reopen(&self) {
        self.lock().is_reopened = true;
        self.changed.notify_all();
    }

    /// Records whether any stream writes to the file.
    pub(super) fn leave(&self, is_left: bool) {
        self.lock().is_left = is_left;
        self.changed.notify_all();
    }

    /// Returns the file once everything was written and it is on time again. Nothing is queued here from then on.
    pub(super) fn take_back(&self) -> Option<Box<LogFile>> {
        self.lock().returned.take()
    }

    pub(super) fn device(&self) -> Option<u64> {
        self.device
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits at the daemon's exit until everything is written, and logs the loss on timeout.
    pub(super) fn wait_or_tell(&self, began: Instant, deadline: Instant) {
        let lost_bytes = self.wait(began, deadline);
        if lost_bytes > 0 {
            warn!(file = %self.path.display(), lost_bytes, "a log file still stands still, what waits for it is lost");
        }
    }

    /// Waits until everything is written, at most until the deadline and only while the file makes progress. Returns the number of
    /// bytes left.
    fn wait(&self, began: Instant, deadline: Instant) -> usize {
        let mut state = self.lock();
        while state.left() > 0 {
            let progress = state.progress.map_or(began, |progress| progress.last_at().max(began));
            let left = deadline.min(progress + STALL).saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.left()
    }

    /// Writes everything queued until the file is on time again, and gives it back. `first` is what had no room, and
    /// `is_late` tells whether the previous write was late.
    pub(super) fn serve(&self, mut file: Box<LogFile>, first: &Waiting, mut is_late: bool) {
        self.write(&mut file, first);
        loop {
            match self.next(is_late) {
                Some(Next::Change(policy)) => file.set_policy(policy),
                Some(Next::Reopen) => file.reopen(Instant::now()),
                Some(Next::Write(piece)) => is_late = self.write(&mut file, &piece) > LATE,
                // More may have arrived at the last moment.
                None => match self.give_back(file) {
                    Some(kept) => file = kept,
                    None => return,
                },
            }
        }
    }

    /// Writes a piece, however long that takes. Returns how long, not counting the time spent waiting for a reader.
    fn write(&self, file: &mut LogFile, piece: &Waiting) -> Duration {
        let (mut rest, mut took) = (&*piece.bytes, Duration::ZERO);
        while !rest.is_empty() {
            let now = Instant::now();
            rest = match file.append(Piece { bytes: rest, counters: &piece.counters, now }) {
                Left::Nothing => &[],
                Left::NoRoom(rest) => rest,
                Left::Refused(refused) => {
                    piece.spare.iter().for_each(|spare| spare.show(refused));
                    &[]
                }
            };
            took += now.elapsed();
            self.lock().has_left(rest.len(), self.began);
            if !rest.is_empty() {
                file.wait_for_room();
            }
        }
        self.lock().has_left(0, self.began);
        self.changed.notify_all();
        took
    }

    /// The next step; `None` when the file can go back.
    fn next(&self, is_late: bool) -> Option<Next> {
        let mut state = self.lock();
        loop {
            if let Some(policy) = state.policy.take() {
                return Some(Next::Change(policy));
            }
            if std::mem::take(&mut state.is_reopened) {
                return Some(Next::Reopen);
            }
            if let Some((piece, waiters)) = state.take() {
                drop(state);
                waiters.into_iter().for_each(|waiter| waiter());
                return Some(Next::Write(piece));
            }
            if !is_late || state.is_left {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives the file back, unless more is queued.
    fn give_back(&self, file: Box<LogFile>) -> Option<Box<LogFile>> {
        let mut state = self.lock();
        if !state.pieces.is_empty() || state.is_reopened || state.policy.is_some() {
            return Some(file);
        }
        if state.lost_bytes > 0 {
            let (lost_lines, lost_bytes) = (state.lost_lines, state.lost_bytes);
            let waited_ms = self.began.elapsed().as_millis();
            warn!(file = %self.path.display(), lost_lines, lost_bytes, waited_ms, "a log file keeps up again, some lines were lost");
        }
        state.returned = Some(file);
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_iter().for_each(|waiter| waiter());
        None
    }
}

impl State {
    fn left(&self) -> usize {
        self.queued + self.in_hand
    }

    /// Records how many of the bytes being written are left.
    fn has_left(&mut self, left: usize, began: Instant) {
        let progress = self.progress.get_or_insert(Progress::begin(began));
        progress.note(self.in_hand.saturating_sub(left), Instant::now());
        self.in_hand = left;
    }

    fn push(&mut self, bytes: &[u8], origin: &Origin) {
        if bytes.is_empty() {
            return;
        }
        self.queued += bytes.len();
        let fits = |last: &&mut Waiting| {
            Arc::ptr_eq(&last.counters, &origin.counters) && last.bytes.len() + bytes.len() <= TOGETHER
        };
        if let Some(last) = self.pieces.back_mut().filter(fits) {
            return last.bytes.extend_from_slice(bytes);
        }
        let mut piece = Waiting::new(bytes, origin);
        piece.bytes.shrink_to_fit();
        self.pieces.push_back(piece);
    }

    /// Drops the oldest pieces of programs that do not wait, to keep the bound; the newest one stays.
    fn keep_bound(&mut self, bound: usize) -> bool {
        let mut has_lost = false;
        while self.queued > bound
            && let Some(oldest) = self.pieces.iter().position(|piece| !piece.is_blocking)
            && oldest + 1 < self.pieces.len()
            && let Some(piece) = self.pieces.remove(oldest)
        {
            self.lose(&piece.bytes, &piece.counters);
            let next = &mut self.pieces[oldest];
            next.is_after_gap = true;
            if piece.bytes.last() != Some(&b'\n') {
                // The line that was begun is written to its end.
                let end = memchr(b'\n', &next.bytes).map_or(next.bytes.len(), |end| end + 1);
                let (rest, counters) = (next.bytes.drain(..end).collect::<Vec<u8>>(), Arc::clone(&next.counters));
                self.lose(&rest, &counters);
            }
            has_lost = true;
        }
        has_lost
    }

    fn lose(&mut self, bytes: &[u8], counters: &Counters) {
        let lines = memchr_iter(b'\n', bytes).count() as u64;
        self.queued -= bytes.len();
        self.lost_lines += lines;
        self.lost_bytes += bytes.len() as u64;
        counters.count_dropped(lines, bytes.len());
    }

    /// Takes the oldest piece, and the waiters that have room now.
    fn take(&mut self) -> Option<(Waiting, Vec<Waiter>)> {
        let mut piece = self.pieces.pop_front()?;
        self.queued -= piece.bytes.len();
        self.in_hand = piece.bytes.len();
        if piece.is_after_gap && !self.is_at_end_of_line {
            // The line that lost its end must not absorb the next one.
            piece.bytes.insert(0, b'\n');
        }
        self.is_at_end_of_line = piece.bytes.last().is_none_or(|&last| last == b'\n');
        let waiters = if self.queued <= self.room { std::mem::take(&mut self.waiters) } else { Vec::new() };
        Some((piece, waiters))
    }
}

impl Waiting {
    pub(super) fn new(bytes: &[u8], origin: &Origin) -> Waiting {
        let (counters, is_blocking) = (Arc::clone(&origin.counters), origin.is_blocking);
        Waiting { bytes: bytes.to_vec(), counters, spare: origin.spare.clone(), is_blocking, is_after_gap: false }
    }
}

#[cfg(test)]
mod tests;
