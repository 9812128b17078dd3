//! The thread that reads every pipe.
//!
//! One epoll set for all of them and one buffer for whatever is ready, so that a program costs two descriptors and no
//! thread. Each turn reads at most one buffer of each ready pipe, so that a program that writes without end keeps nobody
//! else waiting. A pipe is closed at its end of file, which comes when the last process that holds it is gone. What is done
//! with what was read is in [`stream`](super::stream).

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tracing::error;

use super::Consoles;
use super::drain::Notice;
use super::files::Files;
use super::pace::{GATHERING, Pace};
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
    Drain { runs: Vec<u64>, notice: Notice },
    Resume(u64),
    ChangePolicy(PathBuf, FilePolicy),
    Reopen,
    Gather,
    Finish { done: Sender<()>, deadline: Instant },
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
        let worker = Worker {
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
        };
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || worker.run())?;
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
}

impl Worker {
    fn run(mut self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let timeout = match self.fast {
                Some(_) => EpollTimeout::ZERO,
                None if self.has_something_to_give_back() => rest(),
                None => EpollTimeout::NONE,
            };
            let ready = match self.epoll.wait(&mut events, timeout) {
                Ok(0) if self.fast.is_none() => {
                    self.give_back();
                    continue;
                }
                Ok(ready) => ready,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return error!(%error, "cannot wait for the output of programs, it is lost from now on"),
            };
            if let Some(done) = self.turn(&events[..ready], ready == events.len()) {
                let _ = done.send(());
                return;
            }
        }
    }

    /// One look at everything that is ready. The last one gives whom to tell that it was.
    fn turn(&mut self, events: &[EpollEvent], are_there_more: bool) -> Option<Sender<()>> {
        let moment = Moment::now();
        self.pace.begin(moment.now);
        self.read_fast(moment);
        for event in events {
            match event.data() {
                ORDERS => {
                    if let Some(done) = self.take_orders() {
                        return Some(done);
                    }
                }
                // Nobody can write to it any more, and nothing is left to read.
                token if event.events() == EpollFlags::EPOLLHUP => self.close(token, moment),
                token if self.park(token) => {}
                token => drop(self.read_once(token, moment)),
            }
        }
        if let [event] = events
            && event.data() != ORDERS
            && self.pace.is_fast()
            && self.fast.is_none()
        {
            self.begin_fast(event.data());
        }
        let pause = match self.is_ending && !are_there_more {
            true => ENDING,
            false if self.pace.is_fast() => GATHERING,
            false => return None,
        };
        let order = self.orders.recv_timeout(pause).ok();
        self.pace.has_gathered(Instant::now());
        order.and_then(|order| self.take(order))
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

    /// Reads the stream that comes without a pause, and watches it again when it pauses.
    fn read_fast(&mut self, moment: Moment) {
        let Some(token) = self.fast else { return };
        if self.park(token) {
            self.fast = None;
        } else if self.read_once(token, moment).is_none() || !self.pace.is_fast() {
            self.fast = None;
            self.watch(token);
        }
    }

    fn take_orders(&mut self) -> Option<Sender<()>> {
        let _ = self.own.bell.read();
        while let Ok(order) = self.orders.try_recv() {
            if let Some(done) = self.take(order) {
                return Some(done);
            }
        }
        None
    }

    /// Carries out one order. The last one gives whom to tell that it is done.
    fn take(&mut self, order: Order) -> Option<Sender<()>> {
        match order {
            Order::Attach(stream, policy) => self.attach(stream, policy),
            Order::Drain { runs, notice } => self.drain(&runs, notice),
            Order::Resume(token) => self.watch(token),
            Order::ChangePolicy(path, policy) => self.files.change_policy(&path, policy),
            Order::Reopen => self.files.reopen(Instant::now()),
            Order::Gather => self.is_ending = true,
            Order::Finish { done, deadline } => {
                self.finish(deadline);
                return Some(done);
            }
        }
        None
    }

    fn attach(&mut self, stream: Box<Stream>, policy: FilePolicy) {
        let token = self.next_token;
        self.next_token += 1;
        stream.files.iter().for_each(|path| self.files.attach(path, policy));
        self.runs.entry(stream.run).or_default().push(token);
        self.streams.insert(token, stream);
        self.watch(token);
    }

    fn watch(&mut self, token: u64) {
        let Some(stream) = self.streams.get(&token) else { return };
        if let Err(error) = self.epoll.add(&stream.pipe, EpollEvent::new(EpollFlags::EPOLLIN, token)) {
            error!(%error, "cannot watch the output of a program, it is lost");
        }
    }

    /// A program that shall wait for its console's reader is not read while that one does not. True when it waits.
    fn park(&mut self, token: u64) -> bool {
        let Some(stream) = self.streams.get(&token) else { return false };
        let resume = || -> Waiter {
            let own = self.own.clone();
            Box::new(move || own.order(Order::Resume(token)))
        };
        if stream.has_room(resume) {
            return false;
        }
        // A pipe that has ended would be told at every turn, wanted or not: it must leave the set.
        let _ = self.epoll.delete(&stream.pipe);
        true
    }

    /// Takes in what one read gives, and tells how much that was. `None` when there is nothing for now.
    fn read_once(&mut self, token: u64, moment: Moment) -> Option<usize> {
        let stream = self.streams.get_mut(&token)?;
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER];
        }
        let buffer = &mut self.buffer[..stream.most_at_once(BUFFER)];
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
        match read {
            Ok(0) => {
                self.close(token, moment);
                None
            }
            Ok(count) => {
                stream.take(&self.buffer[..count], moment, &mut self.files, &mut self.scratch);
                self.pace.has_read(count);
                if stream.is_busy(count) && self.large_pipes < LARGE_PIPES && stream.enlarge() {
                    self.large_pipes += 1;
                }
                Some(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(0),
            Err(_) => {
                self.close(token, moment);
                None
            }
        }
    }

    fn close(&mut self, token: u64, moment: Moment) {
        let Some(mut stream) = self.streams.remove(&token) else { return };
        // Closing takes it out of the set only if no process shares the reading end, which none does; say it all the same.
        let _ = self.epoll.delete(&stream.pipe);
        stream.end(moment, &mut self.files, &mut self.scratch);
        stream.files.iter().for_each(|path| self.files.detach(path));
        self.large_pipes -= usize::from(stream.is_large);
        if let Some(tokens) = self.runs.get_mut(&stream.run) {
            tokens.retain(|&other| other != token);
            if tokens.is_empty() {
                self.runs.remove(&stream.run);
            }
        }
    }

    /// Delivers what these runs wrote before their ends.
    fn drain(&mut self, runs: &[u64], notice: Notice) {
        let moment = Moment::now();
        let tokens: Vec<u64> = runs.iter().filter_map(|run| self.runs.get(run)).flatten().copied().collect();
        tokens.into_iter().for_each(|token| self.drain_stream(token, moment));
        let Consoles { stdout, stderr } = &self.consoles;
        stderr.drain_is_over(notice.number());
        stdout.notify(notice.clone());
        stderr.notify(notice);
    }

    /// Reads as much as the pipe holds now. Somebody else may go on writing to it, so its end is not waited for.
    fn drain_stream(&mut self, token: u64, moment: Moment) {
        let Some(stream) = self.streams.get(&token) else { return };
        let mut left = muster_sys::fd::readable(stream.pipe.as_fd()).unwrap_or(0);
        while left > 0
            && let Some(count) = self.read_once(token, moment)
        {
            left = left.saturating_sub(count);
        }
        // Where nobody else holds the pipe this is its end, and its last line is a whole one.
        self.read_once(token, moment);
        if let Some(stream) = self.streams.get_mut(&token) {
            stream.deliver(moment, &mut self.files, &mut self.scratch);
        }
    }

    /// Reads what every pipe holds now, and ends every line. The process ends after this, and the pipes with it.
    fn finish(&mut self, deadline: Instant) {
        let moment = Moment::now();
        let tokens: Vec<u64> = self.streams.keys().copied().collect();
        for token in tokens {
            if Instant::now() < deadline {
                self.drain_stream(token, moment);
            }
            self.close(token, moment);
        }
    }

    fn has_something_to_give_back(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Nothing has come for a while: what waits for the end of its line goes to its file, and memory is given back.
    fn give_back(&mut self) {
        let now = Instant::now();
        for stream in self.streams.values_mut().filter(|stream| stream.is_holding()) {
            stream.write_held(now, &mut self.files);
        }
        self.siphon = None;
        self.buffer = Vec::new();
        self.scratch.shrink();
    }
}

fn rest() -> EpollTimeout {
    EpollTimeout::try_from(REST).unwrap_or(EpollTimeout::NONE)
}
