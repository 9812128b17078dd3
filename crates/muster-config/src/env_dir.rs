//! `env_dir`: a directory whose files are variables, as s6-envdir has it. A file is named after its variable.
//!
//! One newline at the end of a file is cut, further NUL bytes are newlines, and an empty file removes the variable. Hidden files
//! and subdirectories are no variables, so that a mounted ConfigMap can be used.

use std::fs;
use std::io;
use std::path::Path;
use std::rc::Rc;

use muster_spec::UserSpec;

use crate::drafts::environment::is_variable_name;
use crate::env_file::{Entries, EnvFiles, Form, cannot_read, named};
use crate::field::Field;
use crate::source::ReadError;

/// The most bytes of all values: execve(2) takes no larger environment by default.
const LARGEST: usize = 2 * 1024 * 1024;

/// More files than any environment has variables.
const MOST: usize = 10_000;

impl EnvFiles<'_> {
    /// The variables of the directory that a value names, each as of a file of its own.
    pub(crate) fn read_directory_for(&self, field: &Field<'_>, user: Option<&UserSpec>) -> Vec<Rc<Entries>> {
        let Some((path, may_be_missing)) = named(field, "env_dir = [\"/etc/web.env.d\"]") else { return Vec::new() };
        let known = self.directories.borrow().get(&path).cloned();
        let names = known.unwrap_or_else(|| {
            let names: Rc<[String]> = list(field, &path, may_be_missing).into();
            self.directories.borrow_mut().insert(path.clone(), Rc::clone(&names));
            names
        });
        let (mut all, mut bytes) = (Vec::new(), 0);
        for name in names.iter() {
            // A file that is removed meanwhile is no variable.
            let Some(entries) = self.entries_of(field, (path.join(name), Form::Value), user, true) else { continue };
            bytes += entries.iter().filter_map(|(_, value)| value.as_ref()).map(String::len).sum::<usize>();
            if bytes > LARGEST {
                field.error(format_args!("has more than 2 MiB: {}", path.display()));
                break;
            }
            all.push(entries);
        }
        all
    }
}

/// The names of its files, in order. Reports a directory that cannot be read, and names that are no variable's.
fn list(field: &Field<'_>, path: &Path, may_be_missing: bool) -> Vec<String> {
    let found = fs::read_dir(path)
        .and_then(|entries| entries.take(MOST + 1).map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>());
    let found = match found {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            field.error_with_hint(format_args!("is no directory: {}", path.display()), "env_file reads a file");
            return Vec::new();
        }
        found => found.map_err(ReadError::of),
    };
    let found = match found {
        Ok(found) => found,
        Err(ReadError::Missing) if may_be_missing => return Vec::new(),
        Err(error) => {
            cannot_read(field, path, &error);
            return Vec::new();
        }
    };
    if found.len() > MOST {
        field.error(format_args!("has more than {MOST} files: {}", path.display()));
        return Vec::new();
    }
    let (mut names, mut others) = (Vec::new(), Vec::new());
    for name in found {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with('.') || fs::metadata(path.join(&name)).is_ok_and(|about| about.is_dir()) {
            continue;
        }
        let fits = is_variable_name(&name) && !name.contains(char::is_whitespace) && !name.contains('\u{fffd}');
        if fits { names.push(name) } else { others.push(name) }
    }
    names.sort_unstable();
    if let Some(first) = others.iter().min() {
        let rest = others.len() - 1;
        let rest = if rest == 0 { String::new() } else { format!(" and {rest} more") };
        let problem = format!("leaves out {first:?}{rest} in {}: not a name of a variable", path.display());
        field.warning(problem, "remove it, or give it the name of a variable");
    }
    names
}

/// The variable that is the file of this path, with this text.
pub(crate) fn variable(path: &Path, text: &str) -> Entries {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let value = (!text.is_empty()).then(|| text.strip_suffix('\n').unwrap_or(text).replace('\0', "\n"));
    vec![(name, value)]
}
