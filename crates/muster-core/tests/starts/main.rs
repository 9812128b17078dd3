//! What delays a start: `start_delay` of a program, and `max_parallel_starts` of all.

#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod delay;
mod every_story;
mod play;
