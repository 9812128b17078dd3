//! Listeners on sockets that the daemon has inherited: see [`muster_sys::inherited`].

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::rc::Rc;

use muster_sys::boot::inherited_descriptor;
use muster_sys::inherited;
use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt};

use crate::{Bound, NotOpened};

/// Opens all inherited sockets, or those of this name. Must be called within a runtime.
pub(crate) fn open(name: Option<&str>, is_insecure: bool) -> Result<Vec<Bound>, NotOpened> {
    let numbers = inherited::numbers(name).map_err(NotOpened::Unusable)?;
    numbers.into_iter().map(|number| bound(number, is_insecure)).collect()
}

fn bound(number: u32, is_insecure: bool) -> Result<Bound, NotOpened> {
    let odd = |what: &str| NotOpened::Misconfigured(format!("the inherited descriptor {number} {what}"));
    let socket = inherited_descriptor(number).map_err(|_| odd("is not open"))?;
    let is_listening = getsockopt(&socket, sockopt::AcceptConn).unwrap_or(false);
    let is_stream = getsockopt(&socket, sockopt::SockType).is_ok_and(|kind| kind == SockType::Stream);
    if !is_listening || !is_stream {
        return Err(odd("is no listening stream socket"));
    }
    let address =
        getsockname::<SockaddrStorage>(socket.as_fd().as_raw_fd()).map_err(|error| NotOpened::Failed(error.into()))?;
    match address.family() {
        Some(AddressFamily::Unix) => unix(socket).map_err(NotOpened::Failed),
        Some(AddressFamily::Inet | AddressFamily::Inet6) => tcp(socket, is_insecure, &odd),
        _ => Err(odd("is neither a Unix socket nor one on TCP")),
    }
}

fn unix(socket: OwnedFd) -> io::Result<Bound> {
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    muster_sys::release::refuse_descriptors(listener.as_fd());
    Ok(Bound::InheritedUnix(tokio::net::UnixListener::from_std(listener)?))
}

fn tcp(socket: OwnedFd, is_insecure: bool, odd: &dyn Fn(&str) -> NotOpened) -> Result<Bound, NotOpened> {
    let listener = TcpListener::from(socket);
    let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    if !is_insecure && !listener.local_addr().is_ok_and(is_loopback) {
        return Err(odd(
            "is reached by other hosts, and tokens travel in clear text: set insecure = true to allow that",
        ));
    }
    let ready = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
    ready.map(|socket| Bound::Tcp(Rc::new(socket))).map_err(NotOpened::Failed)
}
