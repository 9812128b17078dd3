//! Frames: a kind, a length of four bytes, most significant first, and that many bytes.
//!
//! The length is judged by its kind as soon as the head is there, so a frame never takes more memory than [`LARGEST`] bytes.

/// The largest content of a frame.
pub const LARGEST: usize = 64 * 1024;

/// The largest message of an [`Frame::Error`].
pub const LARGEST_MESSAGE: usize = 4096;

/// The size of a frame's head.
pub const HEAD: usize = 5;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// From the client: input of the command.
    Stdin(Vec<u8>),
    /// From the daemon: output of the command.
    Stdout(Vec<u8>),
    /// From the daemon: error output of the command, unless it has a terminal.
    Stderr(Vec<u8>),
    /// From the client: the size of its terminal.
    Resize {
        /// Its height.
        rows: u16,
        /// Its width.
        columns: u16,
    },
    /// From the client: a signal to the command's process group.
    Signal(u8),
    /// From the daemon, at last: how the command ended.
    End(End),
    /// From the client: the end of the input.
    Eof,
    /// From the daemon, at last: why the command could not be executed.
    Error {
        /// The exit code of a shell: 126 or 127.
        code: u8,
        /// The reason.
        message: String,
    },
    /// From the daemon: so many bytes of input were written to the command.
    Taken(u32),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited with this status.
    Code(u8),
    /// This signal killed it.
    Signal(u8),
}

impl End {
    /// The exit code of a shell.
    pub fn code(self) -> u8 {
        match self {
            End::Code(code) => code,
            End::Signal(number) => number.saturating_add(128),
        }
    }
}

/// Bytes that are no frames of this protocol, or not from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a frame of this protocol")
    }
}

impl std::error::Error for Malformed {}

/// The end of a connection that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `musterctl`.
    Client,
    /// The daemon.
    Daemon,
}

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const RESIZE: u8 = 3;
const SIGNAL: u8 = 4;
const END: u8 = 5;
const EOF: u8 = 6;
const ERROR: u8 = 7;
const TAKEN: u8 = 8;

impl Frame {
    /// Appends the frame to a buffer. Content beyond what a frame can hold is cut: callers send pieces.
    pub fn write(&self, to: &mut Vec<u8>) {
        match self {
            Frame::Stdin(bytes) => put(to, STDIN, bytes),
            Frame::Stdout(bytes) => put(to, STDOUT, bytes),
            Frame::Stderr(bytes) => put(to, STDERR, bytes),
            Frame::Resize { rows, columns } => {
                let ([r0, r1], [c0, c1]) = (rows.to_be_bytes(), columns.to_be_bytes());
                put(to, RESIZE, &[r0, r1, c0, c1]);
            }
            Frame::Signal(number) => put(to, SIGNAL, &[*number]),
            Frame::End(End::Code(code)) => put(to, END, &[0, *code]),
            Frame::End(End::Signal(number)) => put(to, END, &[1, *number]),
            Frame::Eof => put(to, EOF, &[]),
            Frame::Error { code, message } => {
                let message = &message[..message.floor_char_boundary(LARGEST_MESSAGE)];
                put(to, ERROR, &[&[*code], message.as_bytes()].concat());
            }
            Frame::Taken(count) => put(to, TAKEN, &count.to_be_bytes()),
        }
    }

    /// The frame as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    fn parse(kind: u8, content: &[u8]) -> Result<Frame, Malformed> {
        Ok(match (kind, content) {
            (STDIN, bytes) => Frame::Stdin(bytes.to_vec()),
            (STDOUT, bytes) => Frame::Stdout(bytes.to_vec()),
            (STDERR, bytes) => Frame::Stderr(bytes.to_vec()),
            (RESIZE, &[r0, r1, c0, c1]) => {
                Frame::Resize { rows: u16::from_be_bytes([r0, r1]), columns: u16::from_be_bytes([c0, c1]) }
            }
            (SIGNAL, &[number @ 1..=64]) => Frame::Signal(number),
            (END, &[0, code]) => Frame::End(End::Code(code)),
            (END, &[1, number]) => Frame::End(End::Signal(number)),
            (EOF, &[]) => Frame::Eof,
            (ERROR, [code, message @ ..]) => {
                Frame::Error { code: *code, message: String::from_utf8_lossy(message).into_owned() }
            }
            (TAKEN, &[b0, b1, b2, b3]) => Frame::Taken(u32::from_be_bytes([b0, b1, b2, b3])),
            _ => return Err(Malformed),
        })
    }
}

fn put(to: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let content = &content[..content.len().min(LARGEST)];
    to.push(kind);
    to.extend_from_slice(&(content.len() as u32).to_be_bytes());
    to.extend_from_slice(content);
}

/// The lengths that a frame of this kind may have, if this side sends it.
fn lengths(from: Side, kind: u8) -> Option<std::ops::RangeInclusive<usize>> {
    Some(match (from, kind) {
        (Side::Client, STDIN) | (Side::Daemon, STDOUT | STDERR) => 1..=LARGEST,
        (Side::Client, RESIZE) | (Side::Daemon, TAKEN) => 4..=4,
        (Side::Client, SIGNAL) => 1..=1,
        (Side::Client, EOF) => 0..=0,
        (Side::Daemon, END) => 2..=2,
        (Side::Daemon, ERROR) => 1..=1 + LARGEST_MESSAGE,
        _ => return None,
    })
}

