//! The operations behind requests, whichever protocol they arrive in: one function each, with a typed result.
//!
//! Protocols parse the request, check that the client has the necessary right, and format the result. Reads that need
//! only the core's snapshot have no function here.

pub(crate) mod command;
pub(crate) mod exec;
pub(crate) mod logs;
pub(crate) mod schedule;
pub(crate) mod select;
pub(crate) mod stdin;
pub(crate) mod supervisord;
pub(crate) mod terminal;
