//! Connects to the daemon's socket, or says why that is not possible.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use super::Target;
use crate::failure::{Exit, Failure};

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// Nobody took it in time.
    TimedOut,
    /// The kernel says no.
    Refused(io::Error),
}

/// A connection to the daemon.
///
/// connect(2) blocks for as long as the daemon's backlog is full, which a stopped daemon's is after a while. std has no
/// timeout for it on Unix sockets, so a thread does it and is left behind when it takes too long: this process is about
/// to end. Where no thread can be had (a pids limit), blocking is what is left.
pub(super) fn connect(target: &Target, deadline: Instant) -> Result<UnixStream, ConnectError> {
    let (sender, receiver) = mpsc::channel();
    let path = target.path().to_owned();
    let connecting = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
        // If nobody receives, nobody waits any more.
        let _ = sender.send(UnixStream::connect(path));
    });
    let connected = match connecting {
        Ok(_) => receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        Err(_) => Ok(UnixStream::connect(target.path())),
    };
    connected.map_err(|_| ConnectError::TimedOut)?.map_err(ConnectError::Refused)
}

impl ConnectError {
    /// What to tell the user; `None` where the daemon is there and silent.
    pub(super) fn into_failure(self, target: &Target) -> Option<Failure> {
        let ConnectError::Refused(error) = self else { return None };
        let elsewhere = "is musterd running? `--socket` or $MUSTER_SOCKET points elsewhere";
        Some(match error.kind() {
            io::ErrorKind::NotFound => no_daemon(target, "there is no such socket").with_hint(elsewhere),
            io::ErrorKind::ConnectionRefused if is_socket(target.path()) => {
                no_daemon(target, "nobody listens on it any more (stale socket)")
                    .with_hint("musterd has ended without removing it; it takes it over when it starts again")
            }
            io::ErrorKind::ConnectionRefused => no_daemon(target, "it is not a socket").with_hint(elsewhere),
            io::ErrorKind::PermissionDenied => {
                Failure::new(Exit::NotAllowed, format!("not allowed to connect to {target}"))
                    .with_hint("be the daemon's user or root, or change `[http] mode` and `owner`")
            }
            // A backlog that is full and no thread to wait for it.
            io::ErrorKind::WouldBlock => return None,
            _ => no_daemon(target, &error.to_string()).with_hint(elsewhere),
        })
    }
}

fn no_daemon(target: &Target, reason: &str) -> Failure {
    Failure::new(Exit::NoDaemon, format!("no daemon answers on {target}: {reason}"))
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}
