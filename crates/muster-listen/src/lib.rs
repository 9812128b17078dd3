//! Addresses of the API to listening sockets. Nothing here accepts a client, or knows what it may do.

#![forbid(unsafe_code)]

pub mod client_stream;
mod inherited;
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
pub mod tls;
pub mod unix;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use muster_spec::{ListenAddress, ListenSpec};
use muster_sys::user::Accounts;
use tokio::net::{TcpListener, UnixListener};

use crate::unix::{Socket, SocketError};

/// The socket of a listener.
#[derive(Debug)]
pub enum Bound {
    /// On TCP. Shared, so that a listener can take it over from another one.
    Tcp(Rc<TcpListener>),
    /// A Unix socket with its name.
    Unix(Socket),
    /// A Unix socket whose name is not ours.
    InheritedUnix(UnixListener),
}

/// Why a listener cannot be opened.
#[derive(Debug)]
pub enum NotOpened {
    /// Another daemon owns the Unix socket.
    Taken(PathBuf),
    /// The configured path or owner can never work.
    Misconfigured(String),
    /// The place is not writable.
    Unusable(String),
    /// The address cannot be bound, perhaps not yet.
    Failed(io::Error),
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotOpened::Taken(path) => write!(f, "another daemon serves {}", path.display()),
            NotOpened::Misconfigured(message) | NotOpened::Unusable(message) => f.write_str(message),
            NotOpened::Failed(error) => match error.raw_os_error() {
                Some(errno) => f.write_str(&muster_sys::spawn::reason(errno)),
                None => error.fmt(f),
            },
        }
    }
}

impl NotOpened {
    /// Whether another socket has the address, or a part of it.
    pub fn is_in_use(&self) -> bool {
        matches!(self, NotOpened::Failed(error) if error.kind() == io::ErrorKind::AddrInUse)
    }
}

impl From<SocketError> for NotOpened {
    fn from(error: SocketError) -> NotOpened {
        match error {
            SocketError::Taken(path) => NotOpened::Taken(path),
            SocketError::Misconfigured(message) => NotOpened::Misconfigured(message),
            SocketError::Unusable(message) => NotOpened::Unusable(message),
        }
    }
}

/// Opens the sockets of a listener: one, or several that were inherited. Must be called within a runtime.
pub fn open(listener: &ListenSpec, accounts: &mut Accounts) -> Result<Vec<Bound>, NotOpened> {
    match &listener.address {
        ListenAddress::Http(place) | ListenAddress::Https(place) => {
            Ok(vec![tcp::listen(place).map(|socket| Bound::Tcp(Rc::new(socket))).map_err(NotOpened::Failed)?])
        }
        ListenAddress::Unix(path) => {
            Ok(vec![Bound::Unix(Socket::open(path, (listener.mode, listener.owner.as_ref()), accounts)?)])
        }
        ListenAddress::Inherited(name) => {
            inherited::open(name.as_deref(), listener.is_insecure || listener.tls.is_some())
        }
    }
}
