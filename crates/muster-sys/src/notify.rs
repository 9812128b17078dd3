//! The sockets on which programs send notifications: sd_notify(3).
//!
//! Each run has its own socket, which identifies the run of a message. The kernel adds the sender
//! (`SO_PASSCRED`). Descriptors are never received: they are closed with the message, once it has been
//! processed, which is what `BARRIER=1` waits for, and [`crate::release`] ensures that closing never blocks. Knows nothing of
//! the content of messages; `musterd` does.

use std::fs;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use crate::fd::{check, uninterrupted};
use crate::release::{Exposed, without_waiting};
use crate::signal::Pid;
use crate::trusted::random;

/// The sender of a message, according to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its pid in our pid namespace; 0 if it is not in it.
    pub pid: Pid,
    /// Its user.
    pub uid: u32,
}

/// A message that is still queued on the socket: [`NotifySocket::take_off`].
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// How much of the buffer it fills.
    pub length: usize,
    /// Whether it was longer; the rest is lost.
    pub is_truncated: bool,
    /// The sender. Always present, unless the kernel had no room for it.
    pub sender: Option<Sender>,
    /// Whether descriptors came with it.
    pub has_descriptors: bool,
}

/// A socket for one run.
#[derive(Debug)]
pub struct NotifySocket {
    socket: Exposed<UnixDatagram>,
}

impl NotifySocket {
    /// Creates the socket as a file that every user can write to. The caller removes it.
    pub fn at_path(path: &Path) -> io::Result<NotifySocket> {
        let socket = NotifySocket::from(UnixDatagram::bind(path)?)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        Ok(socket)
    }

    /// Creates an abstract socket, without a file: unix(7). Its name, written with a leading `@`, begins with this prefix and
    /// cannot be guessed, since any process can take a free name.
    pub fn abstract_below(prefix: &str) -> io::Result<(NotifySocket, String)> {
        let name = random().map_or_else(|_| prefix.to_owned(), |random| format!("{prefix}-{random:016x}"));
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        Ok((NotifySocket::from(socket)?, name))
    }

    fn from(socket: UnixDatagram) -> io::Result<NotifySocket> {
        socket.set_nonblocking(true)?;
        let on: libc::c_int = 1;
        let size = size_of::<libc::c_int>() as libc::socklen_t;
        let option = (&raw const on).cast();
        // SAFETY: the kernel reads one number from `on`.
        check(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED, option, size) })?;
        Ok(NotifySocket { socket: Exposed::new(socket) })
    }

    /// Peeks at the next message, `WouldBlock` if there is none. It stays queued until it is taken off.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        // An array of words, for alignment. It has room for the credentials, which the kernel writes first.
        let mut control = [0_u64; CONTROL_BYTES.div_ceil(size_of::<u64>())];
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: all-zero bytes are a valid msghdr; C libraries pad it differently, so it cannot be written out.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_BYTES as _;
        // SAFETY: the header leads to `part`, `buffer` and `control`, which all live through the call.
        let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &mut header, libc::MSG_PEEK) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let is_truncated = header.msg_flags & libc::MSG_TRUNC != 0;
        let has_descriptors = header.msg_flags & libc::MSG_CTRUNC != 0;
        // SAFETY: the kernel has just filled what the header leads to.
        let sender = unsafe { sender(&header) };
        Ok(Received { length, is_truncated, sender, has_descriptors })
    }

    /// Takes this message, the next one, off the socket and closes the descriptors that came with it.
    pub fn take_off(&self, message: &Received) {
        // SAFETY: there is no room that the kernel could write to.
        let take = || unsafe { libc::recv(self.socket.as_raw_fd(), std::ptr::null_mut(), 0, libc::MSG_DONTWAIT) };
        // It is there: this is the only reader.
        let _ = match message.has_descriptors {
            true => without_waiting(|| uninterrupted(take)),
            false => uninterrupted(take),
        };
    }
}

// SAFETY: CMSG_SPACE only calculates.
const CONTROL_BYTES: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) as usize };

