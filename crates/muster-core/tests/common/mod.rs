//! What the suites of the rules share: programs to tell stories about, and the words to tell them in.
//!
//! Every suite uses a part of it, hence no warnings about what one of them leaves out.
#![allow(dead_code, unreachable_pub)]

pub mod kinship;
pub mod programs;
pub mod witness;
