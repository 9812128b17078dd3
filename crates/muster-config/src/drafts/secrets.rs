//! `secrets = { DB_PASSWORD = "/run/secrets/db_password" }` and `credentials = ["tls=/etc/tls.key"]`: files that are read at
//! each start. Only their paths are known here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use muster_spec::{CredentialSpec, SecretSpec};

use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::environment::variables_of;
use crate::field::{Field, Owner};
use crate::habits;
use crate::value::Content;

const EXAMPLE: &str = "secrets = { DB_PASSWORD = \"/run/secrets/db_password\" }";

/// The files of an instance while its keys are read.
#[derive(Default)]
pub(crate) struct SecretsDraft {
    secrets: BTreeMap<String, (SecretSpec, Option<Place>)>,
    pub(crate) credentials: Vec<CredentialSpec>,
}

impl SecretsDraft {
    pub(crate) fn of(secrets: &[SecretSpec], credentials: &[CredentialSpec]) -> SecretsDraft {
        let secrets = secrets.iter().map(|spec| (spec.name.clone(), (spec.clone(), None))).collect();
        SecretsDraft { secrets, credentials: credentials.to_vec() }
    }

    pub(crate) fn specs(&self) -> impl Iterator<Item = SecretSpec> {
        self.secrets.values().map(|(spec, _)| spec.clone())
    }

    /// Reads variables, overriding earlier ones of the same name.
    pub(crate) fn secrets(&mut self, field: &Field<'_>) {
        let Content::Table(entries) = &field.value.content else {
            return field.expected_with_hint("a table of paths", EXAMPLE);
        };
        for variable in variables_of(field, entries) {
            let name = variable.name;
            if let Some((path, may_be_missing)) = read_path(&variable, EXAMPLE) {
                let spec = SecretSpec { name: name.to_owned(), path, may_be_missing };
                self.secrets.insert(name.to_owned(), (spec, Some(variable.place())));
            }
        }
    }

    /// Reads a list of paths, each with a name in front of it or that of its file.
    pub(crate) fn credentials(&mut self, field: &Field<'_>) {
        const EXAMPLE: &str = "credentials = [\"/run/secrets/db_password\", \"tls=/etc/tls.key\"]";
        let mut names = BTreeSet::new();
        self.credentials.clear();
        for item in field.items() {
            let Some(text) = item.text() else { continue };
            let (name, rest) = match text.text.split_once('=') {
                Some((name, path)) if !name.contains('/') => (Some(name), path),
                _ => (None, text.text.as_ref()),
            };
            let (path, may_be_missing) = optional(rest);
            if path.is_empty() || habits::scheme(path).is_some() {
                item.expected_with_hint("a path or NAME=path", EXAMPLE);
                continue;
            }
            let of_file = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            let name = name.unwrap_or(of_file);
            if !is_file_name(name) {
                let hint = "put a name of letters, digits, `_`, `-` and `.` in front: \"tls=/etc/tls.key\"";
                item.error_with_hint(format_args!("has an invalid name: {name:?}"), hint);
                continue;
            }
            if !names.insert(name.to_owned()) {
                let hint = "give one of them another: \"NAME=path\"";
                item.error_with_hint(format_args!("has the name {name:?} twice"), hint);
                continue;
            }
            if let Some(path) = item.resolved(path) {
                self.credentials.push(CredentialSpec { name: name.to_owned(), path, may_be_missing });
            }
        }
    }

    /// Warns of variables that have another value as well, and finds commands that name copies without any.
    pub(crate) fn check(
        &self,
        is_set: impl Fn(&str) -> Option<&'static str>,
        command: (&[String], Option<Place>),
        owner: Owner<'_>,
        report: &Report,
    ) {
        for (name, (_, place)) in &self.secrets {
            if let (Some(elsewhere), Some(place)) = (is_set(name), place) {
                let message = format!("secrets.{name} overrides {elsewhere}, which sets {name}, too");
                report.add(owner.finding(Severity::Warning, *place, message).hint("remove one of them"));
            }
        }
        self.check_command(command, owner, report);
    }

    /// Checks that a command which names the copies has some.
    pub(crate) fn check_command(&self, (words, place): (&[String], Option<Place>), owner: Owner<'_>, report: &Report) {
        let names_copies = words.iter().any(|word| word.contains(CredentialSpec::PLACEHOLDER));
        if let Some(place) = place.filter(|_| names_copies && self.credentials.is_empty()) {
            let message = "the command has {credentials}, and there are none";
            report.add(owner.finding(Severity::Error, place, message).hint("credentials = [\"tls=/etc/tls.key\"]"));
        }
    }
}

/// Whether copies may have this name.
fn is_file_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(is_allowed) && !name.starts_with('.')
}

/// A path without its `?`, and whether it has one.
fn optional(text: &str) -> (&str, bool) {
    text.strip_prefix('?').map_or((text, false), |path| (path, true))
}

fn read_path(field: &Field<'_>, example: &str) -> Option<(PathBuf, bool)> {
    let text = field.text()?;
    let (path, may_be_missing) = optional(&text.text);
    if path.is_empty() {
        field.error_with_hint("must be a path", example);
        return None;
    }
    if let Some(scheme) = habits::scheme(path) {
        field.error_with_hint("must be a path", format!("{scheme}:// is no file"));
        return None;
    }
    Some((field.resolved(path)?, may_be_missing))
}
