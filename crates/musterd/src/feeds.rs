//! Events for programs with `stdin = "events"`: each reads those of `GET /v1/events`, one JSON object a line.
//!
//! A task for each run has its own place in the ring of events, and writes what comes after it. While the program does not read, the
//! ring goes on without it: nothing is queued for it, and it gets a line with the number of events it has missed.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use muster_api::Happening;
use muster_logging::event_ring::Missed;
use muster_spec::{FeedKind, InstanceSpec, RunId, Stdin};
use tokio::task::AbortHandle;

use crate::children::stdin::StdinPipe;
use crate::http::events;
use crate::shared::Shared;
use muster_server::turn_clock::spawn_beside;

/// Maximum number of events that are written together.
const AT_ONCE: usize = 64;

/// A run has ended, and with it its feed.
pub(crate) fn ended(shared: &Shared, run: RunId) {
    shared.feeds.borrow_mut().remove(&run).iter().for_each(AbortHandle::abort);
}

/// A process was started; it may read events.
pub(crate) fn started(shared: &Rc<Shared>, run: RunId, spec: &InstanceSpec) {
    if spec.process.stdin != Stdin::Feed {
        return;
    }
    let Some(pipe) = shared.children.borrow().stdin_of(run) else { return };
    let listener = {
        let mut ring = shared.event_ring.borrow_mut();
        let id = ring.listen();
        Listener { shared: Rc::clone(shared), id, last: ring.newest() }
    };
    let task = spawn_beside(&shared.loop_turns, feed(listener, pipe, Arc::clone(&spec.process.feed)));
    shared.feeds.borrow_mut().insert(run, task.abort_handle());
}

async fn feed(mut listener: Listener, pipe: Rc<StdinPipe>, kinds: Arc<[FeedKind]>) {
    while listener.next().await {
        let lines = listener.lines(&kinds);
        // It has closed its standard input.
        if !lines.is_empty() && pipe.write(&lines, Duration::MAX).await.is_err() {
            return;
        }
    }
}

/// A place in the ring.
struct Listener {
    shared: Rc<Shared>,
    id: u64,
    /// The number of its last event.
    last: u64,
}

impl Listener {
    /// Waits for an event after the last one. False if there will be none.
    async fn next(&self) -> bool {
        poll_fn(|context| {
            let mut ring = self.shared.event_ring.borrow_mut();
            if ring.newest() > self.last {
                return Poll::Ready(true);
            }
            if ring.is_over() {
                return Poll::Ready(false);
            }
            ring.wait(self.id, context.waker());
            Poll::Pending
        })
        .await
    }

    /// The next events of these kinds, or of all kinds for none, as lines.
    fn lines(&mut self, kinds: &[FeedKind]) -> Vec<u8> {
        let ring = self.shared.event_ring.borrow();
        let mut lines = Vec::new();
        match ring.after(self.last) {
            Ok(published) => {
                for (id, published) in published.take(AT_ONCE) {
                    self.last = id;
                    let event = events::event(&self.shared, id, published);
                    let kind = kind_of(&event.what);
                    if kind.is_none_or(|kind| kinds.is_empty() || kinds.contains(&kind)) {
                        put(&event, &mut lines);
                    }
                }
                // The last numbers may be those of events that are not kept.
                if ring.after(self.last).is_ok_and(|mut rest| rest.next().is_none()) {
                    self.last = ring.newest();
                }
            }
            // It goes on with the first of those that are complete.
            Err(Missed(_)) => {
                let last = std::mem::replace(&mut self.last, ring.forgotten());
                let missed = self.last.saturating_sub(last);
                put(&events::gap(&self.shared, self.last, Some(missed)), &mut lines);
            }
        }
        lines
    }
}

/// The kind of an event; `None` for what every feed gets.
fn kind_of(what: &Happening) -> Option<FeedKind> {
    Some(match what {
        Happening::Snapshot { .. } | Happening::Gap { .. } | Happening::Unknown => return None,
        Happening::State { .. } => FeedKind::State,
        Happening::Ended { .. } => FeedKind::Ended,
        Happening::Retry { .. } => FeedKind::Retry,
        Happening::Final { .. } => FeedKind::Final,
        Happening::Ready { .. } => FeedKind::Ready,
        Happening::Health { .. } => FeedKind::Health,
        Happening::Failing { .. } => FeedKind::Failing,
        Happening::Hook { .. } => FeedKind::Hook,
        Happening::Rolling { .. } => FeedKind::Rolling,
        Happening::Waiting { .. } => FeedKind::Waiting,
        Happening::Skipped { .. } => FeedKind::Skipped,
        Happening::Configured { .. } => FeedKind::Configured,
        Happening::Source { .. } => FeedKind::Source,
        Happening::Listener { .. } => FeedKind::Listener,
        Happening::Killed { .. } => FeedKind::Killed,
        Happening::LeftBehind { .. } => FeedKind::LeftBehind,
        Happening::Stuck { .. } => FeedKind::Stuck,
        Happening::Shutdown { .. } => FeedKind::Shutdown,
        Happening::Exiting { .. } => FeedKind::Exiting,
        Happening::ShutdownHurried => FeedKind::ShutdownHurried,
    })
}

fn put(event: &muster_api::Event, lines: &mut Vec<u8>) {
    serde_json::to_writer(&mut *lines, event).expect("strings and numbers always make JSON, and memory takes it");
    lines.push(b'\n');
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.event_ring.borrow_mut().leave(self.id);
    }
}
