//! The thread that reads the pipes, and the [`second`] one.
//!
//! One epoll set for all of them and one buffer for whichever is ready, so that a program costs two descriptors and no
//! thread. Each turn reads at most one buffer of each ready pipe, so that a program that writes continuously does not starve
//! others. A stream that is silent in the middle of a line emits the line so far ([`idle`](super::idle)). A pipe is closed at its end
//! of file, when the last process that holds it has exited or closed it. [`stream`](super::stream) processes the bytes.
//!
//! Files are written by the same thread, without a copy. Any file may stall, so before it writes the thread puts down everything it
//! has, except the file, and picks it up again afterwards ([`driver`]). When a write is late
//! ([`late`](super::late)) a new thread picks it up instead and continues, and the file is left to the thread in the
//! write, with a [`backlog`](super::backlog).

mod driver;
mod registry;
mod second;
mod slow;
mod succession;
mod terminal;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tracing::error;

use self::driver::Driver;
use self::second::{Common, Moved, Part, Partner};
use super::backlog::{Origin, Room};
use super::coalesce::Pace;
use super::drain::Notice;
use super::files::Files;
use super::heard::{Heard, HeardQueue};
use super::idle::{IDLE, IdleQueue, Verdict};
use super::policy::FilePolicy;
use super::queue::Waiter;
use super::screen;
use super::splice::SpliceBuffer;
use super::stream::{ForFiles, Moment, Scratch, Stream};
use super::{Consoles, InstanceId};

const BUFFER: usize = 256 * 1024;
const ORDERS: u64 = u64::MAX;

/// During a shutdown pipes end by the hundred: they are coalesced for this long after a poll.
const ENDING: Duration = Duration::from_millis(5);

/// After this long without anything to read, memory is released.
const REST: Duration = Duration::from_secs(1);

/// Maximum number of enlarged pipes: an unprivileged user's pipes may have 64 MiB in total, including those of its programs.
const LARGE_PIPES: usize = 64;

/// Maximum number of streams that are read at every turn without being watched.
const MOST_FAST: usize = 16;

/// This many streams may keep up to 1 MiB of a line in one piece, all others 64 KiB.
const LONG_LINES: usize = 8;

enum Order {
    Attach(Box<Stream>, Box<[FilePolicy]>),
    Drain {
        runs: Vec<u64>,
        notice: Notice,
    },
    Resume(u64),
    /// The terminal of a run is to be closed.
    HangUp(u64),
    /// The thread of a file has ended.
    Settle(PathBuf),
    ChangePolicy(PathBuf, FilePolicy),
    Reopen,
    Gather,
    Finish {
        done: Sender<()>,
        deadline: Instant,
    },
    /// To the second thread: these streams are its own from now on.
    Adopt(Box<Moved>),
    /// From the second thread: it no longer has this, of so many streams that it was given.
    Gone(Part, usize),
}

/// The handle of the thread. Clones refer to the same one.
#[derive(Clone, Debug)]
pub(super) struct Pump {
    orders: Sender<Order>,
    bell: Arc<EventFd>,
    /// Whether an order was queued without waking the thread.
    is_due: Arc<AtomicBool>,
}

impl Pump {
    pub(super) fn start(consoles: Consoles, heard: Arc<HeardQueue>) -> io::Result<Pump> {
        Pump::start_thread("logs", Common::new(consoles, heard), Partner::None)
    }

    fn start_thread(name: &str, common: Common, partner: Partner) -> io::Result<Pump> {
        let (orders, received) = mpsc::channel();
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*bell, EpollEvent::new(EpollFlags::EPOLLIN, ORDERS))?;
        let pump = Pump { orders, bell, is_due: Arc::default() };
        let worker = Box::new(Worker {
            epoll,
            own: pump.clone(),
            orders: received,
            files: Files::new(Arc::clone(&common.compressor)),
            common,
            streams: HashMap::new(),
            runs: BTreeSet::new(),
            instances: BTreeSet::new(),
            next_token: 0,
            flooding: Vec::new(),
            partner,
            is_ending: false,
            pace: Pace::default(),
            fast: Vec::new(),
            splice_buffer: None,
            buffer: Vec::new(),
            scratch: Scratch::default(),
            chores: VecDeque::new(),
            is_watched: false,
            lent: None,
            draining: None,
            patient: Vec::new(),
            idle: IdleQueue::default(),
            busy_at: Instant::now(),
        });
        let driver = Driver::of(worker, Arc::default());
        std::thread::Builder::new().name(name.to_owned()).spawn(move || driver.run())?;
        Ok(pump)
    }

    /// Reads this stream, from [`Pump::ring`] on.
    pub(super) fn attach(&self, stream: Stream, policies: Box<[FilePolicy]>) {
        self.queue(Order::Attach(Box::new(stream), policies));
    }

    /// The main processes of these runs have exited: from [`Pump::ring`] on, the rest of their output is delivered, and the notice
    /// is given.
    pub(super) fn drain(&self, runs: Vec<u64>, notice: Notice) {
        self.queue(Order::Drain { runs, notice });
    }

    /// This run is over: its terminal is read for the last time, and closed.
    pub(super) fn hang_up(&self, run: u64) {
        self.order(Order::HangUp(run));
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

    /// Lets the thread read what the pipes hold now, and exit.
    pub(super) fn finish(&self, patience: Duration) {
        let (done, finished) = mpsc::channel();
        self.order(Order::Finish { done, deadline: Instant::now() + patience });
        // If the thread does not answer, it has exited, and there is nothing to wait for.
        let _ = finished.recv_timeout(patience);
    }

    fn order(&self, order: Order) {
        // If the thread has exited, nothing is read any longer.
        let _ = self.try_order(order);
    }

    /// Returns the order if the thread has exited.
    fn try_order(&self, order: Order) -> Result<(), Order> {
        self.try_queue(order)?;
        self.ring();
        Ok(())
    }

    fn queue(&self, order: Order) {
        let _ = self.try_queue(order);
    }

    fn try_queue(&self, order: Order) -> Result<(), Order> {
        self.orders.send(order).map_err(|mpsc::SendError(order)| order)?;
        self.is_due.store(true, Ordering::Release);
        Ok(())
    }

    /// Wakes the thread, if anything was queued since the last call.
    pub(super) fn ring(&self) {
        if self.is_due.swap(false, Ordering::AcqRel) {
            // The counter cannot overflow: it is reset whenever the commands are taken.
            let _ = self.bell.write(1);
        }
    }
}

