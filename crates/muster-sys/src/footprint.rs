//! Releases memory that only the start needed: the code that parsed the command line and the configuration, and its texts.
//!
//! A page of an executable is resident once something near it was used, and a static executable contains everything it uses.
//! Releasing it is harmless: pages that are needed again come from the page cache, a few at a time. The code that runs right
//! after a start is needed for that start only as well, so the pages are released when the main thread comes to rest.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

static IS_DUE: AtomicBool = AtomicBool::new(false);

/// Releases the executable's pages when the main thread rests next.
pub fn release_at_rest() {
    IS_DUE.store(true, Ordering::Relaxed);
}

/// Called by the main thread when it has nothing to do.
#[inline]
pub fn rest() {
    if IS_DUE.load(Ordering::Relaxed) {
        IS_DUE.store(false, Ordering::Relaxed);
        release();
    }
}

/// Releases the code and the read-only data of the executable and of its libraries.
#[cold]
fn release() {
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
    // SAFETY: asks only. Every system knows the size of its pages.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD) {
        let start = base.wrapping_add(header.p_vaddr as usize);
        let Some(pages) = whole_pages(header.p_flags, start, header.p_filesz as usize, page) else {
            continue;
        };
        // SAFETY: nothing ever writes to these pages, so each comes back from its file as it was: madvise(2). It may be
        // refused, and then they stay.
        unsafe { libc::madvise(pages.start as *mut c_void, pages.len(), libc::MADV_DONTNEED) };
    }
    0
}

/// The pages that lie in a segment as a whole, if nothing can write to it.
fn whole_pages(flags: u32, start: usize, length: usize, page: usize) -> Option<Range<usize>> {
    let pages = start.next_multiple_of(page)..(start + length) / page * page;
    (flags & libc::PF_W == 0 && !pages.is_empty()).then_some(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pages_that_are_never_written_to_are_released() {
        let code = libc::PF_R | libc::PF_X;
        assert_eq!(whole_pages(code, 0x1000, 0x2000, 0x1000), Some(0x1000..0x3000));
        assert_eq!(whole_pages(libc::PF_R, 0x1234, 0x2000, 0x1000), Some(0x2000..0x3000), "neighbours share its ends");
        assert_eq!(whole_pages(code, 0x1234, 0x1000, 0x1000), None);
        assert_eq!(whole_pages(libc::PF_R | libc::PF_W, 0x1000, 0x2000, 0x1000), None);
    }

    #[test]
    fn what_was_released_comes_again_and_is_released_once() {
        let resident = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(2).and_then(|shared| shared.parse::<u64>().ok()).unwrap()
        };
        let before = resident();
        rest();
        release_at_rest();
        rest();
        assert!(resident() < before, "nothing was released");
        assert!(!IS_DUE.load(Ordering::Relaxed));
    }
}
