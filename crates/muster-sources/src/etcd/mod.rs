//! Watches all keys of etcd with a prefix, over the JSON gateway of its v3 API.
//!
//! [`message`] reads answers, [`lines`] splits the stream of a watch, [`mirror`] is the copy of the store; all three are
//! pure. [`session`](self) talks to one member until something is wrong with it.

pub mod lines;
pub mod message;
pub mod mirror;
mod session;

pub(crate) use session::{Ended, Session, once};
