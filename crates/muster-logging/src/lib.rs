//! What the daemon says of itself: its own log, in its words or in supervisord's, how often a program may make it say
//! something, and the ring of events that clients follow.
//!
//! Knows nothing of processes or sockets. Lines of programs are `muster-logs`' subject.

#![forbid(unsafe_code)]

pub mod event_ring;
mod fields;
pub mod limit;
pub mod main_log;
pub mod repeated;
mod start;
mod supervisord_format;

pub use start::start;
