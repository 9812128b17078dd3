//! The commands. Each prints what the original prints, and sets the exit code where the original does.

mod configuration;
mod daemon;
mod foreground;
mod logs;
mod processes;
mod status;

use super::Failure;
use super::controller::{Controller, Done, exit};
use crate::faults::Code;
use crate::python::is_space;

/// A command; its argument is the rest of the line.
pub(super) type Command = fn(&mut Controller<'_>, &str) -> Done;

/// The command of this name. Those that need no server are not among them.
pub(super) fn find(name: &str) -> Option<Command> {
    Some(match name {
        "add" => configuration::add,
        "avail" => configuration::avail,
        "clear" => processes::clear,
        "fg" => foreground::fg,
        "maintail" => logs::maintail,
        "open" => daemon::open,
        "pid" => status::pid,
        "reload" => daemon::reload,
        "remove" => configuration::remove,
        "reread" => configuration::reread,
        "restart" => processes::restart,
        "shutdown" => daemon::shutdown,
        "signal" => processes::signal,
        "start" => processes::start,
        "status" => status::status,
        "stop" => processes::stop,
        "tail" => logs::tail,
        "update" => configuration::update,
        "version" => status::version,
        _ => return None,
    })
}

/// The words of an argument, as `str.split` finds them.
fn words(argument: &str) -> Vec<&str> {
    argument.split(is_space).filter(|word| !word.is_empty()).collect()
}

/// Whether a command that takes no words has none. If it has, this is printed.
fn has_no_words(controller: &mut Controller<'_>, argument: &str, command: &str) -> bool {
    if argument.is_empty() {
        return true;
    }
    controller.usage(&format!("Error: {command} accepts no arguments"), command);
    false
}

/// Prints a line for one fault and sets the exit code for any; another failure is passed on.
fn expect_fault(controller: &mut Controller<'_>, failure: Failure, expected: &[(Code, &str)]) -> Done {
    controller.exit = exit::GENERIC;
    match expected.iter().find(|(code, _)| failure.code() == Some(*code)) {
        Some((_, line)) => {
            controller.print(line);
            Ok(())
        }
        None => Err(failure),
    }
}

/// Asks for confirmation in the shell.
fn is_confirmed(controller: &mut Controller<'_>, question: &str) -> Result<bool, Failure> {
    if !controller.interactive {
        return Ok(true);
    }
    let answer = controller.world.line(question)?.ok_or_else(Failure::end_of_input)?;
    Ok(answer.to_lowercase().starts_with('y'))
}

#[cfg(test)]
mod tests;
