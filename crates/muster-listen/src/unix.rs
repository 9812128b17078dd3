//! The name of the control socket in the file system.
//!
//! Only one daemon may own it: the one that holds the lock next to it. A socket whose lock is not held is stale and
//! taken over; a lock that is held means that another daemon is running. The socket gets its name only once its owner
//! and mode are set, so a client cannot connect too early.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use muster_spec::UserSpec;
use muster_sys::release::refuse_descriptors;
use muster_sys::trusted::{Access, Creation, Missing, Refusal, Trust, TrustedPlace as Judged};
use muster_sys::user::Accounts;
use nix::fcntl::{Flock, FlockArg};
use tokio::net::UnixListener;

/// The longest path of a Unix socket: unix(7), sun_path is 108 bytes with the terminating NUL.
const LONGEST_PATH: usize = 107;

/// Why there is no control socket.
#[derive(Debug)]
pub enum SocketError {
    /// Another daemon owns it.
    Taken(PathBuf),
    /// The configured path or owner can never work.
    Misconfigured(String),
    /// The directory is not writable, for example on a read-only file system.
    Unusable(String),
}

/// The control socket.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    place: BoundPath,
}

/// The name and the lock; both are released when dropped.
#[derive(Debug)]
pub struct BoundPath {
    path: PathBuf,
    lock: PathBuf,
    _held: Flock<File>,
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        // Both are removed while the lock is still held; a daemon that waits for the lock checks the name again.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.lock);
    }
}

impl Socket {
    /// Acquires the name and listens. Must be called within the runtime.
    pub fn open(
        path: &Path,
        (mode, owner): (u32, Option<&UserSpec>),
        accounts: &mut Accounts,
    ) -> Result<Socket, SocketError> {
        let length = path.as_os_str().len();
        if length > LONGEST_PATH - ".new".len() {
            return Err(SocketError::Misconfigured(format!(
                "the socket's path has {length} bytes, more than the {} a socket can have: {}",
                LONGEST_PATH - ".new".len(),
                path.display()
            )));
        }
        let owner = look_up_owner(owner, accounts)?;
        // Other users who can write to the directory could have the daemon chmod and chown any file.
        let judged = Judged::resolve(path, &Trust::own(), Missing::Make).map_err(|error| unusable(path, &error))?;
        let lock = suffixed(path, ".lock");
        let held = take_lock(&judged, &lock, path)?;
        let place = BoundPath { path: path.to_owned(), lock, _held: held };
        if muster_sys::fd::has_listener(path) {
            // A process listens there without using the lock.
            std::mem::forget(place);
            return Err(SocketError::Taken(path.to_owned()));
        }
        let listener = listen(path, mode, owner).map_err(|error| unusable(path, &error))?;
        Ok(Socket { listener, place })
    }

    /// The listener for the server, and the name, which is kept until the end.
    pub fn into_parts(self) -> (UnixListener, BoundPath) {
        (self.listener, self.place)
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn unusable(path: &Path, error: &io::Error) -> SocketError {
    let reason = match Refusal::of(error) {
        Some(refusal) => refusal.to_string(),
        None => muster_sys::spawn::reason(error.raw_os_error().unwrap_or(0)),
    };
    SocketError::Unusable(format!("{}: {reason}", path.display()))
}

fn look_up_owner(owner: Option<&UserSpec>, accounts: &mut Accounts) -> Result<Option<(u32, u32)>, SocketError> {
    let Some(owner) = owner else { return Ok(None) };
    let account = accounts
        .owner(owner, nix::unistd::getegid().as_raw())
        .map_err(|error| SocketError::Misconfigured(format!("its owner: {error}")))?;
    Ok(Some((account.uid, account.gid)))
}

/// Locks the file that has this name, and not one that was removed during the wait.
fn take_lock(judged: &Judged, lock: &Path, socket: &Path) -> Result<Flock<File>, SocketError> {
    let creation = Creation { mode: 0o600, owner: None };
    loop {
        let opened = match judged.create(".lock", Access::Write, creation) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                judged.open_sibling(".lock", Access::Write, creation.mode)
            }
            created => created,
        };
        let opened = match opened {
            // Its holder has exited in the meantime and removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(|error| unusable(lock, &error))?,
        };
        let held = match Flock::lock(opened.file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => held,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Err(SocketError::Taken(socket.to_owned())),
            Err((_, error)) => return Err(unusable(lock, &error.into())),
        };
        if judged.inode(".lock").is_ok_and(|there| there == Some(opened.inode)) {
            return Ok(held);
        }
    }
}

