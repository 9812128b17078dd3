//! The near end of `--via`: the command, and the connections through it.
//!
//! A connection is a pair of sockets, so its user has timeouts, and a thread for each direction. What comes from the command is
//! not trusted: its messages are bounded, and so is what is queued for a connection.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, pthread_sigmask};
use nix::unistd::Pid;

use super::frame::{self, CONNECTIONS_MAX, Frame, GREETING, Kind, PIECE, STACK, WINDOW};
use super::words::join;
use crate::failure::{Exit, Failure};
use crate::output::printable;

/// How long the command may take to exit after its input was closed, and again after SIGTERM.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// How much of the command's messages is kept: the last bytes.
const MESSAGES_MAX: usize = 8 * 1024;

/// How much the command may print before the far end greets.
const BEFORE_GREETING_MAX: u64 = 64 * 1024;

/// Variables that are meant for this process, and not for a musterctl that the command runs on this machine.
const OWN_VARIABLES: [&str; 4] = ["MUSTER_VIA", "MUSTER_CONTEXT", "MUSTER_TOKEN", "MUSTER_TOKEN_FILE"];

/// A command that reaches a daemon.
#[derive(Debug)]
pub(crate) struct Via {
    words: Vec<String>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    NotStarted,
    Started(Arc<Process>),
    Closed,
}

/// The command while it runs.
struct Process {
    child: Mutex<Child>,
    input: Mutex<Option<ChildStdin>>,
    /// The connections by their numbers; `None` once the output of the command has ended.
    open: Mutex<Option<HashMap<u32, Open>>>,
    next: AtomicU32,
    is_greeted: AtomicBool,
    has_terminal: AtomicBool,
    /// Its output before the far end greeted, and its standard error.
    printed: Mutex<Vec<u8>>,
    errors: Mutex<Vec<u8>>,
    /// Set when its standard error has ended.
    errors_ended: AtomicBool,
}

/// One connection.
struct Open {
    queue: Sender<Vec<u8>>,
    /// Bytes that were received and not yet credited.
    under_way: Arc<AtomicUsize>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread that receives no signal: `top` reads them from a descriptor.
fn start_thread(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), Some(&mut before))?;
    let started = std::thread::Builder::new().stack_size(STACK).spawn(run);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    started.map(drop)
}

impl Via {
    /// A command of these words, of which there is at least one. It is not started yet.
    pub(crate) fn new(words: Vec<String>) -> Via {
        Via { words, state: Mutex::new(State::NotStarted) }
    }

    /// Opens a connection, and starts the command for the first one.
    pub(crate) fn open(&self) -> Result<UnixStream, Failure> {
        let failed = |error: io::Error| Failure::new(Exit::Failed, format!("cannot connect via {self}: {error}"));
        let process = {
            let mut state = lock(&self.state);
            match &*state {
                State::Started(process) if !process.is_over() => Arc::clone(process),
                State::Closed => return Err(failed(io::ErrorKind::NotConnected.into())),
                // A shell outlives a command that Ctrl-C ended.
                State::NotStarted | State::Started(_) => {
                    let process = self.start()?;
                    *state = State::Started(Arc::clone(&process));
                    process
                }
            }
        };
        process.connect().map_err(failed)
    }

