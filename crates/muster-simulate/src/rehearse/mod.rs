//! `musterd rehearse`: a scenario with real processes, real signals and real time, compared with its simulation.
//!
//! The daemon is this executable with its own event loop ([`stage`]), and the programs are this executable too, doing
//! what the scenario says ([`puppet`]). The daemon's log ([`observe`]) is compared event by event with the simulation
//! ([`agree`]); times may be shortened ([`scale`]).

mod agree;
mod command;
mod observe;
mod puppet;
mod scale;
mod stage;

use std::ffi::OsString;

use crate::Host;

pub use command::rehearse_command;

/// The subcommand a rehearsal executes itself with; not for users.
const PUPPET: &str = "__puppet";
const STAGE: &str = "__stage";
const ASK: &str = "__ask";
const LEFTOVER: &str = "__leftover";

/// The exit code, if these arguments come from a rehearsal.
pub fn part(host: Host, arguments: &[OsString]) -> Option<u8> {
    let first = arguments.get(1)?.to_str()?;
    let rest: Vec<&str> = arguments[2..].iter().filter_map(|argument| argument.to_str()).collect();
    match (first, rest.as_slice()) {
        (PUPPET, [directory, name]) => Some(puppet::play(directory.as_ref(), name)),
        (LEFTOVER, [_, does]) => Some(puppet::outlive(does)),
        (ASK, [directory, name, kind]) => Some(puppet::ask(directory.as_ref(), name, kind)),
        (STAGE, [scenario, scale, directory]) => {
            Some(stage::supervise(host, scenario.as_ref(), scale.parse().unwrap_or(1.0), directory.as_ref()))
        }
        _ => None,
    }
}
