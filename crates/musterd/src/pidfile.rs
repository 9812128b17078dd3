//! The daemon's pid file.
//!
//! It is only written in a directory of root or the daemon's own user: others could make the daemon overwrite or
//! remove any file. It is written atomically, and at the end only the file that was written is removed.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use muster_sys::trusted::{Access, Creation, Inode, Missing, Trust, TrustedPlace};
use tracing::warn;

/// The pid file, removed when dropped.
pub(crate) struct Pidfile {
    place: TrustedPlace,
    inode: Inode,
    /// Kept open so that no other file can have its inode.
    _file: File,
}

impl Pidfile {
    /// Writes it. Logs a failure: programs run without it as well.
    pub(crate) fn write(path: &Path) -> Option<Pidfile> {
        match try_write(path) {
            Ok(pidfile) => Some(pidfile),
            Err(error) => {
                warn!(pidfile = %path.display(), %error, "cannot write the pid file");
                None
            }
        }
    }
}

fn try_write(path: &Path) -> io::Result<Pidfile> {
    let place = TrustedPlace::resolve(path, &Trust::own(), Missing::Make)?;
    let (mut opened, temporary) = place.create_temporary("", Access::Write, Creation::default())?;
    let written = writeln!(opened.file, "{}", std::process::id()).and_then(|()| place.rename(&temporary, ""));
    if written.is_err() {
        let _ = place.remove(&temporary);
    }
    written.map(|_| Pidfile { inode: opened.inode, place, _file: opened.file })
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        if self.place.inode("").is_ok_and(|there| there == Some(self.inode)) {
            let _ = self.place.remove("");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{chown, symlink};

    #[test]
    fn it_is_written_whole_and_only_ours_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/muster.pid");
        let pidfile = Pidfile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(fs::read_dir(directory.path().join("run")).unwrap().count(), 1, "no temporary file is left");
        drop(pidfile);
        assert!(!path.exists());
        let pidfile = Pidfile::write(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another daemon's\n").unwrap();
        drop(pidfile);
        assert!(path.exists());
    }

    #[test]
    fn neither_a_link_nor_a_directory_of_another_user_is_used() {
        if !nix::unistd::geteuid().is_root() {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"SKIPPED: needs root\n");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let (home, victim) = (directory.path().join("home"), directory.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        fs::create_dir(&home).unwrap();
        symlink(&victim, home.join("muster.pid")).unwrap();
        chown(&home, Some(4242), Some(4242)).unwrap();
        assert!(Pidfile::write(&home.join("muster.pid")).is_none());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
}
