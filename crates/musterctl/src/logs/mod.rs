//! Logs of several programs as one: read side by side, put in the order of time, and printed for people or for tools.

pub(crate) mod merge;
pub(crate) mod printer;
