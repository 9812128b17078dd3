//! The memory a child uses before it executes its program: a small stack, and a page for its progress report.
//!
//! Slots are mapped shared, so a child with a copy of the daemon's memory reports its progress like one that shares
//! it. They are reused. A slot is never returned to the kernel or given to another child while its child may still use it:
//! see [`InFlight`](super::InFlight).

use std::io;
use std::mem::size_of;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// The stack is several times as large as the child's code needs in a debug build; untouched pages cost
/// nothing.
const STACK: usize = 32 * 1024;
/// A multiple of every page size in use: 4, 16 and 64 KiB.
const GUARD: usize = 64 * 1024;
/// Room for the report; a multiple of the stack's alignment.
const REPORT: usize = 64;
/// From the bottom: a guard that faults, the stack that grows down towards it, the report on the stack's first page, so
/// that a successful spawn touches one page, and the evidence that is written only on failure.
const WHOLE: usize = GUARD + STACK + size_of::<Evidence>();
const _: () = assert!(size_of::<Report>() <= REPORT);

/// How much of a file that could not be executed the child keeps for the message: enough for a `#!` line and for the
/// program headers of an ELF file.
pub(super) const HEAD: usize = 1024;

/// The child's report. The daemon reads it when the status pipe has ended, when the child no longer writes; before that, only
/// whether the child has left the daemon's descriptor table.
#[repr(C)]
pub(super) struct Report {
    /// The current step, numbered by [`Stage`](super::child::Stage).
    pub(super) stage: AtomicU32,
    /// The index within the step: the resource limit, the candidate of a PATH search.
    pub(super) detail: AtomicU32,
    /// Why the step failed; 0 if it has not.
    pub(super) errno: AtomicI32,
    /// Set by the daemon while it waits for the child to leave its descriptor table.
    pub(super) is_awaited: AtomicBool,
}

/// Evidence that the child gathered about a file that could not be executed, with its own privileges, in its own directory.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Evidence {
    /// 0 if stat(2) succeeded.
    pub(super) stat_errno: i32,
    /// Type and permissions.
    pub(super) mode: u32,
    /// The mount flags of its file system: statfs(2), `f_flags`.
    pub(super) mount_flags: u64,
    /// How much of `head` is filled.
    pub(super) head_len: usize,
    /// Its first bytes.
    pub(super) head: [u8; HEAD],
}

impl Evidence {
    /// The first bytes of the file. The length comes from memory that the child could write, so it is not trusted.
    pub(super) fn head(&self) -> &[u8] {
        &self.head[..self.head_len.min(HEAD)]
    }

    /// Whether its file system forbids execution.
    pub(super) fn is_noexec(&self) -> bool {
        self.mount_flags & libc::ST_NOEXEC != 0
    }
}

/// One piece of memory for one child at a time.
pub(super) struct Slot {
    base: NonNull<u8>,
}

impl Slot {
    pub(super) fn new() -> io::Result<Slot> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), WHOLE, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let slot = Slot { base: NonNull::new(base.cast()).expect("mmap never returns the null page") };
        // SAFETY: the guard is the lowest part of the mapping made above, which is not in use yet.
        if unsafe { libc::mprotect(base, GUARD, libc::PROT_NONE) } == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(slot)
    }

    /// One past the last byte of the stack, aligned to 16 and more.
    pub(super) fn stack_top(&self) -> *mut u8 {
        // SAFETY: the offset lies within the mapping.
        unsafe { self.base.as_ptr().add(GUARD + STACK - REPORT) }
    }

    /// The child's report.
    pub(super) fn report(&self) -> &Report {
        // SAFETY: the mapping lives as long as `self`, is zeroed by the kernel, and all-zero bytes are a valid Report;
        // the place is 16-aligned. Fields that change under the shared reference are atomic.
        unsafe { &*self.stack_top().cast::<Report>() }
    }

    /// Where the child writes what it finds out when its program cannot be executed.
    pub(super) fn evidence_place(&self) -> *mut Evidence {
        // SAFETY: the offset lies within the mapping.
        unsafe { self.base.as_ptr().add(GUARD + STACK).cast() }
    }

    /// Clears the data of the previous child.
    pub(super) fn reset(&mut self) {
        self.report().stage.store(0, Ordering::Relaxed);
        self.report().detail.store(0, Ordering::Relaxed);
        self.report().errno.store(0, Ordering::Relaxed);
        self.report().is_awaited.store(false, Ordering::Relaxed);
    }

    /// A copy of what the child found out. Only when the child is gone: before, it may be writing.
    pub(super) fn evidence(&self) -> Evidence {
        // SAFETY: the place is 16-aligned and within the mapping, and every field takes any bytes. The child is gone, as
        // the caller has seen.
        unsafe { self.evidence_place().read() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no child is in it: see `InFlight`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), WHOLE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_a_stack_a_report_and_a_guard() {
        let slot = Slot::new().unwrap();
        assert_eq!(slot.stack_top() as usize % 16, 0);
        assert_eq!(slot.report().errno.load(Ordering::Relaxed), 0);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let guard = format!("{:x}-{:x} ---s", slot.base.as_ptr() as usize, slot.base.as_ptr() as usize + GUARD);
        assert!(maps.contains(&guard), "no {guard} in\n{maps}");
    }
}
