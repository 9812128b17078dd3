//! The allocator of every executable: one heap whose free memory is kept for reuse until the main thread rests.
//!
//! That of musl maps and unmaps memory for every few objects, which is a tenth of the time of a short command. The heap consists of
//! blocks that are mapped as it grows and are never unmapped; [`purge`] gives the kernel the pages of its free
//! memory back, when that is worth it. Objects that are freed soon have a second heap ([`temporary()`]). Large objects are left to
//! the C library, which maps each of them and unmaps it at once.
//! The reasons are in docs/design/0007-heap.md.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use talc::DefaultBinning;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;

use crate::footprint::{page_size, whole_pages};

mod temporary;
mod usage;

use usage::Usage;

pub use temporary::{lasting, temporary};

/// By how much the heap grows. Pages that were never used cost nothing.
const BLOCK: usize = 1 << 20;

/// From this size on the C library maps each object: musl's own limit (`MMAP_THRESHOLD`), and that of glibc to begin with.
const LARGE: usize = 128 << 10;

/// Free memory is given back when so much more was in use since the last purge than is now.
const WORTH: usize = 1 << 20;

/// A purge takes at most so many pieces, so that it takes some milliseconds at most, whatever the heap looks like.
const PIECES: usize = 4096;

/// Of the heap for objects that stay.
static USAGE: Usage = Usage::new();

// Under a sanitizer every object is watched on its own.
#[cfg_attr(not(any(fuzzing, miri)), global_allocator)]
static HEAP: Heap = Heap(Mutex::new(Talc::new(Blocks)));

struct Heap(Mutex<Talc<Blocks, DefaultBinning>>);

/// Where the heap has its memory from.
#[derive(Debug)]
struct Blocks;

fn lock<S: Source>(heap: &Mutex<Talc<S, DefaultBinning>>) -> MutexGuard<'_, Talc<S, DefaultBinning>> {
    heap.lock().unwrap_or_else(PoisonError::into_inner)
}