/// Takes frames of the other side out of the bytes received so far.
#[derive(Debug)]
pub struct Decoder {
    from: Side,
    bytes: Vec<u8>,
    used: usize,
}

impl Decoder {
    /// A decoder for what this side sends.
    pub fn of(from: Side) -> Decoder {
        Decoder { from, bytes: Vec::new(), used: 0 }
    }

    /// Adds bytes as they arrive. Take all frames before the next call: only then is the size bounded.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.used);
        self.used = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete frame; `None` until more bytes arrive.
    pub fn take(&mut self) -> Result<Option<Frame>, Malformed> {
        let Some((&[kind, l0, l1, l2, l3], rest)) = self.bytes[self.used..].split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).map_err(|_| Malformed)?;
        if !lengths(self.from, kind).is_some_and(|lengths| lengths.contains(&length)) {
            return Err(Malformed);
        }
        let Some(content) = rest.get(..length) else { return Ok(None) };
        let frame = Frame::parse(kind, content)?;
        self.used += HEAD + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence of numbers that look random, the same at every run.
    fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
        let mut state = seed;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        }
    }

    fn some_frame(from: Side, next: &mut impl FnMut(usize) -> usize) -> Frame {
        let sizes = [1, 2, 255, 4096, LARGEST];
        let bytes = vec![next(256) as u8; sizes[next(sizes.len())]];
        match (from, next(4)) {
            (Side::Client, 0) => Frame::Stdin(bytes),
            (Side::Client, 1) => Frame::Resize { rows: next(65_536) as u16, columns: next(65_536) as u16 },
            (Side::Client, 2) => Frame::Signal(1 + next(64) as u8),
            (Side::Client, _) => Frame::Eof,
            (Side::Daemon, 0) => Frame::Stdout(bytes),
            (Side::Daemon, 1) => Frame::Stderr(bytes),
            (Side::Daemon, 2) => Frame::Taken(next(1 << 20) as u32),
            (Side::Daemon, _) if next(2) == 0 => Frame::End(End::Signal(next(65) as u8)),
            (Side::Daemon, _) => Frame::Error { code: 127, message: "é".repeat(next(3000)) },
        }
    }

    #[test]
    fn frames_come_back_as_they_were_sent_however_the_bytes_are_cut() {
        for (seed, from) in (0..200).flat_map(|seed| [(seed, Side::Client), (seed, Side::Daemon)]) {
            let mut next = numbers(seed);
            let sent: Vec<Frame> = (0..8).map(|_| some_frame(from, &mut next)).collect();
            let bytes: Vec<u8> = sent.iter().flat_map(Frame::to_bytes).collect();
            let (mut decoder, mut came, mut rest) = (Decoder::of(from), Vec::new(), bytes.as_slice());
            while !rest.is_empty() {
                let (some, others) = rest.split_at((1 + next(20_000)).min(rest.len()));
                rest = others;
                decoder.push(some);
                while let Some(frame) = decoder.take().expect("these are frames") {
                    came.push(frame);
                }
                assert!(decoder.bytes.len() <= HEAD + LARGEST + 20_000, "{}", decoder.bytes.len());
            }
            let cut = |frame: &Frame| match frame {
                Frame::Error { code, message } => {
                    let message = message[..message.floor_char_boundary(LARGEST_MESSAGE)].to_owned();
                    Frame::Error { code: *code, message }
                }
                frame => frame.clone(),
            };
            assert_eq!(came, sent.iter().map(cut).collect::<Vec<_>>(), "seed {seed}");
        }
    }

    #[test]
    fn what_is_no_frame_of_that_side_is_refused_by_its_head() {
        for (from, head) in [
            (Side::Client, [STDIN, 0, 0, 0, 0]),
            (Side::Client, [STDIN, 0, 1, 0, 1]),
            (Side::Client, [STDIN, 255, 255, 255, 255]),
            (Side::Client, [STDOUT, 0, 0, 0, 1]),
            (Side::Client, [RESIZE, 0, 0, 0, 3]),
            (Side::Client, [EOF, 0, 0, 0, 1]),
            (Side::Client, [END, 0, 0, 0, 2]),
            (Side::Client, [TAKEN, 0, 0, 0, 4]),
            (Side::Client, [9, 0, 0, 0, 0]),
            (Side::Client, *b"GET /"),
            (Side::Daemon, [STDIN, 0, 0, 0, 1]),
            (Side::Daemon, [ERROR, 0, 0, 0x10, 0x02]),
            (Side::Daemon, [END, 0, 0, 0, 1]),
        ] {
            let mut decoder = Decoder::of(from);
            decoder.push(&head);
            assert_eq!(decoder.take(), Err(Malformed), "{from:?} {head:?}");
        }
    }

    #[test]
    fn a_signal_has_a_number_and_an_end_has_a_shells_exit_code() {
        for number in [0, 65, 255] {
            let mut decoder = Decoder::of(Side::Client);
            decoder.push(&[SIGNAL, 0, 0, 0, 1, number]);
            assert_eq!(decoder.take(), Err(Malformed), "{number}");
        }
        let ends = [End::Code(3), End::Signal(9), End::Signal(200)];
        assert_eq!(ends.map(End::code), [3, 137, 255]);
    }
}
