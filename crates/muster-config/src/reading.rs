//! Reads a file that holds more than a configuration, as the scenarios of `musterd simulate` do.
//!
//! [`load_with`] loads a configuration and passes the caller's own keys in one of its files on as [`Field`]s: each reading
//! method reports its mistake with its place, and the load returns it with those of the configuration. Errors that can only
//! be found once the configuration is known are added with [`Loaded::reject`].

use std::path::{Path, PathBuf};

use crate::build;
use crate::diagnostic::locate_first;
use crate::dialect;
use crate::field::{Owner, Surroundings};
use crate::read::Document;
use crate::remote::Remote;
use crate::source::{directory_of, read_text, resolve};
use crate::value::{Content, Entries, Name, Value, Written};
use crate::{Loaded, Opener, Role, Source};

pub use crate::diagnostic::{Finding, MOST, Place};
pub use crate::field::{Field, Text};
pub use crate::words::nearest;

/// A file of a configuration that was parsed and not yet read.
pub struct OpenDocument<'d, 't> {
    file: usize,
    entries: &'d mut Entries<'t>,
    around: &'d Surroundings<'d>,
}

impl OpenDocument<'_, '_> {
    /// Removes keys from the file's root, so that the configuration does not see them, and reads each that was there.
    pub fn take(&mut self, keys: &[&str], mut read: impl FnMut(&str, &Field<'_>)) {
        let taken: Vec<_> = keys.iter().filter_map(|&key| Some((key, self.entries.remove(key)?))).collect();
        for (name, value) in &taken {
            let field = Field {
                around: self.around,
                owner: Owner::Root,
                program: None,
                instance: None,
                parent: None,
                name,
                key: None,
                file: self.file,
                value,
            };
            read(name, &field);
        }
    }

    /// Sets the command of each program in this file that has none to the program's name.
    pub fn default_commands(&mut self) {
        let Some(Content::Table(programs)) = self.entries.get_mut("program").map(|value| &mut value.content) else {
            return;
        };
        for (name, program) in programs.iter_mut() {
            if let Content::Table(keys) = &mut program.content
                && !keys.contains_key("command")
            {
                let text = Content::Text(Written::of_name(name));
                keys.insert(Name::new("command".into(), name.span()), Value::new(text, name.span()));
            }
        }
    }
}

/// As [`load`](crate::load); before the configuration is read, `take` may take keys out of the file of this path.
///
/// Returns `None` beside the configuration if that file could not be read.
pub fn load_with<T>(
    source: &Source<'_>,
    path: &Path,
    take: impl FnOnce(&mut OpenDocument<'_, '_>) -> T,
) -> (Loaded, Option<T>) {
    build::load_with((source, &Remote::default()), |documents: &mut [Document<'_>], around| {
        let document = documents.iter_mut().find(|document| around.files[document.id].path == path)?;
        Some(take(&mut OpenDocument { file: document.id, entries: &mut document.table, around }))
    })
}

/// The files that a key at the root of a file names, as one text or a list. Mistakes are left to [`load_with`].
pub fn named_files(path: &Path, key: &str, open: &Opener) -> Vec<PathBuf> {
    let Ok(text) = read_text(open, path, Role::Named) else { return Vec::new() };
    let entries = dialect::toml::parse_loosely(&text);
    let Some(value) = entries.get(key) else { return Vec::new() };
    let directory = directory_of(path);
    let named: Vec<&str> = match &value.content {
        Content::List(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => value.as_str().into_iter().collect(),
    };
    named.into_iter().map(|name| resolve(&directory, name)).collect()
}

impl Loaded {
    /// Adds errors that were found after the load, and withdraws the configuration.
    pub fn reject(&mut self, findings: Vec<Finding>) {
        self.diagnostics.extend(locate_first(findings, &self.texts, &self.disguises.secrets));
        self.spec = None;
    }
}
