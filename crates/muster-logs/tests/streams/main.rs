//! The log threads without a daemon.

mod destinations;
mod scene;
mod two_threads;
