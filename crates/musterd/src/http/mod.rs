//! The control API over HTTP/1.1.
//!
//! [`crate::listen`] accepts clients, `server` serves and bounds their connections, [`crate::access`] decides who may
//! do what, `router` finds the handler of a request. Handlers read [`crate::shared::Shared`] and send commands to the
//! event loop; none of them supervises programs itself.

mod action;
mod body;
mod config;
mod events;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod log_body;
mod logs;
mod logtail;
mod metrics;
mod processes;
mod queries;
mod response;
mod router;
pub(crate) mod server;
mod slices;
mod stream;
mod view;
mod xmlrpc;
