//! Where a configuration comes from: the paths given, or the first default path that exists.
//!
//! A [`Source`] carries everything that could differ between two loads, including the environment, so the same source
//! always gives the same result. Included files are found in `include`.

use std::cell::OnceCell;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use muster_spec::UserSpec;

use crate::diagnostic::Lines;
use crate::drafts::tls::{CertificateCheck, any_certificate};
use crate::remote::is_address;

/// The input of a load.
pub struct Source<'a> {
    /// Files and directories, in the order given; later ones win by key.
    pub paths: &'a [PathBuf],
    /// The daemon's environment.
    pub variables: &'a dyn Fn(&str) -> Option<String>,
    /// The host's name, for `{host}`.
    pub host: &'a str,
    /// Opens the files that are read.
    pub open: &'a Opener,
    /// Judges the certificates of listeners.
    pub certificates: &'a CertificateCheck,
    /// The number of processors, for `numprocs = "cpus"`.
    pub processors: &'a dyn Fn() -> u32,
}

impl<'a> Source<'a> {
    /// With files opened as they are, and certificates accepted unread: for a configuration that no daemon gets.
    pub fn unguarded(paths: &'a [PathBuf], variables: &'a dyn Fn(&str) -> Option<String>, host: &'a str) -> Source<'a> {
        Source { paths, variables, host, open: &open_any, certificates: &any_certificate, processors: &one_processor }
    }
}

/// The number of processors where a configuration is to mean the same on every machine.
pub fn one_processor() -> u32 {
    1
}

/// Opens a file for a load. The caller decides with which privileges, and which kinds of files are acceptable.
pub type Opener = dyn Fn(&Path, Role<'_>) -> io::Result<fs::File>;

/// The purpose a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// A configuration named on the command line.
    Named,
    /// A configuration that another file includes, or in a directory that was named.
    Included {
        /// That file or directory.
        by: &'a Path,
    },
    /// An environment file.
    Environment {
        /// The configuration that names it.
        by: &'a Path,
        /// The user of the program that gets its variables.
        user: Option<&'a UserSpec>,
    },
    /// A directory of environment files, to be listed.
    Directory {
        /// The configuration that names it.
        by: &'a Path,
        /// The user of the program that gets their variables.
        user: Option<&'a UserSpec>,
    },
}

/// The error of an [`Opener`] for a file that an untrusted user could have written or chosen.
#[derive(Clone, Debug)]
pub struct Untrusted {
    /// The reason.
    pub reason: String,
    /// How to fix it.
    pub hint: String,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Untrusted {}

/// An [`Opener`] that trusts every file, for tools and tests.
pub fn open_any(path: &Path, _: Role<'_>) -> io::Result<fs::File> {
    fs::File::open(path)
}

/// The configuration used when none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultPath {
    /// The first that exists.
    pub found: Option<PathBuf>,
    /// All paths that were tried, in order, up to and including the one found.
    pub tried: Vec<PathBuf>,
}

const USUAL: [&str; 3] = ["/etc/muster/muster.toml", "/etc/muster.toml", "./muster.toml"];

/// Tries `$MUSTER_CONFIG`, then the default paths.
///
/// A file named by `$MUSTER_CONFIG` is used even if it does not exist: the daemon then fails with an error about it,
/// instead of silently starting with another configuration.
pub fn default_path(variables: &dyn Fn(&str) -> Option<String>) -> DefaultPath {
    if let Some(named) = variables("MUSTER_CONFIG").filter(|named| !named.is_empty()) {
        let path = PathBuf::from(named);
        return DefaultPath { found: Some(path.clone()), tried: vec![path] };
    }
    first_existing(USUAL.iter().map(PathBuf::from))
}

fn first_existing(candidates: impl Iterator<Item = PathBuf>) -> DefaultPath {
    let mut tried = Vec::new();
    for path in candidates {
        tried.push(path.clone());
        if path.exists() {
            return DefaultPath { found: Some(path), tried };
        }
    }
    DefaultPath { found: None, tried }
}

/// A path that a load looked at: if it changes, another load may have another result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LookedAt {
    /// A file, existing or not.
    File(PathBuf),
    /// The names in a directory, existing or not.
    Directory(PathBuf),
}

/// The place in the file on disk of a part of a text that was made of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// The first byte of the part in the text; the part ends where the next one begins.
    pub(crate) start: usize,
    /// Its line in the file, from 1.
    pub(crate) line: usize,
    /// Its column in characters, from 1.
    pub(crate) column: usize,
    /// Whether the part's first line is the same in the file.
    pub(crate) is_verbatim: bool,
}

