//! Sockets on TCP, and their connections.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use muster_spec::{HostPort, SocketOptions};
use muster_sys::listener::{Listener, Protocol};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};

/// The number of connections that wait in the kernel.
const BACKLOG: u32 = 1024;

/// How long a client may take nothing of what it was sent, in milliseconds.
const UNACKNOWLEDGED_MS: u32 = 60_000;

/// How long a connection may be idle before the kernel asks whether the client is still there; how often it asks
/// again, in seconds; and the number of questions without an answer that end the connection.
const KEEPALIVE: (u32, u32, u32) = (30, 10, 3);

/// Listens at an address. Names are looked up in /etc/hosts only, so nothing blocks. Must be called within a runtime.
pub fn listen(place: &HostPort) -> io::Result<TcpListener> {
    let listener = Listener::network(Protocol::Tcp, (&place.host, place.port), SocketOptions::default(), BACKLOG)?;
    let listener = std::net::TcpListener::from(listener.as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Has the kernel find out about clients that are gone. Returns the address of the client.
pub fn prepare(stream: &TcpStream) -> io::Result<IpAddr> {
    let (idle, interval, count) = KEEPALIVE;
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &idle)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &interval)?;
    setsockopt(stream, sockopt::TcpKeepCount, &count)?;
    setsockopt(stream, sockopt::TcpUserTimeout, &UNACKNOWLEDGED_MS)?;
    Ok(stream.peer_addr()?.ip().to_canonical())
}
