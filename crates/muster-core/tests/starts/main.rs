//! What delays a start or prevents it: `start_delay` of a program, `max_parallel_starts` of all, and what is remembered.

#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod delay;
mod every_story;
mod play;
mod remembered;
