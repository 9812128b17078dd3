//! The control API over HTTP/1.1 on a Unix socket.
//!
//! `socket` makes the socket and takes over a stale one, `server` accepts and bounds connections, [`crate::access`] decides
//! who may do what, `router` finds the handler of a request. Handlers look at [`crate::shared::Shared`] and send orders to the
//! event loop; none of them touches supervision itself.

mod action;
mod body;
mod client_stream;
mod config;
mod events;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod log_body;
mod logs;
mod metrics;
mod processes;
mod queries;
mod response;
mod router;
pub(crate) mod server;
mod slices;
pub(crate) mod socket;
mod stdin;
mod stream;
mod tickets;
mod view;
