//! supervisorctl: its command line, its configuration, and its commands with every line that they print.
//!
//! Pure over [`World`], which calls the server and talks to the user. Start reading at `controller`, which takes one line of
//! words apart and keeps the exit code; `commands/` has a file for each family of commands.

mod calls;
pub mod command_line;
mod commands;
mod complete;
mod config;
mod controller;
mod help;
mod python_error;
mod results;
mod url;

pub use complete::{Process, candidates};
pub use config::{Configuration, read as read_configuration};
pub use controller::{Controller, Flow};
pub use help::topics;
pub use url::address;

use std::fmt;

use crate::faults::Code;
use crate::xmlrpc::{Fault, Value, base64};

/// Where the server is, and how to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// `unix://PATH` or `http://HOST:PORT`.
    pub url: String,
    /// The user's name.
    pub username: Option<String>,
    /// The password. Never shown.
    pub password: Option<String>,
}

impl Server {
    /// The value of an `Authorization` header, if there is a login.
    pub fn authorization(&self) -> Option<String> {
        let (username, password) = (self.username.as_deref()?, self.password.as_deref()?);
        let mut encoded = String::new();
        base64::encode_lines(format!("{username}:{password}").as_bytes(), &mut encoded);
        Some(format!("Basic {}", encoded.replace('\n', "")))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("url", &self.url).field("username", &self.username).finish_non_exhaustive()
    }
}

/// Why a call, or a question to the user, has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server answered with a fault.
    Fault(Fault),
    /// The server answered with a status of HTTP other than 200.
    Protocol {
        /// Its number.
        status: u16,
        /// Its words.
        reason: String,
    },
    /// Nothing listens there: ECONNREFUSED.
    Refused,
    /// There is no such socket: ENOENT.
    Missing,
    /// Any other exception of Python's, by the name of its class and its text.
    Other {
        /// The class, with its module if it is not built in.
        class: &'static str,
        /// The text.
        text: String,
    },
    /// The user pressed Ctrl-C.
    Interrupted,
}

impl Failure {
    /// The reason of a fault of supervisord's.
    fn code(&self) -> Option<Code> {
        match self {
            Failure::Fault(fault) => Code::from_number(fault.code),
            _ => None,
        }
    }

    fn end_of_input() -> Failure {
        Failure::other("EOFError", "EOF when reading a line")
    }

    /// An exception of this class.
    pub fn other(class: &'static str, text: impl Into<String>) -> Failure {
        Failure::Other { class, text: text.into() }
    }
}

/// The server and the user, as the commands see them.
pub trait World {
    /// Calls a method, and waits for its answer however long it takes.
    fn call(&mut self, server: &Server, method: &str, params: &[Value]) -> Result<Value, Failure>;

    /// Prints a line, or several. Texts of the server are in it.
    fn print(&mut self, text: &str);

    /// Prints output of a program as it is, and a line end.
    fn print_output(&mut self, text: &str);

    /// Shows a prompt and waits for a line; `None` at the end of the input.
    fn line(&mut self, prompt: &str) -> Result<Option<String>, Failure>;

    /// The same for a line that is not shown.
    fn secret(&mut self, prompt: &str) -> Result<Option<String>, Failure>;

    /// Prints the text at a path of the server as it grows, until it ends or the user presses Ctrl-C. Reports by itself why
    /// it cannot be read.
    fn follow(&mut self, server: &Server, path: &str) -> Result<(), Failure>;

    /// From now on, [`typed`](World::typed) prints the texts at these paths while it waits.
    fn attach(&mut self, server: &Server, paths: &[String]);

    /// Waits for a line from the user; `None` at the end of the input.
    fn typed(&mut self) -> Result<Option<String>, Failure>;

    /// Ends [`attach`](World::attach).
    fn detach(&mut self);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_encoded_and_never_shown() {
        let (url, username) = ("unix:///x".to_owned(), Some("me".to_owned()));
        let server = Server { url, username, password: Some("secret".to_owned()) };
        assert_eq!(server.authorization().as_deref(), Some("Basic bWU6c2VjcmV0"));
        assert_eq!(format!("{server:?}"), "Server { url: \"unix:///x\", username: Some(\"me\"), .. }");
        assert_eq!(Server { username: None, ..server }.authorization(), None);
    }
}
