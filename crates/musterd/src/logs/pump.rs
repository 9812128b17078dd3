//! The thread that reads every pipe.
//!
//! One epoll set for all of them and one buffer for whatever is ready, so that a program costs two descriptors and no
//! thread. Each turn reads at most one buffer of each ready pipe, so that a program that writes without end keeps nobody
//! else waiting. A pipe is closed at its end of file, which comes when the last process that holds it is gone. What is done
//! with what was read is in [`stream`](super::stream).
//!
//! Files are written by the same thread, without a copy. Any file may stand still, so the thread lays down everything it
//! has, but for the file, before it writes, and takes it up again afterwards ([`driver`]). When a write is late
//! ([`late`](super::late)) a new thread takes it up instead and goes on, and the file is left to the thread that is in the
//! write, with a [`backlog`](super::backlog).

mod driver;
mod succession;

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tracing::error;

use self::driver::Driver;
use super::Consoles;
use super::backlog::{Origin, Room};
use super::drain::Notice;
use super::files::Files;
use super::pace::Pace;
use super::policy::FilePolicy;
use super::queue::Waiter;
use super::siphon::Siphon;
use super::stream::{Moment, Scratch, Stream};

const BUFFER: usize = 256 * 1024;
const ORDERS: u64 = u64::MAX;

/// While everything is being stopped, pipes end by the hundred: so long after a look they are left to gather.
const ENDING: Duration = Duration::from_millis(5);

/// After so long without anything to read, the beginning of a line goes out and memory is given back.
const REST: Duration = Duration::from_secs(1);

/// So many pipes are made larger at most: an unprivileged user's pipes may have 64 MiB together, its programs' among them.
const LARGE_PIPES: usize = 64;

enum Order {
    Attach(Box<Stream>, FilePolicy),
    Drain {
        runs: Vec<u64>,
        notice: Notice,
    },
    Resume(u64),
    /// The thread of a file has ended.
    Settle(PathBuf),
    ChangePolicy(PathBuf, FilePolicy),
    Reopen,
    Gather,
    Finish {
        done: Sender<()>,
        deadline: Instant,
    },
}

/// The handle of the thread. Clones lead to the same.
#[derive(Clone, Debug)]
pub(super) struct Pump {
    orders: Sender<Order>,
    bell: Arc<EventFd>,
}

impl Pump {
    pub(super) fn start(consoles: Consoles) -> io::Result<Pump> {
        let (orders, received) = mpsc::channel();
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*bell, EpollEvent::new(EpollFlags::EPOLLIN, ORDERS))?;
        let pump = Pump { orders, bell };
        let worker = Box::new(Worker {
            epoll,
            own: pump.clone(),
            orders: received,
            consoles,
            streams: HashMap::new(),
            runs: HashMap::new(),
            files: Files::default(),
            next_token: 0,
            large_pipes: 0,
            is_ending: false,
            pace: Pace::default(),
            fast: None,
            siphon: None,
            buffer: Vec::new(),
            scratch: Scratch::default(),
            chores: VecDeque::new(),
            is_watched: false,
            lent: None,
            draining: None,
            patient: Vec::new(),
        });
        let driver = Driver::of(worker);
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || driver.run())?;
        Ok(pump)
    }

    pub(super) fn attach(&self, stream: Stream, policy: FilePolicy) {
        self.order(Order::Attach(Box::new(stream), policy));
    }

    /// The main processes of these runs have ended: what they left in their pipes is delivered, and the notice is given.
    pub(super) fn drain(&self, runs: Vec<u64>, notice: Notice) {
        self.order(Order::Drain { runs, notice });
    }

    /// From now on many pipes end at the same time.
    pub(super) fn gather(&self) {
        self.order(Order::Gather);
    }

    pub(super) fn change_policy(&self, path: PathBuf, policy: FilePolicy) {
        self.order(Order::ChangePolicy(path, policy));
    }

    pub(super) fn reopen(&self) {
        self.order(Order::Reopen);
    }

    /// Lets the thread take in what the pipes hold now, and end.
    pub(super) fn finish(&self, patience: Duration) {
        let (done, finished) = mpsc::channel();
        self.order(Order::Finish { done, deadline: Instant::now() + patience });
        // Nothing but its own end keeps the thread from answering, and then there is nothing to wait for.
        let _ = finished.recv_timeout(patience);
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            // The counter cannot overflow: it is emptied with every look at the orders.
            let _ = self.bell.write(1);
        }
    }
}