/// A file that was read, or could not be.
#[derive(Debug)]
pub(crate) struct File {
    /// The path as given, for messages.
    pub(crate) path: PathBuf,
    /// Whether a server has it, so that it has no directory.
    pub(crate) is_remote: bool,
    /// Its absolute directory: `{here}`, and the base of relative paths.
    pub(crate) directory: PathBuf,
    /// Its text; empty if it could not be read.
    pub(crate) text: String,
    /// Whether it could be read.
    pub(crate) was_read: bool,
    /// The places in the file on disk, if the text was made of values from it.
    pub(crate) origins: Vec<Origin>,
    lines: OnceCell<Lines>,
}

impl File {
    /// A file without text, for messages about its path.
    pub(crate) fn unread(path: &Path) -> File {
        File { was_read: false, ..File::read(path, String::new()) }
    }

    /// A file with its text.
    pub(crate) fn read(path: &Path, text: String) -> File {
        let directory = directory_of(path);
        let (path, origins, lines) = (path.to_owned(), Vec::new(), OnceCell::new());
        File { path, is_remote: false, directory, text, was_read: true, origins, lines }
    }

    /// A text that stands for arguments of the command line. It is no file that was read.
    pub(crate) fn made_of_arguments(text: String) -> File {
        File { was_read: false, ..File::read(Path::new("(command line)"), text) }
    }

    /// A text of a server.
    pub(crate) fn remote(shown: &Path, text: String) -> File {
        File { is_remote: true, ..File::read(shown, text) }
    }

    /// Line and column on disk, both from 1, of a byte of a text that was made.
    pub(crate) fn origin(&self, at: usize) -> Option<(usize, usize)> {
        let part = self.origins.partition_point(|origin| origin.start <= at).checked_sub(1)?;
        let Origin { start, line, column, is_verbatim } = self.origins[part];
        let before = &self.text[start..at];
        let is_near = is_verbatim && !before.contains('\n');
        Some((line, if is_near { column + before.chars().count() } else { column }))
    }

    /// A text that was made of values in a file.
    pub(crate) fn made(path: &Path, text: String, origins: Vec<Origin>) -> File {
        File { origins, ..File::read(path, text) }
    }

    /// The offsets of its lines.
    pub(crate) fn lines(&self) -> &Lines {
        self.lines.get_or_init(|| Lines::of(&self.text))
    }
}

/// The absolute directory of a file, computed without file system access.
pub(crate) fn directory_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

/// A path without its `.` parts and doubled slashes, relative ones taken from `directory`.
pub(crate) fn resolve(directory: &Path, path: &str) -> PathBuf {
    directory.join(path).components().collect()
}

/// The files read so far; values borrow from earlier ones while later ones are added.
///
/// A linked list, because a growing vector would move its elements.
#[derive(Default)]
pub(crate) struct Shelf(OnceCell<Box<(File, Shelf)>>);

impl Shelf {
    /// Appends a file; returns it and the new end.
    pub(crate) fn put(&self, file: File) -> (&File, &Shelf) {
        let (file, rest) = &**self.0.get_or_init(|| Box::new((file, Shelf::default())));
        (file, rest)
    }

    /// All files so far, by their numbers.
    pub(crate) fn files(&self) -> Vec<&File> {
        let mut files = Vec::new();
        let mut shelf = self;
        while let Some((file, rest)) = shelf.0.get().map(|entry| &**entry) {
            files.push(file);
            shelf = rest;
        }
        files
    }

    /// All files in the order of reading.
    pub(crate) fn into_files(self) -> Vec<File> {
        let mut files = Vec::new();
        let mut next = self.0.into_inner();
        while let Some(entry) = next {
            let (file, rest) = *entry;
            files.push(file);
            next = rest.0.into_inner();
        }
        files
    }
}

/// The largest file that is read: a larger one is the wrong file, or endless.
pub(crate) const LARGEST: u64 = 16 << 20;

/// Reads a text file.
pub(crate) fn read_text(open: &Opener, path: &Path, role: Role<'_>) -> Result<String, ReadError> {
    as_text(read_bytes(open, path, role, LARGEST)?)
}

/// The largest value of a variable, in bytes: execve(2) takes no longer text.
const LARGEST_VALUE: u64 = 128 * 1024;

/// Reads the value of a variable, without changing its line ends.
pub(crate) fn read_value(open: &Opener, path: &Path, role: Role<'_>) -> Result<String, ReadError> {
    let bytes = read_bytes(open, path, role, LARGEST_VALUE)?;
    if bytes.len() as u64 > LARGEST_VALUE {
        return Err(ReadError::Other("larger than 128 KiB, which no variable can be".to_owned()));
    }
    as_verbatim(bytes)
}

fn read_bytes(open: &Opener, path: &Path, role: Role<'_>, largest: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let file = open(path, role).map_err(ReadError::of)?;
    file.take(largest + 1).read_to_end(&mut bytes).map_err(ReadError::of)?;
    Ok(bytes)
}

