//! `env_dir`: a directory whose files are variables, as s6-envdir has it. A file is named after its variable.
//!
//! One newline at the end of a file is cut, further NUL bytes are newlines, and an empty file removes the variable. Hidden files
//! and subdirectories are no variables, so that a mounted ConfigMap can be used.

use std::fs::{self, File, FileType};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::rc::Rc;

use muster_spec::UserSpec;

use crate::drafts::environment::is_variable_name;
use crate::env_file::{Entries, EnvFiles, Form, cannot_read, named};
use crate::field::Field;
use crate::source::{ReadError, Role};

/// The most bytes of all values: execve(2) takes no larger environment by default.
const LARGEST: usize = 2 * 1024 * 1024;

/// More files than any environment has variables.
const MOST: usize = 10_000;

pub(crate) const EXAMPLE: &str = "env_dir = [\"/etc/web.env.d\"]";

impl EnvFiles<'_> {
    /// The variables of the directory that a value names, each as of a file of its own.
    pub(crate) fn read_directory_for(&self, field: &Field<'_>, user: Option<&UserSpec>) -> Vec<Rc<Entries>> {
        let Some((path, may_be_missing)) = named(field, EXAMPLE) else { return Vec::new() };
        let Some(names) = self.names_in(field, &path, user, may_be_missing) else { return Vec::new() };
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

impl EnvFiles<'_> {
    /// The names in a directory, for a program of this user. Each directory is listed once, and judged for each user.
    fn names_in(
        &self,
        field: &Field<'_>,
        path: &Path,
        user: Option<&UserSpec>,
        may_be_missing: bool,
    ) -> Option<Rc<[String]>> {
        let by = &field.around.files[field.file].path;
        let open = |path: &Path| (self.open)(path, Role::Directory { by, user });
        let is_judged = !self.judged.borrow_mut().insert((path.to_owned(), field.file, user.cloned()));
        let known = self.directories.borrow().get(path).cloned();
        let names = match known {
            Some(names) if is_judged => return Some(names),
            Some(names) => match open(path) {
                Err(error) if !(may_be_missing && error.kind() == io::ErrorKind::NotFound) => {
                    cannot_read(field, path, &ReadError::of(error));
                    return None;
                }
                _ => return Some(names),
            },
            None => list(field, path, &open, may_be_missing),
        };
        let names: Rc<[String]> = names.into();
        self.directories.borrow_mut().insert(path.to_owned(), Rc::clone(&names));
        Some(names)
    }
}

/// The names in an open directory, each with whether it is known to be a directory or a link.
fn entries(directory: &File) -> io::Result<Vec<(String, Option<FileType>)>> {
    // By its descriptor: whatever has the path by now was not judged.
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let entries = fs::read_dir(path)?.take(MOST + 1);
    entries.map(|entry| entry.map(|it| (it.file_name().to_string_lossy().into_owned(), it.file_type().ok()))).collect()
}

/// The names of its files, in order. Reports a directory that cannot be read, and names that are no variable's.
fn list(field: &Field<'_>, path: &Path, open: &dyn Fn(&Path) -> io::Result<File>, may_be_missing: bool) -> Vec<String> {
    let found = match open(path).and_then(|directory| entries(&directory)) {
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
    for (name, kind) in found {
        // A link to a directory can be opened as one, if it may be followed at all.
        let is_directory =
            kind.is_some_and(|kind| kind.is_dir() || kind.is_symlink() && is_listed(open, &path.join(&name)));
        if name.starts_with('.') || is_directory {
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

fn is_listed(open: &dyn Fn(&Path) -> io::Result<File>, path: &Path) -> bool {
    open(path).and_then(|opened| opened.metadata()).is_ok_and(|about| about.is_dir())
}

/// The variable that is the file of this path, with this text.
pub(crate) fn variable(path: &Path, text: &str) -> Entries {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let value = (!text.is_empty()).then(|| text.strip_suffix('\n').unwrap_or(text).replace('\0', "\n"));
    vec![(name, value)]
}
