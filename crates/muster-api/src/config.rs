//! The configuration: what is in force, what is wrong with the files, and what a reload changes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET /v1/config`: what is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The files it was read from, in order.
    pub files: Vec<String>,
    /// `[musterd]`, under the keys of the configuration file.
    pub musterd: Value,
    /// `[http]`, under the keys of the configuration file.
    pub http: Value,
    /// Each instance by its name, under the keys of the configuration file. Values of environments are hidden.
    pub programs: Value,
}

/// `POST /v1/config/check`: what is wrong with the files as they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// The files that were read, in order.
    pub files: Vec<String>,
    /// How many errors there are.
    pub errors: u32,
    /// How many warnings there are.
    pub warnings: u32,
    /// All of them, in the order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// A mistake in a configuration: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// `error`, with which nothing is started, or `warning`.
    pub severity: String,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong. Never contains a secret.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The program it is about, if it is about one.
    pub program: Option<String>,
    /// All of it as `musterd check` prints it, the line underlined.
    pub text: String,
}

/// `POST /v1/config/reload`: what it did, or would do. Names are those of instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// The files that were read, in order.
    pub files: Vec<String>,
    /// New ones, which start if they start by themselves.
    pub added: Vec<String>,
    /// Those that stop and are forgotten.
    pub removed: Vec<String>,
    /// Those whose process must be another one.
    pub restarted: Vec<String>,
    /// Those whose rules change and whose process does not.
    pub changed: Vec<String>,
    /// How many are as they were.
    pub unchanged: u32,
    /// Keys of the daemon that have another value now and that only its restart puts in force.
    pub needs_restart: Vec<String>,
    /// The warnings.
    pub diagnostics: Vec<Diagnostic>,
}

impl ReloadReport {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        let lists = [&self.added, &self.removed, &self.restarted, &self.changed, &self.needs_restart];
        lists.iter().all(|list| list.is_empty())
    }
}
