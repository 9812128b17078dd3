//! `musterd run`, and musterd called tini or dumb-init: the behaviour of an init for one command, seen from outside.
//!
//! The originals' behaviours are pinned here one by one, so that they hold on machines that lack the originals. Where
//! tini 0.19 and dumb-init 1.2.5 are installed, [`side_by_side`] runs them and ours with the same arguments and
//! compares every word. The tests use no knowledge of the implementation.

#[path = "../harness/mod.rs"]
mod harness;

mod descriptors;
mod exit_codes;
mod grace;
mod inheritance;
mod inits;
mod puppet;
mod reaping;
mod side_by_side;
mod signals;
mod starting;
mod terminal;
mod words;
