//! Connections of clients of the API: listeners that accept them, pools that bound them, and the bodies that slow clients
//! send and take.
//!
//! Knows neither routes nor programs. The daemon answers requests through the trait [`Daemon`], and sees what it shares with
//! connections in [`Gate`]. Everything runs on one thread, next to the event loop ([`turn_clock`], [`turns`]).

#![forbid(unsafe_code)]

pub mod body;
pub mod budget;
mod connections;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gate;
mod listen;
mod pace;
pub mod request_body;
mod request_head;
pub mod response;
mod secrets;
mod take_over;
pub mod tickets;
pub mod turn_clock;
pub mod turns;
mod verifier;

pub use connections::{Described, Seat};
pub use gate::{Daemon, Gate, LoginFailure};
pub use listen::Listeners;
pub use secrets::Secrets;
pub use take_over::{Duplex, TakeOver};
pub use verifier::{Turn, Verifier};
