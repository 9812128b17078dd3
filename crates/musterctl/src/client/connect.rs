//! Connects to the daemon's socket, or reports why it cannot.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, socket};

use super::transport::Connection;
use super::{Place, Target, Url, tls};
use crate::failure::{Exit, Failure};

/// Why the connection failed.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// It was not accepted in time.
    TimedOut,
    /// The kernel refused it.
    Refused(io::Error),
    /// It failed for a reason that is not the kernel's.
    Failed(Box<Failure>),
}

/// A connection to the daemon.
pub(super) fn connect(target: &Target, deadline: Instant) -> Result<Connection, ConnectError> {
    match target.place() {
        Place::Via(via) => via.open().map(Connection::Unix).map_err(|failure| ConnectError::Failed(Box::new(failure))),
        Place::Unix(path) => connect_unix(path, deadline).map(Connection::Unix),
        Place::Url(url) => {
            let address = url.clone();
            let stream = in_time(deadline, move || connect_tcp(&address, deadline))?;
            match target.tls() {
                None => Ok(Connection::Tcp(stream)),
                Some(config) => {
                    let secured = tls::Stream::connect(stream, Arc::clone(config), &url.host, deadline);
                    let secured = secured.map_err(ConnectError::Refused)?;
                    Ok(Connection::Tls(Box::new(secured)))
                }
            }
        }
    }
}

/// Connects to a socket of this machine, and gives up at the deadline.
///
/// connect(2) blocks while the daemon's backlog is full, which happens after a while if the daemon is stopped. `SO_SNDTIMEO` limits
/// that, too (socket(7)); std has no such limit for Unix sockets.
fn connect_unix(path: &Path, deadline: Instant) -> Result<UnixStream, ConnectError> {
    let refused = |error: Errno| ConnectError::Refused(error.into());
    let address = UnixAddr::new(path).map_err(refused)?;
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(refused)?;
    let stream = UnixStream::from(socket);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ConnectError::TimedOut);
        }
        stream.set_write_timeout(Some(left)).map_err(ConnectError::Refused)?;
        match nix::sys::socket::connect(stream.as_raw_fd(), &address) {
            Ok(()) => break,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Err(ConnectError::TimedOut),
            Err(error) => return Err(refused(error)),
        }
    }
    stream.set_write_timeout(None).map_err(ConnectError::Refused)?;
    Ok(stream)
}

/// Connects on another thread, and gives up at the deadline: asking for the address of a name has no limit. The thread is left
/// behind on timeout: this process is about to exit. If no thread can be created (a pids limit), connecting blocks.
fn in_time<T: Send + 'static>(
    deadline: Instant,
    connect: impl Fn() -> io::Result<T> + Send + Clone + 'static,
) -> Result<T, ConnectError> {
    let (sender, receiver) = mpsc::channel();
    let again = connect.clone();
    let connecting = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
        // A send error means that the caller timed out.
        let _ = sender.send(again());
    });
    let connected = match connecting {
        Ok(_) => receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        Err(_) => Ok(connect()),
    };
    connected.map_err(|_| ConnectError::TimedOut)?.map_err(ConnectError::Refused)
}

/// Tries each address of the host.
fn connect_tcp(url: &Url, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name of the host has no address");
    let addresses = (url.host.as_str(), url.port).to_socket_addrs();
    // The message of the library names the failed call first.
    let no_address = |error: io::Error| {
        let text = error.to_string();
        io::Error::new(io::ErrorKind::NotFound, text.rsplit(": ").next().unwrap_or_default().to_owned())
    };
    for address in addresses.map_err(no_address)? {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl ConnectError {
    /// The message for the user; `None` if the daemon exists but does not respond.
    pub(super) fn into_failure(self, target: &Target) -> Option<Failure> {
        let error = match self {
            ConnectError::TimedOut => return unreachable(target),
            ConnectError::Failed(failure) => return Some(*failure),
            ConnectError::Refused(error) => error,
        };
        let Place::Unix(path) = target.place() else { return Some(refused(target, &error)) };
        let elsewhere = "is musterd running? `--socket` or $MUSTER_SOCKET points elsewhere";
        Some(match error.kind() {
            io::ErrorKind::NotFound => no_daemon(target, "there is no such socket").with_hint(elsewhere),
            io::ErrorKind::ConnectionRefused if is_socket(path) => {
                no_daemon(target, "nothing listens on it (stale socket)")
                    .with_hint("musterd exited without removing it, and takes it over at its next start")
            }
            io::ErrorKind::ConnectionRefused => no_daemon(target, "it is not a socket").with_hint(elsewhere),
            io::ErrorKind::PermissionDenied => {
                Failure::new(Exit::NotAllowed, format!("permission denied connecting to {target}"))
                    .with_hint("connect as the daemon's user or root, or change `[http] mode` and `owner`")
            }
            _ => no_daemon(target, &error.to_string()).with_hint(elsewhere),
        })
    }
}

/// A host that does not answer at all is not a daemon that is busy; a socket of this machine is.
fn unreachable(target: &Target) -> Option<Failure> {
    let Place::Url(_) = target.place() else { return None };
    let hint = "does a firewall drop the connection, or is the port not published?";
    Some(no_daemon(target, "the connection was not accepted in time").with_hint(hint))
}

fn refused(target: &Target, error: &io::Error) -> Failure {
    if let Some(failure) = tls::failure(target, error) {
        return failure;
    }
    let (reason, hint) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (
            "connection refused".to_owned(),
            "does `[http] listen` of the daemon have this address, and is the port published?",
        ),
        io::ErrorKind::NotFound => (error.to_string(), "is the name of the host spelt correctly?"),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            return unreachable(target).unwrap_or_else(|| no_daemon(target, "timed out"));
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            ("it closed the connection".to_owned(), "does another program listen there?")
        }
        _ => (error.to_string(), "is the host up, and is there a route to it?"),
    };
    no_daemon(target, &reason).with_hint(hint)
}

fn no_daemon(target: &Target, reason: &str) -> Failure {
    Failure::new(Exit::NoDaemon, format!("no daemon answers on {target}: {reason}"))
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}
