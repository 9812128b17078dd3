//! The command line client of musterd.
//!
//! Parses a command line, sends a request to the daemon over its Unix socket, prints the response and chooses the exit code. It
//! makes no decisions about programs: selectors go to the daemon as typed. Blocking and small, because it
//! runs for every Docker health check.
//!
//! Start reading at `cli.rs` (the command line) and `cmd/status.rs` (a command), then `client/` (the wire). Called as supervisorctl,
//! it is that program: `supervisorctl/`.

#![forbid(unsafe_code)]

mod cli;
mod client;
mod cmd;
mod complete;
mod events;
mod failure;
#[cfg(fuzzing)]
pub mod fuzzing;
mod habits;
mod happening;
mod live;
mod logs;
mod output;
mod report;
mod selection;
mod session;
mod span;
mod supervisorctl;
#[cfg(test)]
mod testing;
mod top;
mod watch;

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
        socket: variable("MUSTER_SOCKET"),
        patience: client::PATIENCE,
    };
    ExitCode::from(session::execute(args, &mut around).code())
}

/// Whether this process was started by the name of supervisorctl, whose command line [`run`] has then. `argv0` is its first
/// argument.
pub fn is_supervisorctl(argv0: &OsStr) -> bool {
    supervisorctl::is_called(argv0)
}

/// Whether these arguments contain at most the daemon's socket.
fn names_no_command(args: &[OsString]) -> bool {
    match args.get(1..).unwrap_or_default() {
        [] => true,
        [option, _] => option == "-s" || option == "--socket",
        [option] => option.to_str().is_some_and(|option| option.starts_with("--socket=")),
        _ => false,
    }
}
