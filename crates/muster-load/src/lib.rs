//! The configuration of the machine that this process runs on, and the commands that only read one: `check`, `config`,
//! `convert`, `doctor`, and
//! the manual pages of the daemon.
//!
//! The crates below know texts. This one opens the files ([`config_files`]), asks for users and variables, calls the reader of
//! the right language ([`check::load`]), and knows what must not be shown ([`secrets`]).

#![forbid(unsafe_code)]

pub mod auto_logs;
pub mod certificates;
pub mod check;
mod config_command;
pub mod config_files;
mod convert;
pub mod doctor;
pub mod effective_config;
mod format;
pub mod in_force;
mod manual;
mod read_once;
pub mod secrets;
pub mod surroundings;
mod this_machine;

pub use config_command::{ConfigFormat, config, effective};
pub use convert::{ConvertArgs, Original, convert};
pub use format::Format;
pub use manual::{ManArgs, man};
pub use this_machine::ThisMachine;
