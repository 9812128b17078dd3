//! Measures how long the daemon's thread works before the event loop polls its sources again.
//!
//! Everything that may delay the loop's reaction to a signal happens on this one thread, in the loop itself or in
//! other tasks. A stretch of work begins when the thread wakes up or the loop has polled, and ends when the loop polls
//! again or the thread has nothing left to do. The longest is kept, for `/metrics`. Measures elapsed time, not CPU
//! time: a thread that waits for a processor does not handle signals either.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// When the other tasks have worked for this long, the loop is woken to poll its sources.
const REMIND_AFTER: Duration = Duration::from_millis(5);

/// The classes of stretches by length.
const BOUNDS: [Duration; 7] = [
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
];

/// Maximum number of tasks run between two polls of the runtime's descriptors; tokio's default is 61.
pub const TASKS_A_LOOK: u32 = 8;

/// The current stretch of work, and the longest so far.
#[derive(Debug)]
pub struct TurnClock {
    origin: Instant,
    /// The beginning of the current stretch, in nanoseconds after the origin; 0 while the thread waits.
    began: AtomicU64,
    longest: AtomicU64,
    /// The number of stretches that were at most as long as each of [`BOUNDS`], and of those that were longer.
    counts: [AtomicU64; BOUNDS.len() + 1],
}

impl TurnClock {
    /// A clock with no stretch yet.
    pub fn start() -> Arc<TurnClock> {
        Arc::new(TurnClock {
            origin: Instant::now(),
            began: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            counts: Default::default(),
        })
    }

    /// Call when the thread wakes up.
    pub fn wake(&self) {
        self.began.store(self.now(), Ordering::Relaxed);
    }

    /// Call when the thread begins to wait.
    pub fn rest(&self) {
        self.end_stretch(self.now(), 0);
    }

    /// Call when the loop polls its sources.
    pub fn look(&self) {
        let now = self.now();
        self.end_stretch(now, now);
    }

    /// The longest stretch of work between two polls, since the start.
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.load(Ordering::Relaxed))
    }

    /// The number of stretches by their length: each bound with those up to it and beyond the one before; `None` is longer.
    pub fn histogram(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let bounds = BOUNDS.iter().copied().map(Some).chain([None]);
        bounds.zip(&self.counts).map(|(bound, count)| (bound, count.load(Ordering::Relaxed)))
    }

    /// The duration of the current stretch.
    fn so_far(&self) -> Duration {
        match self.began.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            began => Duration::from_nanos(self.now().saturating_sub(began)),
        }
    }

    fn end_stretch(&self, now: u64, next: u64) {
        let began = self.began.swap(next, Ordering::Relaxed);
        if began != 0 {
            let took = now.saturating_sub(began);
            self.longest.fetch_max(took, Ordering::Relaxed);
            let place = BOUNDS.iter().position(|bound| u128::from(took) <= bound.as_nanos()).unwrap_or(BOUNDS.len());
            self.counts[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Never 0, which stands for no stretch.
    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

/// Shared by the loop and the other tasks, all on one thread.
#[derive(Debug)]
pub struct LoopTurns {
    clock: Arc<TurnClock>,
    loops: RefCell<Option<Waker>>,
}

impl LoopTurns {
    /// Measured by this clock.
    pub fn new(clock: Arc<TurnClock>) -> LoopTurns {
        LoopTurns { clock, loops: RefCell::new(None) }
    }

    /// The clock.
    pub fn clock(&self) -> &TurnClock {
        &self.clock
    }

    /// For the loop while it waits: records each poll, and lets the other tasks wake the loop. Never ready.
    pub fn looking(&self) -> impl Future<Output = Infallible> + '_ {
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

/// Runs a task next to the loop: once all such tasks together have worked for a while, the loop polls its sources.
pub async fn beside<F: Future>(turns: Rc<LoopTurns>, task: F) -> F::Output {
    let mut task = pin!(task);
    poll_fn(|context: &mut Context<'_>| {
        let polled = task.as_mut().poll(context);
        turns.remind();
        polled
    })
    .await
}

/// Spawns a task next to the loop. Must be called within a local runtime.
pub fn spawn_beside(turns: &Rc<LoopTurns>, task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    let task: Boxed = Box::pin(task);
    tokio::task::spawn_local(beside(Rc::clone(turns), task))
}

/// Spawns a task whose polls are not measured. Must be called within a local runtime.
///
/// The runtime's code is compiled again for each type of task, 3 kB at a time, so most of the daemon's tasks are of one type.
pub fn spawn(task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    let task: Boxed = Box::pin(task);
    tokio::task::spawn_local(task)
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

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
        let long: u64 =
            clock.histogram().filter(|(bound, _)| bound.is_none_or(|bound| bound > PIECE)).map(|(_, n)| n).sum();
        assert_eq!(long, 1);
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
