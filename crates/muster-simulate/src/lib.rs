//! `musterd simulate` and `musterd rehearse`: what a configuration would do, when, and why.
//!
//! A simulation starts nothing: the daemon's own core makes the decisions under a virtual clock ([`world`]); the result
//! ([`timeline`]) is shown as text ([`text`]), as data ([`json`]), as an image ([`svg`]), or compared with the expectations of a
//! scenario ([`expect`]). [`rehearse`] plays the same scenarios with real processes in real time.

#![forbid(unsafe_code)]

mod cli;
mod command;
mod compare;
mod expect;
mod json;
mod junit;
mod rehearse;
mod replay;
pub mod scenario;
mod scenarios;
mod svg;
mod text;
mod timeline;
mod what_if;
mod world;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use muster_config::{Loaded, Role};
use muster_spec::Spec;

pub use cli::{RehearseArgs, SimulateArgs};
pub use command::simulate_command;
pub use rehearse::{part, rehearse_command};
pub use what_if::{Stopped, WhatIf, what_if};

/// Functions of the daemon's executable, so that a simulation reads the same configurations and hides the same secrets.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Finds and reads a configuration; an error is the message that there is none.
    pub load: fn(&[PathBuf]) -> Result<Loaded, String>,
    /// Opens a file that belongs to a configuration.
    pub open: fn(&Path, Role<'_>) -> io::Result<File>,
    /// Writes the errors of a configuration to stderr.
    pub report: fn(&Loaded),
    /// Masks known secrets.
    pub mask: fn(&str) -> String,
    /// Supervises with real processes; returns the exit code.
    pub supervise: fn(Spec) -> u8,
}
