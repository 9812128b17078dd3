//! Where a configuration comes from: the paths that were asked for, or the first usual one that exists.
//!
//! A [`Source`] carries everything that could differ between two loads, the environment included, so that the same
//! source always gives the same answer. Files that are included are found in `include`.

use std::cell::OnceCell;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use muster_spec::UserSpec;

use crate::diagnostic::Lines;

/// What to load.
pub struct Source<'a> {
    /// Files and directories, in the order given; later ones win by key.
    pub paths: &'a [PathBuf],
    /// The daemon's environment.
    pub variables: &'a dyn Fn(&str) -> Option<String>,
    /// The host's name, for `{host}`.
    pub host: &'a str,
    /// Opens the files that are read.
    pub open: &'a Opener,
}

/// Opens a file for a load: with whose rights, and which kinds of files will do, is for the caller to say.
pub type Opener = dyn Fn(&Path, Role<'_>) -> io::Result<fs::File>;

/// What a file is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// A configuration that was named when the daemon was started.
    Named,
    /// A configuration that another file includes, or that is in a directory that was named.
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
}

/// The error of an [`Opener`] for a file that somebody could have written or chosen who is not trusted.
#[derive(Clone, Debug)]
pub struct Untrusted {
    /// What is wrong.
    pub reason: String,
    /// What to do.
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

/// Which configuration is used when none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultPath {
    /// The first that exists.
    pub found: Option<PathBuf>,
    /// All that were looked for, in order, up to and with the one that was found.
    pub tried: Vec<PathBuf>,
}

const USUAL: [&str; 3] = ["/etc/muster/muster.toml", "/etc/muster.toml", "./muster.toml"];

/// Looks for `$MUSTER_CONFIG`, then the usual places.
///
/// What `$MUSTER_CONFIG` names is used even if it does not exist: the error is then about that file, and not a quiet
/// start with another.
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

/// Something that a load looked at: if it changes, another load may say something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LookedAt {
    /// A file, whether it is there or not.
    File(PathBuf),
    /// The names in a directory, whether it is there or not.
    Directory(PathBuf),
}

/// A file as it was read.
#[derive(Debug)]
pub(crate) struct File {
    /// As it was named, for messages.
    pub(crate) path: PathBuf,
    /// The absolute directory it is in: `{here}`, and what relative paths in it are relative to.
    pub(crate) directory: PathBuf,
    /// Its text; empty where it could not be read.
    pub(crate) text: String,
    /// Whether it could be.
    pub(crate) was_read: bool,
    lines: OnceCell<Lines>,
}

impl File {
    /// A file of which there is only the name.
    pub(crate) fn unread(path: &Path) -> File {
        File { was_read: false, ..File::read(path, String::new()) }
    }

    /// A file with its text.
    pub(crate) fn read(path: &Path, text: String) -> File {
        let directory = directory_of(path);
        File { path: path.to_owned(), directory, text, was_read: true, lines: OnceCell::new() }
    }

    /// Where its lines begin.
    pub(crate) fn lines(&self) -> &Lines {
        self.lines.get_or_init(|| Lines::of(&self.text))
    }
}

/// The absolute directory of a file, without looking at it.
pub(crate) fn directory_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

/// A path without its `.` parts and doubled slashes, relative ones taken from `directory`.
pub(crate) fn resolve(directory: &Path, path: &str) -> PathBuf {
    directory.join(path).components().collect()
}

/// Files as they are read one after another, while tables already borrow from the earlier ones.
///
/// A chain, because a vector would move its elements when it grows.
#[derive(Default)]
pub(crate) struct Shelf(OnceCell<Box<(File, Shelf)>>);

impl Shelf {
    /// Puts a file at the end of the chain; answers it and the new end.
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

/// A configuration is smaller than this; what is larger is a wrong file, or one without an end.
const LARGEST: u64 = 16 << 20;

/// Reads a file of text; the error is in the user's words.
pub(crate) fn read_text(open: &Opener, path: &Path, role: Role<'_>) -> Result<String, ReadError> {
    let mut bytes = Vec::new();
    let file = open(path, role).map_err(ReadError::of)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(ReadError::of)?;
    if bytes.len() as u64 > LARGEST {
        return Err(ReadError::Other("larger than 16 MiB".to_owned()));
    }
    // A line ends in \n whatever the editor, also in the middle of a value.
    if bytes.contains(&b'\r') {
        bytes = without_carriage_returns(&bytes);
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
    /// There is none.
    Missing,
    /// It is not text; `before` is what precedes the first wrong byte.
    NotUtf8 {
        /// The text up to there.
        before: String,
    },
    /// Somebody could have written or chosen it who is not trusted.
    Untrusted(Untrusted),
    /// Anything else.
    Other(String),
}

impl ReadError {
    pub(crate) fn of(error: io::Error) -> ReadError {
        if let Some(untrusted) = error.get_ref().and_then(|inner| inner.downcast_ref::<Untrusted>()) {
            return ReadError::Untrusted(untrusted.clone());
        }
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::Missing,
            // The opener's own words.
            _ if error.get_ref().is_some() => ReadError::Other(error.to_string()),
            kind => ReadError::Other(kind.to_string()),
        }
    }

    /// What helps, as far as it is known.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            ReadError::Untrusted(untrusted) => Some(&untrusted.hint),
            _ => None,
        }
    }

    /// In the user's words.
    pub(crate) fn describe(&self) -> &str {
        match self {
            ReadError::Missing => "no such file",
            ReadError::NotUtf8 { .. } => "not UTF-8 text",
            ReadError::Untrusted(untrusted) => &untrusted.reason,
            ReadError::Other(reason) => reason,
        }
    }
}

/// Whether a file's name is a supervisord configuration's.
pub(crate) fn is_supervisords(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "conf" || extension == "ini")
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
