//! A command in the context of a program. Its streams are frames after an upgrade of the connection.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The command to run. The debug form has no arguments and no values: both may be secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecBody {
    /// The command and its arguments, at least one.
    pub command: Vec<String>,
    /// The terminal to give it; without one it has pipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalSize>,
    /// Whether it gets input. Otherwise its standard input is empty, unless it has a terminal.
    #[serde(default)]
    pub stdin: bool,
    /// The user to run it as, `USER` or `USER:GROUP`, instead of the program's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Variables in addition to the program's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

impl fmt::Debug for ExecBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecBody").field("command", &self.command.first()).finish_non_exhaustive()
    }
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Its height.
    pub rows: u16,
    /// Its width.
    pub columns: u16,
}
