//! Texts from servers: parsed together with the local files, and limited by the rules of their `[source.NAME]`.
//!
//! A remote text has no directory, so relative paths and `{here}` are errors; it may use only the tables that its source
//! allows. Where a source has `run_as`, its programs must run as one of these users, and a key through which the daemon
//! would lend its own rights to the text is an error.

use std::path::{Path, PathBuf};

use muster_spec::{InstanceSpec, ProgramSpec, Scales, SourceSpec, SourceTable, is_source_address};

use crate::diagnostic::{Finding, Place, Report, Severity};
use crate::dialect;
use crate::field::Owner;
use crate::sections::Entry;
use crate::source::File;
use crate::toml_string::toml_string;
use crate::value::{Content, Value};

/// A text that a server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteText {
    /// The name of its source.
    pub source: String,
    /// Its name in messages.
    pub shown: PathBuf,
    /// The text.
    pub text: String,
}

/// The remote part of a configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remote<'a> {
    /// The texts, in order of precedence.
    pub texts: &'a [RemoteText],
    /// The names and numbers of the daemon's own user.
    pub own_user: &'a [String],
    /// The numbers of instances that were chosen at run time; `None` for none.
    pub scales: Option<&'a Scales>,
}

/// Whether a text defines any program, or cannot be parsed: a load reports what is wrong with it.
pub fn has_programs(text: &str) -> bool {
    let Some(table) = dialect::toml::parse_if_valid(text) else { return true };
    table.get("program").and_then(Value::as_table).is_some_and(|programs| !programs.is_empty())
}

/// Whether a name on the command line is the address of a server.
pub fn is_address(path: &Path) -> bool {
    path.to_str().is_some_and(is_source_address)
}

/// Addresses on the command line, as a file with a table for each. Settings that an address cannot carry come from
/// variables.
pub(crate) fn named_sources(paths: &[PathBuf], variables: &dyn Fn(&str) -> Option<String>) -> Option<File> {
    const SETTINGS: [&str; 6] = ["token_file", "cacert", "cert", "key", "username", "password_file"];
    let mut text = String::new();
    for (number, address) in paths.iter().filter(|path| is_address(path)).filter_map(|path| path.to_str()).enumerate() {
        let number = if number == 0 { String::new() } else { format!("-{}", number + 1) };
        text.push_str(&format!("[source.url{number}]\nurl = {}\n", toml_string(address)));
        for key in SETTINGS {
            let value = variables(&format!("MUSTER_SOURCE_{}", key.to_ascii_uppercase()));
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                text.push_str(&format!("{key} = {}\n", toml_string(&value)));
            }
        }
    }
    (!text.is_empty()).then(|| File::made_of_arguments(text))
}

/// Whether the text may have this table; reports it otherwise.
pub(crate) fn may_use(rules: &SourceSpec, table: &str, place: Place, report: &Report) -> bool {
    let known = SourceTable::ALL.iter().find(|(word, _)| *word == table).map(|&(_, table)| table);
    if known.is_some_and(|known| rules.may.contains(&known)) {
        return true;
    }
    let finding = Finding::error(place, format!("source {:?}: its texts must not use {table}", rules.name));
    report.add(finding.hint(match known {
        Some(_) => format!("may = [{}, …] in [source.{}] of a local file allows it", toml_string(table), rules.name),
        None => "only local files may".to_owned(),
    }));
    false
}

/// Keys that have the daemon open or create something with its own rights.
const LENT: [&str; 4] = ["env_file", "env_dir", "sockets", "groups"];

/// Destinations of output that name no file.
const NO_FILES: [&str; 6] = ["console", "memory", "none", "syslog", "inherit", ""];

/// Checks a program that texts of these sources have a part in.
pub(crate) fn check_program<'r>(
    program: &ProgramSpec,
    entries: &[Entry<'_>],
    rules_of: impl Fn(usize) -> Option<&'r SourceSpec>,
    own_user: &[String],
    report: &Report,
) {
    let owner = Owner::Program(&program.name);
    let mut was_told = false;
    for entry in entries {
        let Some(rules) = rules_of(entry.file).filter(|rules| !rules.run_as.is_empty()) else { continue };
        let place = Place::new(entry.file, entry.value.span());
        let may_be = |user: &str| rules.run_as.iter().any(|allowed| allowed == user);
        // A hook may have a user of its own.
        let of_hooks = |instance: &InstanceSpec| {
            instance.hooks.iter().filter_map(|(_, hook)| hook.user.clone().map(Some)).collect::<Vec<_>>()
        };
        let users = program.instances.iter().flat_map(|it| [it.process.user.clone()].into_iter().chain(of_hooks(it)));
        let outside = users.into_iter().find_map(|user| match &user {
            Some(user) if user.group.is_some() => Some(format!("{}:{}", user.user, user.group.as_deref()?)),
            Some(user) => (!may_be(&user.user)).then(|| user.user.clone()),
            None => (!own_user.iter().any(|own| may_be(own))).then(|| "the daemon's user".to_owned()),
        });
        if let Some(user) = outside.filter(|_| !was_told) {
            was_told = true;
            let message = format!("source {:?} does not allow programs of this user: {user}", rules.name);
            let hint =
                format!("run_as of [source.{}] has {}; no group can be named", rules.name, rules.run_as.join(", "));
            report.add(owner.finding(Severity::Error, place, message).hint(hint));
        }
        if LENT.contains(&entry.key.name) || (entry.key.name == "logs" && names_files(entry.value)) {
            let (key, name) = (entry.key.name, &rules.name);
            let message = format!("{key} would use the daemon's own rights, which run_as of source {name:?} excludes");
            let hint = if key == "logs" {
                "stdout and stderr can be console, memory, syslog or none"
            } else {
                "set it in a local file"
            };
            report.add(owner.finding(Severity::Error, place, message).hint(hint));
        }
    }
}

/// Whether `logs` names a file, or something that could become one.
fn names_files(logs: &Value<'_>) -> bool {
    let Some(table) = logs.as_table() else { return true };
    table.iter().filter(|(name, _)| matches!(name.as_str(), "stdout" | "stderr")).any(|(_, value)| {
        let is_plain =
            |value: &Value<'_>| value.literal().is_some_and(|text| NO_FILES.contains(&text) || text == "stdout");
        match &value.content {
            Content::List(items) => !items.iter().all(is_plain),
            _ => !is_plain(value),
        }
    })
}
