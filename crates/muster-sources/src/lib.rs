//! Configuration from servers.
//!
//! A task for each source ([`follow`](crate::desk::Sources::adopt)) polls an HTTP server ([`http`]) or watches etcd ([`etcd`]),
//! and reports every version it sees as an [`Edition`]. The [`book`] decides, without I/O or a clock, which version of each
//! source is to become active, and remembers the refused ones. [`desk`] connects both, and [`cache`] keeps the last
//! good versions. Parsing and applying is the caller's part.
//!
//! [`dial`], [`exchange`] and [`secrets`] are a client of HTTP servers, also for what else the daemon sends to them.
//!
//! Servers are not trusted with the daemon: everything they send is bounded in size and time.

#![forbid(unsafe_code)]

pub mod book;
pub mod cache;
pub mod desk;
pub mod dial;
pub mod edition;
pub mod etcd;
pub mod exchange;
pub mod http;
pub mod pace;
pub mod secrets;

pub use book::{Book, Candidate};
pub use desk::{Sources, fetch_once};
pub use edition::{Edition, Failure, Revision, Text};
