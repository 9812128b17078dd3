//! The daemon's end: copies between the frames of a client and the descriptors of a command.
//!
//! Both directions run in one task and never wait for each other. Output is read only when the last piece has been written to
//! the client, so a client that does not read stops the command at its full pipe, and costs one piece. Input is kept up to
//! [`WINDOW`] bytes; a client that sends more breaks the protocol.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use muster_spec::{Exit, Signal, SpawnError};
use muster_sys::async_fd::Watched;
use muster_sys::{fd, pty};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::WINDOW;
use crate::frame::{Decoder, End, Frame, HEAD, Side};

/// The size of a piece of output.
const PIECE: usize = 16 * 1024;

/// How long to wait for the end of the output after a command has exited: processes that it left behind are killed by then,
/// unless they may not be.
const DRAINING: Duration = Duration::from_secs(1);

/// How much output is read after a command has exited. No pipe holds more, unless root enlarged it.
const LAST: usize = 1 << 20;

/// How long a client may take to close its end after the last frame. Closing first could cost it that frame.
const LINGERING: Duration = Duration::from_secs(2);

/// End of file, as a terminal has it: ctrl-D.
const END_OF_TRANSMISSION: u8 = 4;

/// A command that was started.
#[derive(Debug)]
pub struct Command {
    /// Its descriptors.
    pub streams: Streams,
    /// Its exit, or why it could not be executed.
    pub ended: oneshot::Receiver<Result<Exit, SpawnError>>,
}

/// The daemon's ends of a command's descriptors. None of them blocks.
#[derive(Debug)]
pub enum Streams {
    /// A terminal.
    Terminal(OwnedFd),
    /// The terminal of a program that does not end with its client, and a pipe with its output.
    Shown {
        /// For input and sizes.
        terminal: OwnedFd,
        /// Another thread reads the terminal, and writes to this.
        output: OwnedFd,
    },
    /// Pipes.
    Pipes {
        /// Its input, unless it has none.
        stdin: Option<OwnedFd>,
        /// Its output.
        stdout: OwnedFd,
        /// Its error output.
        stderr: OwnedFd,
    },
}

/// How serving a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The command has ended, and its end was sent.
    Ended,
    /// The client is gone, or broke the protocol.
    Gone,
}

/// Serves a client until the command has ended or the client is gone. `early` are bytes that were received already. `signal` sends
/// a signal to the command.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    early: &[u8],
    command: Command,
    signal: impl AsyncFn(Signal),
) -> io::Result<Served> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (input, mut output) = open(command.streams)?;
    let taken = Taken::default();
    let receiving = receive(&mut reader, early, input, &taken, signal);
    let sending = send(&mut writer, &mut output, command.ended, &taken);
    tokio::select! {
        // An error is a client that is gone or that sends something else.
        _ = receiving => return Ok(Served::Gone),
        sent = sending => if sent.is_err() { return Ok(Served::Gone) },
    }
    let _ = writer.shutdown().await;
    let mut rest = [0; 4096];
    let lingering = async { while matches!(reader.read(&mut rest).await, Ok(1..)) {} };
    let _ = timeout(LINGERING, lingering).await;
    Ok(Served::Ended)
}

/// Where input goes.
struct Input {
    writing: Option<Watched<OwnedFd>>,
    is_terminal: bool,
    /// Whether its program has other clients: the end of this one's input is not that of its.
    is_shown: bool,
    is_closed: bool,
}

/// Where output comes from.
struct Output {
    stdout: Option<Watched<OwnedFd>>,
    stderr: Option<Watched<OwnedFd>>,
}

fn open(streams: Streams) -> io::Result<(Input, Output)> {
    match streams {
        Streams::Terminal(ours) => {
            // Two descriptors, since each is watched for one thing.
            let writing = Some(Watched::for_writing(ours.try_clone()?)?);
            let stdout = Some(Watched::for_reading(ours)?);
            let input = Input { writing, is_terminal: true, is_shown: false, is_closed: false };
            Ok((input, Output { stdout, stderr: None }))
        }
        Streams::Shown { terminal, output } => {
            let writing = Some(Watched::for_writing(terminal)?);
            let stdout = Some(Watched::for_reading(output)?);
            let input = Input { writing, is_terminal: true, is_shown: true, is_closed: false };
            Ok((input, Output { stdout, stderr: None }))
        }
        Streams::Pipes { stdin, stdout, stderr } => {
            let writing = stdin.map(Watched::for_writing).transpose()?;
            let [stdout, stderr] = [Watched::for_reading(stdout)?, Watched::for_reading(stderr)?].map(Some);
            let input = Input { writing, is_terminal: false, is_shown: false, is_closed: false };
            Ok((input, Output { stdout, stderr }))
        }
    }
}

/// Input that was written to the command and is to be reported.
#[derive(Default)]
struct Taken {
    count: Cell<usize>,
    changed: Notify,
}

impl Taken {
    fn add(&self, count: usize) {
        if count > 0 {
            self.count.set(self.count.get() + count);
            self.changed.notify_one();
        }
    }
}

impl Input {
    /// Writes some of the input. Returns how much of it is no longer needed: all of it once the command has closed its end.
    async fn write(&self, bytes: &[u8]) -> usize {
        let Some(writing) = self.writing.as_ref().filter(|_| !bytes.is_empty()) else {
            return std::future::pending().await;
        };
        writing.write_with(|to| fd::write(to.as_fd(), bytes)).await.unwrap_or(bytes.len())
    }

