//! The standard input of a program from a path: a file, or a FIFO that is made where there is none.
//!
//! It is opened with the rights of the program's user, also in a directory of root's: otherwise a path to a file of root's would give
//! that file to the program.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileTypeExt;

use super::{Access, Creation, Refusal, TrustedPlace, c_name};
use crate::fd::{check, set_blocking};

/// The mode of a new FIFO.
const FIFO_MODE: libc::mode_t = 0o600;

impl TrustedPlace {
    /// Opens an existing file for reading, without ever waiting. It may be a FIFO or a character device.
    pub fn open_input(&self) -> io::Result<File> {
        self.open_for_user(Access::Read)
    }

    /// Opens a FIFO for reading and writing, so that reading it never comes to an end. One that does not exist is made, for its
    /// owner alone: this user and group, or the daemon's.
    pub fn open_fifo(&self, owner: Option<(u32, u32)>) -> io::Result<File> {
        if self.level.look(&self.name)?.is_none() {
            self.make_fifo(owner)?;
        }
        // Nothing but a FIFO is even opened.
        let about = self.level.look(&self.name)?.ok_or(io::ErrorKind::NotFound)?.metadata()?;
        if !about.file_type().is_fifo() {
            let reason = format!("{} is not a FIFO", self.path().display());
            return Err(Refusal::new(reason, "remove it, the daemon makes one, or name another path").into());
        }
        let file = self.open_for_user(Access::Write)?;
        // It may have been exchanged meanwhile.
        if !file.metadata()?.file_type().is_fifo() {
            let reason = format!("{} is no longer a FIFO", self.path().display());
            return Err(Refusal::new(reason, "let only the program write to its directory").into());
        }
        Ok(file)
    }

    fn open_for_user(&self, access: Access) -> io::Result<File> {
        let mut place = self.clone();
        if place.trust.user.is_some() {
            place.level.rights.clone_from(&place.trust.user);
        }
        let file = place.open_existing("", access, true, Creation::default().mode)?.file;
        // Programs expect their input to wait.
        set_blocking(file.as_fd())?;
        Ok(file)
    }

    /// Another program, or another instance, may make it at the same time.
    fn make_fifo(&self, owner: Option<(u32, u32)>) -> io::Result<()> {
        let (name, directory) = (c_name(&self.name)?, self.level.directory.as_raw_fd());
        // SAFETY: `name` is a C string that lives through the call.
        let made = self.act(|| check(unsafe { libc::mkfifoat(directory, name.as_ptr(), FIFO_MODE) }));
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            made => made.map_err(|error| self.explain("", error))?,
        };
        let Some((uid, gid)) = owner.filter(|(uid, _)| self.works_as() != Some(*uid)) else { return Ok(()) };
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        // SAFETY: as above.
        let given = self.act(|| check(unsafe { libc::fchownat(directory, name.as_ptr(), uid, gid, flags) }));
        given.map(drop).inspect_err(|_| drop(self.remove("")))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::trusted::{Identity, Missing, Trust};

    const USER: u32 = 4_242;

    fn place(path: &Path) -> io::Result<TrustedPlace> {
        let trust = Trust::program(Some(Identity { uid: USER, gid: USER, groups: vec![USER] }));
        TrustedPlace::resolve(path, &trust, Missing::Fail)
    }

    fn fifo(path: &Path) -> Result<File, String> {
        place(path).and_then(|place| place.open_fifo(Some((USER, USER)))).map_err(|error| error.to_string())
    }

    fn input(path: &Path) -> Result<File, String> {
        place(path).and_then(|place| place.open_input()).map_err(|error| error.to_string())
    }

    /// A directory of root's, and in it one of the user's; `None` without root.
    fn scene() -> Option<(tempfile::TempDir, PathBuf)> {
        // SAFETY: geteuid touches no memory.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("SKIPPED: needs root");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let home = directory.path().join("home");
        fs::create_dir(&home).unwrap();
        chown(&home, Some(USER), Some(USER)).unwrap();
        Some((directory, home))
    }

    #[test]
    fn a_fifo_is_made_for_the_user_alone_and_never_ends() {
        let Some((directory, home)) = scene() else { return };
        for path in [directory.path().join("in"), home.join("in")] {
            for _ in 0..2 {
                let file = fifo(&path).unwrap();
                let about = fs::symlink_metadata(&path).unwrap();
                assert_eq!((about.uid(), about.mode() & 0o777), (USER, 0o600), "{}", path.display());
                assert!(about.file_type().is_fifo());
                crate::fd::write(file.as_fd(), b"x").unwrap();
                assert_eq!(crate::fd::read(file.as_fd(), &mut [0; 8]).unwrap(), 1);
                // SAFETY: F_GETFL touches no memory of ours.
                assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) } & libc::O_NONBLOCK, 0);
            }
        }
    }

    #[test]
    fn whatever_the_user_puts_there_leads_nowhere() {
        let Some((directory, home)) = scene() else { return };
        let roots = directory.path().join("roots");
        fs::write(&roots, "secret").unwrap();
        fs::set_permissions(&roots, Permissions::from_mode(0o600)).unwrap();
        let path = home.join("in");
        let put: [(&str, &dyn Fn()); 4] = [
            ("a link", &|| symlink(&roots, &path).unwrap()),
            ("a link to nothing", &|| symlink(directory.path().join("new"), &path).unwrap()),
            ("another name", &|| fs::hard_link(&roots, &path).unwrap()),
            ("a directory", &|| fs::create_dir(&path).unwrap()),
        ];
        for (what, put) in put {
            put();
            assert!(fifo(&path).is_err() && input(&path).is_err(), "{what}");
            assert!(!directory.path().join("new").exists(), "{what}");
            fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
        }
        fs::write(&path, "a file").unwrap();
        chown(&path, Some(USER), Some(USER)).unwrap();
        assert!(fifo(&path).unwrap_err().contains("is not a FIFO"));
        assert!(input(&path).is_ok());
    }

    #[test]
    fn a_file_that_the_user_may_not_read_is_not_read_for_it() {
        let Some((directory, _)) = scene() else { return };
        let roots = directory.path().join("roots");
        fs::write(&roots, "x").unwrap();
        fs::set_permissions(&roots, Permissions::from_mode(0o600)).unwrap();
        assert!(input(&roots).is_err());
        fs::set_permissions(&roots, Permissions::from_mode(0o644)).unwrap();
        assert!(input(&roots).is_ok() && input(Path::new("/dev/null")).is_ok());
        assert!(input(&directory.path().join("no")).is_err());
    }
}
