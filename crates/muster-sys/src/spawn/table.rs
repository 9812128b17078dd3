//! A descriptor table of its own for each new process, with little in it.
//!
//! At execve the kernel closes every descriptor that is marked close-on-exec, one by one. In a copy of the daemon's table that
//! takes longer the more programs there are, so that starting N of them would take N² closes. Instead a new process first
//! shares the table, and its first call leaves it (close_range(2) with `CLOSE_RANGE_UNSHARE`), taking along only the lowest
//! numbers. Its descriptors are put there before, in one of the [`PLACES`] that are reserved at the start.
//!
//! A place is held until its process has left the table: it says so in its report, where the next spawn sees it, and, if the
//! daemon is about to wait for it, with a byte in its status pipe. If none is free, or the kernel lacks the call, the process gets
//! a copy of the table as usual. A process that is created meanwhile takes the places of others along, and closes them first.
//!
//! A free place keeps its copies of descriptors that most processes get: /dev/null, and the daemon's own output streams.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};

use super::Source;
use super::child::{Orders, Stage, at, must};
use super::raw;
use super::slot::Report;
use crate::boot::CLOSE_RANGE_UNSHARE;
use crate::fd;

/// Descriptors in a place: standard input, output and error, and the status pipe.
const EACH: usize = 4;
/// Processes that may share the table at a time. It is their first microseconds.
const PLACES: usize = 6;
/// The number of descriptors that are reserved.
const RESERVED: usize = EACH * PLACES;
/// With a limit of descriptors below this, none are reserved: a small table is quickly copied.
const FEWEST: u64 = 512;

/// The number of descriptors that are reserved for processes that are being created, if there may be this many.
pub fn reserved(limit: u64) -> usize {
    if limit < FEWEST { 0 } else { RESERVED }
}

/// How often to look for numbers in a row.
const TRIES: usize = 16;

/// How a child gets a descriptor table without those of other children. The numbers from `first` to `end` are reserved; those from
/// `own` to `after_own` are its stdin, stdout, stderr and status pipe. None are its own if its table is a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct TableOrders {
    pub(super) is_shared: bool,
    pub(super) first: c_int,
    pub(super) own: c_int,
    pub(super) after_own: c_int,
    pub(super) end: c_int,
}

/// The reserved numbers.
pub(super) struct Places {
    first: RawFd,
    _numbers: Vec<OwnedFd>,
    /// Stands behind unused numbers.
    filler: OwnedFd,
    free: RefCell<Vec<usize>>,
    /// The places in use, with the reports of their processes: the slots outlive the use of the place.
    taken: RefCell<Vec<(usize, *const Report)>>,
    /// Of each number, the descriptor that it is a copy of, if that is one that lasts.
    behind: RefCell<[[Option<RawFd>; EACH]; PLACES]>,
    is_usable: Cell<bool>,
}

