//! Commands that show logs: `tail`, `maintail`.

use super::words;
use crate::ctl::Failure;
use crate::ctl::controller::{Controller, Done, exit};
use crate::faults::Code;
use crate::python::{int, repr};
use crate::xmlrpc::Value;

/// The number of bytes if none is given.
const USUAL: i64 = 1600;

/// How much of a log.
enum Part {
    /// All that is appended.
    Following,
    /// The last bytes.
    Last(i64),
}

impl Part {
    /// Reads `-f` or `-NUMBER`.
    fn parse(word: &str) -> Option<Part> {
        match word.strip_prefix('-')? {
            "f" => Some(Part::Following),
            number => int(number).map(Part::Last),
        }
    }
}

pub(super) fn tail(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !controller.is_up()? {
        return Ok(());
    }
    let words = words(argument);
    let fail = |controller: &mut Controller<'_>, message: &str| {
        controller.print(message);
        controller.exit = exit::GENERIC;
        Ok(())
    };
    let (modifier, names) = match words.as_slice() {
        [] => {
            controller.usage("Error: too few arguments", "tail");
            return Ok(());
        }
        [_, _, _, _, ..] => {
            controller.usage("Error: too many arguments", "tail");
            return Ok(());
        }
        [modifier, names @ ..] if modifier.starts_with('-') => (Some(*modifier), names),
        names => (None, names),
    };
    let (name, channel) = match names {
        [] => return fail(controller, "Error: tail requires process name"),
        [name] => (*name, "stdout".to_owned()),
        [name, .., channel] => (*name, channel.to_lowercase()),
    };
    let method = match channel.as_str() {
        "stdout" => "readProcessStdoutLog",
        "stderr" => "readProcessStderrLog",
        _ => return fail(controller, &format!("Error: bad channel {}", repr(&channel))),
    };
    match modifier.map_or(Some(Part::Last(USUAL)), Part::parse) {
        None => fail(controller, &format!("Error: bad argument {}", modifier.unwrap_or_default())),
        Some(Part::Following) => follow(controller, &format!("/logtail/{name}/{channel}")),
        Some(Part::Last(bytes)) => {
            let bytes = negative(bytes)?;
            let read = controller.supervisor().text(method, &[name.into(), bytes, 0.into()]);
            let unknown = (Code::BadName, "no such process name");
            print_log(controller, name, read, &[unknown])
        }
    }
}

pub(super) fn maintail(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !controller.is_up()? {
        return Ok(());
    }
    let part = match words(argument).as_slice() {
        [] => Part::Last(USUAL),
        [word] => match Part::parse(word) {
            Some(part) => part,
            None => {
                controller.print(&format!("Error: bad argument {word}"));
                controller.exit = exit::GENERIC;
                return Ok(());
            }
        },
        _ => {
            controller.usage("Error: too many arguments", "maintail");
            return Ok(());
        }
    };
    match part {
        Part::Following => follow(controller, "/mainlogtail"),
        Part::Last(bytes) => {
            let bytes = negative(bytes)?;
            let read = controller.supervisor().text("readLog", &[bytes, 0.into()]);
            print_log(controller, "supervisord", read, &[])
        }
    }
}

/// The offset for the last bytes: a number of 32 bits.
fn negative(bytes: i64) -> Result<Value, Failure> {
    match bytes.checked_neg().map(i32::try_from) {
        Some(Ok(offset)) => Ok(i64::from(offset).into()),
        _ => Err(Failure::other("OverflowError", "int exceeds XML-RPC limits")),
    }
}

fn follow(controller: &mut Controller<'_>, path: &str) -> Done {
    controller.print("==> Press Ctrl-C to exit <==");
    match controller.world.follow(&controller.server, path) {
        Err(Failure::Interrupted) => {
            controller.print("");
            Ok(())
        }
        ended => ended,
    }
}

fn print_log(
    controller: &mut Controller<'_>,
    name: &str,
    read: Result<String, Failure>,
    further: &[(Code, &str)],
) -> Done {
    let failure = match read {
        Ok(text) => {
            controller.world.print_output(&text);
            return Ok(());
        }
        Err(failure) => failure,
    };
    controller.exit = exit::GENERIC;
    let reasons = [(Code::NoFile, "no log file"), (Code::Failed, "unknown error reading log")];
    match reasons.iter().chain(further).find(|(code, _)| failure.code() == Some(*code)) {
        Some((_, reason)) => {
            controller.print(&format!("{name}: ERROR ({reason})"));
            Ok(())
        }
        None => Err(failure),
    }
}
