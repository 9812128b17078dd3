//! The configuration: the active one, mistakes in the files, and the changes of a reload.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET /v1/config`: the active configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The files it was read from, in order.
    pub files: Vec<String>,
    /// `[musterd]`, under the keys of the configuration file.
    pub musterd: Value,
    /// `[http]`, under the keys of the configuration file.
    pub http: Value,
    /// Each `[notify.NAME]` by its name, under the keys of the configuration file. Addresses have no path, and headers no value.
    #[serde(default)]
    pub notify: Value,
    /// Each instance by its name, under the keys of the configuration file. Environment values are hidden. `origin` has the
    /// texts that its keys came from.
    pub programs: Value,
}

/// `POST /v1/config/check`: the mistakes in the current files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// The files that were read, in order.
    pub files: Vec<String>,
    /// Number of errors.
    pub errors: u32,
    /// Number of warnings.
    pub warnings: u32,
    /// All mistakes, in the order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// A mistake in a configuration: where, what, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// `error`, which prevents the configuration from being used, or `warning`.
    pub severity: String,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The mistake. Never contains a secret.
    pub message: String,
    /// How to fix it.
    pub hint: Option<String>,
    /// The program it concerns, if any.
    pub program: Option<String>,
    /// The text `musterd check` prints, with the line underlined.
    pub text: String,
}

/// `POST /v1/config/reload`: the changes made, or to be made. Names are those of instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// Whether this was a dry run, which changes nothing.
    pub dry_run: bool,
    /// The files that were read, in order.
    pub files: Vec<String>,
    /// New instances, which start if autostarted.
    pub added: Vec<String>,
    /// Instances that stop and are removed.
    pub removed: Vec<String>,
    /// Instances that need a new process.
    pub restarted: Vec<String>,
    /// Instances whose rules change and whose process stays.
    pub changed: Vec<String>,
    /// Number of instances that do not change.
    pub unchanged: u32,
    /// Changed keys of the daemon that take effect only after it is restarted.
    pub needs_restart: Vec<String>,
    /// Notifiers that are added, removed or changed: names of `[notify.NAME]`.
    #[serde(default)]
    pub notifiers: Vec<String>,
    /// In a dry run: the keys of restarted and changed instances that differ, of the first hundred of them.
    #[serde(default)]
    pub keys: Vec<ChangedKey>,
    /// The warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// A key of an instance that a reload would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedKey {
    /// The instance.
    pub name: String,
    /// The key of the configuration file.
    pub key: String,
    /// Its active value. Secrets are masked, so that it may look like the new one.
    pub before: Value,
    /// Its new value.
    pub after: Value,
}

impl ReloadReport {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        let programs = [&self.added, &self.removed, &self.restarted, &self.changed];
        programs.into_iter().chain([&self.needs_restart, &self.notifiers]).all(Vec::is_empty)
    }
}
