//! Notifications of events: `[notify.NAME]`.
//!
//! [`outbox`] decides without I/O or a clock which events are due and keeps those that wait; [`pace`] says when a failed attempt is
//! repeated; [`webhook`] makes one attempt at a web server. Running commands, and the events themselves, are the caller's part.
//!
//! Programs never wait for a notification, and a server is trusted with nothing: it gets the event, and only the status
//! of its answer counts.

#![forbid(unsafe_code)]

pub mod outbox;
pub mod pace;
mod signature;
pub mod webhook;

pub use outbox::{Counts, Outbox};
pub use webhook::{Failure, Poster};
