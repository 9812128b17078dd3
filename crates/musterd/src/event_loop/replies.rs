//! Replies to requests: held until the core has one, and then until what programs wrote before it is delivered.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use muster_core::{Outcome, RequestId};
use muster_logs::DRAIN_PATIENCE;
use tokio::sync::{oneshot, watch};

/// All requests without a reply.
#[derive(Debug)]
pub(super) struct Replies {
    open: HashMap<RequestId, oneshot::Sender<Outcome>>,
    /// Replies that wait until what was written before is delivered, the oldest first.
    deferred: VecDeque<Deferred>,
    /// The number of the last drain that is complete.
    drained: watch::Receiver<u64>,
}

/// A reply that waits for a drain, but no longer than until a moment.
#[derive(Debug)]
struct Deferred {
    drain: u64,
    until: Instant,
    reply: oneshot::Sender<Outcome>,
    outcome: Outcome,
}

impl Replies {
    pub(super) fn after(drained: watch::Receiver<u64>) -> Replies {
        Replies { open: HashMap::new(), deferred: VecDeque::new(), drained }
    }

    /// Notes where the reply to a request goes.
    pub(super) fn expect(&mut self, request: RequestId, reply: oneshot::Sender<Outcome>) {
        self.open.insert(request, reply);
    }

    /// Replies to a request, after this drain if there is one.
    pub(super) fn send(&mut self, request: RequestId, outcome: Outcome, pending_drain: Option<u64>) {
        let Some(reply) = self.open.remove(&request) else { return };
        match pending_drain {
            Some(drain) => {
                let until = Instant::now() + DRAIN_PATIENCE;
                self.deferred.push_back(Deferred { drain, until, reply, outcome });
            }
            // The client may have disconnected.
            None => drop(reply.send(outcome)),
        }
    }

    /// Sends the replies whose drain is complete, and those that have waited long enough.
    pub(super) fn send_deferred(&mut self) {
        let delivered = *self.drained.borrow_and_update();
        self.send_until(delivered);
    }

    /// The number of the last drain that is complete.
    pub(super) fn delivered(&self) -> u64 {
        *self.drained.borrow()
    }

    /// Sends all replies that wait for a drain.
    pub(super) fn send_all_deferred(&mut self) {
        self.send_until(u64::MAX);
    }

    fn send_until(&mut self, delivered: u64) {
        let now = Instant::now();
        while let Some(first) = self.deferred.pop_front_if(|first| first.drain <= delivered || first.until <= now) {
            // The client may have disconnected.
            let _ = first.reply.send(first.outcome);
        }
    }

    pub(super) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// When the first of them has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.deferred.front().map(|first| first.until)
    }

    /// Waits until another drain is complete. Never ready where no more can be.
    pub(super) async fn drain_completed(&mut self) {
        if self.drained.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// The daemon was not running for so long.
    pub(super) fn lose(&mut self, by: Duration) {
        self.deferred.iter_mut().for_each(|deferred| deferred.until += by);
    }
}
