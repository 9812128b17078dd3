//! The rules of supervision, and nothing else.
//!
//! The core is told the time and what happened ([`Input`]) and answers with what to do ([`Effect`]). It has no
//! dependency, no I/O, no clock and no pid, so everything that can be known about restarting, stopping, ordering and
//! giving up is tested here in microseconds, in every order.
//!
//! Start reading at [`program`] (one instance: goal, state, transitions), then [`supervisor`] (all of them together).
//! The daemon's shell around it is the `musterd` crate.

#![forbid(unsafe_code)]

pub mod exit;
pub mod name;
pub mod restart;
pub mod signal;
pub mod spec;
pub mod time;

pub use exit::{Exit, RunEnd, SpawnError, SpawnStep};
pub use name::{InstanceId, RunId, Selector};
pub use signal::Signal;
pub use time::Time;
