//! The client's end of `exec`, and of `fg` where the program has a terminal: standard input, output and signals to frames, and back.
//!
//! One thread and one poll(2). The connection is read only when all output before it was written, so a reader that stops
//! stops the command. It is written without waiting for it, which cannot block: at most [`WINDOW`] bytes of input are
//! under way, which the daemon always takes.

mod console;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use muster_exec::WINDOW;
use muster_exec::frame::{Decoder, End, Frame, Side};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

pub(crate) use console::{Console, size};

use crate::client::Connection;

/// The size of a piece of input.
const PIECE: usize = 16 * 1024;

/// What a descriptor takes without blocking when poll(2) says that it takes something: PIPE_BUF.
const AT_ONCE: usize = 4096;

/// How long a program may take to draw its screen for a new client. Until then it may have another size than the client's.
const REDRAWING: Duration = Duration::from_secs(1);

/// How long the rest of a TLS record may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The key that detaches from a program: ctrl-], as in telnet.
const DISCONNECTS: u8 = 0x1d;

/// How talking to the daemon ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The command has ended.
    With(End),
    /// The command could not be executed.
    NotExecuted(u8, String),
    /// The reader of our output is gone.
    NotRead,
    /// A signal ends this process.
    BySignal(Signal),
    /// The user disconnected, and the program goes on.
    Disconnected,
}

/// The connection, and what is under way.
pub(crate) struct Talk<'a> {
    connection: &'a mut Connection,
    decoder: Decoder,
    /// Output to be written, and whether it is error output.
    pending: VecDeque<(bool, Vec<u8>)>,
    /// How much more input may be sent; nothing once its end was.
    window: usize,
    reads_input: bool,
    /// Whether it is connected to a program, which goes on without it: no signal is passed on, and no end of input.
    is_guest: bool,
    /// When a guest sends its size at the latest.
    size_due: Option<Instant>,
    was_asked_to_end: bool,
    end: Option<Ended>,
}

impl<'a> Talk<'a> {
    /// Begins with the bytes received so far. `reads_input` sends standard input.
    pub(crate) fn new(connection: &'a mut Connection, early: &[u8], reads_input: bool) -> Talk<'a> {
        let mut decoder = Decoder::of(Side::Daemon);
        decoder.push(early);
        Talk {
            connection,
            decoder,
            pending: VecDeque::new(),
            window: WINDOW,
            reads_input,
            is_guest: false,
            size_due: None,
            was_asked_to_end: false,
            end: None,
        }
    }

    /// Begins with the bytes received so far from the terminal of a program.
    pub(crate) fn as_guest(connection: &'a mut Connection, early: &[u8]) -> Talk<'a> {
        Talk { is_guest: true, ..Talk::new(connection, early, true) }
    }

    /// Talks until the command has ended. An error is a connection that broke.
    pub(crate) fn run(mut self, console: &Console) -> io::Result<Ended> {
        match self.is_guest {
            true => self.size_due = console.is_raw().then(|| Instant::now() + REDRAWING),
            false => self.send_size(console),
        }
        loop {
            self.take_frames()?;
            // A program that draws its screen has drawn it in another size, for this client to see all of it.
            if self.size_due.is_some_and(|due| !self.pending.is_empty() || due <= Instant::now()) {
                self.size_due = None;
                self.send_size(console);
            }
            if self.pending.is_empty()
                && let Some(end) = self.end.take()
            {
                return Ok(end);
            }
            let ready = self.wait(console)?;
            if ready.signal
                && let Some(signal) = self.take_signals(console)
            {
                return Ok(Ended::BySignal(signal));
            }
            if ready.output && !self.write_some()? {
                return Ok(Ended::NotRead);
            }
            if ready.connection {
                self.receive()?;
            }
            if ready.input && !self.take_input(console)? {
                return Ok(Ended::Disconnected);
            }
        }
    }

    fn send_size(&mut self, console: &Console) {
        if let Some((rows, columns)) = console.size_if_raw() {
            self.send(&Frame::Resize { rows, columns });
        }
    }

    fn wait(&mut self, console: &Console) -> io::Result<Ready> {
        let may_read = self.pending.is_empty();
        if may_read && self.connection.is_buffered() {
            return Ok(Ready { connection: true, ..Ready::default() });
        }
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let mut fds = vec![PollFd::new(console.signals(), PollFlags::POLLIN)];
        let mut add = |is_wanted: bool, fd, flags| {
            is_wanted.then(|| {
                fds.push(PollFd::new(fd, flags));
                fds.len() - 1
            })
        };
        let to: BorrowedFd<'_> = match self.pending.front() {
            Some((true, _)) => stderr.as_fd(),
            _ => stdout.as_fd(),
        };
        let output = add(!may_read, to, PollFlags::POLLOUT);
        let connection = add(may_read, self.connection.as_fd(), PollFlags::POLLIN);
        let input = add(self.reads_input && self.window > 0, stdin.as_fd(), PollFlags::POLLIN);
        let left = self.size_due.map(|due| due.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
        let timeout = left.and_then(|left| PollTimeout::try_from(left).ok()).unwrap_or(PollTimeout::NONE);
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Ready::default()),
            Err(error) => return Err(error.into()),
        }
        let is_ready = |place: Option<usize>| place.is_some_and(|place| fds[place].any().unwrap_or(true));
        Ok(Ready {
            signal: is_ready(Some(0)),
            output: is_ready(output),
            connection: is_ready(connection),
            input: is_ready(input),
        })
    }

