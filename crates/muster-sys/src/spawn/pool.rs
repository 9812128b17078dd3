//! The memory of spawns: reused when a child no longer needs it, kept while it does.
//!
//! A child that shares the daemon's memory runs on a stack and reads strings that belong to the daemon. They may be reused, or
//! freed, only when it has executed its program or exited. The end of the status pipe indicates that: both
//! execve(2) and exit release the memory first and close descriptors afterwards.

use std::cell::Cell;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};

use muster_spec::SpawnError;

use super::child::{Orders, Stage};
use super::explain;
use super::plan::SpawnPlan;
use super::slot::Slot;
use super::table::Places;
use crate::fd;

/// Maximum number of idle slots; each holds one or two pages.
pub(super) const IDLE_SLOTS: usize = 32;

/// The memory of one child, from before its creation until it is no longer needed. Dropping it leaks the memory, which is
/// always sound; return it with [`Pool::give_back`].
pub(super) struct InFlight {
    status: OwnedFd,
    is_over: Cell<bool>,
    places: Option<Rc<Places>>,
    /// Whether it is among those that the pool counts.
    counts: Cell<bool>,
    slot: ManuallyDrop<Slot>,
    plan: ManuallyDrop<SpawnPlan>,
}

impl InFlight {
    pub(super) fn orders(&self) -> &Orders {
        &self.plan.orders
    }

    pub(super) fn stack_top(&self) -> *mut u8 {
        self.slot.stack_top()
    }

    /// Whether the child has executed its program or exited: the writing end of the pipe is closed. A child that was created
    /// in the daemon's descriptor table may write one byte to it, when it has left the table.
    pub(super) fn is_over(&self) -> bool {
        while !self.is_over.get() {
            self.see_it_leave();
            match fd::read(self.status.as_fd(), &mut [0]) {
                Ok(0) => self.is_over.set(true),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        self.is_over.get()
    }

    /// Frees what the child needed in the daemon's descriptor table, if its report says that it has left it.
    fn see_it_leave(&self) {
        if self.slot.report().stage.load(Ordering::Acquire) > Stage::Table as u32 {
            self.leave_table();
        }
    }

    /// Frees what the child needed in the daemon's descriptor table: it has left it, or exited.
    pub(super) fn leave_table(&self) {
        if let Some(places) = &self.places {
            places.left(self.slot.report());
        }
    }

    /// Has the child write its byte when it has left the table, unless it has left it by now: otherwise the end of the pipe
    /// would not come, which is open in the child's place.
    pub(super) fn await_leaving(&self) {
        self.slot.report().is_awaited.store(true, Ordering::SeqCst);
        // The child does the same in the other order, so one of the two sees what the other has written.
        fence(Ordering::SeqCst);
        self.see_it_leave();
    }

    /// The outcome of a child that is over.
    pub(super) fn outcome(&self) -> Result<(), SpawnError> {
        let report = self.slot.report();
        let stage = Stage::from_number(report.stage.load(Ordering::Relaxed));
        let detail = report.detail.load(Ordering::Relaxed);
        let errno = report.errno.load(Ordering::Relaxed);
        if let Some(places) = self.places.as_ref().filter(|_| stage == Stage::Table && errno != 0) {
            // The next start copies the table.
            places.give_up();
        }
        match errno {
            0 if stage == Stage::Exec => Ok(()),
            0 => Err(explain::killed(&self.plan, stage)),
            errno => Err(explain::failure(&self.plan, stage, detail, errno, &self.slot.evidence())),
        }
    }

    /// Frees the plan and returns the slot, unless the child may still use them: then both are leaked.
    fn recycle(mut self) -> Option<Slot> {
        if !self.is_over() {
            return None;
        }
        // SAFETY: the child is over, and `self` ends here, so each is taken exactly once.
        unsafe {
            ManuallyDrop::drop(&mut self.plan);
            Some(ManuallyDrop::take(&mut self.slot))
        }
    }
}

impl AsFd for InFlight {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.status.as_fd()
    }
}

/// Free slots, and children whose result is no longer needed but that still use theirs.
#[derive(Default)]
pub(super) struct Pool {
    idle: Vec<Slot>,
    forgotten: Vec<InFlight>,
    in_flight: usize,
}

impl Pool {
    pub(super) fn take_slot(&mut self) -> io::Result<Slot> {
        self.recycle_forgotten();
        match self.idle.pop() {
            Some(mut slot) => {
                slot.reset();
                Ok(slot)
            }
            None => Slot::new(),
        }
    }

    /// Hands a slot to a child that is about to be made.
    pub(super) fn depart(
        &mut self,
        status: OwnedFd,
        slot: Slot,
        plan: SpawnPlan,
        places: Option<Rc<Places>>,
    ) -> InFlight {
        self.in_flight += 1;
        let (slot, plan) = (ManuallyDrop::new(slot), ManuallyDrop::new(plan));
        InFlight { status, is_over: Cell::new(false), places, counts: Cell::new(true), slot, plan }
    }

    /// Counts a child no more, whose outcome is known. Its slot is kept until it is given back.
    pub(super) fn settle(&mut self, flight: &InFlight) {
        self.in_flight -= usize::from(flight.counts.replace(false));
    }

    /// The number of children that may still use their slot and whose outcome is not known.
    pub(super) fn in_flight(&mut self) -> usize {
        self.recycle_forgotten();
        self.in_flight
    }

    pub(super) fn give_back(&mut self, flight: InFlight) {
        self.forgotten.push(flight);
        self.recycle_forgotten();
    }

    fn recycle_forgotten(&mut self) {
        let mut at = 0;
        while at < self.forgotten.len() {
            if self.forgotten[at].is_over() {
                let flight = self.forgotten.swap_remove(at);
                self.keep(flight);
            } else {
                at += 1;
            }
        }
    }

    fn keep(&mut self, flight: InFlight) {
        self.settle(&flight);
        let Some(slot) = flight.recycle() else { return };
        if self.idle.len() < IDLE_SLOTS {
            self.idle.push(slot);
        }
    }
}
