//! musterctl called as supervisorctl: a client of XML-RPC, for this daemon and the original.
//!
//! The commands and their texts are in `muster_supervisord::ctl`. Here are the machine and the user: `surroundings` has the files and names,
//! `wire` the connection, `logtail` a log that grows, `terminal` the user, `shell` the loop.

mod logtail;
mod shell;
mod surroundings;
mod terminal;
mod wire;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;

use muster_supervisord::ctl::command_line::{self, Request, Run};
use muster_supervisord::ctl::{Configuration, Controller, Flow, Server, read_configuration};

use terminal::Terminal;

/// Reads a followed log from memory, for the fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn read_foreign(bytes: &[u8]) {
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let mut tail = logtail::Logtail::new();
    let _ = tail.feed(first).and_then(|_| tail.feed(rest));
}

const USAGE: u8 = 2;

/// Whether this executable was started by the name of supervisorctl: that of the file, or else the first argument.
pub(crate) fn is_called(argv0: &OsStr) -> bool {
    let is_name = |path: &OsStr| Path::new(path).file_name() == Some(OsStr::new("supervisorctl"));
    is_name(argv0) || surroundings::executed_as().is_some_and(|path| is_name(&path))
}

/// Runs supervisorctl; `argv` begins with its name. Returns the exit code.
pub(crate) fn main(argv: &[OsString]) -> u8 {
    let words: Vec<String> = argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (program, words) =
        words.split_first().map_or(("supervisorctl", words.as_slice()), |(name, rest)| (name.as_str(), rest));
    let outcome = match command_line::parse(words) {
        Ok(Request::Help) => {
            // If stdout is closed, only the exit code remains.
            let _ = io::stdout().write_all(format!("{}\n", command_line::help(program)).as_bytes());
            Ok(0)
        }
        Ok(Request::Run(run)) => start(*run),
        Err(message) => Err(message),
    };
    outcome.unwrap_or_else(|message| {
        let _ = writeln!(io::stderr(), "Error: {message}\nFor help, use {program} -h");
        USAGE
    })
}

/// Reads the configuration and runs the words, or the shell. An error is a text after `Error: `.
fn start(run: Run) -> Result<u8, String> {
    let configuration = configuration(run.file)?;
    let server = Server {
        url: run.serverurl.unwrap_or(configuration.serverurl),
        username: run.username.or(configuration.username),
        password: run.password.or(configuration.password),
    };
    let is_shell = run.words.is_empty();
    let mut terminal = Terminal::new(is_shell);
    let mut controller = Controller::new(&mut terminal, server, run.interactive || is_shell);
    if is_shell {
        let history_file = run.history_file.or(configuration.history_file);
        shell::run(&mut controller, &format!("{}> ", configuration.prompt), history_file.as_deref());
        // The shell succeeds whatever its lines did.
        return Ok(0);
    }
    match controller.run(&run.words.join(" ")) {
        Flow::Interrupted => Ok(terminal::INTERRUPTED),
        Flow::Next | Flow::Quit => Ok(controller.exit_code()),
    }
}

/// The configuration of the named file, or of the first of the usual ones; none is no mistake.
fn configuration(named: Option<String>) -> Result<Configuration, String> {
    let Some(file) = named.or_else(surroundings::usual_file).filter(|file| !file.is_empty()) else {
        return Ok(Configuration::default());
    };
    let text = surroundings::read(&file)?;
    read_configuration(&file, &text, &surroundings::variables(), &surroundings::normalized)
}
