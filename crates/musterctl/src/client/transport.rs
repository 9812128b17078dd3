//! A connection to a daemon, whatever it goes through.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::tls;

/// A connection. `--via` has pairs of Unix sockets, too.
#[derive(Debug)]
pub(crate) enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<tls::Stream>),
}

impl Connection {
    /// Limits how long a read may block; with TLS from now on.
    pub(crate) fn set_read_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Connection::Unix(stream) => stream.set_read_timeout(timeout),
            Connection::Tcp(stream) => stream.set_read_timeout(timeout),
            Connection::Tls(tls) => {
                tls.read_within(timeout);
                Ok(())
            }
        }
    }

    /// Limits how long a write may block; with TLS from now on.
    pub(crate) fn set_write_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Connection::Unix(stream) => stream.set_write_timeout(timeout),
            Connection::Tcp(stream) => stream.set_write_timeout(timeout),
            Connection::Tls(tls) => {
                tls.write_within(timeout);
                Ok(())
            }
        }
    }
}

impl Connection {
    /// Whether bytes were received that a read returns without waiting.
    pub(crate) fn is_buffered(&mut self) -> bool {
        match self {
            Connection::Unix(_) | Connection::Tcp(_) => false,
            Connection::Tls(tls) => tls.is_buffered(),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Connection::Unix(stream) => stream.as_fd(),
            Connection::Tcp(stream) => stream.as_fd(),
            Connection::Tls(tls) => tls.as_fd(),
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Connection::Unix(stream) => stream.read(buffer),
            Connection::Tcp(stream) => stream.read(buffer),
            Connection::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Connection::Unix(stream) => stream.write(buffer),
            Connection::Tcp(stream) => stream.write(buffer),
            Connection::Tls(tls) => tls.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Connection::Unix(stream) => stream.flush(),
            Connection::Tcp(stream) => stream.flush(),
            Connection::Tls(tls) => tls.flush(),
        }
    }
}
