//! Files whose content becomes a variable or a credential of a program: who may choose it, and what is never opened.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::{Access, Creation, Refusal, TrustedPlace};

impl TrustedPlace {
    /// Opens a file with a secret, without ever waiting: a regular file or a FIFO that no other user can write to.
    ///
    /// In a directory that only root or the daemon's user can change, it may belong to any user: Docker Compose mounts files
    /// of the host's user there, and Kubernetes gives tokens to the user of the pod. Its owner chooses the content and nothing
    /// else. In any other directory it is opened with the privileges of the directory's owner.
    pub fn open_secret(&self) -> io::Result<File> {
        let about = self.level.look(&self.name)?.ok_or(io::ErrorKind::NotFound)?.metadata()?;
        let kind = about.file_type();
        if kind.is_char_device() || kind.is_block_device() || kind.is_dir() {
            let reason = format!("{} is not a regular file", self.path().display());
            return Err(Refusal::new(reason, "name a file, or a FIFO whose writer ends").into());
        }
        let verdict = &self.level.verdict;
        let mut place = self.clone();
        if verdict.is_superior && !verdict.is_shared {
            place.trust.file_owner = Some(about.uid());
        }
        let file = place.open_existing("", Access::Read, true, Creation::default().mode)?.file;
        place.check_writers(&file).map(|()| file)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::path::Path;

    use super::*;
    use crate::trusted::{Identity, Missing, Trust};

    const USER: u32 = 4_242;
    const OTHER: u32 = 4_343;

    fn opened(path: &Path, user: Option<u32>) -> Result<File, String> {
        let trust = Trust::program(user.map(|uid| Identity { uid, gid: uid, groups: vec![uid] }));
        let place = TrustedPlace::resolve(path, &trust, Missing::Fail).map_err(|error| error.to_string())?;
        place.open_secret().map_err(|error| error.to_string())
    }

    #[test]
    fn a_user_cannot_choose_a_file_that_the_user_could_not_read() {
        // SAFETY: geteuid touches no memory.
        if unsafe { libc::geteuid() } != 0 {
            return eprintln!("SKIPPED: needs root");
        }
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let (home, roots) = (directory.path().join("home"), directory.path().join("roots"));
        fs::create_dir(&home).unwrap();
        chown(&home, Some(USER), Some(USER)).unwrap();
        fs::write(&roots, "x").unwrap();
        fs::set_permissions(&roots, Permissions::from_mode(0o600)).unwrap();
        assert!(opened(&roots, Some(USER)).is_ok());
        // Any owner in root's directory, but no other writer.
        for (owner, mode, is_opened) in [(OTHER, 0o600, true), (OTHER, 0o644, true), (OTHER, 0o666, false)] {
            let path = directory.path().join("mounted");
            fs::write(&path, "x").unwrap();
            chown(&path, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(opened(&path, Some(USER)).is_ok(), is_opened, "{owner} {mode:o}");
            assert_eq!(opened(&path, None).is_ok(), is_opened, "{owner} {mode:o}");
        }
        let secret = home.join("secret");
        let put: [(&str, &dyn Fn()); 3] = [
            ("a link", &|| symlink(&roots, &secret).unwrap()),
            ("another name", &|| fs::hard_link(&roots, &secret).unwrap()),
            ("a directory", &|| fs::create_dir(&secret).unwrap()),
        ];
        for (what, put) in put {
            put();
            for user in [Some(USER), None] {
                assert!(opened(&secret, user).is_err(), "{what} {user:?}");
            }
            fs::remove_file(&secret).or_else(|_| fs::remove_dir(&secret)).unwrap();
        }
        fs::write(&secret, "x").unwrap();
        chown(&secret, Some(USER), Some(USER)).unwrap();
        assert!(opened(&secret, Some(USER)).is_ok());
        assert!(opened(Path::new("/dev/zero"), None).unwrap_err().contains("not a regular file"));
    }
}
