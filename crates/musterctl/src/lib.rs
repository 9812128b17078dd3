//! The command line client of musterd.
//!
//! Parses a command line, sends a request to the daemon (over its Unix socket, TCP or a command), prints the response and chooses the exit code. It
//! makes no decisions about programs: selectors go to the daemon as typed. Blocking and small, because it
//! runs for every Docker health check.
//!
//! Start reading at `cli.rs` (the command line) and `cmd/status.rs` (a command), then `client/` (the wire) and
//! `reach.rs` (where the daemon is). Called as supervisorctl,
//! it is that program: `supervisorctl/`.

#![forbid(unsafe_code)]

mod cli;
mod client;
mod cmd;
mod complete;
mod contexts;
mod events;
mod exec;
mod failure;
mod fleet;
#[cfg(fuzzing)]
pub mod fuzzing;
mod habits;
mod happening;
mod live;
mod logs;
mod output;
mod prompt;
mod reach;
mod report;
mod selection;
mod session;
mod shown;
mod span;
mod supervisorctl;
#[cfg(test)]
mod testing;
mod top;
mod via;
mod watch;
mod web;

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};

use crate::session::Surroundings;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs the program with these arguments. The first is its name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if args.first().is_some_and(|name| is_supervisorctl(name)) {
        return ExitCode::from(supervisorctl::main(&args));
    }
    // `shell` blocks these signals for itself, and by inheritance for the command, while one runs.
    let _ = [Signal::SIGINT, Signal::SIGQUIT].into_iter().collect::<SigSet>().thread_unblock();
    // A user at a terminal gave no command.
    if names_no_command(&args) && io::stdin().is_terminal() && io::stdout().is_terminal() {
        args.push("shell".into());
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let plain = variable("NO_COLOR").is_some() || variable("TERM").is_some_and(|term| term == "dumb");
    let mut around = Surroundings {
        out: &mut io::stdout().lock(),
        out_is_terminal: io::stdout().is_terminal(),
        err: &mut io::stderr().lock(),
        err_is_terminal: io::stderr().is_terminal(),
        colourless: plain,
        can_ask: io::stdin().is_terminal() && io::stderr().is_terminal(),
        variables: reach::Variables::of_process(),
        patience: client::PATIENCE,
    };
    ExitCode::from(session::execute(args, &mut around).code())
}

/// Whether this process was started by the name of supervisorctl, whose command line [`run`] has then. `argv0` is its first
/// argument.
pub fn is_supervisorctl(argv0: &OsStr) -> bool {
    supervisorctl::is_called(argv0)
}

/// Whether these arguments contain at most where the daemon is.
fn names_no_command(args: &[OsString]) -> bool {
    const VALUES: [&str; 11] = [
        "--socket",
        "--via",
        "--context",
        "--token-file",
        "--user",
        "--password-file",
        "--cacert",
        "--cert",
        "--key",
        "--pin",
        "--insecure-transport",
    ];
    let mut rest = args.get(1..).unwrap_or_default().iter();
    while let Some(arg) = rest.next() {
        let arg = arg.to_string_lossy();
        let (name, value) = arg.split_once('=').map_or((&*arg, None), |(name, value)| (name, Some(value)));
        let is_known = VALUES.contains(&name) || matches!(name, "-s" | "-x");
        if !is_known {
            return false;
        }
        let takes_next = name != "--insecure-transport" && (value.is_none() || !name.starts_with("--"));
        if takes_next && rest.next().is_none() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_name_a_daemon_are_no_command() {
        for (line, expected) in [
            ("musterctl", true),
            ("musterctl -s /x", true),
            ("musterctl --socket=/x", true),
            ("musterctl --via docker --insecure-transport", true),
            ("musterctl -x shop status", false),
            ("musterctl --json", false),
            ("musterctl -s", false),
            ("musterctl status", false),
        ] {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(names_no_command(&args), expected, "{line}");
        }
    }
}
