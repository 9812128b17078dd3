//! Linux for musterd: spawning, signalling and reaping processes, finding their descendants, waiting for descriptors.
//!
//! The only crate with `unsafe`, and each use is justified. It decides nothing: `muster-core` decides,
//! and `musterd` carries that out with this crate.
//!
//! Start reading at [`boot`] (the first steps of `main`), then [`spawn`], [`signal`] and [`reap`].

pub mod async_fd;
pub mod background;
pub mod boot;
#[cfg(all(target_arch = "x86_64", any(target_env = "musl", test)))]
mod copying;
pub mod core_dump;
pub mod fd;
pub mod footprint;
pub mod foreground;
pub mod heap;
mod holder;
pub mod inherited;
pub mod limits;
pub mod listener;
pub mod local_time;
pub mod notify;
pub mod oom;
pub mod pollset;
pub mod processors;
pub mod pty;
pub mod reap;
pub mod release;
pub mod rights;
pub mod say;
pub mod signal;
pub mod sockets;
pub mod spawn;
pub mod tree;
pub mod trusted;
pub mod user;
pub mod wall_timer;
