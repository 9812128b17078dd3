//! One check of a program's server, over HTTP or TCP, within a deadline.
//!
//! Which check is due when, and what follows from its result, is decided elsewhere; this crate connects, asks and judges
//! the response. A server is not trusted: what it sends is bounded in size and time, and its words are masked.

#![forbid(unsafe_code)]

pub mod connect;
pub mod http;
mod redirect;
pub mod tcp;
#[cfg(test)]
mod testing;
