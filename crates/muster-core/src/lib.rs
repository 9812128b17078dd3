//! The rules of supervision, and nothing else.
//!
//! The core is told the time and what happened ([`Input`]) and answers with what to do ([`Effect`]). It has no
//! I/O, no clock and no pid, so everything that can be known about restarting, stopping, ordering and
//! giving up is tested here in microseconds, in every order.
//!
//! Start reading at [`program`] (one instance: goal, state, transitions), then [`supervisor`] (all of them together).
//! The daemon's shell around it is the `musterd` crate.

#![forbid(unsafe_code)]

mod batch;
mod budget;
pub mod cause;
pub mod effect;
mod graph;
pub mod health;
pub mod leftover;
pub mod order;
pub mod plan;
pub mod program;
pub mod random;
pub mod request;
pub mod restart;
mod settings;
mod shutdown;
pub mod stop;
pub mod supervisor;
pub mod time;
pub mod timers;

pub use cause::{Asker, ShutdownReason, StopCause};
pub use effect::{Effect, Event, Input};
pub use health::{Health, ProbeOutcome, Readiness};
pub use leftover::LeftBehind;
pub use plan::Plan;
pub use program::{Instance, PastRun};
pub use request::{Awaited, Done, Failure, Outcome, RequestId, Verb};

pub use restart::Verdict;
pub use settings::Settings;
pub use supervisor::Supervisor;
pub use time::Time;
