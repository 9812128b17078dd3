//! All programs together: common keys, common log files, and the time that stopping takes.

use std::collections::BTreeMap;

use super::written::Program;
use super::{Conversion, draft};
use crate::toml::{self, Table};

/// Keys that say something about one program, even if several have the same.
const OWN: [&str; 7] =
    ["command", "numprocs", "numprocs_start", "environment", "directory", "logs.stdout", "logs.stderr"];

impl Conversion<'_> {
    /// `[defaults]`: the restart policy, and every key that all programs have with one value.
    pub(super) fn defaults(&mut self, programs: &mut [Program]) -> Table {
        let mut table = Table::new("defaults");
        if programs.is_empty() {
            return table;
        }
        table.set("backoff", "\"supervisord\"");
        let user = self.configuration.supervisord.user.as_deref();
        if let Some(user) = user.filter(|user| !matches!(*user, "root" | "0")) {
            table.set("user", toml::text(user));
        }
        let has_user = table.value("user").is_some() || programs.iter().any(|one| one.table.value("user").is_some());
        if has_user {
            table.set("login_environment", "false");
        }
        let common = table.value("user").map(str::to_owned);
        for program in
            programs.iter_mut().filter(|program| common.is_some() && program.table.value("user") == common.as_deref())
        {
            draft::take(&mut program.table, "user");
        }
        if self.configuration.supervisord.strip_ansi {
            table.set("logs.strip_ansi", "true");
        }
        if programs.len() < 2 {
            return table;
        }
        let first = programs[0].table.clone();
        for key in &first.keys {
            let is_path = key.value.contains('/');
            if OWN.contains(&key.name.as_str()) && (is_path || !key.name.starts_with("logs.")) {
                continue;
            }
            if table.value(&key.name).is_some() {
                continue;
            }
            if programs.iter().all(|program| program.table.value(&key.name) == Some(&key.value)) {
                table.set(&key.name, key.value.clone());
                for program in programs.iter_mut() {
                    draft::take(&mut program.table, &key.name);
                }
            }
        }
        table
    }
}

/// The seconds for stopping all programs, one priority after another.
pub(super) fn stop_seconds(programs: &[Program]) -> i64 {
    let mut waves: BTreeMap<i64, i64> = BTreeMap::new();
    for program in programs {
        let longest = waves.entry(program.priority).or_default();
        *longest = (*longest).max(program.patience);
    }
    waves.values().fold(0_i64, |sum, wave| sum.saturating_add(*wave)).min(10 * 365 * 86_400)
}

/// The programs that each split section was made into, by the section's name.
pub(super) fn split_sections(programs: &[Program]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for program in programs.iter().filter(|program| program.is_split) {
        found.entry(program.base.clone()).or_default().push(program.name.clone());
    }
    found
}
