//! How long the daemon's thread works before the event loop looks at its sources again.
//!
//! Everything that may keep the loop from a signal happens on this one thread, in the loop itself or in a task beside it. A
//! stretch of work begins when the thread wakes up or the loop has looked, and ends when the loop looks again or the thread
//! has nothing left to do. The longest is kept, for `/metrics`. Measures the time that passes, not the processor's: a thread
//! that waits for a processor does not hear signals either.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// When the tasks beside the loop have worked for this long, the loop is woken to look at its sources.
const REMIND_AFTER: Duration = Duration::from_millis(5);

/// How many tasks run at most between two looks of the runtime at its descriptors. Its own default is 61.
pub(crate) const TASKS_A_LOOK: u32 = 8;

/// The stretch of work that is under way, and the longest so far.
#[derive(Debug)]
pub(crate) struct TurnClock {
    origin: Instant,
    /// When the stretch under way began, in nanoseconds after the origin; 0 while the thread waits.
    began: AtomicU64,
    longest: AtomicU64,
}

impl TurnClock {
    pub(crate) fn start() -> Arc<TurnClock> {
        Arc::new(TurnClock { origin: Instant::now(), began: AtomicU64::new(0), longest: AtomicU64::new(0) })
    }

    /// The thread has woken up.
    pub(crate) fn wake(&self) {
        self.began.store(self.now(), Ordering::Relaxed);
    }

    /// The thread has nothing to do, and waits.
    pub(crate) fn rest(&self) {
        self.end_stretch(self.now(), 0);
    }

    /// The loop looks at its sources now.
    pub(crate) fn look(&self) {
        let now = self.now();
        self.end_stretch(now, now);
    }

    /// The longest stretch of work without a look, since the start.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.load(Ordering::Relaxed))
    }

    /// How long the stretch under way has lasted.
    fn so_far(&self) -> Duration {
        match self.began.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            began => Duration::from_nanos(self.now().saturating_sub(began)),
        }
    }

    fn end_stretch(&self, now: u64, next: u64) {
        let began = self.began.swap(next, Ordering::Relaxed);
        if began != 0 {
            self.longest.fetch_max(now.saturating_sub(began), Ordering::Relaxed);
        }
    }

    /// Never 0, which means that there is none.
    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

/// Between the loop and the tasks beside it, all on one thread.
#[derive(Debug)]
pub(crate) struct LoopTurns {
    clock: Arc<TurnClock>,
    loops: RefCell<Option<Waker>>,
}

impl LoopTurns {
    pub(crate) fn new(clock: Arc<TurnClock>) -> LoopTurns {
        LoopTurns { clock, loops: RefCell::new(None) }
    }

    pub(crate) fn clock(&self) -> &TurnClock {
        &self.clock
    }

    /// For the loop while it waits: notes each look, and lets the others wake it for one. Never ready.
    pub(crate) fn looking(&self) -> impl Future<Output = Infallible> + '_ {
        poll_fn(|context| {
            self.clock.look();
            let mut waker = self.loops.borrow_mut();
            match &mut *waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
            Poll::Pending
        })
    }

    fn remind(&self) {
        if self.clock.so_far() >= REMIND_AFTER
            && let Some(waker) = &*self.loops.borrow()
        {
            waker.wake_by_ref();
        }
    }
}

/// Runs a task beside the loop: when all of them together have worked for a while, the loop looks at its sources.
pub(crate) async fn beside<F: Future>(turns: Rc<LoopTurns>, task: F) -> F::Output {
    let mut task = pin!(task);
    poll_fn(|context: &mut Context<'_>| {
        let polled = task.as_mut().poll(context);
        turns.remind();
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    const PIECE: Duration = Duration::from_millis(20);

    #[test]
    fn time_without_work_does_not_count_and_a_look_begins_a_new_stretch() {
        let clock = TurnClock::start();
        sleep(PIECE);
        clock.wake();
        clock.rest();
        sleep(PIECE);
        clock.wake();
        clock.look();
        let before = clock.longest();
        assert!(before < PIECE, "{before:?}");
        sleep(PIECE);
        clock.look();
        assert!(clock.longest() >= PIECE);
    }

    #[test]
    fn work_that_ends_without_a_look_counts() {
        let clock = TurnClock::start();
        clock.wake();
        sleep(PIECE);
        clock.rest();
        assert!(clock.longest() >= PIECE);
    }
}
