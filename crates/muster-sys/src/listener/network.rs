//! Sockets on TCP and UDP: looking up the host, the options, and binding.
//!
//! Nothing here waits: names of hosts are looked up in /etc/hosts only.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use muster_spec::SocketOptions;

use crate::fd::{check, copy_above_stdio};

/// Where names of hosts are looked up.
const HOSTS: &str = "/etc/hosts";

/// From <linux/in6.h>; libc lacks it for musl.
const IPV6_FREEBIND: libc::c_int = 78;

/// The protocol of a socket on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Binds a socket. The host is a number, a name in /etc/hosts, or `*` for every address.
pub(super) fn bind(protocol: Protocol, host: &str, port: u16, options: SocketOptions) -> io::Result<OwnedFd> {
    let at = |address: IpAddr, v6only| bind_at(protocol, SocketAddr::new(address, port), v6only, options);
    match address_of(host)? {
        Some(address) => at(address, options.v6only),
        None => {
            let v6only = options.v6only.unwrap_or(false);
            at(Ipv6Addr::UNSPECIFIED.into(), Some(v6only)).or_else(|error| match error.raw_os_error() {
                // Without IPv6.
                Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) if !v6only => at(Ipv4Addr::UNSPECIFIED.into(), None),
                _ => Err(error),
            })
        }
    }
}

fn bind_at(
    protocol: Protocol,
    address: SocketAddr,
    v6only: Option<bool>,
    options: SocketOptions,
) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    let kind = match protocol {
        Protocol::Tcp => libc::SOCK_STREAM,
        Protocol::Udp => libc::SOCK_DGRAM,
    };
    // SAFETY: socket touches no memory of ours.
    let socket = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was just created and has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let socket = copy_above_stdio(socket.as_fd())?;
    let set = |level, option, value| set_option(socket.as_fd(), level, option, value);
    if protocol == Protocol::Tcp {
        // Connections of an earlier process that are being closed do not prevent a new socket. On UDP it would let any
        // process of the same user take the datagrams.
        set(libc::SOL_SOCKET, libc::SO_REUSEADDR, true)?;
    }
    if options.reuse_port {
        set(libc::SOL_SOCKET, libc::SO_REUSEPORT, true)?;
    }
    if let Some(v6only) = v6only.filter(|_| address.is_ipv6()) {
        set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, v6only)?;
    }
    if options.freebind {
        match address {
            SocketAddr::V4(_) => set(libc::IPPROTO_IP, libc::IP_FREEBIND, true)?,
            SocketAddr::V6(_) => set(libc::IPPROTO_IPV6, IPV6_FREEBIND, true)?,
        }
    }
    let (address, length) = kernels(address);
    // SAFETY: the kernel reads `length` bytes of the address, which lives through the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
    Ok(socket)
}

/// An address as the kernel has it, and its length.
fn kernels(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all-zero bytes are a valid sockaddr_storage, which is as large and as aligned as every address.
    let mut storage: libc::sockaddr_storage = unsafe { zeroed() };
    let length = match address {
        SocketAddr::V4(address) => {
            let ip = libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) };
            let (sin_family, sin_port) = (libc::AF_INET as libc::sa_family_t, address.port().to_be());
            let own = libc::sockaddr_in { sin_family, sin_port, sin_addr: ip, sin_zero: [0; 8] };
            // SAFETY: see above.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(own) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            let own = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: see above.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(own) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

/// Sets whether connections send small packets at once: those that are accepted inherit it.
pub(super) fn set_nodelay(socket: BorrowedFd<'_>, nodelay: bool) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, nodelay)
}

fn set_option(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int, value: bool) -> io::Result<()> {
    let value = libc::c_int::from(value);
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads one number from `value`.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size) }).map(drop)
}

/// The address of a host; `None` for all addresses.
fn address_of(host: &str) -> io::Result<Option<IpAddr>> {
    match host {
        "*" => Ok(None),
        "localhost" => Ok(Some(Ipv4Addr::LOCALHOST.into())),
        _ => match host.parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => in_hosts(&std::fs::read_to_string(HOSTS).unwrap_or_default(), host).map(Some).ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, format!("neither an address nor a name in {HOSTS}: {host}"))
            }),
        },
    }
}

/// The address of this name, the first of IPv4 if there is one.
fn in_hosts(hosts: &str, name: &str) -> Option<IpAddr> {
    let addresses = hosts.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    });
    addresses.min_by_key(IpAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn port_of(socket: OwnedFd) -> u16 {
        UdpSocket::from(socket).local_addr().unwrap().port()
    }

    #[test]
    fn hosts_are_numbers_or_names_of_the_file() {
        let hosts = "::1 app # ours\n10.0.0.9\tweb APP\nnonsense app\n";
        assert_eq!(in_hosts(hosts, "app"), Some("10.0.0.9".parse().unwrap()));
        assert_eq!(in_hosts(hosts, "ours"), None);
        assert_eq!(address_of("*").unwrap(), None);
        assert_eq!(address_of("localhost").unwrap(), Some(Ipv4Addr::LOCALHOST.into()));
        assert!(address_of("no.such.host").unwrap_err().to_string().contains("/etc/hosts"));
    }

    #[test]
    fn a_port_is_shared_only_where_every_socket_says_so() {
        let plain = SocketOptions::default();
        let shared = SocketOptions { reuse_port: true, ..plain };
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let first = bind(protocol, "127.0.0.1", 0, shared).unwrap();
            let port = port_of(first.try_clone().unwrap());
            assert!(bind(protocol, "127.0.0.1", port, shared).is_ok());
            let refused = bind(protocol, "127.0.0.1", port, plain);
            if protocol == Protocol::Udp {
                assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EADDRINUSE));
            }
        }
    }

    #[test]
    fn freebind_takes_an_address_that_is_not_there_yet() {
        let free = SocketOptions { freebind: true, ..SocketOptions::default() };
        let bound = |host: &str, options| bind(Protocol::Tcp, host, 0, options);
        assert_eq!(bound("192.0.2.1", SocketOptions::default()).unwrap_err().raw_os_error(), Some(libc::EADDRNOTAVAIL));
        assert!(bound("192.0.2.1", free).is_ok());
        match bound("2001:db8::1", free) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EAFNOSUPPORT)),
        }
    }

    #[test]
    fn v6only_leaves_the_port_to_ipv4() {
        let only = SocketOptions { v6only: Some(true), ..SocketOptions::default() };
        let Ok(socket) = bind(Protocol::Tcp, "*", 0, only) else { return };
        let port = port_of(socket);
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    }
}
