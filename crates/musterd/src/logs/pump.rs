//! The thread that reads every pipe.
//!
//! One epoll set for all of them and one buffer for whatever is ready, so that a program costs two descriptors and no
//! thread. Each turn reads at most one buffer of each ready pipe, so that a program that writes without end keeps nobody
//! else waiting. A pipe is closed at its end of file, which comes when the last process that holds it is gone.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use muster_core::spec::Sink;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tracing::error;

use super::console::Console;
use super::file::LogFile;
use super::lines::Lines;

const BUFFER: usize = 64 * 1024;
const ORDERS: u64 = u64::MAX;

/// While everything is being stopped, pipes end by the hundred: so long after a look they are left to gather.
const GATHERING: Duration = Duration::from_millis(5);

/// One stream of one run, and where it goes.
#[derive(Debug)]
pub(super) struct Stream {
    pipe: File,
    console: Option<(Console, Lines)>,
    files: Vec<PathBuf>,
}

impl Stream {
    pub(super) fn new(pipe: OwnedFd, name: &str, sinks: &[Sink], console: &Console) -> Stream {
        let to_console = sinks.contains(&Sink::Console);
        let files = sinks.iter().filter_map(|sink| match sink {
            Sink::Console => None,
            Sink::File(path) => Some(path.clone()),
        });
        Stream {
            pipe: File::from(pipe),
            console: to_console.then(|| (console.clone(), Lines::named(name))),
            files: files.collect(),
        }
    }
}

enum Order {
    Attach(Stream),
    Reopen,
    Gather,
    Finish { done: Sender<()>, deadline: Instant },
}

/// The handle of the thread.
#[derive(Debug)]
pub(super) struct Pump {
    orders: Sender<Order>,
    bell: Arc<EventFd>,
}

impl Pump {
    pub(super) fn start() -> io::Result<Pump> {
        let (orders, received) = mpsc::channel();
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*bell, EpollEvent::new(EpollFlags::EPOLLIN, ORDERS))?;
        let worker = Worker {
            epoll,
            bell: Arc::clone(&bell),
            orders: received,
            streams: HashMap::new(),
            files: HashMap::new(),
            next_token: 0,
            is_gathering: false,
            buffer: vec![0; BUFFER],
            lines: Vec::new(),
        };
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || worker.run())?;
        Ok(Pump { orders, bell })
    }

    pub(super) fn attach(&self, stream: Stream) {
        self.order(Order::Attach(stream));
    }

    /// From now on many pipes end at the same time.
    pub(super) fn gather(&self) {
        self.order(Order::Gather);
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
    bell: Arc<EventFd>,
    orders: Receiver<Order>,
    streams: HashMap<u64, Box<Stream>>,
    files: HashMap<PathBuf, LogFile>,
    next_token: u64,
    is_gathering: bool,
    buffer: Vec<u8>,
    lines: Vec<u8>,
}

impl Worker {
    fn run(mut self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(ready) => ready,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return error!(%error, "cannot wait for the output of programs, it is lost from now on"),
            };
            let mut finished = None;
            for event in &events[..ready] {
                match event.data() {
                    ORDERS => finished = self.take_orders(),
                    // Nobody can write to it any more, and nothing is left to read.
                    token if event.events() == EpollFlags::EPOLLHUP => self.close(token),
                    token => drop(self.read_once(token)),
                }
            }
            if self.is_gathering && finished.is_none() && ready < events.len() {
                finished = self.orders.recv_timeout(GATHERING).ok().and_then(|order| self.take(order));
            }
            if let Some(done) = finished {
                let _ = done.send(());
                return;
            }
        }
    }

    fn take_orders(&mut self) -> Option<Sender<()>> {
        let _ = self.bell.read();
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
            Order::Attach(stream) => self.attach(stream),
            Order::Reopen => self.files.values_mut().for_each(LogFile::close),
            Order::Gather => self.is_gathering = true,
            Order::Finish { done, deadline } => {
                self.drain(deadline);
                return Some(done);
            }
        }
        None
    }

    fn attach(&mut self, stream: Stream) {
        let token = self.next_token;
        self.next_token += 1;
        match self.epoll.add(&stream.pipe, EpollEvent::new(EpollFlags::EPOLLIN, token)) {
            Ok(()) => drop(self.streams.insert(token, Box::new(stream))),
            Err(error) => error!(%error, "cannot watch the output of a program, it is lost"),
        }
    }

    /// Passes on what one read gives. `None` when there is nothing for now.
    fn read_once(&mut self, token: u64) -> Option<()> {
        let stream = self.streams.get_mut(&token)?;
        match stream.pipe.read(&mut self.buffer) {
            Ok(0) => self.close(token),
            Ok(count) => pass_on(stream, &self.buffer[..count], &mut self.files, &mut self.lines),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.close(token),
        }
        Some(())
    }

    fn close(&mut self, token: u64) {
        let Some(mut stream) = self.streams.remove(&token) else { return };
        // Closing takes it out of the set only if no process shares the reading end, which none does; say it all the same.
        let _ = self.epoll.delete(&stream.pipe);
        end_line(&mut stream, &mut self.lines);
    }

    /// Reads every pipe until it holds nothing, and ends every line. The process ends after this, and the pipes with it.
    fn drain(&mut self, deadline: Instant) {
        let tokens: Vec<u64> = self.streams.keys().copied().collect();
        for token in tokens {
            while Instant::now() < deadline && self.read_once(token).is_some() {}
            if let Some(stream) = self.streams.get_mut(&token) {
                end_line(stream, &mut self.lines);
            }
        }
    }
}

/// A last line without an end goes out with one.
fn end_line(stream: &mut Stream, scratch: &mut Vec<u8>) {
    if let Some((console, lines)) = &mut stream.console {
        scratch.clear();
        lines.end(scratch);
        if !scratch.is_empty() {
            console.append(scratch);
        }
    }
}

fn pass_on(stream: &mut Stream, bytes: &[u8], files: &mut HashMap<PathBuf, LogFile>, scratch: &mut Vec<u8>) {
    for path in &stream.files {
        if !files.contains_key(path) {
            files.insert(path.clone(), LogFile::at(path));
        }
        files.get_mut(path).expect("it was put there two lines above").append(bytes);
    }
    if let Some((console, lines)) = &mut stream.console {
        scratch.clear();
        lines.push(bytes, scratch);
        if !scratch.is_empty() {
            console.append(scratch);
        }
    }
}
