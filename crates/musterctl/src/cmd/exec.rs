//! `musterctl exec`: runs a command in the context of a program.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use muster_api::{ExecBody, Route, TerminalSize};
use muster_exec::PROTOCOL;

use crate::exec::{Console, Ended, Talk, size};
use crate::failure::{Exit, Failure};
use crate::output::printable;
use crate::session::Session;

/// The exit code if the connection breaks: the command's is unknown.
const BROKEN: u8 = 125;

/// The exit code if the reader of the output is gone: 128 and SIGPIPE.
const NOT_READ: u8 = 141;

/// Run a command as the program would run: its user, groups, environment with secrets, directory and limits.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The program need not run, and is not affected. The exit code is that of the command, 128+N if signal N killed it, 127 if there is no \
such command, 126 if it cannot be executed, and 125 if the connection breaks; then the command gets SIGHUP, and SIGKILL after 5 seconds. \
Nothing that it started outlives it.

Examples:
  musterctl exec web -- env
  musterctl exec -it db -- psql
  musterctl exec -i db -- sh -c 'psql shop' < dump.sql
  musterctl --via 'docker exec -i shop' exec web -- ./manage.py check")]
pub(crate) struct Args {
    /// Give the command a terminal; with -i it is this one.
    #[arg(short, long)]
    tty: bool,

    /// Send it standard input.
    #[arg(short, long)]
    interactive: bool,

    /// Run it as this user, USER or USER:GROUP, instead of the program's. Only root may, on a Unix socket.
    #[arg(short = 'u', long, value_name = "USER")]
    run_as: Option<String>,

    /// Set a variable in addition to the program's.
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// The instance.
    #[arg(value_name = "NAME")]
    name: String,

    /// The command and its arguments.
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let is_raw = args.tty && args.interactive;
    if is_raw && !io::stdin().is_terminal() {
        let failure = Failure::new(Exit::Usage, "standard input is not a terminal");
        return Err(failure.with_hint("leave -t out to send input without a terminal"));
    }
    let terminal = args.tty.then(|| {
        let (rows, columns) = size().unwrap_or((24, 80));
        TerminalSize { rows, columns }
    });
    let body = ExecBody {
        command: args.command.clone(),
        terminal,
        stdin: args.interactive,
        user: args.run_as.clone(),
        environment: environment(args)?,
    };
    let route = Route::Exec { name: args.name.clone() };
    let (mut connection, early) = session.client.upgrade(&route, PROTOCOL, &body)?;
    let console = Console::enter(is_raw)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot set up the terminal: {error}")))?;
    let ended = Talk::new(&mut connection, &early, args.interactive).run(&console);
    if let Ok(Ended::BySignal(signal)) = ended {
        console.end_by(signal);
        return Ok(Exit::OfCommand(BROKEN));
    }
    drop(console);
    match ended {
        Ok(Ended::With(end)) => Ok(Exit::OfCommand(end.code())),
        Ok(Ended::NotExecuted(code, message)) => Err(Failure::new(Exit::OfCommand(code), printable(&message))),
        Ok(Ended::NotRead) => Ok(Exit::OfCommand(NOT_READ)),
        Ok(Ended::BySignal(_) | Ended::Disconnected) => Ok(Exit::OfCommand(BROKEN)),
        Err(error) => {
            let message = format!("the connection to {} broke: {error}", session.client.target);
            Err(Failure::new(Exit::OfCommand(BROKEN), message).with_hint("the command gets SIGHUP"))
        }
    }
}

/// The variables of the command line. A command with a terminal also gets its type.
fn environment(args: &Args) -> Result<BTreeMap<String, String>, Failure> {
    let mut environment = BTreeMap::new();
    if let Some(term) = std::env::var("TERM").ok().filter(|term| args.tty && !term.is_empty()) {
        environment.insert("TERM".to_owned(), term);
    }
    for variable in &args.env {
        match variable.split_once('=') {
            Some((name, value)) if !name.is_empty() => environment.insert(name.to_owned(), value.to_owned()),
            _ => {
                let name = printable(variable.split('=').next().unwrap_or_default());
                return Err(Failure::new(Exit::Usage, format!("not NAME=VALUE: {name:?}")));
            }
        };
    }
    Ok(environment)
}
