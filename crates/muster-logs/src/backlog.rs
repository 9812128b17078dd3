//! What waits for a log file that stands still or takes less than it is given, and the thread that writes it.
//!
//! The thread that reads the pipes never waits for a file: when one is late ([`late`](super::late)), or has no room for
//! now (a FIFO), it goes to a thread of its own, together with what was being written, and lines queue here. How much waits
//! is bounded by the `buffer_size` of the program that writes. Then the program waits, and when the file makes too little
//! [`progress`](super::progress), `overflow` decides: it goes on waiting, or the oldest bytes go, up to the end of a line, and
//! are counted. When everything is written and the file is on time again, it goes back and the thread ends. There are at most
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

/// Pieces that follow one another are kept together up to so many bytes.
const TOGETHER: usize = 64 * 1024;

/// A file that takes nothing for so long is not waited for when the daemon ends.
const STALL: Duration = Duration::from_secs(1);

/// How much more than the bound may come until a program waits.
const SPARE: usize = 512 * 1024;

/// Whether more may be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Some,
    None,
    /// None until this moment, at the latest.
    NoneUntil(Instant),
}

/// Whose bytes: where their loss is counted, how many may wait, and whether the program waits then.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) counters: Arc<Counters>,
    pub(super) bound: usize,
    pub(super) is_blocking: bool,
    /// Where what the file refuses is shown.
    pub(super) spare: Option<Arc<Spare>>,
}

/// Everything for one file.
pub(super) struct Backlog {
    path: PathBuf,
    /// The disk that stands still, if that is why.
    device: Option<u64>,
    began: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Waiting>,
    /// How many bytes wait, and how many are being written.
    queued: usize,
    in_hand: usize,
    /// What was written or lost last, if anything.
    progress: Option<Progress>,
    policy: Option<FilePolicy>,
    is_reopened: bool,
    /// Nobody writes to the file any more, for now.
    is_left: bool,
    returned: Option<Box<LogFile>>,
    waiters: Vec<Waiter>,
    /// Whether what was taken last is the end of a line.
    is_at_end_of_line: bool,
    /// Programs that wait go on when no more than this waits.
    room: usize,
    lost_lines: u64,
    lost_bytes: u64,
    told_at: Option<Instant>,
}

impl Origin {
    /// What a file refused is shown on the console instead.
    pub(super) fn show_refused(&self, refused: &[u8]) {
        self.spare.iter().for_each(|spare| spare.show(refused));
    }
}

/// Bytes that wait.
pub(super) struct Waiting {
    bytes: Vec<u8>,
    counters: Arc<Counters>,
    spare: Option<Arc<Spare>>,
    is_blocking: bool,
    /// Lines before it are missing.
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
    /// For a file that so many bytes are being written to, perhaps up to the end of a line.
    pub(super) fn new(path: PathBuf, in_hand: usize, is_at_end_of_line: bool, device: Option<u64>) -> Arc<Backlog> {
        let state = State { in_hand, is_at_end_of_line, ..State::default() };
        Arc::new(Backlog { path, device, began: Instant::now(), state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues bytes, unless the file is back. Never waits.
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
        // What was read before the program is made to wait, and what runs leave behind, fits all the same.
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

    /// Whether more may be queued. If not, the waiter is called when it may, and a program that does not wait for ever is
    /// to be read again at the moment that is returned.
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

    /// When the file will have taken so little for so long that programs go on and lose lines.
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

    /// Nobody writes to the file any more, or somebody does again.
    pub(super) fn leave(&self, is_left: bool) {
        self.lock().is_left = is_left;
        self.changed.notify_all();
    }

    /// The file, when everything was written and it is on time again. Nothing is queued here from then on.
    pub(super) fn take_back(&self) -> Option<Box<LogFile>> {
        self.lock().returned.take()
    }

    pub(super) fn device(&self) -> Option<u64> {
        self.device
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for everything to be written at the daemon's end, and says what is lost if that takes too long.
    pub(super) fn wait_or_tell(&self, began: Instant, deadline: Instant) {
        let lost_bytes = self.wait(began, deadline);
        if lost_bytes > 0 {
            warn!(file = %self.path.display(), lost_bytes, "a log file still stands still, what waits for it is lost");
        }
    }

    /// Waits until everything is written, for no longer than this and only while the file takes something. Gives how many
    /// bytes are left.
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

    /// Writes everything that comes until the file is on time again, and gives it back. `first` is what had no room, and
    /// `is_late` whether the write before was.
    pub(super) fn serve(&self, mut file: Box<LogFile>, first: &Waiting, mut is_late: bool) {
        self.write(&mut file, first);
        loop {
            match self.next(is_late) {
                Some(Next::Change(policy)) => file.set_policy(policy),
                Some(Next::Reopen) => file.reopen(Instant::now()),
                Some(Next::Write(piece)) => is_late = self.write(&mut file, &piece) > LATE,
                // Something may have come at the last moment.
                None => match self.give_back(file) {
                    Some(kept) => file = kept,
                    None => return,
                },
            }
        }
    }

    /// Writes a piece, however long that takes. Gives how long, without the time that a reader took.
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

    /// What is to be done next; `None` when the file can go back.
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

    /// Gives the file back, unless there is more to do.
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

    /// So much is left of what is being written.
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

    /// Drops the oldest pieces of programs that do not wait, so that the rest is within the bound; the newest one stays.
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
                // The line goes to its end.
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

    /// The oldest piece, and who has room now.
    fn take(&mut self) -> Option<(Waiting, Vec<Waiter>)> {
        let mut piece = self.pieces.pop_front()?;
        self.queued -= piece.bytes.len();
        self.in_hand = piece.bytes.len();
        if piece.is_after_gap && !self.is_at_end_of_line {
            // The line of which the end was lost must not take in the next one.
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
