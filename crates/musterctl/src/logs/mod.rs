//! Logs of several programs: read in parallel, sorted by time, and printed for people or for tools.

pub(crate) mod merge;
pub(crate) mod printer;
