//! Sockets that the daemon has inherited, by the protocol of sd_listen_fds(3): systemd, podman and systemd-socket-activate
//! pass them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::rc::Rc;

use muster_sys::boot::inherited_descriptor;
use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt};

use crate::{Bound, NotOpened};

/// The first descriptor that is passed.
const FIRST: u32 = 3;

/// The environment of the daemon, as far as it tells of descriptors.
#[derive(Debug, Default)]
struct Passed {
    pid: Option<u32>,
    count: u32,
    names: Vec<String>,
}

/// Opens all inherited sockets, or those of this name. Must be called within a runtime.
pub(crate) fn open(name: Option<&str>, is_insecure: bool) -> Result<Vec<Bound>, NotOpened> {
    let variable = |name: &str| std::env::var(name).ok();
    let passed = Passed::of(variable("LISTEN_PID"), variable("LISTEN_FDS"), variable("LISTEN_FDNAMES"));
    let numbers = passed.numbers(name, std::process::id()).map_err(NotOpened::Unusable)?;
    numbers.into_iter().map(|number| bound(number, is_insecure)).collect()
}

impl Passed {
    fn of(pid: Option<String>, count: Option<String>, names: Option<String>) -> Passed {
        let names = names.map(|names| names.split(':').map(str::to_owned).collect()).unwrap_or_default();
        let count = count.and_then(|count| count.parse().ok()).unwrap_or(0);
        Passed { pid: pid.and_then(|pid| pid.parse().ok()), count, names }
    }

    /// The descriptors of this name, or all.
    fn numbers(&self, name: Option<&str>, own: u32) -> Result<Vec<u32>, String> {
        match self.pid {
            None => return Err("no socket was inherited: LISTEN_PID is not set".to_owned()),
            Some(pid) if pid != own => {
                return Err(format!(
                    "the inherited sockets are for pid {pid}, and the daemon is {own}: start it with exec"
                ));
            }
            Some(_) => {}
        }
        let has_name =
            |index: u32| name.is_none_or(|name| self.names.get(index as usize).is_some_and(|own| own == name));
        // Higher numbers are indistinguishable from the daemon's own descriptors.
        let numbers: Vec<u32> = (0..self.count.min(u64::BITS - FIRST))
            .filter(|&index| has_name(index))
            .map(|index| FIRST + index)
            .collect();
        if numbers.is_empty() { Err("no socket of this name was inherited".to_owned()) } else { Ok(numbers) }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(pid: &str, count: &str, names: &str, name: Option<&str>) -> Result<Vec<u32>, String> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Passed::of(text(pid), text(count), text(names)).numbers(name, 7)
    }

    #[test]
    fn descriptors_have_the_names_they_were_passed_with() {
        assert_eq!(numbers("7", "3", "api:web:api", None), Ok(vec![3, 4, 5]));
        assert_eq!(numbers("7", "3", "api:web:api", Some("api")), Ok(vec![3, 5]));
        assert_eq!(numbers("7", "1", "", None), Ok(vec![3]));
        assert!(numbers("7", "1", "", Some("api")).is_err());
        assert!(numbers("7", "", "api", None).is_err());
        assert!(numbers("7", "-1", "api", None).is_err());
        assert!(numbers("", "1", "api", None).unwrap_err().contains("LISTEN_PID"));
        let other = numbers("8", "1", "api", None).unwrap_err();
        assert!(other.contains("pid 8") && other.contains("is 7"), "{other}");
        assert_eq!(numbers("7", "4000000000", "", None).map(|numbers| numbers.len()), Ok(61));
    }
}
