//! What the event loop and the connections share, all on one thread.
//!
//! Connections read the supervisor's snapshot directly and never enter the loop for it; whatever changes something is
//! sent to the loop as an [`Order`]. No borrow is ever held over an await.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;

use muster_core::request::Outcome;
use muster_core::{RequestId, Selector, Supervisor, Verb};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

use crate::children::Children;
use crate::clock::Clock;

/// How many orders may wait for the loop. A connection that finds the queue full waits, and nobody else with it.
pub(crate) const ORDERS: usize = 256;

/// What a connection asks of the loop.
#[derive(Debug)]
pub(crate) enum Order {
    /// Do something to instances.
    Command { request: RequestId, select: Selector, verb: Verb, wait: bool, reply: oneshot::Sender<Outcome> },
    /// Whoever asked waits no longer.
    Expire { request: RequestId },
    /// Stop everything and exit.
    Shutdown { timeout: Option<Duration> },
}

/// What the event loop and the connections share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) supervisor: RefCell<Supervisor>,
    pub(crate) children: RefCell<Children>,
    pub(crate) config_files: Vec<PathBuf>,
    pub(crate) orders: mpsc::Sender<Order>,
    next_request: Cell<u64>,
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        supervisor: Supervisor,
        children: Children,
        config_files: Vec<PathBuf>,
        orders: mpsc::Sender<Order>,
    ) -> Shared {
        Shared {
            clock,
            supervisor: RefCell::new(supervisor),
            children: RefCell::new(children),
            config_files,
            orders,
            next_request: Cell::new(0),
        }
    }

    pub(crate) fn new_request(&self) -> RequestId {
        self.next_request.set(self.next_request.get() + 1);
        RequestId(self.next_request.get())
    }
}
