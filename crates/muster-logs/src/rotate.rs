//! The names of rotated files: `web.log.1` is the newest, `web.log.2` the one before, each possibly with `.gz`.
//!
//! Only renames happen here, in the real directory of the file and with its user's privileges: see
//! [`muster_sys::trusted`]. A file is missing under its own name only for the time it takes to reopen it, and
//! if the machine crashes at any point, every byte is in one of the files.

use std::io;
use std::path::{Path, PathBuf};

use muster_spec::Rotation;
use muster_sys::trusted::{Inode, Missing, TrustedPlace};

use super::policy::FilePolicy;

/// Files with a higher number can only come from another configuration, and are not searched for.
const MOST_NUMBERS: u32 = 2_000;

/// A log file's configured path, and its policy.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) path: PathBuf,
    pub(super) policy: FilePolicy,
}

impl Names {
    pub(super) fn new(path: &Path, policy: impl Into<FilePolicy>) -> Names {
        Names { path: path.to_owned(), policy: policy.into() }
    }

    /// The current real directory and name of the file.
    pub(super) fn place(&self, missing: Missing) -> io::Result<TrustedPlace> {
        TrustedPlace::resolve(&self.path, &self.policy.trust(), missing)
    }
}

pub(super) fn plain(number: u32) -> String {
    format!(".{number}")
}

pub(super) fn compressed(number: u32) -> String {
    format!(".{number}.gz")
}

/// Makes room for a new file: renumbers every file, and removes those beyond the last. If none is to be kept, the full one
/// stays where it is, to be emptied. Returns `false` if it no longer exists.
pub(super) fn shift(place: &TrustedPlace, rotation: Rotation, full: Inode) -> io::Result<bool> {
    if place.inode("")? != Some(full) {
        return Ok(false);
    }
    let kept = rotation.max_files;
    remove_beyond(place, kept)?;
    if kept == 0 {
        return Ok(true);
    }
    for number in (1..kept).rev() {
        let moved = place.rename(&plain(number), &plain(number + 1))?;
        let moved_compressed = place.rename(&compressed(number), &compressed(number + 1))?;
        if moved && moved_compressed {
            // It was compressed, and the machine crashed before the original could be removed.
            place.remove(&plain(number + 1))?;
        }
    }
    place.rename("", &plain(1))
}

/// Removes the oldest file, whose number is needed, and those left from a larger `max_files`.
fn remove_beyond(place: &TrustedPlace, kept: u32) -> io::Result<()> {
    for number in kept.max(1)..kept.saturating_add(MOST_NUMBERS) {
        let was_plain = place.remove(&plain(number))?;
        let was_compressed = place.remove(&compressed(number))?;
        if !was_plain && !was_compressed && number > kept {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The files that exist after these were shifted.
    fn shifted(max_files: u32, before: &[(&str, &str)]) -> Vec<(String, String)> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in before {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let rotation = Rotation { max_size: 1, max_files, compress: false };
        let place = Names::new(&directory.path().join("log"), rotation).place(Missing::Fail).unwrap();
        let full = place.inode("").unwrap().unwrap();
        assert!(shift(&place, rotation, full).unwrap());
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
    fn nothing_but_the_file_to_be_emptied_is_kept_when_nothing_shall_be() {
        check(0, &[("log", "b"), ("log.1", "a")], &[("log", "b")]);
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

    #[test]
    fn another_file_under_the_name_stays_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let rotation = Rotation { max_size: 1, max_files: 3, compress: false };
        let place = Names::new(&directory.path().join("log"), rotation).place(Missing::Fail).unwrap();
        fs::write(directory.path().join("log"), "ours").unwrap();
        let full = place.inode("").unwrap().unwrap();
        fs::rename(directory.path().join("log"), directory.path().join("moved")).unwrap();
        assert!(!shift(&place, rotation, full).unwrap(), "it is gone");
        fs::write(directory.path().join("log"), "another").unwrap();
        assert!(!shift(&place, rotation, full).unwrap());
        assert_eq!(fs::read_to_string(directory.path().join("log")).unwrap(), "another");
    }
}
