//! Linux for musterd: making, signalling and reaping processes, finding what belongs to them, waiting for descriptors.
//!
//! The only crate with `unsafe` in it, and each use says why it is sound. It decides nothing: `muster-core` decides,
//! `musterd` carries out with what is here.
//!
//! Start reading at [`boot`] (the first acts of `main`), then [`spawn`], [`signal`] and [`reap`].

pub mod async_fd;
pub mod boot;
pub mod fd;
pub mod footprint;
pub mod foreground;
pub mod limits;
pub mod local_time;
pub mod notify;
pub mod oom;
pub mod pollset;
pub mod reap;
pub mod release;
pub mod rights;
pub mod say;
pub mod signal;
pub mod spawn;
pub mod tree;
pub mod trusted;
pub mod user;
