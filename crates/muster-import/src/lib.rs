//! Configurations of other supervisors, read exactly as their originals read them.
//!
//! A crate above `muster-config`, which reads our own language: words for mistakes, hints and warnings about commands
//! are shared with it.

#![forbid(unsafe_code)]

pub mod supervisord;
