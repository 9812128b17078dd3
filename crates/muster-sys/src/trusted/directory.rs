//! Directories that are opened to list their names.
//!
//! A name can tell as much as a file does, so a directory is judged like the files in it: a link of a program's user is not
//! followed, and a directory of that user is opened with the user's privileges.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

use super::Trust;
use super::identity::as_user;
use super::walk::{open_at, walk_into};

/// Opens the directory of this path for reading.
pub fn open_directory(path: &Path, trust: &Trust) -> io::Result<File> {
    let level = walk_into(path, trust)?;
    let rights = level.rights.as_ref().or(trust.user.as_ref().filter(|_| level.verdict.is_shared));
    as_user(rights, || open_at(level.directory.as_fd(), c".", libc::O_RDONLY | libc::O_DIRECTORY))
}

/// The names in a directory, at most this many of them, in no order.
pub fn names(directory: File, most: usize) -> io::Result<Vec<OsString>> {
    let stream = Stream::of(directory)?;
    let mut names = Vec::new();
    while names.len() < most
        && let Some(name) = stream.next()?
    {
        names.push(name);
    }
    Ok(names)
}

/// An open directory of the C library.
struct Stream(NonNull<libc::DIR>);

impl Stream {
    fn of(directory: File) -> io::Result<Stream> {
        // SAFETY: the descriptor is ours alone, and belongs to the stream from now on.
        let stream = unsafe { libc::fdopendir(directory.into_raw_fd()) };
        NonNull::new(stream).map(Stream).ok_or_else(io::Error::last_os_error)
    }

    /// The next name but `.` and `..`.
    fn next(&self) -> io::Result<Option<OsString>> {
        loop {
            // SAFETY: errno belongs to this thread. readdir(3) leaves it alone at the end of the directory.
            unsafe { *libc::__errno_location() = 0 };
            // SAFETY: the stream is open, and this thread alone uses it.
            let entry = unsafe { libc::readdir(self.0.as_ptr()) };
            if entry.is_null() {
                let error = io::Error::last_os_error();
                return if error.raw_os_error() == Some(0) { Ok(None) } else { Err(error) };
            }
            // SAFETY: the entry is valid until the next call, and its name is a C string.
            let name = unsafe { CStr::from_ptr((&raw const (*entry).d_name).cast()) }.to_bytes();
            if name != b"." && name != b".." {
                return Ok(Some(OsStr::from_bytes(name).to_owned()));
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream is open, and nothing uses it after this.
        unsafe { libc::closedir(self.0.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use crate::trusted::{Identity, Refusal};

    const USER: u32 = 4_242;

    fn listed(path: &Path, trust: &Trust) -> io::Result<Vec<OsString>> {
        let mut found = names(open_directory(path, trust)?, 10)?;
        found.sort();
        Ok(found)
    }

    #[test]
    fn all_names_are_listed_up_to_a_number() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        for name in ["b", "a", ".hidden"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert_eq!(listed(directory.path(), &Trust::own()).unwrap(), [".hidden", "a", "b"]);
        let opened = open_directory(directory.path(), &Trust::own()).unwrap();
        assert_eq!(names(opened, 2).unwrap().len(), 2);
        let of = |name: &str| listed(&directory.path().join(name), &Trust::own()).unwrap_err().kind();
        assert_eq!((of("a"), of("no")), (io::ErrorKind::NotADirectory, io::ErrorKind::NotFound));
    }

    /// A program's user cannot see the names of a directory that the user could not list.
    #[test]
    fn a_link_of_a_user_shows_no_names() {
        // SAFETY: geteuid touches no memory.
        if unsafe { libc::geteuid() } != 0 {
            return eprintln!("SKIPPED: needs root");
        }
        let scene = tempfile::tempdir().unwrap();
        fs::set_permissions(scene.path(), Permissions::from_mode(0o755)).unwrap();
        let (home, secret) = (scene.path().join("home"), scene.path().join("secret"));
        for path in [&home, &secret] {
            fs::create_dir(path).unwrap();
        }
        fs::set_permissions(&secret, Permissions::from_mode(0o700)).unwrap();
        fs::write(secret.join("customer-42.key"), "").unwrap();
        chown(&home, Some(USER), Some(USER)).unwrap();
        let of_user = Trust::program(Some(Identity { uid: USER, gid: USER, groups: vec![USER] }));
        for trust in [&of_user, &Trust::program(None)] {
            symlink(&secret, home.join("conf")).unwrap();
            let refused = listed(&home.join("conf"), trust).unwrap_err();
            assert!(Refusal::of(&refused).is_some(), "{refused}");
            fs::remove_file(home.join("conf")).unwrap();
            // Root's directory, moved there by root: the user may not read it.
            fs::rename(&secret, home.join("conf")).unwrap();
            assert!(listed(&home.join("conf"), trust).is_err());
            fs::rename(home.join("conf"), &secret).unwrap();
            assert!(listed(&home, trust).unwrap().is_empty());
            // The administrator's own path and link are as good as ever.
            symlink(&secret, scene.path().join("link")).unwrap();
            assert_eq!(listed(&scene.path().join("link"), trust).unwrap(), ["customer-42.key"]);
            fs::remove_file(scene.path().join("link")).unwrap();
        }
        assert!(Refusal::of(&listed(&home, &Trust::own()).unwrap_err()).is_some());
    }
}