struct Worker {
    epoll: Epoll,
    own: Pump,
    orders: Receiver<Order>,
    consoles: Consoles,
    streams: HashMap<u64, Box<Stream>>,
    /// The streams of a run.
    runs: HashMap<u64, Vec<u64>>,
    files: Files,
    next_token: u64,
    large_pipes: usize,
    is_ending: bool,
    pace: Pace,
    /// The one stream that comes without a pause. It is not in the epoll set meanwhile: each write into a watched pipe costs
    /// its writer a call of epoll's. It is read at every turn instead, until it pauses.
    fast: Option<u64>,
    /// What the fast stream is read with.
    siphon: Option<Siphon>,
    buffer: Vec<u8>,
    scratch: Scratch,
    /// What is done before anything else is read, in this order, by whichever thread holds this.
    chores: VecDeque<Chore>,
    /// Whether there is a thread that notices late writes.
    is_watched: bool,
    /// What is being written to just now.
    lent: Option<Lent>,
    /// The stream of which the pipe is being drained.
    draining: Option<u64>,
    /// Streams that wait for the console's reader or a late file, but not for ever.
    patient: Vec<(Instant, u64)>,
}

/// A step that may have to write to a file.
enum Chore {
    Write {
        files: Arc<[PathBuf]>,
        index: usize,
        bytes: Vec<u8>,
        origin: Origin,
    },
    Detach(PathBuf),
    Settle(PathBuf),
    Prepare(PathBuf),
    Reopen(PathBuf),
    /// Reads and delivers what the pipe of this stream holds now.
    Drain(u64),
    Notify(Notice),
    /// The same, up to this moment, and the stream ends.
    Finish(u64, Instant),
    Close(u64),
    /// Waits for late files until then, and tells that everything is done.
    Done(Instant, Sender<()>),
}

/// A file that is being written to, and how many bytes.
struct Lent {
    files: Arc<[PathBuf]>,
    index: usize,
    bytes: usize,
    ends_line: bool,
    device: Option<u64>,
}

impl Worker {
    fn attach(&mut self, stream: Box<Stream>, policy: FilePolicy) {
        let token = self.next_token;
        self.next_token += 1;
        stream.files.iter().for_each(|path| self.files.attach(path, policy));
        self.runs.entry(stream.run).or_default().push(token);
        self.streams.insert(token, stream);
        self.watch(token);
    }

    fn watch(&mut self, token: u64) {
        let Some(stream) = self.streams.get(&token).filter(|_| self.fast != Some(token)) else { return };
        match self.epoll.add(&stream.pipe, EpollEvent::new(EpollFlags::EPOLLIN, token)) {
            // There may be more than one reason to read it again.
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => error!(%error, "cannot watch the output of a program, it is lost"),
        }
    }

    /// From now on this stream is read at every turn.
    fn begin_fast(&mut self, token: u64) {
        if let Some(stream) = self.streams.get(&token)
            && self.epoll.delete(&stream.pipe).is_ok()
        {
            self.fast = Some(token);
            // Without one it is read directly.
            self.siphon = self.siphon.take().or_else(|| Siphon::of_size(BUFFER).ok());
        }
    }

