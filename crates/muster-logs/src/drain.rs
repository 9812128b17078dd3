//! Drains: the output that a run wrote before its end is delivered before its end is reported.
//!
//! When main processes were reaped, the loop requests a drain: the thread that reads the pipes reads what those of the
//! runs hold at that moment (an exited process writes nothing more; later output of a grandchild is not
//! awaited), writes it to files, and asks the consoles for a notice when they have written it. Until then, or for [`PATIENCE`], the
//! daemon's own lines and its replies wait. Supervision itself never does: the core already knows of the end.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Maximum time that anything waits for a drain.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// All drains, numbered in order.
#[derive(Debug)]
pub(super) struct Drains {
    asked: Cell<u64>,
    delivered: watch::Sender<u64>,
}

impl Drains {
    pub(super) fn new() -> Drains {
        Drains { asked: Cell::new(0), delivered: watch::Sender::new(0) }
    }

    /// Begins a drain.
    pub(super) fn begin(&self) -> Notice {
        self.asked.set(self.asked.get() + 1);
        Notice(Arc::new(Ticket { number: self.asked.get(), delivered: self.delivered.clone() }))
    }

    /// The drain to wait for, if any.
    pub(super) fn pending(&self) -> Option<u64> {
        let asked = self.asked.get();
        (asked > *self.delivered.borrow()).then_some(asked)
    }

    /// The latest drain, complete or not.
    pub(super) fn last(&self) -> u64 {
        self.asked.get()
    }

    /// Reports the latest complete drain.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.delivered.subscribe()
    }
}

/// Part of one drain. When the last copy is dropped, all of it has been delivered.
#[derive(Clone, Debug)]
pub(super) struct Notice(Arc<Ticket>);

impl Notice {
    pub(super) fn number(&self) -> u64 {
        self.0.number
    }
}

#[derive(Debug)]
struct Ticket {
    number: u64,
    delivered: watch::Sender<u64>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.delivered.send_if_modified(|delivered| {
            let is_later = self.number > *delivered;
            *delivered = self.number.max(*delivered);
            is_later
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_is_pending_until_its_last_part_is_delivered() {
        let drains = Drains::new();
        assert_eq!(drains.pending(), None);
        let (first, second) = (drains.begin(), drains.begin());
        let part = second.clone();
        assert_eq!(drains.pending(), Some(2));
        drop((first, second));
        assert_eq!((drains.pending(), *drains.watch().borrow()), (Some(2), 1));
        drop(part);
        assert_eq!((drains.pending(), *drains.watch().borrow()), (None, 2));
    }
}
