//! The messages of a daemon that is starting, and the process that its caller waits for.

use std::fmt::Display;
use std::io;
use std::path::Path;

use muster_listen::unix::Socket;
use muster_listen::{Bound, NotOpened};
use muster_spec::{Authentication, ControlSpec, ListenSpec};
use muster_supervisord::python::repr;
use muster_sys::background::Background;
use muster_sys::say::complain;
use muster_sys::sockets;
use muster_sys::user::Accounts;
use tracing::{error, warn};

use muster_logging::main_log::{Level, Line};

/// Exit code of a wrong command line or configuration.
pub(crate) const USAGE: u8 = 2;

/// Exit code when another daemon owns the socket.
const TAKEN: u8 = 3;

/// The control socket, and the other listeners that could be opened.
pub(crate) type Opened = (Option<Socket>, Vec<(ListenSpec, Vec<Bound>)>);

/// Opens the sockets of the API. An error is the exit code; everything has been said.
pub(crate) fn open_sockets(spec: &ControlSpec, accounts: &mut Accounts, opening: &mut Opening) -> Result<Opened, u8> {
    let refuse = |opening: &mut Opening, error: &NotOpened, address: &dyn Display| match error {
        NotOpened::Taken(_) if opening.is_supervisord() => Err(opening.refuse_taken()),
        NotOpened::Taken(path) => {
            error!(socket = %path.display(), "another musterd serves this socket; nothing was started");
            Err(TAKEN)
        }
        NotOpened::Misconfigured(message) => {
            error!("[http] {address}: {message}");
            Err(USAGE)
        }
        // supervisord does not start without its servers.
        NotOpened::Failed(error) if opening.is_supervisord() => Err(opening.refuse_server(error)),
        NotOpened::Unusable(_) | NotOpened::Failed(_) => Ok(()),
    };
    let control = match spec.socket.as_ref().map(|path| Socket::open(path, (spec.mode, spec.owner.as_ref()), accounts))
    {
        Some(Ok(socket)) => Some(socket),
        Some(Err(error)) => {
            let error = NotOpened::from(error);
            // supervisord has no socket unless a server says so, and several may run on one machine.
            if !(opening.is_supervisord() && spec.authentication == Authentication::Identities) {
                refuse(opening, &error, &"socket")?;
            }
            warn!("no control socket, musterctl cannot be used: {error}");
            None
        }
        None => None,
    };
    let mut opened = Vec::new();
    for listener in &spec.listeners {
        match muster_listen::open(listener, accounts) {
            Ok(bound) => opened.push((listener.clone(), bound)),
            // Others are tried again while the daemon runs.
            Err(error) => refuse(opening, &error, &listener.address)?,
        }
    }
    Ok((control, opened))
}

/// The messages of a start, and where they go.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// The name it was called by as supervisord.
    program: Option<String>,
    /// Lines for the log, once there is one.
    lines: Vec<Line>,
    /// Notes about the configuration for the log, in other formats than supervisord's.
    notes: Vec<String>,
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

    /// Of any other daemon, with notes about its configuration.
    pub(crate) fn noting(notes: Vec<String>) -> Opening {
        Opening { notes, ..Opening::default() }
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
        self.notes.drain(..).for_each(|note| tracing::info!("{note}"));
    }

    /// Writes to the stderr of the process that started the daemon.
    pub(crate) fn complain(&mut self, line: &str) {
        match &mut self.background {
            Some(background) => background.complain(line),
            None => complain(line),
        }
    }

    /// Says that another daemon has the socket. Returns the exit code.
    fn refuse_taken(&mut self) -> u8 {
        let program = self.program.clone().unwrap_or_default();
        self.complain(&usage_text(
            &program,
            "Another program is already listening on a port that one of our HTTP servers is configured to use.  Shut \
             this program down first before starting supervisord.",
        ));
        USAGE
    }

    /// Says that a server cannot be opened. Returns the exit code.
    fn refuse_server(&mut self, error: &io::Error) -> u8 {
        let errno = nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0));
        if errno == nix::errno::Errno::EADDRINUSE {
            return self.refuse_taken();
        }
        let program = self.program.clone().unwrap_or_default();
        let text = format!("Cannot open an HTTP server: socket.error reported errno.{errno:?} ({})", errno as i32);
        self.complain(&usage_text(&program, &text));
        USAGE
    }

    /// Says that a program's socket cannot be opened, as supervisord does.
    pub(crate) fn refuse_socket(&mut self, error: &sockets::NotOpened) {
        let (program, why) = (self.program.clone().unwrap_or_default(), error.in_python());
        let line = usage_text(&program, &format!("Could not create FastCGI socket {}: {why}", error.address));
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
