//! TLS below HTTP, over `muster-tls`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_tls::rustls::{CertificateError, ClientConnection, Error as TlsError, OtherError, StreamOwned};

use super::Target;
use crate::failure::{Exit, Failure};
use crate::output::printable;

/// The certificates that are trusted, and our own.
pub(crate) type Config = muster_tls::rustls::ClientConfig;

/// The configuration of these files and this pin.
pub(crate) fn config(
    cacert: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    pin: Option<&str>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Arc<Config>, String> {
    let pin = pin.map(str::parse).transpose()?;
    muster_tls::client_config(&muster_tls::Client { cacert, identity, pin }, variable)
}

/// A TLS connection.
#[derive(Debug)]
pub(crate) struct Stream(StreamOwned<ClientConnection, Timed>);

/// The TCP connection below TLS. One read there may take many here, so all of them share a deadline.
#[derive(Debug)]
pub(crate) struct Timed {
    stream: TcpStream,
    read_until: Option<Instant>,
    write_until: Option<Instant>,
}

impl Stream {
    /// Connects, and completes the handshake.
    pub(super) fn connect(stream: TcpStream, config: Arc<Config>, host: &str, deadline: Instant) -> io::Result<Stream> {
        let name =
            muster_tls::server_name(host).map_err(|reason| io::Error::new(io::ErrorKind::InvalidInput, reason))?;
        let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let timed = Timed { stream, read_until: Some(deadline), write_until: Some(deadline) };
        let mut stream = StreamOwned::new(connection, timed);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Stream(stream))
    }

    /// Whether bytes were decrypted that were not read yet.
    pub(super) fn is_buffered(&mut self) -> bool {
        self.0.conn.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
    }

    /// Limits how long reads may take from now on.
    pub(super) fn read_within(&mut self, timeout: Option<Duration>) {
        self.0.sock.read_until = timeout.map(|timeout| Instant::now() + timeout);
    }

    /// Limits how long writes may take from now on.
    pub(super) fn write_within(&mut self, timeout: Option<Duration>) {
        self.0.sock.write_until = timeout.map(|timeout| Instant::now() + timeout);
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.sock.stream.as_fd()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn left(until: Option<Instant>) -> io::Result<Option<Duration>> {
    match until.map(|until| until.saturating_duration_since(Instant::now())) {
        Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(left(self.read_until)?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(left(self.write_until)?)?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The failure of TLS; `None` if the error is not one of TLS.
pub(super) fn failure(target: &Target, error: &io::Error) -> Option<Failure> {
    let tls = error.get_ref()?.downcast_ref::<TlsError>()?;
    let reason = printable(&muster_tls::describe(error));
    let failure = Failure::new(Exit::NoDaemon, format!("no secure connection to {target}: {reason}"));
    Some(match tls {
        TlsError::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            let distrust = inner.downcast_ref::<muster_tls::Distrust>()?;
            let pin = format!("`--pin {}` trusts exactly this certificate", distrust.fingerprint);
            failure.with_hint(if distrust.needs_root { format!("`--cacert` names its issuer; {pin}") } else { pin })
        }
        TlsError::InvalidMessage(_) => failure.with_hint("does the daemon listen with http:// there?"),
        TlsError::AlertReceived(_) => failure.with_hint("`--cert` and `--key` name a client certificate"),
        _ => failure,
    })
}
