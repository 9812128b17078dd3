//! A limit on threads that may hang: each counts until it ends, however long ago it was given up.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads for one kind of work, and how many of them there may be.
#[derive(Debug)]
pub(crate) struct ThreadLimit {
    most: usize,
    present: AtomicUsize,
}

/// A thread that counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted(&'static ThreadLimit);

impl ThreadLimit {
    pub(crate) const fn at_most(most: usize) -> ThreadLimit {
        ThreadLimit { most, present: AtomicUsize::new(0) }
    }

    /// Counts one more; `None` if that would be too many.
    pub(crate) fn count(&'static self) -> Option<Counted> {
        let before = self.present.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(self);
        (before < self.most).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.present.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_counts_until_it_ends() {
        static LIMIT: ThreadLimit = ThreadLimit::at_most(2);
        let (first, second) = (LIMIT.count(), LIMIT.count());
        assert!(first.is_some() && second.is_some() && LIMIT.count().is_none());
        drop(first);
        assert!(LIMIT.count().is_some(), "a refused one does not count");
    }
}
