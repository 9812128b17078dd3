//! Detects that the thread which writes to files is blocked in a write.
//!
//! The thread reports the beginning and the end of each write: two atomic operations, and no system call while writes follow
//! one another. A separate thread checks every [`TICK`] for as long as there are writes, and sleeps without a timeout
//! when there are none. A write that is still the same after [`LATE`] is handed to a successor; from then on the
//! thread in that write owns only the file that it writes to. See [`pump`](super::pump) for both sides.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// A write that takes longer is late.
pub(super) const LATE: Duration = Duration::from_millis(200);

const TICK: Duration = Duration::from_millis(100);

/// Identifies a write. Odd numbers are writes, even ones the time between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ticket(u64);

#[derive(Debug, Default)]
pub(super) struct Watch {
    turn: AtomicU64,
    /// Whether the watching thread checks again within a tick.
    is_awake: AtomicBool,
    watcher: OnceLock<Thread>,
}

impl Watch {
    /// Begins a write. Only one thread at a time begins writes.
    pub(super) fn begin(&self) -> Ticket {
        let ticket = Ticket(self.turn.load(SeqCst) + 1);
        self.turn.store(ticket.0, SeqCst);
        if !self.is_awake.load(SeqCst)
            && !self.is_awake.swap(true, SeqCst)
            && let Some(watcher) = self.watcher.get()
        {
            watcher.unpark();
        }
        ticket
    }

    /// Ends a write, for the thread that is in it or for its successor. The first one gets true, and with it
    /// everything that the writing thread had put down before.
    pub(super) fn end(&self, Ticket(turn): Ticket) -> bool {
        self.turn.compare_exchange(turn, turn + 1, SeqCst, SeqCst).is_ok()
    }

    /// Checks writes indefinitely, and calls `handle_late` for each that is late, again after each [`LATE`].
    pub(super) fn run(&self, handle_late: impl Fn(Ticket)) {
        let _ = self.watcher.set(thread::current());
        let mut seen = (self.turn.load(SeqCst), Instant::now());
        loop {
            thread::park_timeout(TICK);
            let turn = self.turn.load(SeqCst);
            if turn != seen.0 {
                seen = (turn, Instant::now());
            } else if turn.is_multiple_of(2) {
                self.sleep(turn);
                seen = (self.turn.load(SeqCst), Instant::now());
            } else if seen.1.elapsed() >= LATE {
                handle_late(Ticket(turn));
                seen.1 = Instant::now();
            }
        }
    }

    /// Waits for the next write.
    fn sleep(&self, turn: u64) {
        self.is_awake.store(false, SeqCst);
        // A write that began before this flag was set does not wake the thread, and is seen here.
        while self.turn.load(SeqCst) == turn {
            thread::park();
        }
        self.is_awake.store(true, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, mpsc};

    fn watched() -> (Arc<Watch>, mpsc::Receiver<Ticket>) {
        let watch = Arc::<Watch>::default();
        let (late, told) = mpsc::channel();
        let watching = Arc::clone(&watch);
        thread::spawn(move || watching.run(|ticket| late.send(ticket).unwrap_or_default()));
        (watch, told)
    }

    #[test]
    fn a_late_write_is_told_and_ended_by_one_of_two() {
        let (watch, told) = watched();
        for _ in 0..3 {
            let ticket = watch.begin();
            assert_eq!(told.recv_timeout(Duration::from_secs(30)), Ok(ticket));
            assert!(watch.end(ticket));
            assert!(!watch.end(ticket));
            // Reported twice before it ended.
            told.try_iter().for_each(|again| assert_eq!(again, ticket));
        }
    }

    #[test]
    fn writes_in_time_are_not_late_and_the_watcher_sleeps_between_them() {
        let (watch, told) = watched();
        let began = Instant::now();
        while began.elapsed() < 3 * LATE {
            let ticket = watch.begin();
            assert!(watch.end(ticket));
        }
        let until = Instant::now() + Duration::from_secs(30);
        while watch.is_awake.load(SeqCst) {
            assert!(Instant::now() < until, "it never sleeps");
            thread::yield_now();
        }
        assert!(told.try_recv().is_err());
    }
}
