//! Starts that are delayed or left out: `start_delay` of a program, `max_parallel_starts` of all, and the memory of an earlier life.

#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod delay;
mod every_story;
mod play;
mod remembered;
