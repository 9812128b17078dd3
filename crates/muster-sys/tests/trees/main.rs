//! Trees of real processes: no process of a run survives, and no other is affected.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod battery;
mod held;
mod isolation;
mod namespaces;
mod processes;
mod random;
mod slices;
mod strays;
mod witness;
mod world;
