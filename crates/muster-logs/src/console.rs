//! One of the daemon's own console streams, written by its own thread.
//!
//! Lines are put into a bounded [`queue`](super::queue) without waiting; only the thread ever waits for the reader.
//! A program that writes more than fits is not read for as long as the reader makes [`progress`](super::progress). Otherwise its lines
//! are dropped and counted, and a mark takes their place. A write that fails (the reader has closed the pipe,
//! the disk is full) loses lines without other effects: nothing here panics or prints.
//!
//! The daemon's own lines go the same way. While the remaining output of a run is still being read ([`drain`](super::drain)),
//! they wait for it: a run's last line precedes the line that reports its end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use muster_spec::Rotation;
use muster_sys::footprint;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::stat::fstat;

use super::Consoles;
use super::backlog::Room;
use super::drain::{Notice, PATIENCE};
use super::own_file::{Orders, OwnFile};
use super::progress::{ENOUGH, Progress};
use super::queue::{Full, Gap, LaneId, LaneSpec, OWN, Queue, Waiter};

/// Maximum number of queued bytes of the daemon's own lines.
const OWN_BOUND: usize = 1 << 20;

/// Held lines are written when they amount to this many bytes.
const HELD: usize = 16 * 1024;

/// How much the thread takes at once.
const BATCH: usize = 256 * 1024;

/// When this much is queued, the console's pipe is enlarged to the second size.
const MUCH: usize = 64 * 1024;
const LARGE_PIPE: i32 = 256 * 1024;

/// After this long without lines, the memory that a burst needed is released.
const REST: Duration = Duration::from_secs(1);

/// A reader that has read nothing for this long is not waited on.
const STUCK: Duration = Duration::from_millis(100);

/// Maximum number of pending notices; beyond it the oldest is given at once.
const NOTICES: usize = 64;

/// A console stream. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Console {
    shared: Arc<Shared>,
    is_terminal: bool,
    /// Only for a log file: what its thread is to do.
    orders: Option<Arc<Orders>>,
}

struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

struct State {
    queue: Queue,
    is_writing: bool,
    is_held: bool,
    /// The number of bytes written so far, and the time of the last write.
    written: u64,
    written_at: Instant,
    progress: Progress,
    /// The place in the queue up to which everything is written or lost.
    done: u64,
    notices: VecDeque<(u64, Notice)>,
    own: Own,
}

