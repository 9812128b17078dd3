//! Guesses and warnings that the readers of other dialects share with this one.

pub use crate::foreground::{Habit, leaves_foreground};
pub use crate::words::{nearest, nearest_in_case, nearest_name};

use crate::dialect::toml::command;

/// The first word of a command that only a shell would understand: an operator, or a `$NAME`.
pub fn shell_only(command: &str) -> Option<String> {
    let words = command::split(command).ok()?;
    command::shell_only(&words).map(str::to_owned)
}