    /// A program that shall wait for its console's reader or its file is not read meanwhile. True when it waits.
    fn park(&mut self, token: u64) -> bool {
        let Some(stream) = self.streams.get(&token) else { return false };
        let resume = || -> Waiter {
            let own = self.own.clone();
            Box::new(move || own.order(Order::Resume(token)))
        };
        match stream.room(&self.files, resume) {
            Room::Some => return false,
            Room::None => {}
            Room::NoneUntil(moment) => {
                self.patient.retain(|(_, other)| *other != token);
                self.patient.push((moment, token));
            }
        }
        // A pipe that has ended would be told at every turn, wanted or not: it must leave the set.
        let _ = self.epoll.delete(&stream.pipe);
        true
    }

    /// Reads once, into a buffer that is the caller's from now on.
    fn read(&mut self, token: u64) -> Option<(io::Result<usize>, Vec<u8>)> {
        let stream = self.streams.get_mut(&token)?;
        let mut whole = std::mem::take(&mut self.buffer);
        if whole.is_empty() {
            whole = vec![0; BUFFER];
        }
        let buffer = &mut whole[..stream.most_at_once(BUFFER)];
        let siphoned =
            self.siphon.as_mut().filter(|_| self.fast == Some(token)).map(|it| it.read(&stream.pipe, buffer));
        let read = match siphoned {
            Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                self.siphon = None;
                stream.pipe.read(buffer)
            }
            Some(read) => read,
            None => stream.pipe.read(buffer),
        };
        Some((read, whole))
    }

    /// Ends a stream; what is left to be written of it becomes chores.
    fn close(&mut self, token: u64, moment: Moment) {
        let Some(mut stream) = self.streams.remove(&token) else { return };
        // Closing takes it out of the set only if no process shares the reading end, which none does; say it all the same.
        let _ = self.epoll.delete(&stream.pipe);
        let held = stream.end(moment, &mut self.scratch);
        for path in stream.files.iter().rev() {
            self.chores.push_front(Chore::Detach(path.clone()));
        }
        write_first(&mut self.chores, &stream, &held);
        self.large_pipes -= usize::from(stream.is_large);
        if let Some(tokens) = self.runs.get_mut(&stream.run) {
            tokens.retain(|&other| other != token);
            if tokens.is_empty() {
                self.runs.remove(&stream.run);
            }
        }
    }

    /// A thread that has taken over goes on where the other one was.
    fn resume(&mut self) {
        if let Some(token) = self.draining.take() {
            let is_write = |chore: &Chore| matches!(chore, Chore::Write { .. });
            let place = self.chores.iter().position(|chore| !is_write(chore)).unwrap_or(self.chores.len());
            self.chores.insert(place, Chore::Drain(token));
        }
        // There may be orders of which the bell has been heard.
        let _ = self.own.bell.write(1);
    }

    /// Reads again what has waited long enough, and tells how long to wait for the next.
    fn end_patience(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let over: Vec<_> = self.patient.extract_if(.., |(moment, _)| *moment <= now).collect();
        over.into_iter().for_each(|(_, token)| self.watch(token));
        self.patient.iter().map(|(moment, _)| moment.saturating_duration_since(now)).min()
    }

    fn has_something_to_give_back(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Nothing has come for a while: what waits for the end of its line goes to its file, and memory is given back.
    fn give_back(&mut self) {
        let chores = &mut self.chores;
        for stream in self.streams.values_mut().filter(|stream| stream.is_holding()) {
            let held = stream.take_held();
            write_first(chores, stream, &held);
        }
        self.siphon = None;
        self.buffer = Vec::new();
        self.scratch.shrink();
    }
}

/// What is left of a stream goes to its files before anything else is done.
fn write_first(chores: &mut VecDeque<Chore>, stream: &Stream, bytes: &[u8]) {
    for index in (0..stream.files.len()).rev().filter(|_| !bytes.is_empty()) {
        let (files, origin) = (Arc::clone(&stream.files), stream.origin.clone());
        chores.push_front(Chore::Write { files, index, bytes: bytes.to_vec(), origin });
    }
}

fn after(time: Duration) -> EpollTimeout {
    EpollTimeout::try_from(time + Duration::from_millis(1)).unwrap_or(EpollTimeout::NONE)
}
