//! A second heap, for objects that are freed soon: they would leave holes among those that stay, too small for the next
//! of their kind and too small to be given back.

use std::alloc::Layout;
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use talc::DefaultBinning;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;

use super::{Usage, add_block, lock};

/// The size of the range of addresses in which all temporary objects are. Further ones go to the other heap.
const RANGE: usize = 64 << 20;

/// The start of the range before there is one: no object is in this half of the addresses.
const NOWHERE: usize = 1 << (usize::BITS - 1);

static START: AtomicUsize = AtomicUsize::new(NOWHERE);
pub(super) static HEAP: Mutex<Talc<Range, DefaultBinning>> =
    Mutex::new(Talc::new(Range { used: 0, is_refused: false }));

pub(super) static USAGE: Usage = Usage::new();

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`. Whatever this thread allocates meanwhile is expected to be freed soon; it may also stay, at the price of the page
/// that it is in.
pub fn temporary<T>(work: impl FnOnce() -> T) -> T {
    switched(true, work)
}

/// Within [`temporary()`]: runs `work`, which allocates what stays.
pub fn lasting<T>(work: impl FnOnce() -> T) -> T {
    switched(false, work)
}

fn switched<T>(is_on: bool, work: impl FnOnce() -> T) -> T {
    struct Before(bool);

    impl Drop for Before {
        fn drop(&mut self) {
            IS_ON.set(self.0);
        }
    }

    let _before = Before(IS_ON.replace(is_on));
    work()
}

/// Memory for a temporary object, if the thread allocates such now and there is room.
///
/// # Safety
///
/// The size is not zero.
pub(super) unsafe fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    if !IS_ON.get() {
        return None;
    }
    // SAFETY: the caller promises the same.
    unsafe { USAGE.allocate(&mut lock(&HEAP), layout) }
}

/// Whether the object is in this heap.
pub(super) fn holds(object: *const u8) -> bool {
    (object as usize).wrapping_sub(START.load(Ordering::Relaxed)) < RANGE
}

/// Where this heap has its memory from.
#[derive(Debug)]
pub(super) struct Range {
    used: usize,
    /// Whether the system has refused it, or more of it: not asked again, since each object would ask.
    is_refused: bool,
}

// SAFETY: it allocates nothing, and what it adds to the heap is a part of a mapping that nothing else uses.
unsafe impl Source for Range {
    fn acquire<B: Binning>(heap: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        add_block(heap, layout, |heap, size| {
            let block = heap.source.extend(size);
            heap.source.is_refused = block.is_none();
            block
        })
    }
}

impl Range {
    /// The next part of the range.
    fn extend(&mut self, size: usize) -> Option<*mut c_void> {
        if self.is_refused || size > RANGE - self.used {
            return None;
        }
        let block = (reserve()? + self.used) as *mut c_void;
        // SAFETY: this part of the mapping was not used before.
        if unsafe { libc::mprotect(block, size, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
            return None;
        }
        self.used += size;
        Some(block)
    }
}

/// The start of the range. It is reserved once, and costs nothing until it is used, not even where the kernel promises no
/// more memory than there is.
fn reserve() -> Option<usize> {
    let start = START.load(Ordering::Relaxed);
    if start != NOWHERE {
        return Some(start);
    }
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, wherever there is room for it.
    let start = unsafe { libc::mmap(ptr::null_mut(), RANGE, libc::PROT_NONE, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: it is the mapping from above. As in the other heap.
    unsafe { libc::madvise(start, RANGE, libc::MADV_NOHUGEPAGE) };
    START.store(start as usize, Ordering::Relaxed);
    Some(start as usize)
}
