//! The connection to a receiver, made when there is something to send and remade after it broke.
//!
//! Everything here may block and runs on a thread that may: a name lookup, a connection, a write to a full
//! socket. A message to a Unix datagram socket waits until the receiver reads; one over UDP never waits and may be lost
//! silently. In a stream each message is preceded by its length (octet counting, RFC 6587); a message
//! that was incomplete when the stream broke is sent again. Messages that the kernel had accepted before may be lost with the stream: syslog
//! has no acknowledgements.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use muster_spec::SyslogAddress;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use super::message::Batch;

/// The timeout for connecting to one address.
const CONNECT: Duration = Duration::from_secs(10);

/// How long closing a stream may take: a container's network ends with its PID 1, and unreceived data with it.
const GOODBYE: Duration = Duration::from_millis(200);

/// Why a message was not sent.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no connection; with the time at which it was made, if it broke.
    Broken(io::Error, Option<Instant>),
    /// A message sent earlier has not arrived; this one can be retried at once.
    EarlierWasLost(io::Error),
    /// This message can never be sent.
    TooLong(io::Error),
}

/// The connection to one address.
#[derive(Debug)]
pub(super) struct Wire {
    address: SyslogAddress,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    socket: OwnedFd,
    kind: Kind,
    at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A datagram per message, to a receiver on this machine.
    Local,
    /// A datagram per message, over a network.
    Udp,
    Stream,
}

impl Wire {
    pub(super) fn to(address: &SyslogAddress) -> Wire {
        Wire { address: address.clone(), open: None }
    }

    /// Sends the messages from `next` on, and advances it.
    pub(super) fn send(&mut self, batch: &Batch, next: &mut usize) -> Result<(), Fault> {
        let open = match self.open.take() {
            Some(open) => open,
            None => Open::to(&self.address).map_err(|error| Fault::Broken(error, None))?,
        };
        let sent = match open.kind {
            Kind::Stream => open.send_stream(batch, next),
            Kind::Local | Kind::Udp => open.send_datagrams(batch, next),
        };
        if !matches!(sent, Err(Fault::Broken(..))) {
            self.open = Some(open);
        }
        sent
    }

    /// Waits briefly until the receiver has taken everything.
    pub(super) fn close(&mut self) {
        if let Some(open) = self.open.take().filter(|open| open.kind == Kind::Stream) {
            // The calls below work on any kind of stream socket.
            let stream = TcpStream::from(open.socket);
            if stream.shutdown(Shutdown::Write).is_ok() && stream.set_read_timeout(Some(GOODBYE)).is_ok() {
                // End of file, an error or the timeout: nothing remains to be done.
                let _ = (&stream).read(&mut [0; 64]);
            }
        }
    }
}

impl Open {
    fn to(address: &SyslogAddress) -> io::Result<Open> {
        let (socket, kind) = match address {
            SyslogAddress::Unix(path) => local(path)?,
            SyslogAddress::Udp(host, port) => (first(host, *port, udp)?, Kind::Udp),
            SyslogAddress::Tcp(host, port) => (first(host, *port, tcp)?, Kind::Stream),
        };
        Ok(Open { socket, kind, at: Instant::now() })
    }

    fn broken(&self, error: Errno) -> Fault {
        Fault::Broken(error.into(), Some(self.at))
    }

