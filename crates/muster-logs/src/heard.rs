//! Output for event listeners, and their answers: from the thread that reads pipes to the loop.
//!
//! Bounded by [`MOST`] bytes: a stream whose output goes here is not read while there is no room, so its program waits in
//! write(2), as it does under a supervisord that is busy. Only what the pipe of an exited process still holds is taken
//! regardless. Streams that no listener needs never come here, unless the daemon's own log repeats all output.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Source;
use super::queue::Waiter;

/// At this many bytes no more is read of the streams concerned.
const MOST: usize = 1 << 20;

/// Something of a stream that is to become an event, or an answer of a listener.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Output of a run.
    Log {
        /// The run.
        run: u64,
        /// The stream.
        source: Source,
        /// At most 64 KiB, and whole characters if it is UTF-8.
        bytes: Vec<u8>,
        /// Whether the stream causes events. If not, the output is for the daemon's own log alone.
        is_event: bool,
    },
    /// The text between two tokens.
    Captured {
        /// The run.
        run: u64,
        /// The stream.
        source: Source,
        /// The end of the text, as much as is kept of it.
        bytes: Vec<u8>,
    },
    /// A listener's answers, as they are read.
    Answer {
        /// The run.
        run: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Everything of the runs of this drain and of earlier ones came before.
    Drained(u64),
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct HeardQueue {
    inner: Mutex<Inner>,
    arrived: Notify,
    /// Whether there has been a stream whose output goes here.
    is_used: AtomicBool,
    /// Whether any listener takes output as events.
    wants_output: AtomicBool,
    /// Whether the daemon's own log repeats all output.
    repeats_output: AtomicBool,
}

#[derive(Default)]
struct Inner {
    heard: VecDeque<Heard>,
    bytes: usize,
    waiters: Vec<Waiter>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Inner");
        debug.field("heard", &self.heard.len()).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Heard {
    fn size(&self) -> usize {
        match self {
            Heard::Log { bytes, .. } | Heard::Captured { bytes, .. } | Heard::Answer { bytes, .. } => bytes.len(),
            Heard::Drained(_) => 0,
        }
    }
}

impl HeardQueue {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on drains are reported here.
    pub(super) fn use_it(&self) {
        self.is_used.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    pub(super) fn want_output(&self, is_wanted: bool) {
        self.wants_output.store(is_wanted, Ordering::Relaxed);
    }

    pub(super) fn wants_output(&self) -> bool {
        self.wants_output.load(Ordering::Relaxed)
    }

    pub(super) fn repeat_output(&self) {
        self.repeats_output.store(true, Ordering::Relaxed);
    }

    pub(super) fn repeats_output(&self) -> bool {
        self.repeats_output.load(Ordering::Relaxed)
    }

    pub(super) fn push(&self, heard: Heard) {
        let mut inner = self.inner();
        inner.bytes += heard.size();
        inner.heard.push_back(heard);
        drop(inner);
        self.arrived.notify_one();
    }

    /// Whether more may be read for it. If not, the waiter is called when it may.
    pub(super) fn has_room(&self, waiter: impl FnOnce() -> Waiter) -> bool {
        let mut inner = self.inner();
        let has_room = inner.bytes < MOST;
        if !has_room {
            inner.waiters.push(waiter());
        }
        has_room
    }

    /// Takes what arrived first, at most so many.
    pub(super) fn take(&self, most: usize) -> Vec<Heard> {
        let mut inner = self.inner();
        let count = most.min(inner.heard.len());
        let taken: Vec<Heard> = inner.heard.drain(..count).collect();
        inner.bytes -= taken.iter().map(Heard::size).sum::<usize>();
        let waiters = if inner.bytes < MOST { std::mem::take(&mut inner.waiters) } else { Vec::new() };
        let is_empty = inner.heard.is_empty();
        drop(inner);
        waiters.into_iter().for_each(|waiter| waiter());
        if !is_empty {
            // There is one permit for all of it.
            self.arrived.notify_one();
        }
        taken
    }

    /// Waits until there is something to take.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn a_full_queue_makes_streams_wait_until_it_is_taken_from() {
        let (queue, called) = (HeardQueue::default(), Arc::new(AtomicUsize::new(0)));
        let waiter = || -> Waiter {
            let called = Arc::clone(&called);
            Box::new(move || {
                called.fetch_add(1, Ordering::Relaxed);
            })
        };
        queue.push(Heard::Answer { run: 1, bytes: vec![0; MOST - 1] });
        assert!(queue.has_room(waiter));
        queue.push(Heard::Answer { run: 1, bytes: vec![0; 1] });
        queue.push(Heard::Drained(3));
        assert!(!queue.has_room(waiter) && !queue.has_room(waiter));
        assert_eq!(called.load(Ordering::Relaxed), 0);
        assert_eq!(queue.take(1).len(), 1);
        assert_eq!(called.load(Ordering::Relaxed), 2);
        assert_eq!(queue.take(5), [Heard::Answer { run: 1, bytes: vec![0] }, Heard::Drained(3)]);
        assert!(queue.has_room(waiter));
    }
}
