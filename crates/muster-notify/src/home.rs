//! The addresses of notification sockets: in a directory next to the control socket, or abstract.
//!
//! The control socket belongs to one daemon at a time, and so does the directory next to it. Programs that run as
//! other users must be able to reach it; if they cannot, or the directory is not writable, the sockets are abstract
//! (unix(7)) and need neither a file nor permissions. Every program that implements sd_notify supports both.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use muster_spec::RunId;
use muster_sys::notify::NotifySocket;
use tracing::debug;

/// Maximum length of an address, without the terminating NUL: unix(7).
const LONGEST_PATH: usize = 107;
/// The longest run id, in digits.
const LONGEST_NUMBER: usize = 20;

/// The place for new sockets. The directory is created with the first one.
#[derive(Debug)]
pub(super) enum Home {
    Undecided { beside: Option<PathBuf>, unique: String },
    Directory(PathBuf),
    Abstract { unique: String },
}

impl Home {
    /// Uses a directory next to the control socket, if there is one. `unique` distinguishes this daemon from all
    /// others.
    pub(super) fn new(control_socket: Option<&Path>, unique: String) -> Home {
        Home::Undecided { beside: control_socket.map(Path::to_owned), unique }
    }

    /// Creates the socket of a run, and returns the value of `NOTIFY_SOCKET`.
    pub(super) fn open(&mut self, run: RunId) -> io::Result<(NotifySocket, String)> {
        self.decide();
        match self {
            Home::Directory(directory) => {
                let path = directory.join(run.to_string());
                let shown = path.display().to_string();
                NotifySocket::at_path(&path).map(|socket| (socket, shown))
            }
            Home::Abstract { unique } | Home::Undecided { unique, .. } => {
                let (socket, name) = NotifySocket::abstract_below(&format!("muster-notify/{unique}/{run}"))?;
                Ok((socket, format!("@{name}")))
            }
        }
    }

    fn decide(&mut self) {
        let Home::Undecided { beside, unique } = self else { return };
        let made = match beside {
            Some(beside) => make_directory(beside),
            None => Err(io::Error::other("there is no control socket")),
        };
        *self = match made {
            Ok(directory) => Home::Directory(directory),
            Err(error) => {
                debug!(%error, "using abstract sockets for sd_notify");
                Home::Abstract { unique: std::mem::take(unique) }
            }
        };
    }

    /// Removes the socket of a run.
    pub(super) fn close(&self, run: RunId) {
        if let Home::Directory(directory) = self {
            let _ = fs::remove_file(directory.join(run.to_string()));
        }
    }

    /// Removes all sockets before the daemon exits.
    pub(super) fn finish(&self) {
        if let Home::Directory(directory) = self {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

fn make_directory(control_socket: &Path) -> io::Result<PathBuf> {
    let (Some(parent), Some(name)) = (control_socket.parent(), control_socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = fs::canonicalize(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    let directory = parent.join(format!("{}.notify", name.to_string_lossy()));
    if directory.as_os_str().len() + 1 + LONGEST_NUMBER > LONGEST_PATH {
        return Err(io::Error::other("the path is too long for a socket"));
    }
    if is_root() && !is_reachable_by_all(&parent)? {
        return Err(io::Error::other("other users cannot reach the directory of the control socket"));
    }
    if let Err(error) = DirBuilder::new().mode(0o700).create(&directory) {
        take_over(&directory, error)?;
    }
    // A program can write to a socket whose name it knows, but only the daemon's user can list the directory.
    fs::set_permissions(&directory, Permissions::from_mode(0o711))?;
    Ok(directory)
}

/// Reuses the directory that a killed daemon has left behind.
fn take_over(directory: &Path, error: io::Error) -> io::Result<()> {
    let about = fs::symlink_metadata(directory).map_err(|_| error)?;
    if !about.is_dir() || about.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    for entry in fs::read_dir(directory)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Whether programs can run as other users, which only root can arrange.
fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn is_reachable_by_all(directory: &Path) -> io::Result<bool> {
    for ancestor in directory.ancestors() {
        if fs::metadata(ancestor)?.permissions().mode() & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(directory: &Path) -> Home {
        Home::new(Some(&directory.join("muster.sock")), "test-1".to_owned())
    }

    #[test]
    fn sockets_are_beside_the_control_socket_and_leave_nothing() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let mut home = home(directory.path());
        let (socket, shown) = home.open(RunId(7)).unwrap();
        let expected = directory.path().join("muster.sock.notify/7");
        assert_eq!(Path::new(&shown), expected);
        assert!(home.open(RunId(7)).is_err(), "a run has one socket");
        drop(socket);
        home.close(RunId(7));
        assert!(!expected.exists());
        let left_behind = home.open(RunId(8)).unwrap();
        let mut next = super::tests::home(directory.path());
        assert_eq!(next.open(RunId(8)).unwrap().1, left_behind.1, "the next daemon has no use for it");
        next.finish();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn where_a_directory_is_of_no_use_sockets_are_abstract() {
        let private = tempfile::tempdir().unwrap();
        let long = private.path().join("x".repeat(100));
        fs::create_dir(&long).unwrap();
        for (place, name) in [(Some(Path::new("/proc")), "proc"), (Some(&long), "long"), (None, "none")] {
            let unique = format!("{}-{name}", std::process::id());
            let socket = place.map(|place| place.join("muster.sock"));
            let mut home = Home::new(socket.as_deref(), unique.clone());
            let (_socket, shown) = home.open(RunId(1)).unwrap();
            assert!(shown.starts_with(&format!("@muster-notify/{unique}/1-")), "{shown}");
        }
        if is_root() {
            // Programs may run as other users.
            fs::set_permissions(private.path(), Permissions::from_mode(0o700)).unwrap();
            assert!(!is_reachable_by_all(private.path()).unwrap());
            assert!(home(private.path()).open(RunId(1)).unwrap().1.starts_with('@'));
        }
    }

    #[test]
    fn nothing_of_somebody_else_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("precious"), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), directory.path().join("muster.sock.notify")).unwrap();
        assert!(home(directory.path()).open(RunId(1)).unwrap().1.starts_with('@'));
        assert!(elsewhere.path().join("precious").exists());
    }
}
