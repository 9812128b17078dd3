//! Reading program output: from memory, from files, by following; and writing to a program's stdin.

#[path = "../harness/mod.rs"]
mod harness;

mod followers;
mod following;
mod history;
mod log;
mod terminal;
