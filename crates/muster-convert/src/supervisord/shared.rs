//! All programs together: common keys, common log files, and the time that stopping takes.

use std::collections::{BTreeMap, HashMap};

use super::written::Program;
use super::{Conversion, draft};
use crate::report::{Place, Report, Verdict};
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
        if programs.len() < 2 {
            return table;
        }
        let first = programs[0].table.clone();
        for key in &first.keys {
            let is_path = key.value.contains('/');
            if OWN.contains(&key.name.as_str()) && (is_path || !key.name.starts_with("logs.")) {
                continue;
            }
            if key.name == "user" && table.value("user").is_some() {
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

/// The seconds for stopping all programs, one priority after another. Default waits do not count.
pub(super) fn stop_seconds(programs: &[Program]) -> i64 {
    let mut waves: BTreeMap<i64, i64> = BTreeMap::new();
    for program in programs {
        let longest = waves.entry(program.priority).or_default();
        *longest = (*longest).max(program.patience.unwrap_or_default());
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

/// Gives all programs that write a file the rotation of the first.
pub(super) fn agree_on_rotation(programs: &mut [Program], main: &str, report: &mut Report) {
    let keys = ["logs.max_size", "logs.max_files"];
    let mut rotations: HashMap<String, [Option<String>; 2]> = HashMap::new();
    for program in programs {
        let own = keys.map(|key| program.table.value(key).map(str::to_owned));
        let targets = ["logs.stdout", "logs.stderr"].map(|key| program.table.value(key).map(str::to_owned));
        let files: Vec<String> = targets.into_iter().flatten().filter(|target| target.contains('/')).collect();
        let wanted = files.iter().find_map(|file| rotations.get(file)).filter(|wanted| **wanted != own).cloned();
        if let Some(wanted) = &wanted {
            let text = (
                "a log file of several programs, each with its own rotation",
                "the rotation of the first",
                "give each program a file of its own",
            );
            report.add(Verdict::Differs, &Place::new(main, 1), &format!("program:{}", program.base), text);
            for (key, value) in keys.into_iter().zip(wanted) {
                draft::take(&mut program.table, key);
                if let Some(value) = value {
                    program.table.set(key, value.clone());
                }
            }
        }
        let now = wanted.unwrap_or(own);
        for file in files {
            rotations.entry(file).or_insert_with(|| now.clone());
        }
    }
}
