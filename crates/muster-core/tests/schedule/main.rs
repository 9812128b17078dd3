//! Schedules: what a time does in each state, what arms and disarms, and what never happens in any order of inputs.
//!
//! Every step of [`rules`]' stories, and of every story in [`exhaustive`], is checked by the [`stage`] itself.

#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod exhaustive;
mod others;
mod rules;
mod stage;
