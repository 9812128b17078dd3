//! Lines on their way to a syslog receiver.
//!
//! The thread that reads the pipes makes messages of lines ([`encoder`]) and puts them into a bounded [`spool`]; a thread of
//! its own, which is there from the first program with `stdout = "syslog"` on, sends them ([`transport`]). Only that one ever
//! waits: for a name to be looked up, for a connection, for a receiver that does not read. Meanwhile the oldest messages make
//! room for new ones; what was lost is counted and told ([`outage`]). While there is nothing to send it sleeps without a
//! timer.

pub(super) mod encoder;
mod message;
mod outage;
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
use self::spool::Spool;
use self::transport::{Fault, Wire};

/// How long a receiver that was not there is left alone: at first, and at most.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// A connection that lasted for so long was a good one: the next is tried at once.
const LASTING: Duration = Duration::from_secs(1);

/// How long the last messages may take without any of them being taken.
pub(super) const LAST_STALL: Duration = Duration::from_millis(500);

/// The receiver that is configured. Nothing is done for it before somebody sends something.
#[derive(Debug)]
pub(super) struct Receiver {
    spec: SyslogSpec,
    started: OnceCell<Syslog>,
}

impl Receiver {
    pub(super) fn new(spec: SyslogSpec) -> Receiver {
        Receiver { spec, started: OnceCell::new() }
    }

    /// What lines are sent with, and how.
    pub(super) fn get(&self) -> io::Result<(Syslog, &SyslogSpec)> {
        if let Some(syslog) = self.started.get() {
            return Ok((syslog.clone(), &self.spec));
        }
        let syslog = Syslog::start(&self.spec)?;
        Ok((self.started.get_or_init(|| syslog).clone(), &self.spec))
    }

    /// Sends what waits, for no longer than until `deadline`, and not when nothing of it is taken for [`LAST_STALL`].
    pub(super) fn finish(&self, deadline: Instant) {
        if let Some(syslog) = self.started.get() {
            syslog.finish(deadline);
        }
    }
}

/// The way to the receiver. Clones lead to the same.
#[derive(Clone, Debug)]
pub(super) struct Syslog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// As it is configured, for messages.
    address: String,
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    spool: Spool,
    trouble: Trouble,
    /// What the thread has taken and not sent yet, and how often it has come forward with it.
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

    /// Messages wait, and nobody sends them yet.
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
    /// A thread that panicked while it held the lock left the spool as it was, which is good enough to go on.
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

    /// The messages that wait longest, as soon as there are some; `None` at the end.
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

    /// Sends these messages, however long it takes; at the end of the daemon only if it can be done at once.
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

    /// What is gone for good, though it may not be known which lines they were.
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

    /// Everything has been sent that waited.
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

    /// Leaves the receiver alone for a while. False at the end of the daemon, when that is not worth the time: but the
    /// end that comes during the rest allows one more attempt.
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

/// How long to leave a receiver alone, longer with every failure in a row.
#[derive(Debug, Default)]
struct Pause(Duration);

impl Pause {
    /// A connection has ended that was there since then, or there was none.
    fn after(&mut self, connected_at: Option<Instant>) -> Duration {
        let lasted = connected_at.is_some_and(|at| at.elapsed() >= LASTING);
        let pause = if lasted { Duration::ZERO } else { self.0 };
        self.0 = if lasted { FIRST_DELAY } else { (2 * self.0).clamp(FIRST_DELAY, LONGEST_DELAY) };
        pause
    }
}
