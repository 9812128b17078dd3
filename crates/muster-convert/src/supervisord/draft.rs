//! A table under construction: its keys, and the comments of the section that it is made of.

use muster_import::supervisord::Section;

use crate::toml::{Key, Table};

/// A table, and the position of each key's source in its section.
#[derive(Clone, Debug)]
pub(super) struct Draft<'s> {
    section: &'s Section,
    table: Table,
    sources: Vec<Option<usize>>,
}

impl<'s> Draft<'s> {
    pub(super) fn new(header: String, section: &'s Section) -> Draft<'s> {
        Draft { section, table: Table::new(header), sources: Vec::new() }
    }

    /// Adds a key that has no source.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.table.set(name, value);
        self.sources.push(None);
    }

    /// Adds a key that is made of the section's `key`.
    pub(super) fn set_from(&mut self, name: &str, value: impl Into<String>, key: &str) {
        self.table.set(name, value);
        self.sources.push(self.section.entries.iter().position(|entry| entry.key == key));
    }

    /// The table with the comments in their places: those of a key that is not written go to the next one that is.
    pub(super) fn finish(mut self) -> Table {
        let comments = &self.section.comments;
        self.table.above = comments.above.clone();
        self.table.behind = comments.behind.clone();
        let mut pending = Vec::new();
        for (at, entry) in self.section.entries.iter().enumerate() {
            pending.extend(entry.comments.above.iter().cloned());
            let target = self.sources.iter().position(|source| *source == Some(at));
            if let Some(key) = target.and_then(|target| self.table.keys.get_mut(target)) {
                key.above = std::mem::take(&mut pending);
                // A value of several lines has no line for it.
                match &entry.comments.behind {
                    Some(behind) if key.value.contains('\n') => key.above.push(behind.clone()),
                    behind => key.behind = behind.clone(),
                }
            }
        }
        pending.extend(self.section.below.iter().cloned());
        self.table.below = pending;
        self.table
    }
}

/// Removes a key; its comments go to the next key.
pub(super) fn take(table: &mut Table, name: &str) -> Option<Key> {
    let at = table.keys.iter().position(|key| key.name == name)?;
    let mut key = table.keys.remove(at);
    let mut comments = std::mem::take(&mut key.above);
    match table.keys.get_mut(at) {
        Some(next) => {
            comments.append(&mut next.above);
            next.above = comments;
        }
        None => {
            comments.append(&mut table.below);
            table.below = comments;
        }
    }
    Some(key)
}
