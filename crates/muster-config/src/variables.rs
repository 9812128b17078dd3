//! The words and variables that an interpolation may name, for one reader of a value.
//!
//! A value belongs to the daemon, to a program, or to an instance of one, and that decides which `{word}`s it has.
//! Variables are `[musterd] environment` first and then the daemon's own environment.

use std::collections::BTreeMap;

use crate::dialect::toml::interpolate::{Found, Names, Problem};
use crate::disguise::{mask_text, secrets_in};
use crate::redact::{MASK, is_secret};
use crate::secrets::Noted;

/// The environment that `${NAME}` reads.
pub(crate) struct Variables<'a> {
    /// From `[musterd] environment`; whether each is a secret.
    pub(crate) own: BTreeMap<String, (String, bool)>,
    /// The daemon's environment.
    pub(crate) outer: &'a dyn Fn(&str) -> Option<String>,
    /// Where secrets are noted.
    pub(crate) noted: &'a Noted,
    /// Whether a mask is given for each secret, to be shown.
    pub(crate) is_disguised: bool,
}

impl Variables<'_> {
    /// A variable's value.
    pub(crate) fn get(&self, name: &str) -> Option<Found> {
        let found = match self.own.get(name) {
            Some((value, secret)) => Found { value: value.clone(), secret: *secret },
            None => (self.outer)(name).map(|value| Found { value, secret: is_secret(name) })?,
        };
        Some(if self.is_disguised { disguised(found) } else { self.noted(found) })
    }

    /// A value may hold a secret whatever its name is: an address with a password in it.
    fn noted(&self, found: Found) -> Found {
        if found.secret {
            self.noted.note(&found.value);
            return found;
        }
        let within = secrets_in(&found.value);
        within.iter().for_each(|secret| self.noted.note(secret));
        Found { secret: !within.is_empty(), ..found }
    }
}

fn disguised(found: Found) -> Found {
    let value = if found.value.is_empty() || !found.secret { mask_text(&found.value) } else { MASK.to_owned() };
    Found { value, ..found }
}

/// Which instance reads.
#[derive(Clone, Copy)]
pub(crate) struct InstanceWords<'a> {
    /// `web`, or `web:3`.
    pub(crate) name: &'a str,
    /// Its number.
    pub(crate) index: u32,
    /// How many there are.
    pub(crate) numprocs: u32,
}

/// The names one value may use.
pub(crate) struct Scope<'a> {
    pub(crate) variables: &'a Variables<'a>,
    pub(crate) host: &'a str,
    pub(crate) here: &'a str,
    pub(crate) program: Option<&'a str>,
    pub(crate) instance: Option<InstanceWords<'a>>,
}

/// Every word, for the documentation and for hints.
const WORDS: [&str; 6] = ["name", "program", "instance", "numprocs", "here", "host"];

impl Names for Scope<'_> {
    fn variable(&self, name: &str) -> Option<Found> {
        self.variables.get(name)
    }

    fn secret_default(&self, value: String) -> Found {
        let found = Found { value, secret: true };
        if self.variables.is_disguised { disguised(found) } else { self.variables.noted(found) }
    }

    fn word(&self, word: &str) -> Result<String, Problem> {
        let instance = self.instance;
        let found = match word {
            "here" => Some(self.here.to_owned()),
            "host" => Some(self.host.to_owned()),
            "program" => self.program.map(str::to_owned),
            "name" => instance.map(|instance| instance.name.to_owned()),
            "instance" => instance.map(|instance| instance.index.to_string()),
            "numprocs" => instance.map(|instance| instance.numprocs.to_string()),
            unknown => return Err(unknown_word(unknown)),
        };
        found.ok_or_else(|| self.no_such_word_here(word))
    }
}

impl Scope<'_> {
    fn no_such_word_here(&self, word: &str) -> Problem {
        match self.program {
            Some(_) => Problem {
                message: format!("is one value for all instances and cannot use {{{word}}}"),
                hint: "{program}, {here}, {host} and ${VARIABLE} can be used here".to_owned(),
            },
            None => Problem {
                message: format!("belongs to no program and cannot use {{{word}}}"),
                hint: "{here}, {host} and ${VARIABLE} can be used here".to_owned(),
            },
        }
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