fn listen(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> io::Result<UnixListener> {
    let new = suffixed(path, ".new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    refuse_descriptors(listener.as_fd());
    let finished = (|| {
        if let Some((uid, gid)) = owner {
            lchown(&new, Some(uid), Some(gid))?;
        }
        fs::set_permissions(&new, Permissions::from_mode(mode))?;
        fs::rename(&new, path)
    })();
    if finished.is_err() {
        let _ = fs::remove_file(&new);
    }
    finished.map(|()| listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    fn open(path: &Path) -> Result<Socket, SocketError> {
        Socket::open(path, (0o660, None), &mut Accounts::default())
    }

    fn in_runtime(test: impl FnOnce(&Path)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        runtime.block_on(async { test(&directory.path().join("muster.sock")) });
    }

    #[test]
    fn a_live_socket_is_left_alone_and_a_stale_one_taken_over() {
        in_runtime(|path| {
            let first = open(path).unwrap();
            assert!(matches!(open(path), Err(SocketError::Taken(_))));
            assert!(UnixStream::connect(path).is_ok(), "the first one still listens");
            // A killed daemon leaves the socket and a lock that is not held.
            drop(first);
            drop(std::os::unix::net::UnixListener::bind(path).unwrap());
            fs::write(suffixed(path, ".lock"), "").unwrap();
            let second = open(path).unwrap();
            assert!(UnixStream::connect(path).is_ok());
            drop(second);
            assert!(!path.exists() && !suffixed(path, ".lock").exists(), "nothing is left behind");
        });
    }

    #[test]
    fn somebody_who_listens_without_a_lock_is_not_robbed() {
        in_runtime(|path| {
            let _other = std::os::unix::net::UnixListener::bind(path).unwrap();
            assert!(matches!(open(path), Err(SocketError::Taken(_))));
            assert!(UnixStream::connect(path).is_ok());
        });
    }

    /// The start used to hang: connect(2) waits for room in the queue.
    #[test]
    fn a_listener_that_accepts_nobody_is_not_waited_for() {
        in_runtime(|path| {
            let _listener = std::os::unix::net::UnixListener::bind(path).unwrap();
            // Closed connections keep their places in the queue, which the kernel limits to 4096.
            assert!((0..5000).all(|_| muster_sys::fd::has_listener(path)));
            assert!(matches!(open(path), Err(SocketError::Taken(_))));
        });
    }

    #[test]
    fn a_fifo_in_the_place_of_the_lock_is_not_waited_for() {
        in_runtime(|path| {
            nix::unistd::mkfifo(&suffixed(path, ".lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
            assert!(matches!(open(path), Err(SocketError::Unusable(_))));
        });
    }

    #[test]
    fn the_mode_is_set() {
        in_runtime(|path| {
            let _socket = open(path).unwrap();
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o660);
        });
    }

    #[test]
    fn a_path_that_is_too_long_is_told() {
        in_runtime(|path| {
            let long = path.with_file_name("x".repeat(120));
            assert!(matches!(open(&long), Err(SocketError::Misconfigured(_))));
        });
    }

    #[test]
    fn a_directory_that_is_not_there_is_made() {
        in_runtime(|path| {
            let deep = path.with_file_name("run").join("muster/ctl.sock");
            let _socket = open(&deep).unwrap();
            assert!(UnixStream::connect(deep).is_ok());
        });
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told() {
        in_runtime(|path| {
            fs::write(path, "a file").unwrap();
            let Err(SocketError::Unusable(text)) = open(&path.join("no/such")) else { panic!("it cannot be opened") };
            assert!(text.contains("not a directory"), "{text}");
        });
    }
}
