//! What requests do, whichever protocol they come in: a function each, with a typed result.
//!
//! Protocols read the request, check that the client has the right it needs, and dress the result. Looking needs no function
//! here where it only reads the snapshot of the core.

pub(crate) mod command;
pub(crate) mod logs;
pub(crate) mod select;
pub(crate) mod stdin;
