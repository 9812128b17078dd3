//! The names of rotated files: `web.log.1` is the newest, `web.log.2` the one before, each perhaps with `.gz`.
//!
//! Renaming is all that happens here. A file is never empty under its own name for longer than it takes to open it anew, and
//! whatever moment the machine stops at, every byte is in one of the files.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use muster_core::spec::Rotation;

/// A log file's path and those of its predecessors.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) path: PathBuf,
    pub(super) rotation: Rotation,
}

impl Names {
    pub(super) fn new(path: &Path, rotation: Rotation) -> Names {
        Names { path: path.to_owned(), rotation }
    }

    fn with(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        PathBuf::from(name)
    }

    pub(super) fn plain(&self, number: u32) -> PathBuf {
        self.with(&format!(".{number}"))
    }

    pub(super) fn compressed(&self, number: u32) -> PathBuf {
        self.with(&format!(".{number}.gz"))
    }

    /// Where a file is compressed to before it has a name of its own.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.with(".gz.unfinished")
    }

    /// Makes room for a new file under the path: every file moves on by one number, and those beyond the last are removed.
    pub(super) fn shift(&self) -> io::Result<()> {
        let kept = self.rotation.max_files;
        self.remove_beyond(kept)?;
        if kept == 0 {
            return ignore_missing(std::fs::remove_file(&self.path));
        }
        for number in (1..kept).rev() {
            let moved = rename(&self.plain(number), &self.plain(number + 1))?;
            let moved_compressed = rename(&self.compressed(number), &self.compressed(number + 1))?;
            if moved && moved_compressed {
                // It was compressed, and the machine stopped before the original could be removed.
                ignore_missing(std::fs::remove_file(self.plain(number + 1)))?;
            }
        }
        rename(&self.path, &self.plain(1)).map(drop)
    }

    /// Removes the oldest file that is kept, whose place is needed, and any that there were when more were kept.
    fn remove_beyond(&self, kept: u32) -> io::Result<()> {
        for number in kept.max(1).. {
            let plain = removed(&self.plain(number))?;
            let compressed = removed(&self.compressed(number))?;
            if !plain && !compressed && number > kept {
                break;
            }
        }
        Ok(())
    }
}

fn removed(path: &Path) -> io::Result<bool> {
    existing(std::fs::remove_file(path))
}

fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    existing(std::fs::rename(from, to))
}

/// Whether it was there.
fn existing(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    existing(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What is there after files were there and were shifted.
    fn shifted(max_files: u32, before: &[(&str, &str)]) -> Vec<(String, String)> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in before {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let rotation = Rotation { max_size: 1, max_files, compress: false };
        Names::new(&directory.path().join("log"), rotation).shift().unwrap();
        let mut after: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
            .collect();
        after.sort();
        after
    }

    fn check(max_files: u32, before: &[(&str, &str)], after: &[(&str, &str)]) {
        let after: Vec<_> = after.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        assert_eq!(shifted(max_files, before), after);
    }

    #[test]
    fn every_file_moves_on_by_one_and_the_last_is_removed() {
        check(2, &[("log", "a")], &[("log.1", "a")]);
        check(2, &[("log", "c"), ("log.1", "b"), ("log.2", "a")], &[("log.1", "c"), ("log.2", "b")]);
        check(
            3,
            &[("log", "d"), ("log.1", "c"), ("log.2.gz", "b"), ("log.3.gz", "a")],
            &[("log.1", "d"), ("log.2", "c"), ("log.3.gz", "b")],
        );
        check(1, &[("log", "b"), ("log.1.gz", "a")], &[("log.1", "b")]);
    }

    #[test]
    fn nothing_is_kept_when_nothing_shall_be() {
        check(0, &[("log", "b"), ("log.1", "a")], &[]);
    }

    #[test]
    fn files_from_when_more_were_kept_are_removed() {
        check(
            1,
            &[("log", "e"), ("log.1", "d"), ("log.2", "c"), ("log.3.gz", "b"), ("other", "x")],
            &[("log.1", "e"), ("other", "x")],
        );
    }

    #[test]
    fn of_a_file_that_is_there_twice_the_compressed_one_is_kept() {
        check(3, &[("log", "b"), ("log.1", "a"), ("log.1.gz", "z")], &[("log.1", "b"), ("log.2.gz", "z")]);
    }
}
