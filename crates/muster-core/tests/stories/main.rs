//! Short stories, one for each promise: what a user does or meets, and what must come of it.
//!
//! Told on a [`stage::Stage`], where a line hands over an input and another checks what was done, how it stands or what was
//! answered. The witness of the other suites watches every step.

#![allow(unreachable_pub)]

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod container;
mod depend;
mod extremes;
mod order;
mod policies;
mod readiness;
mod reload;
mod shutdown;
mod stage;
mod stopping;
mod table;
mod transitions;