struct Worker {
    epoll: Epoll,
    own: Pump,
    orders: Receiver<Order>,
    common: Common,
    streams: HashMap<u64, Box<Stream>>,
    /// The streams of each run.
    runs: BTreeSet<(u64, u64)>,
    /// The runs of each instance that have streams, with the first of these, so that the oldest comes first: those of hooks have
    /// numbers of their own.
    instances: BTreeSet<(InstanceId, u64, u64)>,
    files: Files,
    next_token: u64,
    /// Streams that have begun to flood, and may move to the second thread.
    flooding: Vec<u64>,
    partner: Partner,
    is_ending: bool,
    pace: Pace,
    /// The streams that write single lines without a pause. They are not in the epoll set meanwhile: each write into a watched pipe
    /// costs its writer an epoll call. They are read at every turn instead, until they pause.
    fast: Vec<u64>,
    /// The splice buffer for a single fast stream.
    splice_buffer: Option<SpliceBuffer>,
    buffer: Vec<u8>,
    scratch: Scratch,
    /// Work to be done before anything else is read, in order, by the thread that holds the worker.
    chores: VecDeque<Chore>,
    /// Whether there is a thread that detects late writes.
    is_watched: bool,
    /// The file being written to, if any.
    lent: Option<Lent>,
    /// The stream whose pipe is being drained.
    draining: Option<u64>,
    /// Streams that wait for the console's reader or a late file, with a deadline.
    patient: Vec<(Instant, u64)>,
    idle: IdleQueue,
    /// When something was last read.
    busy_at: Instant,
}

/// The stream that writes, and how.
#[derive(Clone)]
struct Writer {
    token: u64,
    /// Whether it continues a line that it began.
    is_rest: bool,
    origin: Origin,
}

/// A step that may have to write to a file.
enum Chore {
    Write {
        files: Arc<[PathBuf]>,
        index: usize,
        bytes: Vec<u8>,
        writer: Writer,
    },
    Detach(PathBuf),
    /// The second thread tells that it has closed this file, of so many streams.
    Closed(PathBuf, usize),
    Settle(PathBuf),
    Prepare(PathBuf),
    Reopen(PathBuf),
    /// Reads and delivers what the pipe of this stream holds now.
    Drain(u64),
    Notify(Vec<u64>, Notice),
    /// The same, up to this moment, and the stream ends.
    Finish(u64, Instant),
    Close(u64),
    /// Waits for late files until then, and reports completion.
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
    fn attach(&mut self, stream: Box<Stream>, policies: &[FilePolicy]) {
        stream.files.iter().zip(policies).for_each(|(path, policy)| self.files.attach(path, *policy));
        self.insert(stream);
    }

