//! `musterd run`, and musterd called tini or dumb-init: what an init of one command promises, seen from outside.
//!
//! The originals' behaviours are pinned here one by one, so that they hold on machines that lack the originals. Where
//! tini 0.19 and dumb-init 1.2.5 are installed, [`side_by_side`] runs them and us with the same arguments and compares
//! every word. Nothing here knows the init from within.

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