    fn start(&self) -> Result<Arc<Process>, Failure> {
        let (program, args) = self.words.split_first().expect("a command has a word: `words` checks it");
        let mut command = Command::new(program);
        command.args(args).args(["musterctl", "dial-stdio", "--streams"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in OWN_VARIABLES {
            command.env_remove(name);
        }
        let failed = |error: io::Error| {
            let program = printable(program);
            match error.kind() {
                io::ErrorKind::NotFound => {
                    Failure::new(Exit::NoDaemon, format!("cannot execute {program:?}: no such command"))
                        .with_hint("--via takes a command to which `musterctl dial-stdio` is appended")
                }
                _ => Failure::new(Exit::NoDaemon, format!("cannot execute {program:?}: {error}")),
            }
        };
        let mut child = command.spawn().map_err(failed)?;
        let input = child.stdin.take();
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let process = Arc::new(Process {
            child: Mutex::new(child),
            input: Mutex::new(input),
            open: Mutex::new(Some(HashMap::new())),
            next: AtomicU32::new(1),
            is_greeted: AtomicBool::new(false),
            has_terminal: AtomicBool::new(false),
            printed: Mutex::new(Vec::new()),
            errors: Mutex::new(Vec::new()),
            errors_ended: AtomicBool::new(false),
        });
        let (reader, listener) = (Arc::clone(&process), Arc::clone(&process));
        let started = start_thread(move || reader.read_output(output)).and_then(|()| {
            start_thread(move || {
                listener.read_errors(errors);
                listener.errors_ended.store(true, Ordering::Release);
            })
        });
        started.map_err(failed)?;
        Ok(process)
    }

    /// Why there was no answer: what the command said last, if it has ended.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let State::Started(process) = &*lock(&self.state) else { return None };
        process.is_over().then(|| process.failure(self))
    }

    /// The failure for a command that does nothing, if the far end was not reached.
    pub(crate) fn silence(&self, waited: &str) -> Option<Failure> {
        let State::Started(process) = &*lock(&self.state) else { return None };
        if process.is_greeted.load(Ordering::Acquire) {
            return None;
        }
        let message = format!("{self} has not started `musterctl dial-stdio`: waited {waited}");
        let hint = "does it wait for a password? Log in beforehand, for example with ssh-agent";
        let mut failure = Failure::new(Exit::TimedOut, message).with_hint(hint);
        failure.details = process.messages();
        Some(failure)
    }

    /// Ends the command, and returns when it has exited. Connections that are still open end.
    pub(crate) fn close(&self) {
        let state = std::mem::replace(&mut *lock(&self.state), State::Closed);
        if let State::Started(process) = state {
            process.close();
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", printable(&join(&self.words)))
    }
}

impl Process {
    fn is_over(&self) -> bool {
        lock(&self.open).is_none()
    }

    fn connect(self: &Arc<Self>) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        let (queue, queued) = channel();
        let under_way = Arc::new(AtomicUsize::new(0));
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match &mut *lock(&self.open) {
            // The far end has gone: the reader of `ours` sees the end of a connection.
            None => return Ok(ours),
            Some(open) if open.len() >= CONNECTIONS_MAX => return Err(io::ErrorKind::QuotaExceeded.into()),
            Some(open) => drop(open.insert(number, Open { queue, under_way: Arc::clone(&under_way) })),
        }
        let (near, far) = (Arc::clone(self), Arc::clone(self));
        let (reader, writer) = (theirs.try_clone()?, theirs);
        start_thread(move || near.send(&reader, number))?;
        start_thread(move || far.deliver(&writer, number, &queued, &under_way))?;
        Ok(ours)
    }

    /// Sends what the user of a connection writes, until it is closed.
    fn send(&self, mut socket: &UnixStream, number: u32) {
        let mut piece = vec![0; PIECE];
        loop {
            match socket.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                // The command no longer reads. The end of its output closes the connection, and only then is the reason known.
                Ok(count) if self.write(Kind::Data, number, &piece[..count]).is_err() => return,
                Ok(_) => {}
            }
        }
        let _ = self.write(Kind::End, number, &[]);
        // Its queue ends with it, and so does the other thread.
        drop(lock(&self.open).as_mut().and_then(|open| open.remove(&number)));
    }

    /// Delivers what arrived for a connection, and then its end.
    fn deliver(&self, mut socket: &UnixStream, number: u32, queued: &Receiver<Vec<u8>>, under_way: &AtomicUsize) {
        while let Ok(bytes) = queued.recv() {
            if socket.write_all(&bytes).is_err() {
                break;
            }
            under_way.fetch_sub(bytes.len(), Ordering::AcqRel);
            let credit = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let _ = self.write(Kind::Credit, number, &credit.to_be_bytes());
        }
        let _ = socket.shutdown(Shutdown::Write);
    }