    fn watch(&mut self, token: u64) {
        let is_fast = self.fast.contains(&token);
        let Some(stream) = self.streams.get_mut(&token).filter(|_| !is_fast) else { return };
        stream.is_parked = false;
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
            self.fast.push(token);
            // Without one it is read directly.
            self.splice_buffer = self.splice_buffer.take().or_else(|| SpliceBuffer::of_size(BUFFER).ok());
        }
    }

    /// Stops reading a program that must wait for its console's reader or its file. Returns true if it waits.
    fn park(&mut self, token: u64) -> bool {
        let Some(stream) = self.streams.get_mut(&token) else { return false };
        let own = &self.own;
        let resume = || -> Waiter {
            let own = own.clone();
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
        stream.is_parked = true;
        // A pipe that has ended would be reported at every turn: it must leave the set.
        let _ = self.epoll.delete(&stream.pipe);
        true
    }

    /// Reads once, into a buffer that is passed to the caller.
    fn read(&mut self, token: u64) -> Option<(io::Result<usize>, Vec<u8>)> {
        let stream = self.streams.get_mut(&token)?;
        let mut whole = std::mem::take(&mut self.buffer);
        if whole.is_empty() {
            whole = vec![0; BUFFER];
        }
        let is_fast_pipe = self.fast == [token] && stream.screen.is_none();
        let buffer = &mut whole[..stream.most_at_once(BUFFER)];
        let spliced = self.splice_buffer.as_mut().filter(|_| is_fast_pipe).map(|it| it.read(&stream.pipe, buffer));
        let read = match spliced {
            Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                self.splice_buffer = None;
                stream.pipe.read(buffer)
            }
            Some(read) => read,
            None if stream.screen.is_some() => screen::read(&stream.pipe, buffer),
            None => stream.pipe.read(buffer),
        };
        Some((read, whole))
    }

    /// Ends a stream; the output that remains to be written becomes chores.
    fn close(&mut self, token: u64, moment: Moment) {
        let Some(mut stream) = self.remove(token) else { return };
        let held = stream.end(moment, &mut self.scratch);
        stream.screen.iter().for_each(|screen| screen.close());
        for path in stream.files.iter().rev() {
            self.chores.push_front(Chore::Detach(path.clone()));
        }
        write_first(&mut self.chores, token, &stream, held);
        self.partner.tell_end(Part::Instance(stream.recorder.instance()), 1);
    }

    /// Everything of the runs of a drain has been passed on.
    fn report_drain(&self, number: u64) {
        if self.common.heard.is_used() {
            self.common.heard.push(Heard::Drained(number));
        }
    }

    /// Continues where the superseded thread was.
    fn resume(&mut self) {
        if let Some(token) = self.draining.take() {
            let is_write = |chore: &Chore| matches!(chore, Chore::Write { .. });
            let place = self.chores.iter().position(|chore| !is_write(chore)).unwrap_or(self.chores.len());
            self.chores.insert(place, Chore::Drain(token));
        }
        // There may be commands whose wake-up was already consumed.
        let _ = self.own.bell.write(1);
    }

    /// Resumes reading of streams that have waited long enough, and returns the time until the next.
    fn end_patience(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let over: Vec<_> = self.patient.extract_if(.., |(moment, _)| *moment <= now).collect();
        over.into_iter().for_each(|(_, token)| self.watch(token));
        self.patient.iter().map(|(moment, _)| moment.saturating_duration_since(now)).min()
    }

    /// The maximum time to wait for more.
    fn timeout(&mut self) -> EpollTimeout {
        // A deadline is also noticed while another program is read without a pause.
        let patience = if self.patient.is_empty() { None } else { self.end_patience() };
        if !self.fast.is_empty() {
            return EpollTimeout::ZERO;
        }
        let rest = (!self.buffer.is_empty()).then_some(REST);
        let moments = [rest, patience, self.idle.time_left()];
        moments.into_iter().flatten().min().map_or(EpollTimeout::NONE, after)
    }

    /// Nothing has arrived for a while: incomplete lines are emitted, and eventually memory is released.
    fn rest(&mut self, moment: Moment) {
        if moment.now >= self.busy_at + REST {
            self.splice_buffer = None;
            self.buffer = Vec::new();
            self.scratch.shrink();
            muster_sys::footprint::release_free_memory();
        }
        self.give_out_parts(moment);
    }

    /// Streams that were silent in the middle of a line emit it so far. Output for files becomes chores.
    fn give_out_parts(&mut self, moment: Moment) {
        while let Some(token) = self.idle.pop_due(moment.now) {
            let Some(stream) = self.streams.get_mut(&token) else { continue };
            let verdict = match stream.line.judge(moment.now) {
                // Its output has not been read yet.
                Verdict::GiveOut if stream.has_more() => Verdict::LookAgain(moment.now + IDLE),
                verdict => verdict,
            };
            stream.line.is_queued = matches!(verdict, Verdict::LookAgain(_));
            match verdict {
                Verdict::Closed => {}
                Verdict::LookAgain(at) => self.idle.push(token, at),
                Verdict::GiveOut => {
                    stream.line.close();
                    let held = stream.give_out(moment, &mut self.scratch);
                    write_first(&mut self.chores, token, stream, held);
                }
            }
        }
    }
}

/// The rest of a stream goes to its files before anything else is done.
fn write_first(chores: &mut VecDeque<Chore>, token: u64, stream: &Stream, held: ForFiles) {
    for index in (0..stream.files.len()).rev().filter(|_| !held.head.is_empty()) {
        let writer = Writer { token, is_rest: held.is_rest, origin: stream.origin.clone() };
        chores.push_front(Chore::Write { files: Arc::clone(&stream.files), index, bytes: held.head.clone(), writer });
    }
}

fn after(time: Duration) -> EpollTimeout {
    EpollTimeout::try_from(time + Duration::from_millis(1)).unwrap_or(EpollTimeout::NONE)
}
