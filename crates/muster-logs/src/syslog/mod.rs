//! Sending lines to a syslog receiver.
//!
//! The thread that reads the pipes encodes lines as messages ([`encoder`]) and puts them into a bounded [`spool`]; a separate
//! thread, started with the first program with `stdout = "syslog"`, sends them ([`transport`]). Only that thread ever
//! waits: for a name lookup, a connection, or a receiver that does not read. Meanwhile new messages replace the
//! oldest; losses are counted and reported ([`outage`]). While there is nothing to send it sleeps without a
//! timer.

pub(super) mod encoder;
mod message;
mod outage;
mod own;
mod spool;
mod transport;

use std::cell::OnceCell;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use muster_spec::SyslogSpec;
use tracing::warn;

use self::message::Batch;
use self::outage::{Loss, Trouble};
pub use self::own::OwnSyslog;
use self::spool::Spool;
use self::transport::{Fault, Wire};

/// The delay before an unavailable receiver is retried: at first, and at most.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// After a connection that lasted this long, the next attempt is immediate.
const LASTING: Duration = Duration::from_secs(1);

/// On exit, sending is given up when no message is taken for this long.
pub(super) const LAST_STALL: Duration = Duration::from_millis(500);

/// The configured receiver. It is used only once there is something to send.
#[derive(Debug)]
pub(super) struct Receiver {
    spec: SyslogSpec,
    started: OnceCell<Syslog>,
}

impl Receiver {
    pub(super) fn new(spec: SyslogSpec) -> Receiver {
        Receiver { spec, started: OnceCell::new() }
    }

    /// The sender and its configuration.
    pub(super) fn get(&self) -> io::Result<(Syslog, &SyslogSpec)> {
        if let Some(syslog) = self.started.get() {
            return Ok((syslog.clone(), &self.spec));
        }
        let syslog = Syslog::start(&self.spec)?;
        Ok((self.started.get_or_init(|| syslog).clone(), &self.spec))
    }

    /// Sends queued messages until `deadline` at the latest, unless none is taken for [`LAST_STALL`].
    pub(super) fn finish(&self, deadline: Instant) {
        if let Some(syslog) = self.started.get() {
            syslog.finish(deadline);
        }
    }
}

/// The queue to the receiver. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Syslog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The configured address, for log messages.
    address: String,
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    spool: Spool,
    trouble: Trouble,
    /// Messages that the thread has taken and not sent yet, and how often it has made progress.
    taken: Option<Loss>,
    progress: u64,
    is_ending: bool,
    is_over: bool,
}

impl Syslog {
    fn start(spec: &SyslogSpec) -> io::Result<Syslog> {
        let syslog = Syslog::to(spec);
        let (wire, worker) = (Wire::to(&spec.address), Arc::clone(&syslog.0));
        std::thread::Builder::new().name("syslog".to_owned()).spawn(move || worker.send_until_the_end(wire))?;
        Ok(syslog)
    }

    /// A queue for messages, without a sending thread.
    fn to(spec: &SyslogSpec) -> Syslog {
        let (filled, emptied) = (Condvar::new(), Condvar::new());
        Syslog(Arc::new(Shared { address: spec.address.to_string(), state: Mutex::default(), filled, emptied }))
    }

    /// Queues messages. Never waits for the receiver.
    fn push(&self, batch: Batch) {
        let mut state = self.0.lock();
        let lost = state.spool.push(batch);
        let is_told = lost.lines > 0 && state.trouble.lose(lost, Instant::now());
        let total = state.trouble.loss();
        if state.taken.is_none() {
            self.0.filled.notify_one();
        }
        drop(state);
        if is_told {
            let (syslog, Loss { lines, bytes }) = (&self.0.address, total);
            warn!(%syslog, lost_lines = lines, lost_bytes = bytes, "the syslog receiver does not take all lines, the oldest are lost");
        }
    }

    fn finish(&self, deadline: Instant) {
        let mut state = self.0.lock();
        state.is_ending = true;
        self.0.filled.notify_one();
        while !state.is_over {
            let progress = state.progress;
            let left = deadline.saturating_duration_since(Instant::now()).min(LAST_STALL);
            let (guard, waited) = self.0.emptied.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if waited.timed_out() && state.progress == progress {
                break;
            }
        }
        let waiting = state.taken.take().unwrap_or_default() + state.spool.clear();
        let Loss { lines, bytes } = state.trouble.loss() + waiting;
        drop(state);
        if lines > 0 {
            warn!(syslog = %self.0.address, lost_lines = lines, lost_bytes = bytes, "lines for syslog were lost");
        }
    }
}

