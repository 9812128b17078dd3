//! Connects to the daemon's socket, or reports why it cannot.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use super::Target;
use crate::failure::{Exit, Failure};

/// Why the connection failed.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// It was not accepted in time.
    TimedOut,
    /// The kernel refused it.
    Refused(io::Error),
}

/// A connection to the daemon.
///
/// connect(2) blocks while the daemon's backlog is full, which happens after a while if the daemon is stopped. std has no
/// timeout for it on Unix sockets, so a thread connects, and is left behind on timeout: this process is about
/// to exit. If no thread can be created (a pids limit), connecting blocks.
pub(super) fn connect(target: &Target, deadline: Instant) -> Result<UnixStream, ConnectError> {
    let (sender, receiver) = mpsc::channel();
    let path = target.path().to_owned();
    let connecting = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
        // A send error means that the caller timed out.
        let _ = sender.send(UnixStream::connect(path));
    });
    let connected = match connecting {
        Ok(_) => receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        Err(_) => Ok(UnixStream::connect(target.path())),
    };
    connected.map_err(|_| ConnectError::TimedOut)?.map_err(ConnectError::Refused)
}

impl ConnectError {
    /// The message for the user; `None` if the daemon exists but does not respond.
    pub(super) fn into_failure(self, target: &Target) -> Option<Failure> {
        let ConnectError::Refused(error) = self else { return None };
        let elsewhere = "is musterd running? `--socket` or $MUSTER_SOCKET points elsewhere";
        Some(match error.kind() {
            io::ErrorKind::NotFound => no_daemon(target, "there is no such socket").with_hint(elsewhere),
            io::ErrorKind::ConnectionRefused if is_socket(target.path()) => {
                no_daemon(target, "nothing listens on it (stale socket)")
                    .with_hint("musterd exited without removing it, and takes it over at its next start")
            }
            io::ErrorKind::ConnectionRefused => no_daemon(target, "it is not a socket").with_hint(elsewhere),
            io::ErrorKind::PermissionDenied => {
                Failure::new(Exit::NotAllowed, format!("permission denied connecting to {target}"))
                    .with_hint("connect as the daemon's user or root, or change `[http] mode` and `owner`")
            }
            // The backlog is full and no thread could be created.
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
