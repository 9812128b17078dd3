//! Sockets that the daemon opens for a program.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::UserSpec;
use crate::address::HostPort;

/// A socket of a program: its instances share it, unless each has one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSpec {
    /// Its name in LISTEN_FDNAMES.
    pub name: String,
    /// Where it listens, or receives.
    pub address: SocketAddress,
    /// Length of the queue of connections; the kernel limits it to `net.core.somaxconn`.
    pub backlog: u32,
    /// The mode of a Unix socket's file.
    pub mode: u32,
    /// The owner of a Unix socket's file; `None` is the daemon's user.
    pub owner: Option<UserSpec>,
    /// Options of sockets on a network.
    pub options: SocketOptions,
    /// How long it stays open.
    pub keep: SocketKeep,
    /// Whether it is the program's standard input, as FastCGI programs expect.
    pub is_stdin: bool,
    /// Whether it takes the path of a Unix socket on which another process listens, as supervisord does.
    pub replaces: bool,
}

/// Options of a socket on TCP or UDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// Whether each instance has a socket of its own at the address: `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// Whether it takes IPv6 only; `None` leaves that to the address: `*` takes both.
    pub v6only: Option<bool>,
    /// Whether the address may be one that the machine does not have yet: `IP_FREEBIND`.
    pub freebind: bool,
    /// Whether connections send small packets at once: `TCP_NODELAY`.
    pub nodelay: bool,
}

/// How long a socket stays open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketKeep {
    /// While an instance is wanted up and has not been given up.
    #[default]
    Wanted,
    /// Until the daemon exits or the program is removed.
    Always,
}

impl SocketSpec {
    /// Default of `backlog`: the kernel's own default limit.
    pub const BACKLOG: u32 = 4096;
    /// Default of `mode`.
    pub const MODE: u32 = 0o700;

    /// A socket with the defaults.
    pub fn new(name: &str, address: SocketAddress) -> SocketSpec {
        SocketSpec {
            name: name.to_owned(),
            address,
            backlog: SocketSpec::BACKLOG,
            mode: SocketSpec::MODE,
            owner: None,
            options: SocketOptions::default(),
            keep: SocketKeep::default(),
            is_stdin: false,
            replaces: false,
        }
    }
}

/// Where a socket listens, or receives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SocketAddress {
    /// On TCP; the host `*` is every address of the machine.
    Tcp(HostPort),
    /// On UDP, likewise.
    Udp(HostPort),
    /// On a Unix socket at this path.
    Unix(UnixKind, PathBuf),
    /// On a socket of this name that the daemon has inherited.
    Inherited(String),
}

/// The kind of a Unix socket: unix(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnixKind {
    /// Connections that carry bytes.
    Stream,
    /// Datagrams without connections.
    Datagram,
    /// Connections that carry datagrams.
    Sequential,
}

impl SocketAddress {
    /// Its path, if it is a Unix socket.
    pub fn path(&self) -> Option<&Path> {
        match self {
            SocketAddress::Unix(_, path) => Some(path),
            _ => None,
        }
    }

    /// Whether no two sockets can have these addresses at the same time.
    pub fn is_same_place(&self, other: &SocketAddress) -> bool {
        self == other || self.path().is_some_and(|path| Some(path) == other.path())
    }

    /// A word for one that a client sends: a connection, or a datagram.
    pub fn contact(&self) -> &'static str {
        match self {
            SocketAddress::Udp(_) | SocketAddress::Unix(UnixKind::Datagram, _) => "a datagram",
            _ => "a connection",
        }
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketAddress::Tcp(place) => write!(f, "tcp://{place}"),
            SocketAddress::Udp(place) => write!(f, "udp://{place}"),
            SocketAddress::Unix(kind, path) => write!(f, "{}://{}", kind.scheme(), path.display()),
            SocketAddress::Inherited(name) => write!(f, "fd://{name}"),
        }
    }
}

impl UnixKind {
    /// All kinds.
    pub const ALL: [UnixKind; 3] = [UnixKind::Stream, UnixKind::Datagram, UnixKind::Sequential];

    /// The beginning of addresses of this kind.
    pub const fn scheme(self) -> &'static str {
        match self {
            UnixKind::Stream => "unix",
            UnixKind::Datagram => "unix-dgram",
            UnixKind::Sequential => "unix-seqpacket",
        }
    }
}

/// When the run of a program that is wanted up begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartOn {
    /// At once.
    #[default]
    Boot,
    /// When a client has sent something to one of its sockets.
    Connection,
}