impl Places {
    /// Reserves the lowest free numbers, as copies of `filler`, which lasts. To be called while few descriptors
    /// are open. `None` where it would be of no use.
    pub(super) fn reserve(filler: BorrowedFd<'_>) -> Option<Rc<Places>> {
        // The kernel checks its arguments before it does anything: this first number is greater than the last.
        // SAFETY: no memory is passed.
        unsafe { libc::syscall(libc::SYS_close_range, 1, 0, CLOSE_RANGE_UNSHARE) };
        let has_call = io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL);
        let limit = crate::limits::OriginalLimits::current().map_or(0, |limits| limits.nofile_soft);
        if !has_call || reserved(limit) == 0 {
            return None;
        }
        let copies = adjacent(filler)?;
        let first = copies.first()?.as_raw_fd();
        Some(Rc::new(Places {
            first,
            _numbers: copies,
            filler: fd::copy_above_stdio(filler).ok()?,
            free: RefCell::new((0..PLACES).collect()),
            taken: RefCell::default(),
            behind: RefCell::new([[Some(filler.as_raw_fd()); EACH]; PLACES]),
            is_usable: Cell::new(true),
        }))
    }

    /// Puts copies of these where a process finds them after it has left the table: stdin, stdout, stderr and the status
    /// pipe. `None` if no place is free.
    pub(super) fn take(
        &self,
        [stdin, stdout, stderr]: [Source<'_>; 3],
        told: BorrowedFd<'_>,
        report: &Report,
    ) -> Option<TableOrders> {
        self.free_those_left();
        if !self.is_usable.get() {
            return None;
        }
        let place = self.free.borrow_mut().pop()?;
        self.taken.borrow_mut().push((place, report));
        let sources = [stdin, stdout, stderr, Source { descriptor: told, is_lasting: false }];
        if sources.into_iter().enumerate().any(|(at, source)| self.fill(place, at, source).is_err()) {
            self.left(report);
            return None;
        }
        let numbers = self.numbers(place);
        Some(TableOrders { is_shared: true, own: numbers[0], after_own: numbers[EACH - 1] + 1, ..self.copied() })
    }

    /// Makes this number of a place a copy of the descriptor.
    fn fill(&self, place: usize, at: usize, Source { descriptor, is_lasting }: Source<'_>) -> io::Result<()> {
        let behind = &mut self.behind.borrow_mut()[place][at];
        let lasting = is_lasting.then_some(descriptor.as_raw_fd());
        if lasting.is_some() && *behind == lasting {
            return Ok(());
        }
        // If it fails, what the number was before stays, which nothing needs.
        *behind = None;
        put(descriptor.as_raw_fd(), self.numbers(place)[at])?;
        *behind = lasting;
        Ok(())
    }

    /// For a process that gets a copy of the table: it closes what is reserved.
    pub(super) fn copied(&self) -> TableOrders {
        let end = self.first + RESERVED as RawFd;
        TableOrders { is_shared: false, first: self.first, own: self.first, after_own: self.first, end }
    }

    /// Frees the place of this process, if it has one: it has left the table, or exited.
    pub(super) fn left(&self, report: &Report) {
        let mut taken = self.taken.borrow_mut();
        if let Some(at) = taken.iter().position(|(_, of)| ptr::eq(*of, report)) {
            let (place, _) = taken.swap_remove(at);
            self.clear(place);
        }
    }

    /// No process shares the table from now on: one was refused its own.
    pub(super) fn give_up(&self) {
        self.is_usable.set(false);
    }

    fn free_those_left(&self) {
        self.taken.borrow_mut().retain(|&(place, report)| {
            // SAFETY: a slot is not reused or unmapped before its status pipe has ended, which this place holds open.
            let has_left = unsafe { (*report).stage.load(Ordering::Acquire) } > Stage::Table as u32;
            if has_left {
                self.clear(place);
            }
            !has_left
        });
    }

    fn clear(&self, place: usize) {
        for at in 0..EACH {
            if self.behind.borrow()[place][at].is_none() {
                // Fails only for numbers that are not open, or above the limit.
                let _ = put(self.filler.as_raw_fd(), self.numbers(place)[at]);
            }
        }
        self.free.borrow_mut().push(place);
    }

    fn numbers(&self, place: usize) -> [RawFd; EACH] {
        std::array::from_fn(|at| self.first + (place * EACH + at) as RawFd)
    }
}

/// The child's first step, so that the time in the daemon's table is short, and that it holds the pipes of others open.
pub(super) unsafe fn leave(orders: &Orders) {
    let Some(table) = &orders.table else { return };
    // SAFETY: these calls close numbers in a table that is this process's own, if need be from the first of them on, and
    // read one byte.
    unsafe {
        at(orders, Stage::Table, 0);
        if table.is_shared {
            let others = [table.end as usize, u32::MAX as usize, CLOSE_RANGE_UNSHARE as usize];
            must(orders, libc::SYS_close_range, others);
        }
        if table.own > table.first {
            must(orders, libc::SYS_close_range, [table.first as usize, (table.own - 1) as usize, 0]);
        }
        if table.end > table.after_own {
            must(orders, libc::SYS_close_range, [table.after_own as usize, (table.end - 1) as usize, 0]);
        }
        at(orders, Stage::Session, 0);
        // A daemon that begins to wait sees the step, or is seen to wait.
        fence(Ordering::SeqCst);
        if table.is_shared && (*orders.report).is_awaited.load(Ordering::SeqCst) {
            let told = (table.after_own - 1) as usize;
            let byte = 0_u8;
            let _ = raw::syscall(libc::SYS_write, [told, &raw const byte as usize, 1]);
        }
    }
}

/// Copies with numbers in a row, the lowest that are free.
fn adjacent(filler: BorrowedFd<'_>) -> Option<Vec<OwnedFd>> {
    let mut above = 2;
    // Each inherited descriptor that is in the way costs a try.
    for _ in 0..TRIES {
        let copies: Vec<_> = (0..RESERVED).map_while(|_| fd::copy_above(filler, above).ok()).collect();
        let numbers: Vec<RawFd> = copies.iter().map(AsRawFd::as_raw_fd).collect();
        if numbers.len() < RESERVED {
            return None;
        }
        let Some(gap) = numbers.windows(2).rposition(|pair| pair[1] != pair[0] + 1) else { return Some(copies) };
        above = u32::try_from(numbers[gap]).ok()?;
    }
    None
}

