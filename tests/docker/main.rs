//! Containers as their users see them: images built by `docker/build.sh`, run by a Docker engine, observed from
//! outside.
//!
//! Slow, and it needs an engine and root, so it runs only with `MUSTER_DOCKER=1` and reports a skip otherwise. Only the
//! docker command, `musterctl` inside containers, and the log are used.

mod anywhere;
mod bursts;
mod container;
mod engine;
#[path = "../harness/executables.rs"]
mod executables;
mod exit_codes;
mod hurry;
mod limits;
mod memory;
mod notify;
mod orphans;
mod pause;
mod presets;
mod scratch;
mod services;
mod stack;
mod state;
mod stopping;
mod supervisord;
mod terminal;
mod trees;
mod via;
