//! One line of words: which command it is, what an unexpected answer prints, and the exit code that it leaves.

use super::calls::Supervisor;
use super::{Failure, Server, World, commands, help};
use crate::faults::Code;
use crate::python::strip;

/// Exit codes: those of init scripts.
pub(super) mod exit {
    pub(in crate::ctl) const GENERIC: u8 = 1;
    pub(in crate::ctl) const INVALID_ARGS: u8 = 2;
    pub(in crate::ctl) const UNIMPLEMENTED_FEATURE: u8 = 3;
    pub(in crate::ctl) const INSUFFICIENT_PRIVILEGES: u8 = 4;
    pub(in crate::ctl) const NOT_INSTALLED: u8 = 5;
    pub(in crate::ctl) const NOT_RUNNING: u8 = 7;
    /// Of `status`: a program does not run.
    pub(in crate::ctl) const STATUS_NOT_RUNNING: u8 = 3;
    /// Of `status`: a name, or everything, is unknown.
    pub(in crate::ctl) const STATUS_UNKNOWN: u8 = 4;
}

/// The version of the server's API that this client speaks.
const API_VERSION: &str = "3.0";

/// Whether the shell goes on after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// With the next line.
    Next,
    /// It ends.
    Quit,
    /// It ends, for the user pressed Ctrl-C.
    Interrupted,
}

/// Runs lines.
pub struct Controller<'w> {
    pub(super) world: &'w mut dyn World,
    pub(super) server: Server,
    pub(super) interactive: bool,
    pub(super) exit: u8,
}

/// The result of a command that printed what it had to; an error is an exception that it does not expect.
pub(super) type Done = Result<(), Failure>;

impl<'w> Controller<'w> {
    /// A controller of this server. An interactive one asks before it ends the server, and for a password.
    pub fn new(world: &'w mut dyn World, server: Server, interactive: bool) -> Controller<'w> {
        Controller { world, server, interactive, exit: 0 }
    }

    /// The server, which a line may have changed.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The exit code: the last one that a line set.
    pub fn exit_code(&self) -> u8 {
        self.exit
    }

    /// The world, between lines.
    pub fn world(&mut self) -> &mut dyn World {
        self.world
    }

    /// Runs one line.
    pub fn run(&mut self, line: &str) -> Flow {
        let line = strip(line);
        let replaced;
        let line = match line.strip_prefix('?') {
            Some(topic) => {
                replaced = format!("help {topic}");
                replaced.as_str()
            }
            None => line,
        };
        if line.is_empty() {
            return Flow::Next;
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (command, argument) = line.split_at(line.find(|c| !is_word(c)).unwrap_or(line.len()));
        let argument = strip(argument);
        match command {
            "quit" | "exit" | "EOF" => {
                self.print("");
                return Flow::Quit;
            }
            "help" => help::print(self, argument),
            _ => match commands::find(command) {
                Some(command) => return self.attempt(command, argument),
                None => {
                    self.print(&format!("*** Unknown syntax: {line}"));
                    self.exit = exit::GENERIC;
                }
            },
        }
        Flow::Next
    }

    fn attempt(&mut self, command: commands::Command, argument: &str) -> Flow {
        let mut done = command(self, argument);
        while let Err(Failure::Protocol { status: 401, .. }) = done {
            self.print("Server requires authentication");
            if !self.interactive {
                // The original tries once more.
                self.exit = exit::GENERIC;
                done = command(self, argument);
                break;
            }
            match self.log_in() {
                Ok(()) => done = command(self, argument),
                failed => {
                    done = failed;
                    break;
                }
            }
        }
        match done {
            Ok(()) => Flow::Next,
            Err(Failure::Interrupted) => Flow::Interrupted,
            Err(failure) => {
                self.print(&format!("error: {failure}: file: musterctl line: 0"));
                self.exit = exit::GENERIC;
                Flow::Next
            }
        }
    }

    fn log_in(&mut self) -> Done {
        self.server.username = Some(self.world.line("Username:")?.ok_or_else(Failure::end_of_input)?);
        self.server.password = Some(self.world.secret("Password:")?.ok_or_else(Failure::end_of_input)?);
        self.print("");
        Ok(())
    }

    pub(super) fn print(&mut self, text: &str) {
        self.world.print(text);
    }

    /// Prints a line about a mistake of the user's, and the help of the command.
    pub(super) fn usage(&mut self, message: &str, command: &str) {
        self.print(message);
        self.exit = exit::GENERIC;
        help::print(self, command);
    }

    pub(super) fn supervisor(&mut self) -> Supervisor<'_> {
        Supervisor { world: self.world, server: &self.server }
    }

    /// Sets the exit code for a result, unless it is the one that is harmless here.
    pub(super) fn note(&mut self, status: i64, harmless: Option<Code>) {
        match Code::from_number(status) {
            Some(Code::Success) => {}
            code if code.is_some() && code == harmless => {}
            Some(Code::SpawnError | Code::AbnormalTermination | Code::NotRunning) => self.exit = exit::NOT_RUNNING,
            _ => self.exit = exit::GENERIC,
        }
    }

    /// Whether the server answers, and is of a version that is known. If not, this is printed.
    pub(super) fn is_up(&mut self) -> Result<bool, Failure> {
        let (text, code) = match self.supervisor().text("getVersion", &[]) {
            Ok(version) if version == API_VERSION => return Ok(true),
            Ok(version) => (
                format!(
                    "Sorry, this version of supervisorctl expects to talk to a server with API version {API_VERSION}, but the \
                     remote version is {version}."
                ),
                exit::NOT_INSTALLED,
            ),
            Err(failure) if failure.code() == Some(Code::UnknownMethod) => (
                "Sorry, supervisord responded but did not recognize the supervisor namespace commands that supervisorctl \
                 uses to control it.  Please check that the [rpcinterface:supervisor] section is enabled in the \
                 configuration file (see sample.conf)."
                    .to_owned(),
                exit::UNIMPLEMENTED_FEATURE,
            ),
            Err(Failure::Refused) => (format!("{} refused connection", self.server.url), exit::INSUFFICIENT_PRIVILEGES),
            Err(Failure::Missing) => (format!("{} no such file", self.server.url), exit::NOT_RUNNING),
            Err(failure) => return Err(failure),
        };
        self.print(&text);
        self.exit = code;
        Ok(false)
    }
}
