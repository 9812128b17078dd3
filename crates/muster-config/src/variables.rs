//! The environment variables that values may name: `[musterd] environment` first, then the daemon's own environment.
//!
//! Reading a variable notes its value if it is a secret, so that no message shows it; for a copy to be shown, a mask is
//! returned instead.

use std::collections::BTreeMap;

use crate::disguise::{mask_text, secrets_in};
use crate::redact::{MASK, is_secret};
use crate::secrets::Noted;

/// The value of a name.
pub(crate) struct Found {
    /// The value.
    pub(crate) value: String,
    /// Whether it must not be shown.
    pub(crate) secret: bool,
}

/// The environment that `${NAME}` reads.
pub(crate) struct Variables<'a> {
    /// `[musterd] environment`, each value with whether it is a secret.
    pub(crate) own: BTreeMap<String, (String, bool)>,
    /// The daemon's environment.
    pub(crate) outer: &'a dyn Fn(&str) -> Option<String>,
    /// Records the secrets that are read.
    pub(crate) noted: &'a Noted,
    /// Whether to return a mask in place of each secret, for a copy to be shown.
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

    /// Records the secret in a value; under any name, it may be an address with a password in it.
    pub(crate) fn noted(&self, found: Found) -> Found {
        if found.secret {
            self.noted.note(&found.value);
            return found;
        }
        let within = secrets_in(&found.value);
        within.iter().for_each(|secret| self.noted.note(secret));
        Found { secret: !within.is_empty(), ..found }
    }
}

pub(crate) fn disguised(found: Found) -> Found {
    let value = if found.value.is_empty() || !found.secret { mask_text(&found.value) } else { MASK.to_owned() };
    Found { value, ..found }
}

/// The instance that a value is read for.
#[derive(Clone, Copy)]
pub(crate) struct InstanceWords<'a> {
    /// `web`, or `web:3`.
    pub(crate) name: &'a str,
    /// Its number.
    pub(crate) index: u32,
    /// How many there are.
    pub(crate) numprocs: u32,
}
