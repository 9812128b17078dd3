//! The API beyond its Unix socket, attacked: who may do what on each listener, and what a flood at one of them cannot do.

#[path = "../harness/mod.rs"]
mod harness;

mod bounds;
mod debug;
mod flood;
mod origins;
mod page;
mod recording;
mod roles;
mod scene;
mod sessions;
mod starting;
mod versions;
mod ways;
mod what_if;