    /// Passes on the end of the input. A terminal stays open: it is also the output.
    fn close(&mut self, queue: &mut VecDeque<u8>) {
        self.is_closed = true;
        if self.is_shown {
            return;
        }
        if self.is_terminal {
            queue.push_back(END_OF_TRANSMISSION);
        } else {
            self.writing = None;
        }
    }

    fn resize(&self, size: pty::Size) {
        if let Some(terminal) = self.writing.as_ref().filter(|_| self.is_terminal) {
            // The command may have exited.
            let _ = pty::resize(terminal.get_ref().as_fd(), size);
        }
    }
}

/// Takes the client's frames until it is gone.
async fn receive(
    reader: &mut (impl AsyncRead + Unpin),
    early: &[u8],
    mut input: Input,
    taken: &Taken,
    signal: impl AsyncFn(Signal),
) -> Result<(), Box<dyn std::error::Error>> {
    let mut decoder = Decoder::of(Side::Client);
    decoder.push(early);
    let (mut queue, mut is_over) = (VecDeque::new(), false);
    let mut piece = vec![0; PIECE];
    loop {
        while let Some(frame) = decoder.take()? {
            match frame {
                // After its end, or without a pipe, there is no more input.
                Frame::Stdin(bytes) if is_over || input.writing.is_none() => taken.add(bytes.len()),
                Frame::Stdin(bytes) if queue.len() + bytes.len() <= WINDOW => queue.extend(bytes),
                Frame::Stdin(_) => return Err("more input than the window allows".into()),
                Frame::Resize { rows, columns } => input.resize(pty::Size { rows, columns }),
                Frame::Signal(number) => {
                    if let Some(number) = Signal::from_number(i32::from(number)) {
                        signal(number).await;
                    }
                }
                Frame::Eof => is_over = true,
                _ => return Err("a frame that only the daemon sends".into()),
            }
        }
        if is_over && queue.is_empty() && !input.is_closed {
            input.close(&mut queue);
        }
        tokio::select! {
            read = reader.read(&mut piece) => match read? {
                0 => return Ok(()),
                count => decoder.push(&piece[..count]),
            },
            count = input.write(queue.as_slices().0) => {
                queue.drain(..count);
                taken.add(count);
            }
        }
    }
}

/// Sends output until the command has ended and everything was sent.
async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    output: &mut Output,
    mut ended: oneshot::Receiver<Result<Exit, SpawnError>>,
    taken: &Taken,
) -> io::Result<()> {
    let (mut end, mut until, mut last) = (None, Instant::now(), 0);
    let mut pieces = [vec![0; PIECE], vec![0; PIECE]];
    let mut bytes = Vec::with_capacity(PIECE + HEAD);
    let [out_piece, err_piece] = &mut pieces;
    loop {
        let is_drained = output.stdout.is_none() && output.stderr.is_none();
        if end.is_some() && (is_drained || last > LAST) {
            break;
        }
        tokio::select! {
            biased;
            () = taken.changed.notified() => {
                let count = u32::try_from(taken.count.take()).unwrap_or(u32::MAX);
                Frame::Taken(count).write(&mut bytes);
            }
            how = &mut ended, if end.is_none() => {
                // The sender is dropped only while the daemon exits.
                end = Some(how.unwrap_or(Ok(Exit::Signal { signal: Signal::KILL, core_dumped: false })));
                until = Instant::now() + DRAINING;
            }
            read = read(output.stdout.as_ref(), out_piece) => match read {
                Some(count) => Frame::Stdout(out_piece[..count].to_vec()).write(&mut bytes),
                None => output.stdout = None,
            },
            read = read(output.stderr.as_ref(), err_piece) => match read {
                Some(count) => Frame::Stderr(err_piece[..count].to_vec()).write(&mut bytes),
                None => output.stderr = None,
            },
            // Last, so that what can be read is read, however slowly the client takes it.
            () = sleep_until(until), if end.is_some() => break,
        }
        if end.is_some() {
            last += bytes.len();
        }
        writer.write_all(&bytes).await?;
        writer.flush().await?;
        bytes.clear();
    }
    bytes = match end.unwrap_or(Ok(Exit::Code(0))) {
        Ok(exit) => Frame::End(end_of(exit)).to_bytes(),
        Err(error) => Frame::Error { code: error_code(&error), message: error.message }.to_bytes(),
    };
    writer.write_all(&bytes).await?;
    writer.flush().await
}

/// The next piece, `None` at the end. A terminal that no process has open is an error, EIO.
async fn read(from: Option<&Watched<OwnedFd>>, piece: &mut [u8]) -> Option<usize> {
    let Some(from) = from else { return std::future::pending().await };
    from.read_with(|from| fd::read(from.as_fd(), piece)).await.ok().filter(|&count| count > 0)
}

fn end_of(exit: Exit) -> End {
    match exit {
        Exit::Code(code) => End::Code(code),
        Exit::Signal { signal, .. } => End::Signal(u8::try_from(signal.number()).unwrap_or(u8::MAX)),
    }
}

/// As a shell has it: 127 if there is no such command, 126 if it cannot be executed.
fn error_code(error: &SpawnError) -> u8 {
    const ENOENT: i32 = 2;
    if error.errno == ENOENT { 127 } else { 126 }
}
