//! `musterd simulate` and `musterd rehearse`: what a configuration would do, when, and why.
//!
//! A simulation starts no process: the daemon's own core decides under a virtual clock ([`world`]); the result
//! ([`timeline`]) is rendered as text ([`story`]), as data ([`json`]) or as a picture ([`svg`]), or checked against the
//! expectations of a scenario ([`expect`]). [`rehearse`] plays the same scenarios with real processes in real time.

#![forbid(unsafe_code)]

mod cli;
mod command;
mod compare;
mod expect;
mod json;
mod junit;
mod rehearse;
mod scenarios;
mod story;
mod svg;
mod timeline;
mod world;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use muster_config::{Loaded, Role};
use muster_spec::Spec;

pub use cli::{RehearseArgs, SimulateArgs};
pub use command::simulate_command;
pub use rehearse::{part, rehearse_command};

/// Functions of the daemon's executable, so that a simulation reads the same configuration files and masks the same
/// secrets.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Finds and reads a configuration; the error says that none was found.
    pub load: fn(&[PathBuf]) -> Result<Loaded, String>,
    /// Opens a file that belongs to a configuration.
    pub open: fn(&Path, Role<'_>) -> io::Result<File>,
    /// Writes the mistakes of a configuration to stderr.
    pub report: fn(&Loaded),
    /// Masks known secrets.
    pub mask: fn(&str) -> String,
    /// Supervises real processes; returns the exit code.
    pub supervise: fn(Spec) -> u8,
}
