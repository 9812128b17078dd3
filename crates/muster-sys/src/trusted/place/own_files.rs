//! Files of the daemon's own in a directory that other users may share, like /tmp: unpredictable names, and their removal.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{TrustedPlace, random};

/// The characters of unpredictable names.
const CHARACTERS: &[u8; 37] = b"abcdefghijklmnopqrstuvwxyz0123456789_";

/// The number of characters in an unpredictable name.
const LENGTH: usize = 8;

/// Maximum number of names in a directory that are looked at: any user can fill /tmp.
const MOST_NAMES: usize = 1_000_000;

/// Eight unpredictable characters of `[a-z0-9_]`.
pub fn random_name() -> io::Result<String> {
    let mut number = random()?;
    let mut next = || {
        let character = CHARACTERS[(number % CHARACTERS.len() as u64) as usize];
        number /= CHARACTERS.len() as u64;
        char::from(character)
    };
    Ok((0..LENGTH).map(|_| next()).collect())
}

impl TrustedPlace {
    /// Removes files of the daemon's own in the directory of this place, those whose names are meant, and returns their
    /// number. Links, files with a second name, files of other users and everything that is not a regular file stay.
    pub fn remove_own(&self, is_meant: impl Fn(&OsStr) -> bool) -> io::Result<usize> {
        let directory = if self.level.path.as_os_str().is_empty() { Path::new(".") } else { &self.level.path };
        let mut removed = 0;
        // The names are only hints: everything is looked at and removed in the directory that was judged.
        for entry in std::fs::read_dir(directory)?.take(MOST_NAMES) {
            let name = entry?.file_name();
            if is_meant(&name) && self.is_own(&name) {
                let place = TrustedPlace { name, ..self.clone() };
                removed += usize::from(place.remove("").unwrap_or(false));
            }
        }
        Ok(removed)
    }

    fn is_own(&self, name: &OsStr) -> bool {
        let about = self.level.look(name).ok().flatten().and_then(|file| file.metadata().ok());
        about.is_some_and(|about| about.is_file() && about.uid() == self.trust.own_uid && about.nlink() == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    use crate::trusted::{Missing, Trust};

    #[test]
    fn names_are_of_eight_characters_and_differ() {
        let names: std::collections::HashSet<String> = (0..100).map(|_| random_name().unwrap()).collect();
        assert_eq!(names.len(), 100);
        let is_known = |name: &String| name.len() == LENGTH && name.bytes().all(|byte| CHARACTERS.contains(&byte));
        assert!(names.iter().all(is_known), "{names:?}");
    }

    #[test]
    fn only_own_regular_files_with_one_name_that_are_meant_are_removed() {
        let scene = tempfile::tempdir().unwrap();
        let at = |name: &str| scene.path().join(name);
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("target"), "").unwrap();
        for name in ["old.log", "old.log.1", "other"] {
            fs::write(at(name), "").unwrap();
        }
        symlink(outside.path().join("target"), at("old.link")).unwrap();
        fs::hard_link(outside.path().join("target"), at("old.second")).unwrap();
        fs::create_dir(at("old.directory")).unwrap();
        let mut expected = vec!["old.directory", "old.link", "old.second", "other"];
        // SAFETY: geteuid touches no memory.
        if unsafe { libc::geteuid() } == 0 {
            fs::write(at("old.foreign"), "").unwrap();
            std::os::unix::fs::chown(at("old.foreign"), Some(4_242), None).unwrap();
            expected.insert(1, "old.foreign");
        }
        let place = TrustedPlace::resolve(&at("any"), &Trust::own(), Missing::Fail).unwrap();
        assert_eq!(place.remove_own(|name| name.to_string_lossy().starts_with("old")).unwrap(), 2);
        let mut left: Vec<_> = fs::read_dir(scene.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, expected);
    }
}
