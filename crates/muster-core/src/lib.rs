//! The rules of supervision, and nothing else.
//!
//! The core receives the time and what happened ([`Input`]) and returns what to do ([`Effect`]). It has no I/O, no
//! clock and no PIDs, so all rules for restarting, stopping, ordering and giving up can be tested in microseconds, with
//! any order of events.
//!
//! Start reading at [`program`] (one instance: goal, state, transitions), then [`supervisor`] (all of them together).
//! The daemon's shell around it is the `musterd` crate.
//!
//! # The contract
//!
//! One input, then every effect, then wait. The shell never waits between an input and its effects, and passes the time
//! with every call. This is the complete loop of a shell:
//!
//! ```
//! use muster_core::{Effect, Input, Settings, ShutdownReason, Supervisor, Time};
//! use muster_spec::Signal;
//!
//! let settings = Settings { exit_when_done: false, ..Settings::DEFAULT };
//! let mut supervisor = Supervisor::new(settings, &[], 1);
//! let shutdown = Input::ShutdownAsked { reason: ShutdownReason::Signal(Signal::TERM), timeout: None };
//! let (mut inputs, now) = (vec![shutdown, Input::Booted], Time::ZERO);
//! let code = 'ended: loop {
//!     match inputs.pop() {
//!         Some(input) => supervisor.handle_input(now, input),
//!         None => supervisor.handle_timeout(now),
//!     }
//!     while let Some(effect) = supervisor.poll_effect() {
//!         match effect {
//!             Effect::Exit { code } => break 'ended code,
//!             // Spawn, signal, reply; the results are inputs.
//!             _ => {}
//!         }
//!     }
//!     // Wait here until something happens, at most until `supervisor.poll_timeout()`.
//! };
//! assert_eq!(code, 0);
//! ```

#![forbid(unsafe_code)]

mod batch;
mod blank;
mod budget;
pub mod cause;
pub mod effect;
pub mod event;
mod graph;
pub mod health;
pub mod leftover;
mod memory;
pub mod order;
pub mod plan;
pub mod program;
pub mod random;
pub mod recording;
pub mod request;
pub mod restart;
mod rolling;
mod serial;
mod settings;
mod shutdown;
pub mod stop;
pub mod supervisor;
pub mod time;
pub mod timers;

pub use cause::{Asker, Principal, ShutdownReason, StopCause};
pub use effect::{AfterRun, Effect, Input};
pub use event::{Account, EndedHook, EndedRun, Event, RollingStep, Skipped, StepOutcome};
pub use health::{Health, ProbeOutcome, Readiness};
pub use leftover::LeftBehind;
pub use memory::Memory;
pub use plan::ReloadPlan;
pub use program::{Instance, PastRun};
pub use request::{Awaited, Done, Failure, Outcome, RequestId, Verb};

pub use restart::Verdict;
pub use rolling::Progress;
pub use settings::Settings;
pub use supervisor::{Checkpoint, Supervisor};
pub use time::Time;
