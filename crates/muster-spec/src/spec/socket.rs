//! Listening sockets that the daemon opens for a program.

use std::fmt;
use std::path::PathBuf;

use super::UserSpec;
use crate::address::HostPort;

/// A listening socket that all instances of a program share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSpec {
    /// Its name in LISTEN_FDNAMES.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddress,
    /// Length of the queue of connections; the kernel limits it to `net.core.somaxconn`.
    pub backlog: u32,
    /// The mode of a Unix socket's file.
    pub mode: u32,
    /// The owner of a Unix socket's file; `None` is the daemon's user.
    pub owner: Option<UserSpec>,
    /// Whether it is the program's standard input, as FastCGI programs expect.
    pub is_stdin: bool,
}

impl SocketSpec {
    /// Default of `backlog`: the kernel's own default limit.
    pub const BACKLOG: u32 = 4096;
    /// Default of `mode`.
    pub const MODE: u32 = 0o700;
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SocketAddress {
    /// On TCP; the host `*` is every address of the machine.
    Tcp(HostPort),
    /// On a Unix socket at this path.
    Unix(PathBuf),
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketAddress::Tcp(place) => write!(f, "tcp://{place}"),
            SocketAddress::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}