    /// Takes frames until there is output to be written.
    fn take_frames(&mut self) -> io::Result<()> {
        while self.pending.is_empty() && self.end.is_none() {
            let frame = self.decoder.take().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            match frame {
                None => return Ok(()),
                Some(Frame::Stdout(bytes)) => self.pending.push_back((false, bytes)),
                Some(Frame::Stderr(bytes)) => self.pending.push_back((true, bytes)),
                Some(Frame::Taken(count)) => {
                    let count = usize::try_from(count).unwrap_or(WINDOW);
                    self.window = self.window.saturating_add(count).min(WINDOW);
                }
                Some(Frame::End(end)) => self.end = Some(Ended::With(end)),
                Some(Frame::Error { code, message }) => self.end = Some(Ended::NotExecuted(code, message)),
                Some(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        Ok(())
    }

    /// Writes some of the pending output. False if its reader is gone.
    fn write_some(&mut self) -> io::Result<bool> {
        let Some((is_error, bytes)) = self.pending.front_mut() else { return Ok(true) };
        let some = &bytes[..bytes.len().min(AT_ONCE)];
        let written = match is_error {
            true => nix::unistd::write(io::stderr(), some),
            false => nix::unistd::write(io::stdout(), some),
        };
        match written {
            Ok(count) => drop(bytes.drain(..count)),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(Errno::EPIPE | Errno::EIO) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        if bytes.is_empty() {
            self.pending.pop_front();
        }
        Ok(true)
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut piece = [0; PIECE];
        self.connection.set_read_timeout(Some(PATIENCE))?;
        match self.connection.read(&mut piece) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.decoder.push(&piece[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// False if the user disconnected.
    fn take_input(&mut self, console: &Console) -> io::Result<bool> {
        let mut piece = [0; PIECE];
        let most = self.window.min(PIECE);
        match nix::unistd::read(io::stdin(), &mut piece[..most]) {
            // A terminal that was hung up is an error.
            Ok(0) | Err(Errno::EIO) => {
                self.reads_input = false;
                if !self.is_guest {
                    self.send(&Frame::Eof);
                }
            }
            Ok(count) => {
                let typed = &piece[..count];
                let has_key = self.is_guest && console.is_raw();
                let end = typed.iter().position(|&byte| has_key && byte == DISCONNECTS);
                let sent = &typed[..end.unwrap_or(count)];
                if !sent.is_empty() {
                    self.window -= sent.len();
                    self.send(&Frame::Stdin(sent.to_vec()));
                }
                return Ok(end.is_none());
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// Passes signals on to the command. Returns the one that ends this process: the second SIGTERM, or a hangup.
    fn take_signals(&mut self, console: &Console) -> Option<Signal> {
        while let Some(signal) = console.next_signal() {
            match signal {
                Signal::SIGWINCH => self.send_size(console),
                signal if self.is_guest => return Some(signal),
                Signal::SIGHUP => return Some(signal),
                Signal::SIGTERM if self.was_asked_to_end => return Some(signal),
                signal => {
                    self.was_asked_to_end |= signal == Signal::SIGTERM;
                    self.send(&Frame::Signal(signal as u8));
                }
            }
        }
        None
    }

    /// Sends a frame. If the daemon has closed its end, its last frames say why.
    fn send(&mut self, frame: &Frame) {
        let sent = self.connection.write_all(&frame.to_bytes()).and_then(|()| self.connection.flush());
        if sent.is_err() {
            self.reads_input = false;
        }
    }
}

/// The descriptors that are ready.
#[derive(Default)]
struct Ready {
    signal: bool,
    output: bool,
    connection: bool,
    input: bool,
}