/// Makes the number a copy of the descriptor.
fn put(descriptor: RawFd, number: RawFd) -> io::Result<()> {
    // SAFETY: touches no memory; what the number was is ours to close.
    fd::check(unsafe { libc::dup3(descriptor, number, libc::O_CLOEXEC) }).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::super::slot::Slot;
    use super::*;

    fn null() -> OwnedFd {
        fd::copy_above_stdio(File::open("/dev/null").unwrap().as_fd()).unwrap()
    }

    fn is_over(status: BorrowedFd<'_>) -> bool {
        matches!(fd::read(status, &mut [0]), Ok(0))
    }

    #[test]
    fn numbers_are_in_a_row_whatever_is_in_the_way() {
        let null = null();
        let low = fd::copy_above(null.as_fd(), 300).unwrap();
        let in_the_way = fd::copy_above(null.as_fd(), low.as_raw_fd() as u32 + 5).unwrap();
        drop(low);
        let copies = adjacent(null.as_fd()).unwrap();
        assert_eq!(copies.len(), RESERVED);
        assert!(copies.windows(2).all(|pair| pair[1].as_raw_fd() == pair[0].as_raw_fd() + 1));
        assert!(copies.iter().all(|copy| copy.as_raw_fd() != in_the_way.as_raw_fd()));
    }

    #[test]
    fn a_place_is_free_again_when_its_process_says_that_it_has_left() {
        let null = null();
        let places = Places::reserve(null.as_fd()).expect("this kernel has close_range, and tests have descriptors");
        let slots: Vec<Slot> = (0..=PLACES).map(|_| Slot::new().unwrap()).collect();
        let pipes: Vec<_> = slots.iter().map(|_| fd::inner_pipe().unwrap()).collect();
        let (statuses, told): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
        let lasting = [Source::lasting(null.as_fd()); 3];
        let take = |at: usize| places.take(lasting, told[at].as_fd(), slots[at].report());
        for at in 0..PLACES {
            let orders = take(at).expect("a place is free");
            assert_eq!(orders.after_own - orders.own, EACH as RawFd);
            assert!(orders.first <= orders.own && orders.after_own <= orders.end);
        }
        assert_eq!(take(PLACES), None, "every place is taken");
        let over = |at: usize| is_over(statuses[at].as_fd());
        drop(told);
        assert!(over(PLACES) && (0..PLACES).all(|at| !over(at)), "the others are open in their places");
        // By its report, which the next spawn sees.
        slots[2].report().stage.store(Stage::Session as u32, Ordering::Release);
        let orders = places.take(lasting, null.as_fd(), slots[PLACES].report());
        assert!(orders.is_some() && over(2));
        // By its byte, or its exit.
        places.left(slots[4].report());
        places.left(slots[4].report());
        assert!(over(4) && !over(0));
        assert!(places.take(lasting, null.as_fd(), slots[4].report()).is_some());
        places.give_up();
        places.left(slots[0].report());
        assert_eq!(places.take(lasting, null.as_fd(), slots[0].report()), None);
    }

    #[test]
    fn a_descriptor_that_is_not_open_takes_no_place() {
        let null = null();
        let places = Places::reserve(null.as_fd()).unwrap();
        let slot = Slot::new().unwrap();
        // SAFETY: no such number can be open, and it is only passed to dup3, which refuses it.
        let nothing = unsafe { BorrowedFd::borrow_raw(RawFd::MAX) };
        assert_eq!(places.take([Source::lasting(null.as_fd()); 3], nothing, slot.report()), None);
        assert_eq!(places.free.borrow().len(), PLACES);
    }

    #[test]
    fn a_free_place_keeps_what_lasts_and_nothing_else() {
        let null = null();
        let places = Places::reserve(null.as_fd()).unwrap();
        let slot = Slot::new().unwrap();
        let [kept, lent, told] = std::array::from_fn(|_| fd::inner_pipe().unwrap());
        let stdio = [
            Source::lasting(null.as_fd()),
            Source::lasting(kept.1.as_fd()),
            Source { descriptor: lent.1.as_fd(), is_lasting: false },
        ];
        for _ in 0..2 {
            places.take(stdio, told.1.as_fd(), slot.report()).expect("a place is free");
            places.left(slot.report());
        }
        drop((kept.1, lent.1, told.1));
        assert_eq!([kept.0, lent.0, told.0].map(|reading| is_over(reading.as_fd())), [false, true, true]);
    }
}