/// The sender, according to the kernel.
///
/// # Safety
/// `header` was filled by recvmsg(2), and everything it leads to is still there.
unsafe fn sender(header: &libc::msghdr) -> Option<Sender> {
    // SAFETY: the CMSG functions stay within the control bytes, which the kernel has filled; data may be unaligned.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        while !next.is_null() {
            let length = (*next).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
            let is_sender = ((*next).cmsg_level, (*next).cmsg_type) == (libc::SOL_SOCKET, libc::SCM_CREDENTIALS);
            if is_sender && length >= size_of::<libc::ucred>() {
                let sender = libc::CMSG_DATA(next).cast::<libc::ucred>().read_unaligned();
                return Some(Sender { pid: Pid(sender.pid), uid: sender.uid });
            }
            next = libc::CMSG_NXTHDR(header, next);
        }
    }
    None
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::path::PathBuf;

    fn socket() -> (NotifySocket, PathBuf, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        (NotifySocket::at_path(&path).unwrap(), path, directory)
    }

    fn send_with(path: &Path, bytes: &[u8], descriptor: Option<&OwnedFd>) -> bool {
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(path).unwrap();
        let mut part = libc::iovec { iov_base: bytes.as_ptr() as *mut _, iov_len: bytes.len() };
        let mut control = [0_u64; 4];
        // SAFETY: as in `receive`; one descriptor fits in.
        unsafe {
            let mut header: libc::msghdr = zeroed();
            header.msg_iov = &mut part;
            header.msg_iovlen = 1;
            if let Some(descriptor) = descriptor {
                header.msg_control = control.as_mut_ptr().cast();
                header.msg_controllen = libc::CMSG_SPACE(4) as _;
                let about = libc::CMSG_FIRSTHDR(&header);
                (*about).cmsg_level = libc::SOL_SOCKET;
                (*about).cmsg_type = libc::SCM_RIGHTS;
                (*about).cmsg_len = libc::CMSG_LEN(4) as _;
                libc::CMSG_DATA(about).cast::<libc::c_int>().write_unaligned(descriptor.as_raw_fd());
            }
            libc::sendmsg(sender.as_raw_fd(), &header, libc::MSG_NOSIGNAL) >= 0
        }
    }

    #[test]
    fn a_message_comes_with_who_sent_it() {
        let (socket, path, _directory) = socket();
        let mut buffer = [0; 64];
        assert_eq!(socket.receive(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(send_with(&path, b"READY=1", None));
        let received = socket.receive(&mut buffer).unwrap();
        assert_eq!((&buffer[..received.length], received.is_truncated), (&b"READY=1"[..], false));
        // SAFETY: getuid cannot fail.
        let own = Sender { pid: Pid::this(), uid: unsafe { libc::getuid() } };
        assert_eq!((received.sender, received.has_descriptors), (Some(own), false));
        socket.take_off(&received);
        assert_eq!(socket.receive(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    }

    #[test]
    fn descriptors_are_closed_with_the_message_they_came_with() {
        let (socket, path, _directory) = socket();
        let (reader, writer) = io::pipe().unwrap();
        let writer = OwnedFd::from(writer);
        assert!(send_with(&path, b"BARRIER=1", Some(&writer)));
        drop(writer);
        let received = socket.receive(&mut [0; 64]).unwrap();
        assert!(received.has_descriptors && received.sender.is_some());
        let reader = OwnedFd::from(reader);
        crate::fd::set_nonblocking(reader.as_fd()).unwrap();
        let mut reader = fs::File::from(reader);
        assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        socket.take_off(&received);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the other end is closed");
    }

    #[test]
    fn a_message_that_is_too_long_says_so() {
        let (socket, path, _directory) = socket();
        assert!(send_with(&path, &vec![b'x'; 60_000], None));
        let mut buffer = [0; 16];
        let received = socket.receive(&mut buffer).unwrap();
        assert!(received.is_truncated && received.sender.is_some());
        assert_eq!(buffer, [b'x'; 16]);
        socket.take_off(&received);
        assert_eq!(socket.receive(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock, "the rest is lost");
    }

    #[test]
    fn an_abstract_socket_needs_no_file_and_its_name_cannot_be_taken() {
        let prefix = format!("muster-test-{}", std::process::id());
        let (socket, name) = NotifySocket::abstract_below(&prefix).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to_addr(b"x", &SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        assert_eq!(socket.receive(&mut [0; 4]).unwrap().length, 1);
        let (_second, other) = NotifySocket::abstract_below(&prefix).unwrap();
        assert!(other != name && other.starts_with(&prefix));
    }
}