    fn write(&self, kind: Kind, number: u32, bytes: &[u8]) -> io::Result<()> {
        match &mut *lock(&self.input) {
            Some(input) => frame::write(input, kind, number, bytes),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn read_output(&self, output: Option<impl Read>) {
        let Some(output) = output else { return };
        let mut output = BufReader::with_capacity(2 * PIECE, output);
        if self.skip_to_greeting(&mut output) {
            self.is_greeted.store(true, Ordering::Release);
            while let Ok(Some(frame)) = frame::read(&mut output) {
                if !self.receive(frame) {
                    break;
                }
            }
        }
        // Every connection ends with what was queued for it.
        drop(lock(&self.open).take());
    }

    /// Whether the far end greeted.
    fn skip_to_greeting(&self, output: &mut impl BufRead) -> bool {
        let mut output = output.take(BEFORE_GREETING_MAX);
        loop {
            let mut line = Vec::new();
            match output.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return false,
                Ok(_) if line == GREETING => return true,
                Ok(_) if line.trim_ascii() == GREETING.trim_ascii() => {
                    self.has_terminal.store(true, Ordering::Release);
                    return false;
                }
                Ok(_) => keep_last(&mut lock(&self.printed), &line),
            }
        }
    }

    /// Queues what arrived; returns whether the frame is one that the far end may send.
    fn receive(&self, frame: Frame) -> bool {
        let mut open = lock(&self.open);
        let Some(open) = &mut *open else { return false };
        // Frames of a connection that was closed here may still be under way.
        let Some(connection) = open.get(&frame.connection) else { return frame.kind != Kind::Credit };
        match frame.kind {
            Kind::Credit => false,
            Kind::End => {
                open.remove(&frame.connection);
                true
            }
            Kind::Data => {
                let length = frame.bytes.len();
                let is_within = connection.under_way.fetch_add(length, Ordering::AcqRel) + length <= WINDOW;
                // A send error means that its user has closed the connection.
                let _ = connection.queue.send(frame.bytes);
                is_within
            }
        }
    }

    fn read_errors(&self, errors: Option<impl Read>) {
        let Some(mut errors) = errors else { return };
        let mut piece = [0; 4096];
        loop {
            match errors.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
                Ok(count) => keep_last(&mut lock(&self.errors), &piece[..count]),
            }
        }
    }

    /// The last lines that the command wrote, safe to print.
    fn messages(&self) -> Vec<String> {
        let (printed, errors) = (lock(&self.printed).clone(), lock(&self.errors).clone());
        let lines = |bytes: Vec<u8>| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.lines().map(|line| printable(line.trim())).filter(|line| !line.is_empty()).collect::<Vec<_>>()
        };
        [lines(printed), lines(errors)].concat()
    }

    fn failure(&self, via: &Via) -> Failure {
        let status = self.wait(EXIT_PATIENCE);
        // Its last message may still be in the pipe. A process that it left behind may hold that open.
        let until = Instant::now() + EXIT_PATIENCE;
        while !self.errors_ended.load(Ordering::Acquire) && status.is_some() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut details = self.messages();
        let hint = details.last().and_then(|line| line.strip_prefix("hint: ")).map(str::to_owned);
        if hint.is_some() {
            details.pop();
        }
        let reason = match (details.pop(), status) {
            (Some(line), _) => line.strip_prefix("error: ").map(str::to_owned).unwrap_or(line),
            (None, Some(status)) => format!("it ended without an answer: {status}"),
            (None, None) => "it closed its output without an answer".to_owned(),
        };
        let is_missing = status.and_then(|status| status.code()).is_some_and(|code| code == 126 || code == 127);
        let own_hint = if self.has_terminal.load(Ordering::Acquire) {
            Some("the command gives the other side a terminal, which changes bytes: leave out -t")
        } else if self.is_greeted.load(Ordering::Acquire) && status.is_some_and(|status| status.success()) {
            Some("the command closes its standard input: docker and kubectl need -i")
        } else if is_missing {
            Some("is musterctl installed on the other side, and in the PATH there?")
        } else {
            None
        };
        let mut failure = Failure::new(Exit::NoDaemon, format!("no daemon answers via {via}: {reason}"));
        failure.hint = hint.or_else(|| own_hint.map(str::to_owned));
        failure.details = details;
        failure
    }

    fn wait(&self, patience: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + patience;
        loop {
            if let Ok(Some(status)) = lock(&self.child).try_wait() {
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn close(&self) {
        // A thread that is blocked in a write to the command holds the lock, and then only a signal helps.
        if let Ok(mut input) = self.input.try_lock() {
            drop(input.take());
        }
        for signal in [None, Some(Signal::SIGTERM), Some(Signal::SIGKILL)] {
            if let Some(signal) = signal {
                // Not yet waited for, so the number is still its own.
                let number = lock(&self.child).id();
                let _ = i32::try_from(number).map(|number| kill(Pid::from_raw(number), signal));
            }
            if self.wait(EXIT_PATIENCE).is_some() {
                return;
            }
        }
    }
}

/// Appends and keeps only the end.
fn keep_last(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    let surplus = kept.len().saturating_sub(MESSAGES_MAX);
    kept.drain(..surplus);
}