/// The text of a file that was read up to [`LARGEST`].
pub(crate) fn as_text(mut bytes: Vec<u8>) -> Result<String, ReadError> {
    // Normalize line ends, also within multi-line values.
    if bytes.len() as u64 <= LARGEST && bytes.contains(&b'\r') {
        bytes = without_carriage_returns(&bytes);
    }
    as_verbatim(bytes)
}

fn as_verbatim(bytes: Vec<u8>) -> Result<String, ReadError> {
    if bytes.len() as u64 > LARGEST {
        return Err(ReadError::Other("larger than 16 MiB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let mut bytes = error.into_bytes();
        bytes.truncate(valid);
        ReadError::NotUtf8 { before: String::from_utf8(bytes).unwrap_or_default() }
    })
}

/// CRLF as LF; a carriage return anywhere else stays.
fn without_carriage_returns(bytes: &[u8]) -> Vec<u8> {
    let is_kept = |(at, byte): &(usize, &u8)| **byte != b'\r' || bytes.get(at + 1) != Some(&b'\n');
    bytes.iter().enumerate().filter(is_kept).map(|(_, &byte)| byte).collect()
}

/// Why a file could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It does not exist.
    Missing,
    /// It is not UTF-8.
    NotUtf8 {
        /// The text before the first invalid byte.
        before: String,
    },
    /// An untrusted user could have written or chosen it.
    Untrusted(Untrusted),
    /// Other users can read it, and must not.
    Exposed,
    /// Any other error.
    Other(String),
}

impl ReadError {
    pub(crate) fn of(error: io::Error) -> ReadError {
        if let Some(untrusted) = error.get_ref().and_then(|inner| inner.downcast_ref::<Untrusted>()) {
            return ReadError::Untrusted(untrusted.clone());
        }
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::Missing,
            // The opener's own message.
            _ if error.get_ref().is_some() => ReadError::Other(error.to_string()),
            kind => ReadError::Other(kind.to_string()),
        }
    }

    /// The hint, if there is one.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            ReadError::Untrusted(untrusted) => Some(&untrusted.hint),
            ReadError::Exposed => Some("chmod 0600; in Kubernetes, defaultMode: 0400 of the volume"),
            _ => None,
        }
    }

    /// The error in a message.
    pub(crate) fn describe(&self) -> &str {
        match self {
            ReadError::Missing => "no such file",
            ReadError::NotUtf8 { .. } => "not UTF-8 text",
            ReadError::Untrusted(untrusted) => &untrusted.reason,
            ReadError::Exposed => "every user can read it",
            ReadError::Other(reason) => reason,
        }
    }
}

/// Whether a file's name is that of a supervisord configuration: `.conf` or `.ini`.
pub fn is_supervisords(path: &Path) -> bool {
    !is_address(path) && path.extension().is_some_and(|extension| extension == "conf" || extension == "ini")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_beats_the_usual_places_even_if_the_file_is_missing() {
        let named = default_path(&|name| (name == "MUSTER_CONFIG").then(|| "/no/such.toml".to_owned()));
        assert_eq!(named.found, Some(PathBuf::from("/no/such.toml")));
        assert_eq!(named.tried, [PathBuf::from("/no/such.toml")]);
    }

    #[test]
    fn the_first_existing_path_is_found_and_the_tried_ones_are_told() {
        let there = tempfile::NamedTempFile::new().unwrap();
        let paths = [PathBuf::from("/no/such"), there.path().to_owned(), PathBuf::from("/never")];
        let answer = first_existing(paths.iter().cloned());
        assert_eq!(answer.found.as_deref(), Some(there.path()));
        assert_eq!(answer.tried, paths[..2]);
        let none = first_existing(paths[..1].iter().cloned());
        assert_eq!((none.found, none.tried.len()), (None, 1));
        assert_eq!(default_path(&|_| None).tried[0], Path::new("/etc/muster/muster.toml"));
    }

    #[test]
    fn lines_end_in_lf_whatever_the_editor() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "a = \"\"\"x\r\ny\"\"\"\r\nb\rc\r\r\n").unwrap();
        assert_eq!(read_text(&open_any, file.path(), Role::Named).unwrap(), "a = \"\"\"x\ny\"\"\"\nb\rc\r\n");
    }

    #[test]
    fn relative_paths_are_relative_to_the_files_directory() {
        for (path, expected) in [("a.env", "/etc/muster/a.env"), ("./b", "/etc/muster/b"), ("/x//y", "/x/y")] {
            assert_eq!(resolve(Path::new("/etc/muster"), path), Path::new(expected));
        }
    }
}
