//! Reading what programs write: what is remembered, what files have of it, following, and writing back.

#[path = "../harness/mod.rs"]
mod harness;

mod followers;
mod following;
mod history;
mod log;
mod terminal;
