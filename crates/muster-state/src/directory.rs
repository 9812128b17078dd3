//! The directory: opened once, checked, locked, and used by its descriptor from then on.
//!
//! A user who may write to a directory above can rename this one, but gets nothing into it. Files are opened without following
//! links, must be regular files of the daemon's user or root, and are replaced as a whole: a new file is written, synchronised and
//! renamed over the old one.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, open, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Larger than any document: the runs of ten thousand instances.
const LARGEST: u64 = 64 << 20;

/// The file whose lock shows that a daemon uses the directory.
const LOCK: &str = "lock";

/// Why a directory is not used.
#[derive(Debug)]
pub enum Refused {
    /// Another user could read or change what is kept there: the daemon must not start with it.
    Unsafe(String),
    /// It cannot be used, and the daemon goes on without it.
    Unusable(String),
}

/// An open directory that only the daemon uses.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    at: File,
    _lock: Lock,
}

#[derive(Debug)]
enum Lock {
    Taken {
        _file: Flock<File>,
    },
    /// Nothing can be written, so there is nothing to lock.
    ReadOnly,
}

impl Directory {
    /// Opens the directory, which is made if there is none, and locks it.
    pub fn open(path: &Path) -> Result<Directory, Refused> {
        let unusable = |error: io::Error| Refused::Unusable(error.to_string());
        match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(Refused::Unsafe("it is not a directory".to_owned()));
            }
            made => made.map_err(unusable)?,
        }
        let at = open_directory(path).map_err(unusable)?;
        check(&at)?;
        let lock = lock(&at)?;
        Ok(Directory { path: path.to_owned(), at, _lock: lock })
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of a file; `None` if there is none. An error is also a file that another user could have written.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        read_in(&self.at, name, nix::unistd::geteuid().as_raw())
    }

    /// Replaces a file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{name}.new");
        // A leftover of an earlier attempt.
        let _ = unlinkat(&self.at, new.as_str(), UnlinkatFlags::NoRemoveDir);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file: OwnedFd = openat(&self.at, new.as_str(), flags, Mode::from_bits_truncate(0o600))?;
        let mut file = File::from(file);
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // A part of it would only take space that is scarce.
            let _ = unlinkat(&self.at, new.as_str(), UnlinkatFlags::NoRemoveDir);
            return Err(error);
        }
        renameat(&self.at, new.as_str(), &self.at, name)?;
        self.at.sync_all()
    }

    /// Puts a file aside that cannot be understood, in place of one that was put aside before.
    pub fn put_aside(&self, name: &str) -> io::Result<()> {
        Ok(renameat(&self.at, name, &self.at, format!("{name}.bad").as_str())?)
    }
}

/// A file of a directory before the daemon has become its user: the owner must be that of the directory, which is to be checked
/// again.
pub(crate) fn peek(path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let at = match open_directory(path) {
        Ok(at) => at,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let about = at.metadata()?;
    if about.mode() & 0o077 != 0 {
        return Ok(None);
    }
    read_in(&at, name, about.uid())
}

fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(File::from(open(path, flags, Mode::empty())?))
}

/// The owner must be the daemon's user or root, and others must have no right at all.
fn check(at: &File) -> Result<(), Refused> {
    let about = at.metadata().map_err(|error| Refused::Unusable(error.to_string()))?;
    let own = nix::unistd::geteuid().as_raw();
    if about.uid() != own && about.uid() != 0 {
        let owner = about.uid();
        return Err(Refused::Unsafe(format!("it belongs to uid {owner}, and the daemon runs as uid {own}")));
    }
    let mode = about.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Refused::Unsafe(format!("its mode is {mode:04o}, and must be 0700: other users could use it")));
    }
    Ok(())
}

fn lock(at: &File) -> Result<Lock, Refused> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(at, LOCK, flags, Mode::from_bits_truncate(0o600)) {
        Ok(file) => File::from(file),
        Err(Errno::EROFS) => return Ok(Lock::ReadOnly),
        Err(error) => return Err(Refused::Unusable(format!("{LOCK}: {error}"))),
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => Ok(Lock::Taken { _file: file }),
        Err((_, Errno::EWOULDBLOCK)) => Err(Refused::Unusable("another daemon uses it".to_owned())),
        Err((_, error)) => Err(Refused::Unusable(format!("it cannot be locked: {error}"))),
    }
}

