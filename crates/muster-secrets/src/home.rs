//! The directories with the copies of credentials: in one directory beside the control socket.
//!
//! The control socket belongs to one daemon at a time, and so does the directory beside it. A directory in it belongs to the
//! user of its process alone; others can pass through the outer one, but not list it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use muster_sys::trusted::Identity;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::geteuid;
use tracing::warn;

/// The first file system of a boot, which has its files in memory, too: statfs(2).
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// The place for the directories of processes.
#[derive(Debug)]
pub struct Home {
    outer: Option<PathBuf>,
    next: AtomicU64,
    has_warned: AtomicBool,
}

/// The directory of one process. Dropping it removes it with all its content, on a thread.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    text: String,
}

impl Home {
    /// The place beside this control socket. Removes what a killed daemon has left there: it has no other owner.
    pub fn new(control_socket: Option<&Path>) -> Home {
        let outer = control_socket.and_then(beside);
        if let Some(outer) = outer.as_ref().filter(|outer| is_own_directory(outer)) {
            remove(outer);
        }
        Home { outer, next: AtomicU64::new(1), has_warned: AtomicBool::new(false) }
    }

    /// Creates the directory of a process, still empty and the daemon's own.
    pub(crate) fn create(&self, user: Option<&Identity>) -> io::Result<RunDirectory> {
        let Some(outer) = &self.outer else {
            return Err(io::Error::other("there is no control socket, and the copies are kept beside it"));
        };
        self.make_outer(outer)?;
        if let (Some(user), Some(parent)) = (user, outer.parent()) {
            reachable(parent, user)?;
        }
        let path = outer.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(RunDirectory { text: path.to_string_lossy().into_owned(), path })
    }

    fn make_outer(&self, outer: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o711).create(outer) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_own_directory(outer) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(io::Error::other(format!("{} belongs to another user", outer.display())));
            }
            Err(error) => return Err(error),
        }
        // Whatever the umask is.
        fs::set_permissions(outer, Permissions::from_mode(0o711))?;
        let kind = statfs(outer)?.filesystem_type();
        let is_in_memory = kind == TMPFS_MAGIC || i128::from(kind.0) == i128::from(RAMFS_MAGIC);
        if !is_in_memory && !self.has_warned.swap(true, Ordering::Relaxed) {
            let directory = outer.display();
            warn!(%directory, "copies of credentials are on a disk; a control socket on a tmpfs such as /run avoids that");
        }
        Ok(())
    }

    /// Removes everything before the daemon exits.
    pub fn finish(&self) {
        if let Some(outer) = self.outer.as_ref().filter(|outer| is_own_directory(outer)) {
            remove(outer);
        }
    }
}

impl RunDirectory {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path, as its process gets it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        // Its user may have filled it, so it can take long.
        let path = std::mem::take(&mut self.path);
        let thread = std::thread::Builder::new().name("credentials".to_owned()).stack_size(128 * 1024);
        let kept = path.clone();
        if thread.spawn(move || remove(&path)).is_err() {
            remove(&kept);
        }
    }
}

/// Never follows a link, whatever its user has put there or exchanges meanwhile.
fn remove(directory: &Path) {
    if let Err(error) = fs::remove_dir_all(directory)
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!(directory = %directory.display(), %error, "cannot remove copies of credentials");
    }
}

fn beside(control_socket: &Path) -> Option<PathBuf> {
    let (parent, name) = (control_socket.parent()?, control_socket.file_name()?);
    let parent = fs::canonicalize(if parent.as_os_str().is_empty() { Path::new(".") } else { parent }).ok()?;
    let mut name = name.to_owned();
    name.push(".credentials");
    Some(parent.join(name))
}

fn is_own_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir() && about.uid() == geteuid().as_raw())
}

/// Whether this user may pass through a directory and all above it.
fn reachable(directory: &Path, user: &Identity) -> io::Result<()> {
    for ancestor in directory.ancestors() {
        let about = fs::metadata(ancestor)?;
        let bits = match about.uid() {
            uid if uid == user.uid => 0o100,
            _ if user.gid == about.gid() || user.groups.contains(&about.gid()) => 0o010,
            _ => 0o001,
        };
        if user.uid != 0 && about.mode() & bits == 0 {
            let shown = ancestor.display();
            return Err(io::Error::other(format!("uid {} cannot pass through {shown}: chmod o+x {shown}", user.uid)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::{Duration, Instant};

    fn home(directory: &Path) -> Home {
        Home::new(Some(&directory.join("muster.sock")))
    }

    fn is_gone(path: &Path) -> bool {
        let end = Instant::now() + Duration::from_secs(20);
        while path.exists() && Instant::now() < end {
            std::thread::yield_now();
        }
        !path.exists()
    }

    #[test]
    fn a_directory_is_there_as_long_as_its_process_and_no_longer_than_the_next_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let first = home(directory.path());
        let (one, two) = (first.create(None).unwrap(), first.create(None).unwrap());
        assert_ne!(one.path(), two.path());
        assert_eq!(fs::metadata(one.path()).unwrap().mode() & 0o777, 0o700);
        let outer = directory.path().join("muster.sock.credentials");
        assert_eq!(fs::metadata(&outer).unwrap().mode() & 0o777, 0o711);
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("precious"), "").unwrap();
        symlink(elsewhere.path(), one.path().join("link")).unwrap();
        let path = one.path().to_owned();
        drop(one);
        assert!(is_gone(&path) && elsewhere.path().join("precious").exists());
        // As if the daemon had been killed.
        std::mem::forget(two);
        home(directory.path());
        assert!(!outer.exists());
    }

    #[test]
    fn nothing_of_another_owner_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("precious"), "").unwrap();
        symlink(elsewhere.path(), directory.path().join("muster.sock.credentials")).unwrap();
        let home = home(directory.path());
        assert!(home.create(None).is_err());
        home.finish();
        assert!(elsewhere.path().join("precious").exists());
        let message = Home::new(None).create(None).unwrap_err().to_string();
        assert!(message.starts_with("there is no control socket"), "{message}");
    }

    #[test]
    fn a_user_that_could_not_reach_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
        let user = Identity { uid: 4_242, gid: 4_242, groups: vec![4_242] };
        let message = home(directory.path()).create(Some(&user)).unwrap_err().to_string();
        assert!(message.starts_with("uid 4242 cannot pass through"), "{message}");
    }
}
