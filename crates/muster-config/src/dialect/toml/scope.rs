//! The words and variables that a template may name, for one reader of a value.
//!
//! A value belongs to the daemon, to a program, or to an instance of one, and that decides which `{word}`s it has.

use muster_spec::CredentialSpec;

use crate::diagnostic::Problem;
use crate::dialect::toml::interpolate::Names;
use crate::variables::{Found, InstanceWords, Variables, disguised};

/// The names one value may use.
pub(crate) struct InterpolationScope<'a> {
    pub(crate) variables: &'a Variables<'a>,
    pub(crate) host: &'a str,
    pub(crate) here: &'a str,
    pub(crate) program: Option<&'a str>,
    pub(crate) instance: Option<InstanceWords<'a>>,
    /// Whether it is a command, in which a word is left to each start.
    pub(crate) is_command: bool,
}

/// Marks before and after the name of a socket in a command, until the numbers of its sockets are known. No text has
/// these characters: they are reserved by Unicode for use within a program.
pub(crate) const SOCKET_WORD: char = '\u{fdd0}';
pub(crate) const SOCKET_WORD_END: char = '\u{fdd1}';

/// Every word, for the documentation and for hints.
const WORDS: [&str; 7] = ["name", "program", "instance", "numprocs", "here", "host", "credentials"];

impl Names for InterpolationScope<'_> {
    fn variable(&self, name: &str) -> Option<Found> {
        self.variables.get(name)
    }

    fn secret_default(&self, value: String) -> Found {
        let found = Found { value, secret: true };
        if self.variables.is_disguised { disguised(found) } else { self.variables.noted(found) }
    }

    fn socket(&self, name: &str) -> Result<String, Problem> {
        match self.is_command {
            true => Ok(format!("{SOCKET_WORD}{name}{SOCKET_WORD_END}")),
            false => Err(Problem {
                message: format!("is no command and cannot use {{socket:{name}}}"),
                hint: "the program has the names of its sockets as LISTEN_FDNAMES in its environment".to_owned(),
            }),
        }
    }

    fn word(&self, word: &str) -> Result<String, Problem> {
        let instance = self.instance;
        let found = match word {
            "here" if self.here.is_empty() => return Err(no_directory()),
            "here" => Some(self.here.to_owned()),
            "host" => Some(self.host.to_owned()),
            "program" => self.program.map(str::to_owned),
            "name" => instance.map(|instance| instance.name.to_owned()),
            "instance" => instance.map(|instance| instance.index.to_string()),
            "credentials" if self.is_command => Some(CredentialSpec::PLACEHOLDER.to_owned()),
            "credentials" => return Err(only_in_commands()),
            "numprocs" => instance.map(|instance| instance.numprocs.to_string()),
            unknown => return Err(unknown_word(unknown)),
        };
        found.ok_or_else(|| self.no_such_word_here(word))
    }
}

impl InterpolationScope<'_> {
    fn no_such_word_here(&self, word: &str) -> Problem {
        match self.program {
            Some(_) => Problem {
                message: format!("is one value for all instances and cannot use {{{word}}}"),
                hint: "{program}, {here}, {host} and ${VARIABLE} can be used here".to_owned(),
            },
            None => Problem {
                message: format!("does not belong to a program and cannot use {{{word}}}"),
                hint: "{here}, {host} and ${VARIABLE} can be used here".to_owned(),
            },
        }
    }
}

fn only_in_commands() -> Problem {
    Problem {
        message: "is no command and cannot use {credentials}".to_owned(),
        hint: "the program has that directory as CREDENTIALS_DIRECTORY in its environment".to_owned(),
    }
}

fn no_directory() -> Problem {
    Problem {
        message: "has {here}, and a remote text has no directory".to_owned(),
        hint: "write the whole path".to_owned(),
    }
}

fn unknown_word(word: &str) -> Problem {
    let close = WORDS.iter().find(|known| strsim::damerau_levenshtein(known, word) <= 2);
    let suggestion = match close {
        Some(known) => format!("did you mean {{{known}}}? "),
        None => String::new(),
    };
    Problem {
        message: format!("has an unknown {{{word}}}"),
        hint: format!("{suggestion}write {{{{{word}}}}} for the braces themselves"),
    }
}
