//! Programs as they are written, and the names that are taken.

use std::collections::{HashMap, HashSet};

use crate::template::valid_name;
use crate::toml::Table;

/// A program that is written.
pub(super) struct Program {
    /// The position of its section.
    pub(super) section: usize,
    /// The name of the section, without its kind.
    pub(super) base: String,
    /// Its name.
    pub(super) name: String,
    /// Whether it is one of several that a section was split into.
    pub(super) is_split: bool,
    pub(super) table: Table,
    /// `[program.x.environment]`, if it is too long for one line.
    pub(super) environment: Option<Table>,
    pub(super) probes: Vec<Table>,
    pub(super) autostart: bool,
    pub(super) priority: i64,
    /// Seconds between stop signal and SIGKILL.
    pub(super) patience: i64,
}

impl Program {
    /// Its tables, in order.
    pub(super) fn tables(&self) -> Vec<Table> {
        let more = self.environment.iter().chain(&self.probes).cloned();
        std::iter::once(self.table.clone()).chain(more).collect()
    }
}

/// The names of programs and groups so far.
#[derive(Default)]
pub(super) struct TakenNames {
    pub(super) names: HashSet<String>,
    /// The last number behind each name, so that many equal ones are not tried one after another.
    numbers: HashMap<String, usize>,
}

impl TakenNames {
    /// A valid name that is not taken yet.
    pub(super) fn take(&mut self, name: &str, suffix: &str) -> String {
        let valid = valid_name(name);
        let mut free = valid.clone();
        while !self.names.insert(free.clone()) {
            let number = self.numbers.entry(format!("{valid}{suffix}")).or_default();
            *number += 1;
            free = if *number == 1 { format!("{valid}{suffix}") } else { format!("{valid}{suffix}-{number}") };
        }
        free
    }
}
