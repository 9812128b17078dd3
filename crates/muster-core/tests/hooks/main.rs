//! Hooks: who runs when, what follows from a failure, how each is ended, and what a shutdown leaves of their time.
//!
//! Programs with hooks have a witness of their own, [`referee`], which checks every step of [`rules`]' stories and of
//! every story in [`exhaustive`].

#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod exhaustive;
mod random;
mod referee;
mod rules;
mod shutdown;
mod stage;