// Not inlined: there are ten thousand calls, and the executable would be 300 KB larger.
//
// SAFETY: the heap is used under its lock only, and each object goes back to the allocator that its size says it came from.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout.size()) {
            // SAFETY: the caller's promises are those of this function.
            return unsafe { System.alloc(layout) };
        }
        // SAFETY: the caller promises that the size is not zero.
        let object = unsafe { temporary::allocate(layout).or_else(|| USAGE.allocate(&mut lock(&self.0), layout)) };
        object.map_or(ptr::null_mut(), |object| object.as_ptr())
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(layout.size()) {
            // SAFETY: as above. Fresh pages are not written to.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: as above, and the object has this size.
        unsafe {
            let object = self.alloc(layout);
            if !object.is_null() {
                object.write_bytes(0, layout.size());
            }
            object
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        if is_large(layout.size()) {
            // SAFETY: an object of this size is the C library's.
            return unsafe { System.dealloc(object, layout) };
        }
        if temporary::holds(object) {
            // SAFETY: it is in that heap.
            return unsafe { temporary::USAGE.deallocate(&mut lock(&temporary::HEAP), object, layout) };
        }
        // SAFETY: an object of this size, if it is not temporary, is this heap's.
        unsafe { USAGE.deallocate(&mut lock(&self.0), object, layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match (is_large(layout.size()), is_large(size)) {
            // SAFETY: as above.
            (true, true) => return unsafe { System.realloc(object, layout, size) },
            // SAFETY: as above.
            (false, false) if unsafe { self.try_resize(object, layout, size) } => return object,
            _ => {}
        }
        // SAFETY: the caller promises that the size suits the alignment; the two objects are different ones, and as large as is
        // copied.
        unsafe {
            let other = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !other.is_null() {
                ptr::copy_nonoverlapping(object, other, size.min(layout.size()));
                self.dealloc(object, layout);
            }
            other
        }
    }
}

impl Heap {
    /// Changes the size of an object where it is, if there is room.
    ///
    /// # Safety
    ///
    /// The object is in one of the two heaps, with this layout, and `size` is not zero.
    unsafe fn try_resize(&self, object: *mut u8, layout: Layout, size: usize) -> bool {
        if temporary::holds(object) {
            // SAFETY: it is in that heap.
            return unsafe { temporary::USAGE.try_resize(&mut lock(&temporary::HEAP), object, layout, size) };
        }
        // SAFETY: it is in this heap.
        unsafe { USAGE.try_resize(&mut lock(&self.0), object, layout, size) }
    }
}

const fn is_large(size: usize) -> bool {
    size >= LARGE
}

// SAFETY: it allocates nothing, and what it adds to the heap is a mapping that nothing else knows.
unsafe impl Source for Blocks {
    fn acquire<B: Binning>(heap: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        add_block(heap, layout, |_, size| {
            let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // SAFETY: a new mapping, wherever there is room for it.
            let block = unsafe { libc::mmap(ptr::null_mut(), size, access, flags, -1, 0) };
            if block == libc::MAP_FAILED {
                return None;
            }
            // SAFETY: it is the mapping from above. A huge page would be resident as a whole; without this, some are used.
            unsafe { libc::madvise(block, size, libc::MADV_NOHUGEPAGE) };
            Some(block)
        })
    }
}

/// Adds memory for an object to a heap: `map` returns new memory of some size.
fn add_block<S: Source, B: Binning>(
    heap: &mut Talc<S, B>,
    layout: Layout,
    map: impl FnOnce(&mut Talc<S, B>, usize) -> Option<*mut c_void>,
) -> Result<(), ()> {
    let first = talc::min_first_heap_size::<B>();
    let size = (layout.size() + layout.align() + first).next_multiple_of(BLOCK);
    let block = map(heap, size).ok_or(())?;
    // SAFETY: nothing else uses the memory, and it is never unmapped.
    unsafe { heap.claim(block.cast(), size) }.map(|_| ()).ok_or(())
}

/// Whether there is so much free memory that was in use since the last purge that another one is worth its time. Objects that come
/// and go one after another use the same memory, however many they are.
pub(crate) fn is_purge_worth_it() -> bool {
    USAGE.unused() + temporary::USAGE.unused() >= WORTH
}

/// Gives the whole pages of both heaps' free memory back to the kernel, where a piece has at least so many. Returns the number of bytes.
///
/// A heap does not list its free memory, so it is taken, the largest pieces first, and freed again. Others that allocate wait for
/// all of it: a microsecond for each of at most [`PIECES`].
pub(crate) fn purge(least_pages: usize) -> usize {
    purge_pages(page_size(), least_pages)
}

fn purge_pages(page: usize, least_pages: usize) -> usize {
    let temporary = purge_heap(&mut lock(&temporary::HEAP), &temporary::USAGE, page, least_pages);
    temporary + purge_heap(&mut lock(&HEAP.0), &USAGE, page, least_pages)
}

fn purge_heap<S: Source>(heap: &mut Talc<S, DefaultBinning>, usage: &Usage, page: usize, least_pages: usize) -> usize {
    usage.note_purge();
    let (mut taken, mut pieces, mut bytes) = (ptr::null_mut::<Taken>(), 0, 0);
    let mut size = BLOCK;
    // A piece begins and ends anywhere, and loses up to a page at both ends together.
    while size >= (least_pages + 1) * page {
        // SAFETY: neither is zero, and the alignment is a power of two.
        let layout = unsafe { Layout::from_size_align_unchecked(size, align_of::<Taken>()) };
        // SAFETY: the size is not zero.
        while pieces < PIECES
            && let Some(piece) = unsafe { heap.try_allocate(layout) }
        {
            let piece = piece.as_ptr().cast::<Taken>();
            // SAFETY: the piece is large enough and suitably aligned.
            unsafe { piece.write(Taken { next: taken, layout }) };
            (taken, pieces) = (piece, pieces + 1);
        }
        size -= if size > 16 * page { size / 2 } else { page / 2 };
    }
    while !taken.is_null() {
        // SAFETY: it was taken above, with this layout, and is freed once. Its contents are not needed after they were read, and the
        // pages are those that lie within it as a whole.
        unsafe {
            let Taken { next, layout } = taken.read();
            if let Some(pages) = whole_pages(taken as usize, layout.size(), page) {
                libc::madvise(pages.start as *mut c_void, pages.len(), libc::MADV_DONTNEED);
                bytes += pages.len();
            }
            heap.deallocate(taken.cast(), layout);
            taken = next;
        }
    }
    bytes
}

/// The beginning of a piece of free memory while it is taken.
struct Taken {
    next: *mut Taken,
    layout: Layout,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Held by the tests that purge: all tests have one heap.
    pub(crate) static PURGING: Mutex<()> = Mutex::new(());

    /// A figure of /proc/self/statm, in bytes: 1 is all that is resident, 2 the part that has files behind it.
    pub(crate) fn resident(place: usize) -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(place).unwrap().parse::<usize>().unwrap() * page_size()
    }

    #[test]
    fn objects_keep_their_contents_whatever_their_size_becomes() {
        let mut object: Vec<u8> = Vec::new();
        // Across the limit between the heap and the C library, upwards and downwards.
        for size in [1, 24, 25, 4096, LARGE - 1, LARGE, 4 * LARGE, LARGE - 1, 100, 1] {
            let before = object.clone();
            object.resize(size, size as u8);
            object.shrink_to_fit();
            let kept = before.len().min(size);
            assert_eq!(object[..kept], before[..kept], "{size}");
            assert!(object[kept..].iter().all(|byte| *byte == size as u8), "{size}");
        }
        for shift in 3..14 {
            let layout = Layout::from_size_align(100, 1 << shift).unwrap();
            // SAFETY: the size is not zero, and the object is freed once, as it was allocated.
            unsafe {
                let object = HEAP.alloc_zeroed(layout);
                assert_eq!(object as usize % layout.align(), 0);
                assert_eq!(*object.cast::<[u8; 100]>(), [0; 100]);
                HEAP.dealloc(object, layout);
            }
        }
    }

    #[test]
    fn freed_memory_is_given_back_and_can_be_used_again() {
        let _alone = PURGING.lock();
        let fill = || (0..8_000).map(|number| vec![number as u8; 1000].into_boxed_slice()).collect::<Vec<_>>();
        let mut all = fill();
        // One of each ten stays, so that the free memory is in pieces.
        let mut number = 0;
        all.retain(|_| {
            number += 1;
            number % 10 == 0
        });
        let before = resident(1);
        let purged = purge(1);
        assert!(purged > 3 << 20, "{purged}");
        assert!(resident(1) + (3 << 20) < before, "{} was {before}", resident(1));
        // A larger page than the system's: what lies beside its pages must stay.
        let again = fill();
        drop(fill());
        purge_pages(64 << 10, 1);
        let holds = |number: usize, object: &[u8]| object.iter().all(|byte| *byte == number as u8);
        assert!(again.iter().enumerate().all(|(number, object)| holds(number, object)));
        let mut kept = (9..8_000).step_by(10).zip(&all);
        assert!(kept.all(|(number, object)| holds(number, object)), "nothing in use was touched");
    }

    #[test]
    fn temporary_objects_leave_no_holes_among_those_that_stay() {
        let _alone = PURGING.lock();
        let before = resident(1);
        let (mut temporaries, mut lasting) = (Vec::new(), Vec::new());
        for number in 0..8_000_usize {
            temporaries.push(temporary(|| vec![number as u8; 2000].into_boxed_slice()));
            lasting.push(vec![number as u8; 100].into_boxed_slice());
        }
        assert!(temporaries.iter().all(|object| temporary::holds(object.as_ptr())));
        assert!(!lasting.iter().any(|object| temporary::holds(object.as_ptr())));
        // It may grow outside, and one that stays takes only its page.
        let mut grown = temporaries.remove(5_000).into_vec();
        grown.resize(10_000, 7);
        assert!(grown[..2000].iter().all(|byte| *byte == 5_000_usize as u8));
        let stays = temporaries.remove(1_000);
        drop(temporaries);
        assert!(purge(1) > 15 << 20);
        assert!(resident(1) < before + (3 << 20), "{} was {before}", resident(1));
        assert!(stays.iter().all(|byte| *byte == 1_000_usize as u8));
        let mut kept = lasting.iter().enumerate();
        assert!(
            kept.all(|(number, object)| object.iter().all(|byte| *byte == number as u8)),
            "nothing in use was touched"
        );
    }

    #[test]
    fn more_than_the_temporary_heap_holds_goes_to_the_other() {
        let _alone = PURGING.lock();
        let all: Vec<_> = temporary(|| (0..700_u32).map(|number| vec![number as u8; 100 << 10]).collect());
        let is_temporary = |object: &Vec<u8>| temporary::holds(object.as_ptr());
        assert!(is_temporary(&all[0]) && !is_temporary(&all[699]), "64 MiB are full");
        assert!(all.iter().enumerate().all(|(number, object)| object.iter().all(|byte| *byte == number as u8)));
        drop(all);
        purge(1);
    }

    #[test]
    fn an_object_that_is_too_large_is_refused() {
        for size in [LARGE - 1, isize::MAX as usize / 2] {
            let layout = Layout::from_size_align(size, 1).unwrap();
            // SAFETY: the size is not zero, and the object is freed once.
            unsafe {
                let object = HEAP.alloc(layout);
                assert_eq!(object.is_null(), size > LARGE);
                if !object.is_null() {
                    HEAP.dealloc(object, layout);
                }
            }
        }
    }
}
