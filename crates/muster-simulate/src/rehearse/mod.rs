//! `musterd rehearse`: a scenario with real processes, real signals and real time, compared with its simulation.
//!
//! The daemon is this executable with its own event loop ([`stage`]), and the programs are this executable too, following the
//! script of the scenario ([`puppet`]). The daemon's log ([`observe`]) is compared event by event with the simulation
//! ([`agree`]); times may be shortened ([`scale`]).

mod agree;
mod command;
mod door;
mod observe;
mod puppet;
mod scale;
mod stage;

pub use command::rehearse_command;
pub use door::part;
