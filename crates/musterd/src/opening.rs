//! The messages of a daemon that is starting, and the process that its caller waits for.

use std::path::Path;

use muster_supervisord::python::repr;
use muster_sys::background::Background;
use muster_sys::say::complain;
use muster_sys::sockets::NotOpened;

use muster_logging::main_log::{Level, Line};

/// Exit code of a wrong command line or configuration.
pub(crate) const USAGE: u8 = 2;

/// The messages of a start, and where they go.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// The name it was called by as supervisord.
    program: Option<String>,
    /// Lines for the log, once there is one.
    lines: Vec<Line>,
    /// The directory of a daemon in the background.
    directory: Option<String>,
    /// The connection to the process that was started, if that is another one.
    background: Option<Background>,
}

impl Opening {
    /// Of a daemon that was called as supervisord, by this name.
    pub(crate) fn supervisord(program: &str, lines: Vec<Line>) -> Opening {
        Opening { program: Some(program.to_owned()), lines, ..Opening::default() }
    }

    /// The daemon is in the background from now on, in this directory.
    pub(crate) fn in_background(&mut self, background: Background, directory: Option<String>) {
        (self.background, self.directory) = (Some(background), directory);
    }

    /// Whether it was called as supervisord.
    pub(crate) fn is_supervisord(&self) -> bool {
        self.program.is_some()
    }

    /// Writes the lines that waited for the log.
    pub(crate) fn write_lines(&mut self) {
        self.lines.drain(..).for_each(|line| line.write());
    }

    /// Writes to the stderr of the process that started the daemon.
    pub(crate) fn complain(&mut self, line: &str) {
        match &mut self.background {
            Some(background) => background.complain(line),
            None => complain(line),
        }
    }

    /// Says that another daemon has the socket. Returns the exit code.
    pub(crate) fn refuse_taken(&mut self) -> u8 {
        let program = self.program.clone().unwrap_or_default();
        self.complain(&usage_text(
            &program,
            "Another program is already listening on a port that one of our HTTP servers is configured to use.  Shut \
             this program down first before starting supervisord.",
        ));
        USAGE
    }

    /// Says that a program's socket cannot be opened.
    pub(crate) fn refuse_socket(&mut self, error: &NotOpened) {
        let line = match &self.program {
            Some(program) => {
                let why = error.in_python();
                usage_text(program, &format!("Could not create FastCGI socket {}: {why}", error.address))
            }
            None => format!("musterd: {error}; nothing was started"),
        };
        self.complain(&line);
    }

    /// Everything is open: says so before the pid file is written.
    pub(crate) fn enter_background(&self) {
        if self.background.is_some() {
            Line::new(Level::Info, "daemonizing the supervisord process").write();
            if let Some(directory) = &self.directory {
                let directory = repr(directory);
                Line::new(Level::Info, format!("set current directory: {directory}")).write();
            }
        }
    }

    /// The pid file is written, or not: the process that was started may exit.
    pub(crate) fn end(self, pidfile: Option<(&Path, bool)>) {
        match pidfile {
            Some((path, false)) if self.is_supervisord() => {
                Line::new(Level::Critical, format!("could not write pidfile {}", path.display())).write();
            }
            _ => Line::new(Level::Info, format!("supervisord started with pid {}", std::process::id())).write(),
        }
        if let Some(background) = self.background {
            background.report_up();
        }
    }
}

/// A message of supervisord about a wrong command line or configuration.
pub(crate) fn usage_text(program: &str, message: &str) -> String {
    format!("Error: {message}\nFor help, use {program} -h")
}
