//! Which process has a port, for a message about a port in use.
//!
//! The kernel names the inode of a socket that has the port (sock_diag(7)), and /proc/PID/fd who has it. Its tables in /proc/net
//! would take long to read where many connections were closed recently. Processes of other users cannot be seen without root's
//! rights, and a machine may have many, so the search may find none and ends at a deadline.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::fd::{check, uninterrupted};

/// Maximum time spent on the search: the daemon's loop waits for it.
const SEARCH: Duration = Duration::from_millis(10);

/// From <linux/sock_diag.h>, <linux/netlink.h> and <net/tcp_states.h>.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST_AND_DUMP: u16 = 0x301;
const LISTEN: u32 = 1 << 10;

/// The size of a netlink header, of the request for sockets on a network, and the place of the inode in a response.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const INODE: usize = HEADER + 68;

/// Describes a process that has this port: `held by nginx, pid 17`.
pub(crate) fn of_port(port: u16, is_udp: bool) -> Option<String> {
    let end = Instant::now() + SEARCH;
    let inodes = [libc::AF_INET, libc::AF_INET6].map(|family| inodes_of(family as u8, port, is_udp));
    let links: Vec<String> = inodes.into_iter().flatten().flatten().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    for process in processes.take_while(|_| !links.is_empty() && Instant::now() < end) {
        let Some(pid) = process.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
        if pid != std::process::id() && has_one(&process, &links, end) {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            // A process chooses its name: the message is one line.
            let name: String = name.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            return Some(format!("held by {name}, pid {pid}"));
        }
    }
    None
}

fn has_one(process: &Path, links: &[String], end: Instant) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    let targets = descriptors.flatten().take_while(|_| Instant::now() < end);
    targets
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| links.iter().any(|link| link == target)))
}

/// The inodes of the sockets that have this port: those that listen on TCP, and all on UDP.
fn inodes_of(family: u8, port: u16, is_udp: bool) -> io::Result<Vec<u32>> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: socket touches no memory of ours.
    let socket = check(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) })?;
    // SAFETY: the descriptor was just created and has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let request = request(family, port, is_udp);
    // SAFETY: the kernel reads the request, which lives through the call.
    uninterrupted(|| unsafe { libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) })?;
    let mut inodes = Vec::new();
    let mut buffer = [0_u8; 8192];
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`. It has answered already.
        let receive =
            || unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
        let length = uninterrupted(receive)?;
        if length == 0 || !take_inodes(&buffer[..length], port, &mut inodes) {
            return Ok(inodes);
        }
    }
}

fn request(family: u8, port: u16, is_udp: bool) -> [u8; HEADER + REQUEST] {
    let mut request = [0; HEADER + REQUEST];
    let (protocol, states) = match is_udp {
        true => (libc::IPPROTO_UDP as u8, u32::MAX),
        false => (libc::IPPROTO_TCP as u8, LISTEN),
    };
    request[..4].copy_from_slice(&((HEADER + REQUEST) as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&REQUEST_AND_DUMP.to_ne_bytes());
    (request[HEADER], request[HEADER + 1]) = (family, protocol);
    request[HEADER + 4..HEADER + 8].copy_from_slice(&states.to_ne_bytes());
    request[HEADER + 8..HEADER + 10].copy_from_slice(&port.to_be_bytes());
    request
}

/// Takes the inodes of a response. Returns whether more follows.
fn take_inodes(mut rest: &[u8], port: u16, inodes: &mut Vec<u32>) -> bool {
    while rest.len() >= HEADER {
        let word = |at: usize| u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let (length, kind) = (word(0) as usize, u16::from_ne_bytes([rest[4], rest[5]]));
        if kind != SOCK_DIAG_BY_FAMILY || length < INODE + 4 || length > rest.len() {
            return false;
        }
        let own = u16::from_be_bytes([rest[HEADER + 4], rest[HEADER + 5]]);
        inodes.extend((own == port).then(|| word(INODE)));
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
    true
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// The inode that the kernel shows in /proc for this descriptor.
    fn inode(number: i32) -> u32 {
        fs::metadata(format!("/proc/self/fd/{number}")).unwrap().ino() as u32
    }

    #[test]
    fn the_kernel_names_the_sockets_that_have_a_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).unwrap();
        let _server = listener.accept().unwrap();
        let found = inodes_of(libc::AF_INET as u8, address.port(), false).unwrap();
        assert_eq!(found, [inode(listener.as_raw_fd())], "no connection of it");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = inodes_of(libc::AF_INET as u8, port, true).unwrap();
        assert_eq!(found, [inode(socket.as_raw_fd())]);
    }

    #[test]
    fn broken_responses_end_the_search() {
        let mut inodes = Vec::new();
        assert!(take_inodes(&[], 1, &mut inodes));
        assert!(!take_inodes(&[0; HEADER], 1, &mut inodes));
        let mut long = [0_u8; HEADER];
        long[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        long[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        assert!(!take_inodes(&long, 1, &mut inodes));
        assert!(inodes.is_empty());
    }
}
