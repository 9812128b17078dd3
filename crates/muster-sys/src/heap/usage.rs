//! How much of a heap is in use, and was: whether its free memory is resident.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use talc::DefaultBinning;
use talc::base::Talc;
use talc::source::Source;

/// The sizes of the objects in a heap. Written with the heap's lock held, and read without.
#[derive(Debug)]
pub(super) struct Usage {
    now: AtomicUsize,
    /// The most since the last purge.
    most: AtomicUsize,
}

impl Usage {
    /// Of a heap without objects.
    pub(super) const fn new() -> Usage {
        Usage { now: AtomicUsize::new(0), most: AtomicUsize::new(0) }
    }

    /// Memory for an object of this heap.
    ///
    /// # Safety
    ///
    /// The size is not zero.
    pub(super) unsafe fn allocate<S: Source>(
        &self,
        heap: &mut Talc<S, DefaultBinning>,
        layout: Layout,
    ) -> Option<NonNull<u8>> {
        // SAFETY: the caller promises the same.
        let object = unsafe { heap.allocate(layout) }?;
        self.note(layout.size(), 0);
        Some(object)
    }

    /// Frees an object of this heap.
    ///
    /// # Safety
    ///
    /// The object is in the heap, with this layout.
    pub(super) unsafe fn deallocate<S: Source>(
        &self,
        heap: &mut Talc<S, DefaultBinning>,
        object: *mut u8,
        layout: Layout,
    ) {
        self.note(0, layout.size());
        // SAFETY: the caller promises the same.
        unsafe { heap.deallocate(object, layout) }
    }

    /// Changes the size of an object where it is, if there is room.
    ///
    /// # Safety
    ///
    /// The object is in the heap, with this layout, and `size` is not zero.
    pub(super) unsafe fn try_resize<S: Source>(
        &self,
        heap: &mut Talc<S, DefaultBinning>,
        object: *mut u8,
        layout: Layout,
        size: usize,
    ) -> bool {
        // SAFETY: the caller promises the same.
        let is_resized = unsafe { heap.try_realloc_in_place(object, layout, size) };
        if is_resized {
            self.note(size, layout.size());
        }
        is_resized
    }

    fn note(&self, more: usize, less: usize) {
        let now = self.now.load(Ordering::Relaxed) + more - less;
        self.now.store(now, Ordering::Relaxed);
        if now > self.most.load(Ordering::Relaxed) {
            self.most.store(now, Ordering::Relaxed);
        }
    }

    /// How many bytes were in use since the last purge and are free now: memory that is resident for nothing.
    pub(super) fn unused(&self) -> usize {
        self.most.load(Ordering::Relaxed).saturating_sub(self.now.load(Ordering::Relaxed))
    }

    /// From now on, only later use counts: free memory is no longer resident.
    pub(super) fn note_purge(&self) {
        self.most.store(self.now.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memory_that_is_left_over_makes_a_purge_worth_it() {
        let usage = Usage::new();
        // A thousand times the same memory is little.
        for _ in 0..1000 {
            usage.note(10_000, 0);
            usage.note(0, 10_000);
        }
        assert_eq!(usage.unused(), 10_000);
        usage.note(50_000, 0);
        assert_eq!(usage.unused(), 0);
        usage.note(20_000, 50_000);
        assert_eq!(usage.unused(), 30_000, "resized, and the difference is free");
        usage.note_purge();
        assert_eq!(usage.unused(), 0);
        usage.note(0, 20_000);
        assert_eq!(usage.unused(), 20_000, "what was in use at the last purge is free by now");
    }
}