/// The daemon's lines that wait until the remaining output of runs is read.
#[derive(Debug, Default)]
struct Own {
    /// The latest drain requested, and the latest completed.
    asked: u64,
    over: u64,
    asked_at: Option<Instant>,
    lines: Vec<(u64, Vec<u8>)>,
    /// Whether the thread must learn that there are lines, to be released on timeout.
    is_unknown: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Console {
    /// Starts the thread that writes to this descriptor.
    pub fn start(name: &str, descriptor: OwnedFd) -> io::Result<Console> {
        let file = File::from(descriptor);
        let is_terminal = file.is_terminal();
        let mut is_large = false;
        Console::writing_by(name, is_terminal, move |shared, batch| {
            if !is_large && batch.iter().map(Vec::len).sum::<usize>() >= MUCH {
                // A larger pipe wakes the reader less often, which doubles the throughput. If it is not a pipe,
                // or may not be enlarged, it stays as it is.
                let _ = fcntl(&file, FcntlArg::F_SETPIPE_SZ(LARGE_PIPE));
                is_large = true;
            }
            // On error these lines are lost, and there is no other place to report it.
            let _ = shared.write_patiently(&file, batch);
        })
    }

    /// Starts the thread that writes the daemon's own messages to its log file.
    pub fn to_file(mut file: OwnFile) -> io::Result<Console> {
        let orders = file.orders();
        let console = Console::writing_by("own-log", false, move |shared, batch| {
            for lines in batch {
                file.write(lines);
                shared.note_progress(lines.len());
            }
        })?;
        Ok(Console { orders: Some(orders), ..console })
    }

    fn writing_by(
        name: &str,
        is_terminal: bool,
        mut write: impl FnMut(&Shared, &[Vec<u8>]) + Send + 'static,
    ) -> io::Result<Console> {
        let own = LaneSpec {
            gap: Gap::Text { name: "musterd".to_owned() },
            bound: OWN_BOUND,
            full: Full::Drop,
            counters: None,
            is_verbatim: false,
        };
        let now = Instant::now();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Queue::new(own),
                is_writing: false,
                is_held: false,
                written: 0,
                written_at: now,
                progress: Progress::begin(now),
                done: 0,
                notices: VecDeque::new(),
                own: Own::default(),
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        });
        let console = Console { shared: Arc::clone(&shared), is_terminal, orders: None };
        let work = move || {
            let mut batch = Vec::new();
            loop {
                shared.take(&mut batch);
                write(&shared, &batch);
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(console)
    }

    /// Has the file reopened: it was moved away.
    pub(super) fn reopen(&self) {
        self.orders.iter().for_each(|orders| orders.reopen());
    }

    /// Has the next lines go to another file.
    pub(super) fn move_to(&self, path: &Path, rotation: Rotation) {
        self.orders.iter().for_each(|orders| orders.move_to(path, rotation));
    }

    /// Queues whole lines of the daemon itself. Never waits for the reader.
    pub fn append(&self, lines: &[u8]) {
        let mut state = self.shared.lock();
        if state.own.is_waiting() {
            let is_first = state.own.lines.is_empty();
            state.own.keep(lines);
            state.own.is_unknown |= is_first;
        } else {
            state.push_own(lines);
        }
        self.shared.ring(state);
    }

    /// Creates a lane for a stream of a program, or changes the existing one.
    pub(super) fn lane(&self, existing: Option<LaneId>, spec: LaneSpec) -> LaneId {
        let mut state = self.shared.lock();
        match existing {
            Some(lane) => {
                state.queue.change_lane(lane, spec);
                lane
            }
            None => state.queue.add_lane(spec),
        }
    }

    /// Queues whole lines of a program, or the beginning or the rest of one ([`Queue::push`]), and leaves an empty buffer for
    /// the next. Never waits for the reader.
    pub(super) fn push(&self, lane: LaneId, lines: &mut Vec<u8>, count: u64, continuation: Option<Vec<u8>>) {
        let mut state = self.shared.lock();
        let until = state.reader_is_waited_for();
        state.queue.push(lane, until, lines, count, continuation);
        self.shared.ring(state);
    }

    /// Whether a program may write more. If not, the waiter is called once it may.
    pub(super) fn room(&self, lane: LaneId, waiter: impl FnOnce() -> Waiter) -> Room {
        let mut state = self.shared.lock();
        let until = state.progress.patience_ends();
        state.queue.room(lane, until, waiter)
    }

    /// Gives this notice when everything queued now has been written, or at once if the reader is stuck.
    pub(super) fn notify(&self, notice: Notice) {
        let mut state = self.shared.lock();
        let end = state.queue.end();
        let is_stuck = state.is_writing && state.written_at.elapsed() > STUCK;
        if is_stuck || !state.is_busy() {
            return drop(notice);
        }
        state.notices.push_back((end, notice));
        if state.notices.len() > NOTICES {
            state.notices.pop_front();
        }
    }

    /// The daemon's own lines from now on wait until this drain is complete.
    pub(super) fn await_drain(&self, number: u64) {
        let mut state = self.shared.lock();
        state.own.asked = number;
        state.own.asked_at.get_or_insert_with(Instant::now);
    }

    /// This drain and those before it are complete.
    pub(super) fn drain_is_over(&self, number: u64) {
        let mut state = self.shared.lock();
        state.let_own_go(number);
        self.shared.ring(state);
    }

    /// Holds back the following lines: a caller that handles several things at once wakes the thread only once, with
    /// [`Console::release`].
    pub fn hold(&self) {
        self.shared.lock().is_held = true;
    }

    /// Releases the held lines.
    pub fn release(&self) {
        let mut state = self.shared.lock();
        state.is_held = false;
        self.shared.ring(state);
    }

    /// Waits until everything queued so far has been written, at most for `patience`, and only while something is read
    /// within each `stall`.
    pub fn flush(&self, patience: Duration, stall: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.lock();
        state.is_held = false;
        let asked = state.own.asked;
        state.let_own_go(asked);
        self.shared.ring(state);
        state = self.shared.lock();
        while state.is_busy() {
            let written = state.written;
            let left = deadline.saturating_duration_since(Instant::now()).min(stall);
            if left.is_zero() {
                return;
            }
            let (guard, waited) = self.shared.emptied.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if waited.timed_out() && state.written == written {
                return;
            }
        }
    }

    /// Whether it is a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

impl Own {
    fn is_waiting(&self) -> bool {
        self.asked > self.over
    }

    /// Whether there are lines that wait and that the thread does not know of; it will.
    fn take_unknown(&mut self) -> bool {
        std::mem::take(&mut self.is_unknown) && self.is_waiting() && !self.lines.is_empty()
    }

    fn keep(&mut self, lines: &[u8]) {
        match self.lines.last_mut() {
            Some((number, kept)) if *number == self.asked => kept.extend_from_slice(lines),
            _ => self.lines.push((self.asked, lines.to_vec())),
        }
    }
}

impl State {
    fn push_own(&mut self, lines: &[u8]) {
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        let until = self.reader_is_waited_for();
        self.queue.push(OWN, until, &mut lines.to_vec(), count, None);
    }

    fn let_own_go(&mut self, over: u64) {
        self.own.over = self.own.over.max(over);
        let waiting = self.own.lines.iter().position(|(number, _)| *number > self.own.over);
        let free: Vec<_> = self.own.lines.drain(..waiting.unwrap_or(self.own.lines.len())).collect();
        free.iter().for_each(|(_, lines)| self.push_own(lines));
        self.own.asked_at = self.own.is_waiting().then(Instant::now);
    }

    /// Until when programs wait if the reader takes nothing. Called before something is queued: an idle reader starts afresh.
    fn reader_is_waited_for(&mut self) -> Instant {
        if !self.is_busy() {
            self.progress = Progress::begin(Instant::now());
        }
        self.progress.patience_ends()
    }

    /// Whether there is something to write now.
    fn is_due(&self) -> bool {
        !self.queue.is_empty() && (!self.is_held || self.queue.total() >= HELD)
    }

    fn is_busy(&self) -> bool {
        self.is_writing || !self.queue.is_empty()
    }

    /// How long the daemon's lines may still wait.
    fn patience_left(&self) -> Option<Duration> {
        let waits = self.own.is_waiting() && !self.own.lines.is_empty();
        self.own.asked_at.filter(|_| waits).map(|since| PATIENCE.saturating_sub(since.elapsed()))
    }

    fn give_notices(&mut self) {
        while self.notices.front().is_some_and(|(place, _)| *place <= self.done) {
            self.notices.pop_front();
        }
    }
}

impl Shared {
    /// The queue is consistent even if a thread panicked while it held the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread if it has work that it does not know of: something to write, or lines of the daemon that wait for the end of
    /// a drain or the timeout.
    fn ring(&self, mut state: MutexGuard<'_, State>) {
        let has_work = (state.is_due() && !state.is_writing) || (!state.is_held && state.own.take_unknown());
        // First, or the thread would wait for it as soon as it is awake.
        drop(state);
        if has_work {
            self.filled.notify_one();
        }
    }

    fn take(&self, batch: &mut Vec<Vec<u8>>) {
        let mut state = self.lock();
        state.is_writing = false;
        batch.drain(..).for_each(|buffer| state.queue.recycle(buffer));
        state.done = state.queue.first_place();
        if state.queue.is_empty() {
            self.emptied.notify_all();
        }
        state.give_notices();
        while !state.is_due() {
            state = self.wait(state);
        }
        state.is_writing = true;
        state.written_at = Instant::now();
        let waiters = state.queue.take(BATCH, batch);
        drop(state);
        waiters.into_iter().for_each(|waiter| waiter());
    }

    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        match state.patience_left() {
            Some(left) if left.is_zero() => {
                let asked = state.own.asked;
                state.let_own_go(asked);
                state
            }
            Some(left) => self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            None if state.queue.has_spare() => {
                let (mut state, waited) = self.filled.wait_timeout(state, REST).unwrap_or_else(PoisonError::into_inner);
                if waited.timed_out() && state.queue.is_empty() {
                    state.queue.rest();
                }
                state
            }
            None if footprint::is_rest_due() => {
                // Without the lock, so that those who write to the console need not wait.
                drop(state);
                footprint::rest_beside();
                self.lock()
            }
            None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Writes everything. If another process made the shared stream non-blocking, waits for room.
    fn write_patiently(&self, mut file: &File, batch: &[Vec<u8>]) -> io::Result<()> {
        let pieces = batch.iter().flat_map(|buffer| buffer.chunks(ENOUGH / 2));
        let mut slices: Vec<IoSlice<'_>> = pieces.map(IoSlice::new).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            // A write returns only when everything is written, and progress must be visible this often.
            let count = count_of_first(rest, ENOUGH);
            match file.write_vectored(&rest[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut rest, written);
                    self.note_progress(written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut wanted = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                    nix::poll::poll(&mut wanted, PollTimeout::NONE)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note_progress(&self, written: usize) {
        let mut state = self.lock();
        state.written += written as u64;
        state.written_at = Instant::now();
        let now = state.written_at;
        state.progress.note(written, now);
    }
}

/// The number of slices that fit into this many bytes, at least one.
fn count_of_first(slices: &[IoSlice<'_>], most: usize) -> usize {
    let mut bytes = 0;
    let fits = |slice: &&IoSlice<'_>| {
        bytes += slice.len();
        bytes <= most
    };
    slices.iter().take_while(fits).count().max(1)
}

impl Consoles {
    /// Starts writing to the daemon's own stdout and stderr, with a single queue if they have the same destination.
    pub fn start() -> io::Result<Consoles> {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let is_same = lead_to_same_place(&stdout, &stderr);
        let stderr = Console::start("console-err", stderr)?;
        let stdout = if is_same { stderr.clone() } else { Console::start("console-out", stdout)? };
        Ok(Consoles { stdout, stderr, own_log: None, own_syslog: None })
    }

    /// Writes what the daemon has said, for at most `patience`, before it exits early.
    pub fn flush(&self, patience: Duration) {
        self.own_syslog.iter().for_each(|syslog| syslog.finish(patience));
        self.stderr.flush(patience, patience);
    }
}

fn lead_to_same_place(a: &OwnedFd, b: &OwnedFd) -> bool {
    match (fstat(a), fstat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino, a.st_rdev) == (b.st_dev, b.st_ino, b.st_rdev),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
