//! What a person with a container sees: images built by `docker/build.sh`, run by a Docker engine, looked at from outside.
//!
//! Slow, and in need of an engine and root, so it runs only with `MUSTER_DOCKER=1` and says so otherwise. Nothing here
//! knows musterd from within: the docker command, `musterctl` inside of containers, and the log are all there is.

mod anywhere;
mod bursts;
mod container;
mod engine;
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
mod stopping;
mod terminal;
mod trees;
