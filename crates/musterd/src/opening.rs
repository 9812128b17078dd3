//! The messages of a daemon that is starting, and the process that its caller waits for.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use muster_listen::unix::{Socket, SocketError};
use muster_listen::{Bound, NotOpened};
use muster_spec::{Authentication, ControlSpec, ListenSpec};
use muster_supervisord::python::repr;
use muster_sys::background::Background;
use muster_sys::say::complain;
use muster_sys::sockets;
use muster_sys::user::Accounts;
use tracing::{error, info, warn};

use muster_logging::main_log::{Level, Line};

/// Exit code of a wrong command line or configuration.
pub(crate) const USAGE: u8 = 2;

/// Exit code when another daemon owns the socket.
const TAKEN: u8 = 3;

/// How long a socket may still belong to a daemon that was killed, and how often it is tried in that time: children that have
/// not executed their programs yet keep open whatever their daemon had open, its lock included.
const LAST_CHILDREN: Duration = Duration::from_millis(500);
const LAST_CHILDREN_PAUSE: Duration = Duration::from_millis(5);

/// The control socket, before the daemon becomes another user.
pub(crate) enum Control {
    /// It is open, or there is none.
    Settled(Option<Socket>),
    /// Only the user can open it: the directory is the user's.
    LeftToUser,
}

/// Opens the control socket. With `later`, one that cannot be opened is left to the user. An error is the exit code; everything
/// has been said.
pub(crate) fn open_control(
    spec: &ControlSpec,
    accounts: &mut Accounts,
    opening: &mut Opening,
    later: bool,
) -> Result<Control, u8> {
    let Some(path) = &spec.socket else { return Ok(Control::Settled(None)) };
    let open = || Socket::open(path, (spec.mode, spec.owner.as_ref()), accounts);
    let error = match once_free(open, |error| matches!(error, SocketError::Taken(_))) {
        Ok(socket) => return Ok(Control::Settled(Some(socket))),
        Err(SocketError::Unusable(_)) if later => return Ok(Control::LeftToUser),
        Err(error) => NotOpened::from(error),
    };
    // supervisord has no socket unless a server says so, and several may run on one machine.
    if !(opening.is_supervisord() && spec.authentication == Authentication::Identities) {
        opening.refuse_listener(&error, &"socket")?;
    }
    opening.said.push(Said::Warning(format!("no control socket, musterctl cannot be used: {error}")));
    Ok(Control::Settled(None))
}

/// Tries again for a moment while another daemon has what is opened. Nothing runs yet that would have to wait.
fn once_free<T, E>(mut open: impl FnMut() -> Result<T, E>, is_taken: impl Fn(&E) -> bool) -> Result<T, E> {
    let until = Instant::now() + LAST_CHILDREN;
    loop {
        match open() {
            Err(error) if is_taken(&error) && Instant::now() < until => thread::sleep(LAST_CHILDREN_PAUSE),
            result => return result,
        }
    }
}

/// Opens the other listeners of the API, as far as they can be. An error is the exit code; everything has been said.
pub(crate) fn open_listeners(
    spec: &ControlSpec,
    accounts: &mut Accounts,
    opening: &mut Opening,
) -> Result<Vec<(ListenSpec, Vec<Bound>)>, u8> {
    let mut opened = Vec::new();
    for listener in &spec.listeners {
        match once_free(|| muster_listen::open(listener, accounts), |error| matches!(error, NotOpened::Taken(_))) {
            Ok(bound) => opened.push((listener.clone(), bound)),
            // Others are tried again while the daemon runs.
            Err(error) => opening.refuse_listener(&error, &listener.address)?,
        }
    }
    Ok(opened)
}

/// A message for the log.
#[derive(Debug)]
enum Said {
    Warning(String),
    Error(String),
    /// Another daemon owns this socket.
    Taken(PathBuf),
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
    /// Messages about the sockets, which are opened before the log.
    said: Vec<Said>,
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
        self.notes.drain(..).for_each(|note| info!("{note}"));
        for said in self.said.drain(..) {
            match said {
                Said::Warning(text) => warn!("{text}"),
                Said::Error(text) => error!("{text}"),
                Said::Taken(path) => {
                    error!(socket = %path.display(), "another musterd serves this socket; nothing was started");
                }
            }
        }
    }

    /// Writes to the stderr of the process that started the daemon.
    pub(crate) fn complain(&mut self, line: &str) {
        match &mut self.background {
            Some(background) => background.complain(line),
            None => complain(line),
        }
    }

    /// Says why a listener that is not open ends the start; an error is the exit code.
    fn refuse_listener(&mut self, error: &NotOpened, address: &dyn Display) -> Result<(), u8> {
        match error {
            NotOpened::Taken(_) if self.is_supervisord() => Err(self.refuse_taken()),
            NotOpened::Taken(path) => {
                self.said.push(Said::Taken(path.clone()));
                Err(TAKEN)
            }
            NotOpened::Misconfigured(message) => Err(self.refuse(format!("[http] {address}: {message}"))),
            // supervisord does not start without its servers.
            NotOpened::Failed(error) if self.is_supervisord() => Err(self.refuse_server(error)),
            NotOpened::Unusable(_) | NotOpened::Failed(_) => Ok(()),
        }
    }

    /// Says why the configuration cannot be used here. Returns the exit code.
    pub(crate) fn refuse(&mut self, error: String) -> u8 {
        self.said.push(Said::Error(error));
        USAGE
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
