//! The protocol between `--via` and `musterctl dial-stdio --streams`: several connections over one pair of pipes.
//!
//! The far end greets first, so that whatever a login prints before is skipped. Then both send frames: a kind, the number of a
//! connection, a length and that many bytes. The near end opens a connection by its first frame. The far end sends at most
//! [`WINDOW`] bytes of a connection that were not credited, so one connection that is not read delays no other.

use std::io::{self, Read, Write};

/// The first line of the far end.
pub(crate) const GREETING: &[u8] = b"musterctl dial-stdio streams 1\n";

/// Bytes of one connection that may be under way to the near end.
pub(crate) const WINDOW: usize = 256 * 1024;

/// Maximum size of the bytes of a frame.
pub(crate) const PIECE: usize = 32 * 1024;

/// Maximum number of connections at a time; a daemon serves as many followers.
pub(crate) const CONNECTIONS_MAX: usize = 512;

/// The stack size of a thread that only copies bytes.
pub(crate) const STACK: usize = 128 * 1024;

const HEAD: usize = 9;

/// The content of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes of the connection.
    Data,
    /// The sender has no more to send; from the near end also: it reads no more.
    End,
    /// The number of bytes that were read: four bytes, most significant first.
    Credit,
}

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) connection: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Frame {
    /// The number in a credit.
    pub(crate) fn credit(&self) -> Option<usize> {
        let bytes: [u8; 4] = self.bytes.as_slice().try_into().ok()?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    }
}

/// Writes a frame at once.
pub(crate) fn write(to: &mut impl Write, kind: Kind, connection: u32, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut frame = Vec::with_capacity(HEAD + bytes.len());
    frame.push(match kind {
        Kind::Data => 0,
        Kind::End => 1,
        Kind::Credit => 2,
    });
    frame.extend_from_slice(&connection.to_be_bytes());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(bytes);
    to.write_all(&frame)?;
    to.flush()
}

/// Reads a frame; `None` at the end of the stream. A frame that breaks the protocol is an error.
pub(crate) fn read(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut head = [0; HEAD];
    let mut filled = 0;
    while filled < HEAD {
        match from.read(&mut head[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let [kind, rest @ ..] = head;
    let [c0, c1, c2, c3, length @ ..] = rest;
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not a frame of musterctl");
    let kind = match kind {
        0 => Kind::Data,
        1 => Kind::End,
        2 => Kind::Credit,
        _ => return Err(invalid()),
    };
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| invalid())?;
    let fits = match kind {
        Kind::Data => (1..=PIECE).contains(&length),
        Kind::End => length == 0,
        Kind::Credit => length == 4,
    };
    if !fits {
        return Err(invalid());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(Some(Frame { kind, connection: u32::from_be_bytes([c0, c1, c2, c3]), bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_were_sent() {
        let mut sent = Vec::new();
        write(&mut sent, Kind::Data, 7, b"hello").unwrap();
        write(&mut sent, Kind::Credit, 7, &5_u32.to_be_bytes()).unwrap();
        write(&mut sent, Kind::End, u32::MAX, b"").unwrap();
        let mut from = sent.as_slice();
        let frame = read(&mut from).unwrap().unwrap();
        assert_eq!((frame.kind, frame.connection, frame.bytes.as_slice()), (Kind::Data, 7, b"hello".as_slice()));
        assert_eq!(read(&mut from).unwrap().unwrap().credit(), Some(5));
        assert_eq!(read(&mut from).unwrap().unwrap().connection, u32::MAX);
        assert_eq!(read(&mut from).unwrap(), None);
    }

    #[test]
    fn what_is_no_frame_is_an_error_before_its_bytes_are_read() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\n"[..],
            &[0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff],
            &[0, 0, 0, 0, 1, 0, 0, 0, 0],
            &[1, 0, 0, 0, 1, 0, 0, 0, 1, 1],
            &[2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 1, 1],
            &[0, 0, 0],
        ] {
            assert!(read(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
    }
}