fn read_in(at: &File, name: &str, own: u32) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(at, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::ENOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let about = file.metadata()?;
    let refused = |why: &str| io::Error::new(ErrorKind::InvalidData, why.to_owned());
    if !about.is_file() {
        return Err(refused("it is not a file"));
    }
    if about.uid() != own && about.uid() != 0 || about.mode() & 0o022 != 0 {
        return Err(refused("another user could have written it"));
    }
    if about.len() > LARGEST {
        return Err(refused("it is too large"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::testing::place;

    #[test]
    fn a_directory_is_made_for_the_daemon_alone_and_is_used_by_one() {
        let place = place();
        let path = place.path().join("a/b");
        let directory = Directory::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        assert!(matches!(Directory::open(&path), Err(Refused::Unusable(why)) if why == "another daemon uses it"));
        drop(directory);
        assert!(Directory::open(&path).is_ok());
    }

    #[test]
    fn rights_of_others_are_refused() {
        for mode in [0o701, 0o710, 0o750, 0o755, 0o777, 0o1777] {
            let place = place();
            fs::set_permissions(place.path(), Permissions::from_mode(mode)).unwrap();
            let Err(Refused::Unsafe(why)) = Directory::open(place.path()) else { panic!("{mode:o} is accepted") };
            assert_eq!(why, format!("its mode is {mode:04o}, and must be 0700: other users could use it"));
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Directory::open(file.path()), Err(Refused::Unsafe(_))));
    }

    #[test]
    fn only_plain_files_of_trusted_users_are_read() {
        let place = place();
        let directory = Directory::open(place.path()).unwrap();
        assert_eq!(directory.read("a").unwrap(), None);
        directory.write("a", b"one").unwrap();
        directory.write("a", b"two").unwrap();
        assert_eq!(directory.read("a").unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(fs::metadata(place.path().join("a")).unwrap().mode() & 0o7777, 0o600);
        symlink("a", place.path().join("link")).unwrap();
        assert!(directory.read("link").is_err());
        nix::unistd::mkfifo(&place.path().join("fifo"), Mode::S_IRWXU).unwrap();
        assert_eq!(directory.read("fifo").unwrap_err().to_string(), "it is not a file");
        fs::create_dir(place.path().join("dir")).unwrap();
        assert!(directory.read("dir").is_err());
        fs::set_permissions(place.path().join("a"), Permissions::from_mode(0o622)).unwrap();
        assert_eq!(directory.read("a").unwrap_err().to_string(), "another user could have written it");
        let sparse = File::create(place.path().join("large")).unwrap();
        sparse.set_len(LARGEST + 1).unwrap();
        assert_eq!(directory.read("large").unwrap_err().to_string(), "it is too large");
    }

    #[test]
    fn a_link_in_the_place_of_a_new_file_is_not_followed() {
        let place = place();
        let directory = Directory::open(place.path()).unwrap();
        let victim = place.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, place.path().join("a.new")).unwrap();
        directory.write("a", b"one").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(directory.read("a").unwrap().as_deref(), Some(&b"one"[..]));
    }

    #[test]
    fn a_directory_that_is_renamed_away_is_still_the_one_that_is_used() {
        let place = place();
        let (path, away) = (place.path().join("state"), place.path().join("away"));
        let directory = Directory::open(&path).unwrap();
        fs::rename(&path, &away).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("a"), "forged").unwrap();
        directory.write("a", b"one").unwrap();
        assert_eq!(directory.read("a").unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(fs::read(away.join("a")).unwrap(), b"one");
    }

    #[test]
    fn what_cannot_be_understood_is_put_aside() {
        let place = place();
        let directory = Directory::open(place.path()).unwrap();
        directory.write("a", b"?").unwrap();
        directory.put_aside("a").unwrap();
        assert_eq!(directory.read("a").unwrap(), None);
        assert_eq!(fs::read(place.path().join("a.bad")).unwrap(), b"?");
    }
}