impl Shared {
    /// The spool is consistent even if a thread panicked while it held the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_until_the_end(&self, mut wire: Wire) {
        let mut pause = Pause::default();
        while let Some(batch) = self.take() {
            self.deliver(&batch, &mut wire, &mut pause);
        }
        wire.close();
        self.lock().is_over = true;
        self.emptied.notify_all();
    }

    /// Waits for the oldest messages; `None` at the end.
    fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        state.taken = None;
        state.progress += 1;
        self.emptied.notify_all();
        loop {
            if let Some(batch) = state.spool.pop() {
                state.taken = Some(batch.loss_from(0));
                return Some(batch);
            }
            if state.is_ending {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends these messages, however long it takes; at the daemon's exit only if it succeeds at once.
    fn deliver(&self, batch: &Batch, wire: &mut Wire, pause: &mut Pause) {
        let (mut next, mut is_clean) = (0, true);
        while next < batch.len() {
            match wire.send(batch, &mut next) {
                Ok(()) => {}
                Err(Fault::TooLong(error)) => {
                    self.lose(batch, batch.loss_of(next), &error);
                    next += 1;
                }
                Err(Fault::EarlierWasLost(error)) => {
                    is_clean = false;
                    self.lose(batch, Loss { lines: 1, bytes: 0 }, &error);
                }
                Err(Fault::Broken(error, connected_at)) => {
                    self.begin_trouble(&error);
                    if !self.rest(pause.after(connected_at)) {
                        return self.lose(batch, batch.loss_from(next), &error);
                    }
                }
            }
        }
        if is_clean {
            self.end_trouble();
        }
    }

    fn begin_trouble(&self, error: &io::Error) {
        if self.lock().trouble.begin(Instant::now()) {
            warn!(syslog = %self.address, %error, "cannot reach the syslog receiver, lines wait and the oldest are lost");
        }
    }

    /// Counts messages as lost, although it may be unknown which lines they were.
    fn lose(&self, batch: &Batch, lost: Loss, error: &io::Error) {
        batch.counters.count_dropped(lost.lines, lost.bytes as usize);
        let mut state = self.lock();
        let is_told = state.trouble.lose(lost, Instant::now());
        let Loss { lines, bytes } = state.trouble.loss();
        drop(state);
        if is_told {
            warn!(syslog = %self.address, %error, lost_lines = lines, lost_bytes = bytes, "the syslog receiver does not get all lines");
        }
    }

    /// All queued messages have been sent.
    fn end_trouble(&self) {
        let mut state = self.lock();
        if !state.spool.is_empty() {
            return;
        }
        let over = state.trouble.end();
        drop(state);
        if let Some(Loss { lines, bytes }) = over {
            warn!(syslog = %self.address, lost_lines = lines, lost_bytes = bytes, "the syslog receiver takes lines again");
        }
    }

    /// Leaves the receiver alone for a while. Returns false at the daemon's exit, when waiting is pointless; an
    /// exit that begins during the pause allows one more attempt.
    fn rest(&self, pause: Duration) -> bool {
        let state = self.lock();
        if state.is_ending {
            return pause.is_zero();
        }
        let is_resting = |state: &mut State| !state.is_ending;
        drop(self.filled.wait_timeout_while(state, pause, is_resting).unwrap_or_else(PoisonError::into_inner));
        true
    }
}

/// The delay before the next attempt, growing with consecutive failures.
#[derive(Debug, Default)]
struct Pause(Duration);

impl Pause {
    /// After a connection that was made at this time has ended, or could not be made.
    fn after(&mut self, connected_at: Option<Instant>) -> Duration {
        let lasted = connected_at.is_some_and(|at| at.elapsed() >= LASTING);
        let pause = if lasted { Duration::ZERO } else { self.0 };
        self.0 = if lasted { FIRST_DELAY } else { (2 * self.0).clamp(FIRST_DELAY, LONGEST_DELAY) };
        pause
    }
}
