//! Releases memory that only the start needed: the code that parsed the command line and the configuration, its texts, and the
//! deepest part of the stack; and free memory whenever much was freed.
//!
//! A page of an executable is resident once something near it was used, and a static executable contains everything it uses.
//! Releasing it is harmless: pages that are needed again come from the page cache, a few at a time. The code that runs right
//! after a start is needed for that start only as well, so the pages are released when the main thread comes to rest. Threads that
//! still worked then release them once more when they come to rest.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::heap;

static IS_DUE: AtomicBool = AtomicBool::new(false);
/// How often the executable's pages were released by the main thread, and when last.
static RELEASED: AtomicU32 = AtomicU32::new(0);
static RELEASED_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// A thread that comes to rest so long after the main thread has done other work.
const RELATED: Duration = Duration::from_secs(1);

/// How much of the main thread's stack is released, at most.
const DEEPEST: usize = 96 << 10;

thread_local! {
    /// How often they had been when this thread rested last.
    static KNOWN: Cell<u32> = const { Cell::new(0) };
}

/// Releases the executable's pages when the main thread rests next.
pub fn release_at_rest() {
    IS_DUE.store(true, Ordering::Relaxed);
}

/// Called by the main thread when it has nothing to do.
#[inline]
pub fn rest() {
    release_free_memory();
    // Last: what runs after it is resident again.
    if IS_DUE.load(Ordering::Relaxed) {
        IS_DUE.store(false, Ordering::Relaxed);
        release();
    }
}

/// Whether [`rest_beside`] has something to do.
#[inline]
pub fn is_rest_due() -> bool {
    RELEASED.load(Ordering::Relaxed) != KNOWN.get()
}

/// Called by another thread before it waits without end. If the main thread has just released the executable's pages, this one has made
/// some resident again: they are released once more.
#[inline]
pub fn rest_beside() {
    if is_rest_due() {
        KNOWN.set(RELEASED.load(Ordering::Relaxed));
        let at = *RELEASED_AT.lock().unwrap_or_else(PoisonError::into_inner);
        if at.is_some_and(|at| at.elapsed() < RELATED) {
            release_executable();
        }
    }
}

/// Releases free memory, if much was freed since that was done last.
#[inline]
pub fn release_free_memory() {
    if heap::is_purge_worth_it() {
        // Small pieces are many, and seldom worth a call in between.
        heap::purge(4);
    }
}

/// Releases free memory, the stack that is not in use, and the executable's pages.
#[cold]
fn release() {
    heap::purge(1);
    *RELEASED_AT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    RELEASED.fetch_add(1, Ordering::Relaxed);
    release_stack();
    release_executable();
}

/// Releases the main thread's stack below this function, up to [`DEEPEST`]: that of a start is deeper than that of later work.
#[cold]
#[inline(never)]
fn release_stack() {
    // SAFETY: asks only.
    if unsafe { libc::gettid() != libc::getpid() } {
        return;
    }
    let frame = 0_u8;
    let page = page_size();
    // One whole page remains for what is called from here.
    let end = (std::hint::black_box(&raw const frame) as usize / page - 1) * page;
    let size = DEEPEST / page * page;
    // SAFETY: nothing below is in use. The kernel makes the first thread's stack 128 KiB larger than what it begins with, and keeps
    // 1 MiB below it free of other mappings; another thread's stack may have one right below. Pages that are not mapped are passed over.
    unsafe { libc::madvise((end - size) as *mut c_void, size, libc::MADV_DONTNEED) };
}

/// Releases the code and the read-only data of the executable and of its libraries.
#[cold]
fn release_executable() {
    // SAFETY: the callback has the right signature, does not unwind, and keeps nothing of what it is passed.
    unsafe { libc::dl_iterate_phdr(Some(release_object), std::ptr::null_mut()) };
}

/// One executable or library: its segments that are never written to. Data that become read-only after
/// relocation are in another segment, one that can be written to.
unsafe extern "C" fn release_object(object: *mut libc::dl_phdr_info, _: libc::size_t, _: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr(3) passes a valid description, whose headers live as long as the object is loaded.
    let (base, headers) = unsafe {
        let object = &*object;
        let headers = std::ptr::slice_from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum));
        (object.dlpi_addr as usize, if object.dlpi_phdr.is_null() { &[] } else { &*headers })
    };
    let page = page_size();
    let is_constant = |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
    for header in headers.iter().filter(is_constant) {
        let start = base.wrapping_add(header.p_vaddr as usize);
        let Some(pages) = whole_pages(start, header.p_filesz as usize, page) else { continue };
        // SAFETY: nothing ever writes to these pages, so each comes back from its file as it was: madvise(2). It may be
        // refused, and then they stay.
        unsafe { libc::madvise(pages.start as *mut c_void, pages.len(), libc::MADV_DONTNEED) };
    }
    0
}

/// The pages that lie in this memory as a whole, if there are any. madvise(2) would round a length up.
pub(crate) fn whole_pages(start: usize, length: usize, page: usize) -> Option<Range<usize>> {
    let pages = start.next_multiple_of(page)..(start + length) / page * page;
    (!pages.is_empty()).then_some(pages)
}

/// In bytes: 4096 on x86-64, up to 65536 elsewhere.
pub(crate) fn page_size() -> usize {
    // SAFETY: asks only. Every system knows the size of its pages.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn only_whole_pages_are_released() {
        assert_eq!(whole_pages(0x1000, 0x2000, 0x1000), Some(0x1000..0x3000));
        assert_eq!(whole_pages(0x1234, 0x2000, 0x1000), Some(0x2000..0x3000), "neighbours share its ends");
        assert_eq!(whole_pages(0x1234, 0x1000, 0x1000), None);
        assert_eq!(whole_pages(0x10000, 0x11000, 0x10000), Some(0x10000..0x20000), "the rest of a large page stays");
        assert_eq!(whole_pages(0x11000, 0x1f000, 0x10000), Some(0x20000..0x30000));
    }

    #[test]
    fn what_was_released_comes_again_and_is_released_once() {
        let _alone = heap::tests::PURGING.lock();
        let before = heap::tests::resident(2);
        rest();
        release_at_rest();
        rest();
        assert!(heap::tests::resident(2) < before, "nothing was released");
        assert!(!IS_DUE.load(Ordering::Relaxed));
    }

    /// In the middle of read-only data that nothing else uses.
    fn constant() -> &'static u8 {
        static TABLE: [u8; 1 << 20] = [7; 1 << 20];
        &TABLE[TABLE.len() / 2]
    }

    /// Whether the page of an address is resident in this process.
    fn is_resident(address: *const u8) -> bool {
        let mut entry = [0; 8];
        let place = (address as usize / page_size() * entry.len()) as u64;
        std::fs::File::open("/proc/self/pagemap").unwrap().read_exact_at(&mut entry, place).unwrap();
        u64::from_ne_bytes(entry) >> 63 == 1
    }

    #[test]
    fn a_thread_that_rests_soon_after_releases_once_more() {
        let _alone = heap::tests::PURGING.lock();
        for (pause, releases) in [(Duration::ZERO, true), (RELATED, false)] {
            release_at_rest();
            rest();
            std::thread::sleep(pause);
            let beside = std::thread::spawn(|| {
                assert_eq!((is_rest_due(), *std::hint::black_box(constant())), (true, 7));
                let before = is_resident(constant());
                rest_beside();
                (before, is_rest_due(), is_resident(constant()))
            });
            assert_eq!(beside.join().unwrap(), (true, false, !releases), "{pause:?}");
        }
    }
}
