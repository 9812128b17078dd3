//! Parts that many instances have in common are in memory once.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use muster_spec::{OutputSpec, ProcessSpec};

/// Shares equal parts of instances that follow one another: those of one program, and programs that only use `[defaults]`.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) output: Last<OutputSpec>,
    pub(crate) process: Last<ProcessSpec>,
}

/// Shares what equals the last one.
pub(crate) struct Last<T>(RefCell<Option<Arc<T>>>);

impl<T: Clone + PartialEq> Last<T> {
    pub(crate) fn share(&self, wanted: Cow<'_, T>) -> Arc<T> {
        let mut last = self.0.borrow_mut();
        match &*last {
            Some(last) if **last == *wanted => Arc::clone(last),
            _ => Arc::clone(last.insert(Arc::new(wanted.into_owned()))),
        }
    }
}

impl<T> Default for Last<T> {
    fn default() -> Last<T> {
        Last(RefCell::default())
    }
}