    fn send_datagrams(&self, batch: &Batch, next: &mut usize) -> Result<(), Fault> {
        while *next < batch.len() {
            match self.put(batch.message(*next)) {
                Ok(_) => *next += 1,
                Err(error @ Errno::EMSGSIZE) => return Err(Fault::TooLong(error.into())),
                // The response to an earlier datagram: nothing listens there.
                Err(error @ Errno::ECONNREFUSED) if self.kind == Kind::Udp => {
                    return Err(Fault::EarlierWasLost(error.into()));
                }
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(())
    }

    fn send_stream(&self, batch: &Batch, next: &mut usize) -> Result<(), Fault> {
        self.look_for_its_end()?;
        let (first, bytes) = (*next, batch.framed_from(*next));
        let mut written = 0;
        while written < bytes.len() {
            match self.put(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) => {
                    *next = batch.after(first, written);
                    return Err(self.broken(error));
                }
            }
        }
        *next = batch.len();
        Ok(())
    }

    /// The first write to a stream that its receiver has closed succeeds, and is lost. So check it before.
    fn look_for_its_end(&self) -> Result<(), Fault> {
        let mut look = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        if poll(&mut look, PollTimeout::ZERO) == Ok(0) {
            return Ok(());
        }
        match read(&self.socket, &mut [0; 512]) {
            Ok(0) => Err(self.broken(Errno::EPIPE)),
            // Data from the receiver is ignored.
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// One write, which sends one datagram on a datagram socket. The whole daemon ignores SIGPIPE.
    fn put(&self, bytes: &[u8]) -> Result<usize, Errno> {
        loop {
            match write(&self.socket, bytes) {
                Err(Errno::EINTR) => {}
                sent => return sent,
            }
        }
    }
}

/// The type of a Unix socket is not known before connecting; datagrams are usual.
fn local(path: &Path) -> io::Result<(OwnedFd, Kind)> {
    let datagram = UnixDatagram::unbound()?;
    match datagram.connect(path) {
        Ok(()) => Ok((datagram.into(), Kind::Local)),
        Err(error) if error.raw_os_error() == Some(Errno::EPROTOTYPE as i32) => {
            Ok((UnixStream::connect(path)?.into(), Kind::Stream))
        }
        Err(error) => Err(error),
    }
}

/// A connection to the first address of a host that accepts one.
fn first(host: &str, port: u16, connect: impl Fn(SocketAddr) -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match connect(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn udp(address: SocketAddr) -> io::Result<OwnedFd> {
    let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(address)?;
    Ok(socket.into())
}

fn tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let stream = TcpStream::connect_timeout(&address, CONNECT)?;
    // A line must not wait for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    Ok(stream.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;

    fn batch(texts: &[&str]) -> Batch {
        let mut batch = Batch::new(Arc::default());
        texts.iter().for_each(|text| batch.put(b"", text.as_bytes(), true));
        batch
    }

    fn send(wire: &mut Wire, batch: &Batch) -> (Result<(), Fault>, usize) {
        let mut next = 0;
        (wire.send(batch, &mut next), next)
    }

    #[test]
    fn a_unix_socket_is_served_whichever_of_the_two_types_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let datagrams = UnixDatagram::bind(path("datagrams")).unwrap();
        let listener = UnixListener::bind(path("stream")).unwrap();
        let (sent, next) = send(&mut Wire::to(&SyslogAddress::Unix(path("datagrams"))), &batch(&["one", "two"]));
        assert!(sent.is_ok() && next == 2);
        let mut buffer = [0; 10];
        assert_eq!((datagrams.recv(&mut buffer).unwrap(), &buffer[..3]), (3, &b"one"[..]));
        let mut wire = Wire::to(&SyslogAddress::Unix(path("stream")));
        let (sent, next) = send(&mut wire, &batch(&["one", "two"]));
        assert!(sent.is_ok() && next == 2);
        let mut receiver = listener.accept().unwrap().0;
        drop(wire);
        let mut received = String::new();
        receiver.read_to_string(&mut received).unwrap();
        assert_eq!(received, "3 one3 two");
    }

    #[test]
    fn a_stream_that_its_receiver_has_closed_is_not_written_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut wire = Wire::to(&SyslogAddress::Tcp("127.0.0.1".to_owned(), listener.local_addr().unwrap().port()));
        assert!(send(&mut wire, &batch(&["one"])).0.is_ok());
        let mut first = listener.accept().unwrap().0;
        first.read_exact(&mut [0; 5]).unwrap();
        drop(first);
        let (sent, next) = send(&mut wire, &batch(&["two"]));
        assert!(matches!(sent, Err(Fault::Broken(_, Some(_)))) && next == 0, "{sent:?}");
        assert!(send(&mut wire, &batch(&["two"])).0.is_ok());
        let mut received = [0; 5];
        listener.accept().unwrap().0.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"3 two");
    }

    #[test]
    fn a_datagram_that_nobody_took_is_known_at_the_next_one() {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut wire = Wire::to(&SyslogAddress::Udp("localhost".to_owned(), free));
        assert!(send(&mut wire, &batch(&["one"])).0.is_ok());
        let (sent, next) = send(&mut wire, &batch(&["two"]));
        assert!(matches!(sent, Err(Fault::EarlierWasLost(_))) && next == 0, "{sent:?}");
        assert!(send(&mut wire, &batch(&["two"])).0.is_ok());
    }

    #[test]
    fn a_message_that_is_too_long_for_a_datagram_does_not_break_the_connection() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut wire = Wire::to(&SyslogAddress::Udp("127.0.0.1".to_owned(), receiver.local_addr().unwrap().port()));
        let (sent, next) = send(&mut wire, &batch(&["one", &"x".repeat(70_000)]));
        assert!(matches!(sent, Err(Fault::TooLong(_))) && next == 1, "{sent:?}");
        assert!(wire.open.is_some());
    }

    #[test]
    fn who_is_not_there_is_no_connection() {
        let nowhere = SyslogAddress::Unix("/no/such/socket".into());
        assert!(matches!(send(&mut Wire::to(&nowhere), &batch(&["one"])), (Err(Fault::Broken(_, None)), 0)));
    }
}
