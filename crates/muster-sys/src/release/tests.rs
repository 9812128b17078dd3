//! The tests of releasing what others have sent.

use super::*;
use crate::signal::SignalSet;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long closing one of these would block.
const LINGER: Duration = Duration::from_secs(60);

/// A socket whose last close waits, and its peer.
fn lingering() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    while stream.write(&[0; 65536]).is_ok() {}
    let linger = libc::linger { l_onoff: 1, l_linger: LINGER.as_secs() as libc::c_int };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the kernel reads one structure from `linger`.
    let set = unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
    };
    assert_eq!(set, 0);
    (stream.into(), peer)
}

/// Sends a descriptor with a byte. Ours is closed: the other one is the last.
fn send(through: &UnixStream, descriptor: OwnedFd) {
    let mut byte = [b'x'];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0_u64; 4];
    // SAFETY: the header leads to what lives through the call; one descriptor fits into `control`.
    unsafe {
        let mut header: libc::msghdr = zeroed();
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(4) as _;
        let about = libc::CMSG_FIRSTHDR(&header);
        (*about).cmsg_level = libc::SOL_SOCKET;
        (*about).cmsg_type = libc::SCM_RIGHTS;
        (*about).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(about).cast::<libc::c_int>().write_unaligned(descriptor.as_raw_fd());
        assert_eq!(libc::sendmsg(through.as_raw_fd(), &header, libc::MSG_NOSIGNAL), 1);
    }
}

fn takes_no_time(act: impl FnOnce()) {
    let began = Instant::now();
    act();
    assert!(began.elapsed() < LINGER / 3, "{:?}", began.elapsed());
}

/// A descriptor that waits when it is closed, in so many sockets that hold one another.
fn nested(depth: usize) -> (OwnedFd, TcpStream) {
    let (mut held, peer) = lingering();
    for _ in 0..depth {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&ours, held);
        held = theirs.into();
    }
    (held, peer)
}

#[test]
fn a_socket_with_descriptors_that_nobody_received_is_closed_at_once() {
    for depth in 0..3 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let several: Vec<_> = (0..3).map(|_| nested(depth)).collect();
        let mut peers = Vec::new();
        for (descriptor, peer) in several {
            send(&ours, descriptor);
            peers.push(peer);
        }
        takes_no_time(|| drop(Exposed::new(theirs)));
    }
}

#[test]
fn descriptors_end_the_reading_at_once_and_are_closed() {
    for depth in 0..3 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(b"before").unwrap();
        let (descriptor, _peer) = nested(depth);
        send(&ours, descriptor);
        let mut buffer = [0; 64];
        takes_no_time(|| {
            let mut read = read_without_descriptors(theirs.as_fd(), &mut buffer);
            if read.as_ref().is_ok_and(|&count| count == 6) {
                read = read_without_descriptors(theirs.as_fd(), &mut buffer);
            }
            assert_eq!(read.unwrap_err().kind(), ErrorKind::InvalidData);
        });
    }
}

#[test]
fn bytes_without_descriptors_are_read() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut buffer = [0; 8];
    let mut read = || read_without_descriptors(theirs.as_fd(), &mut buffer);
    assert_eq!(read().unwrap_err().kind(), ErrorKind::WouldBlock);
    (&ours).write_all(b"12345").unwrap();
    assert_eq!(read().unwrap(), 5);
    drop(ours);
    assert_eq!(read().unwrap(), 0);
}

/// Kernels before Linux 6.16 cannot refuse them.
#[test]
fn a_connection_holds_no_descriptors_only_if_its_listener_refused_them_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let early = UnixStream::connect(&path).unwrap();
    refuse_descriptors(listener.as_fd());
    let late = UnixStream::connect(&path).unwrap();
    let can_refuse = refuses_descriptors(listener.as_fd());
    let accept = || Exposed::accepted(listener.accept().unwrap().0);
    assert_eq!([accept(), accept()].map(|accepted| accepted.is_bare()), [false, can_refuse]);
    drop((early, late));
}

/// A thread that has all signals blocked, as the daemon's, reads none of them later.
#[test]
fn no_signal_is_left_over() {
    let before = set_blocked(SignalSet::ALL).unwrap();
    let signals = crate::signal::Signals::new().unwrap();
    let began = Instant::now();
    without_waiting(|| while began.elapsed() < Duration::from_millis(20) {});
    assert_eq!(blocked().unwrap(), SignalSet::ALL.without(&[libc::SIGKILL, libc::SIGSTOP]));
    assert_eq!(signals.next().unwrap(), None);
    set_blocked(before).unwrap();
}
