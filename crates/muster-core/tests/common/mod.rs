//! Shared by the core's test suites: programs for the stories, and shorthands to write them.
//!
//! Every suite uses a part of it, so unused items must not cause warnings.
#![allow(dead_code, unreachable_pub)]

pub mod kinship;
pub mod programs;
pub mod witness;
