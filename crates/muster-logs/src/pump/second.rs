//! The second thread that reads pipes.
//!
//! One thread copies every byte twice, so one processor limits how much it reads. While several streams [flood], every other one
//! of them moves to a second thread, together with its files. It runs the same code. Nothing of it exists before that,
//! and nothing moves back.
//!
//! The first thread remains the only one that gets orders. It passes them on in their order where the second may be concerned; of a
//! drain it reads its own part first, and the second reports that it is over, so that drains end in their order. A file belongs to
//! one of both: a new stream that names a file of the second thread goes there, with all that it shares files with.
//!
//! [flood]: super::super::stream::Stream::is_flooding

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use tracing::warn;

use super::super::compress::Compressor;
use super::super::drain::Notice;
use super::super::files::Taken;
use super::super::heard::HeardQueue;
use super::super::idle::IDLE;
use super::super::policy::FilePolicy;
use super::super::stream::Stream;
use super::super::{Consoles, InstanceId};
use super::{Order, Pump, Worker};

/// The token of the stream that began the last line of a file, if that stream is no longer there.
const NOBODY: u64 = u64::MAX;

/// Shared by both threads.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) consoles: Consoles,
    pub(super) heard: Arc<HeardQueue>,
    /// One file is never compressed by two threads.
    pub(super) compressor: Arc<Compressor>,
    /// Cloned for each stream that keeps a long line.
    pub(super) long_lines: Arc<()>,
    /// The number of enlarged pipes.
    pub(super) large_pipes: Arc<AtomicUsize>,
}

/// The other one of the threads that read pipes, for each of them.
pub(super) enum Partner {
    None,
    /// There is only one processor, or the second thread cannot be started.
    Never,
    /// For the second thread: the first one.
    First(Pump),
    /// For the first thread: the second one.
    Second(Second),
}

pub(super) struct Second {
    pump: Pump,
    /// Its files and instances, each with the number of streams that it was given for it.
    parts: HashMap<Part, usize>,
    /// Receives its report that it has finished.
    finished: Option<Receiver<()>>,
}

/// A file or an instance, which only one of the threads handles at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    File(PathBuf),
    Instance(InstanceId),
}

/// Streams that move to the second thread, with their former tokens, and their files.
pub(super) struct Moved {
    streams: Vec<(u64, Box<Stream>)>,
    files: Vec<Taken>,
}

impl Common {
    pub(super) fn new(consoles: Consoles, heard: Arc<HeardQueue>) -> Common {
        let large_pipes = Arc::default();
        Common { consoles, heard, compressor: Arc::default(), long_lines: Arc::default(), large_pipes }
    }
}

impl Part {
    fn all_of(stream: &Stream) -> impl Iterator<Item = Part> {
        let files = stream.files.iter().cloned().map(Part::File);
        files.chain([Part::Instance(stream.recorder.instance())])
    }
}

impl Partner {
    /// The number of threads that read pipes.
    pub(super) fn threads(&self) -> usize {
        match self {
            Partner::None | Partner::Never => 1,
            Partner::First(_) | Partner::Second(_) => 2,
        }
    }

    /// Passes an order on to the second thread.
    pub(super) fn repeat(&self, order: impl FnOnce() -> Order) {
        if let Partner::Second(second) = self {
            second.pump.order(order());
        }
    }

    /// Passes a drain on to the second thread, which reports that it is over; returns the notice if there is none.
    pub(super) fn pass_on(&self, runs: Vec<u64>, notice: Notice) -> Option<Notice> {
        let Partner::Second(second) = self else { return Some(notice) };
        match second.pump.try_order(Order::Drain { runs, notice }) {
            Err(Order::Drain { notice, .. }) => Some(notice),
            _ => None,
        }
    }

    /// The second thread tells the first what it no longer has.
    pub(super) fn tell_end(&self, part: Part, streams: usize) {
        if let Partner::First(first) = self {
            first.order(Order::Gone(part, streams));
        }
    }

    /// The second thread no longer has this.
    pub(super) fn forget(&mut self, part: &Part, streams: usize) {
        let Partner::Second(second) = self else { return };
        if let Some(count) = second.parts.get_mut(part) {
            *count = count.saturating_sub(streams);
            if *count == 0 {
                second.parts.remove(part);
            }
        }
    }

    /// Lets the second thread read what its pipes hold, and exit.
    pub(super) fn begin_finish(&mut self, deadline: Instant) {
        if let Partner::Second(second) = self {
            let (done, finished) = mpsc::channel();
            second.finished = Some(finished);
            second.pump.order(Order::Finish { done, deadline });
        }
    }

    /// Waits until it has done that.
    pub(super) fn wait_finish(&self, deadline: Instant) {
        if let Partner::Second(Second { finished: Some(finished), .. }) = self {
            // If it does not answer, it has exited, and there is nothing to wait for.
            let _ = finished.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

impl Second {
    fn has_any_of(&self, stream: &Stream) -> bool {
        !self.parts.is_empty() && Part::all_of(stream).any(|part| self.parts.contains_key(&part))
    }

    /// The number of instances that it reads.
    fn instances(&self) -> usize {
        self.parts.keys().filter(|part| matches!(part, Part::Instance(_))).count()
    }

    fn note(&mut self, stream: &Stream) {
        Part::all_of(stream).for_each(|part| *self.parts.entry(part).or_insert(0) += 1);
    }
}

impl Worker {
    /// Streams that have begun to flood move to the second thread, while there are clearly more of them here than instances there.
    pub(super) fn share_floods(&mut self) {
        for token in std::mem::take(&mut self.flooding) {
            let is_possible = matches!(self.partner, Partner::None | Partner::Second(_)) && !self.is_ending;
            if !is_possible {
                return;
            }
            let floods = self.streams.values().filter(|stream| stream.is_flooding()).count();
            if floods < 2 {
                return;
            }
            let Some((tokens, files)) = self.movable_with(token) else { continue };
            if let Partner::None = self.partner {
                self.partner = self.start_second();
            }
            if let Partner::Second(second) = &self.partner
                && floods >= second.instances() + 2
            {
                self.move_streams(tokens, files);
            }
        }
    }

    /// All streams of the same instance, and their files, if none is a terminal, and no other instance writes to their files.
    fn movable_with(&self, token: u64) -> Option<(Vec<u64>, Vec<PathBuf>)> {
        let stream = self.streams.get(&token)?;
        if !stream.is_flooding() || stream.files.is_empty() || self.fast.contains(&token) {
            return None;
        }
        let instance = stream.recorder.instance();
        let (own, others): (Vec<_>, Vec<_>) =
            self.streams.iter().partition(|(_, other)| other.recorder.instance() == instance);
        let files: HashSet<&PathBuf> = own.iter().flat_map(|(_, stream)| stream.files.iter()).collect();
        let is_alone = !others.iter().any(|(_, other)| other.files.iter().any(|path| files.contains(path)));
        let is_movable = own.iter().all(|(_, stream)| stream.screen.is_none() && !stream.is_parked);
        let mut tokens: Vec<u64> = own.into_iter().map(|(&token, _)| token).collect();
        tokens.sort_unstable();
        (is_alone && is_movable).then(|| (tokens, files.into_iter().cloned().collect()))
    }

    /// The streams that must be read by the same thread as this one: those of its instance, and those that share files with one of
    /// them. Also all their files.
    fn related(&self, stream: &Stream) -> (Vec<u64>, Vec<PathBuf>) {
        let mut left: Vec<Part> = Part::all_of(stream).collect();
        let mut parts: HashSet<Part> = left.iter().cloned().collect();
        let mut tokens = HashSet::new();
        while let Some(part) = left.pop() {
            for (&token, other) in &self.streams {
                let is_part = match &part {
                    Part::File(path) => other.files.contains(path),
                    Part::Instance(instance) => other.recorder.instance() == *instance,
                };
                if is_part && tokens.insert(token) {
                    left.extend(Part::all_of(other).filter(|part| parts.insert(part.clone())));
                }
            }
        }
        let mut tokens: Vec<u64> = tokens.into_iter().collect();
        // In the order in which they were opened.
        tokens.sort_unstable();
        let path_of = |part| match part {
            Part::File(path) => Some(path),
            Part::Instance(_) => None,
        };
        (tokens, parts.into_iter().filter_map(path_of).collect())
    }

    fn start_second(&self) -> Partner {
        if std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1) {
            return Partner::Never;
        }
        let first = Partner::First(self.own.clone());
        match Pump::start_thread("logs-second", self.common.clone(), first) {
            Ok(pump) => Partner::Second(Second { pump, parts: HashMap::new(), finished: None }),
            Err(error) => {
                warn!(%error, "cannot start a second thread for the output of programs, one reads all of it");
                Partner::Never
            }
        }
    }

    /// Passes a new stream on to the second thread if it reads that program already, or has one of its files, together with all that it
    /// shares files with. Returns it if it is to be read here.
    pub(super) fn hand_on(
        &mut self,
        stream: Box<Stream>,
        policies: Box<[FilePolicy]>,
    ) -> Option<(Box<Stream>, Box<[FilePolicy]>)> {
        if !matches!(&self.partner, Partner::Second(second) if second.has_any_of(&stream)) {
            return Some((stream, policies));
        }
        let (tokens, files) = self.related(&stream);
        self.move_streams(tokens, files);
        let Partner::Second(second) = &mut self.partner else { return Some((stream, policies)) };
        second.note(&stream);
        match second.pump.try_order(Order::Attach(stream, policies)) {
            Err(Order::Attach(stream, policies)) => {
                // It has exited, and with it what it read.
                self.partner = Partner::Never;
                Some((stream, policies))
            }
            _ => None,
        }
    }

    /// Moves streams, and these files: all of theirs, and perhaps others.
    fn move_streams(&mut self, tokens: Vec<u64>, files: Vec<PathBuf>) {
        let streams: Vec<(u64, Box<Stream>)> =
            tokens.into_iter().filter_map(|token| Some((token, self.remove(token)?))).collect();
        let files: Vec<Taken> = files.iter().filter_map(|path| self.files.take_out(path)).collect();
        if let Partner::Second(second) = &mut self.partner
            && !(streams.is_empty() && files.is_empty())
        {
            streams.iter().for_each(|(_, stream)| second.note(stream));
            if let Err(Order::Adopt(moved)) = second.pump.try_order(Order::Adopt(Box::new(Moved { streams, files }))) {
                // It has exited, and with it what it read.
                self.partner = Partner::Never;
                self.adopt(*moved);
            }
        }
    }

    /// Takes over streams of the other thread.
    pub(super) fn adopt(&mut self, moved: Moved) {
        let mut tokens = HashMap::new();
        for (former, stream) in moved.streams {
            self.common.large_pipes.fetch_add(usize::from(stream.is_large), Ordering::Relaxed);
            let is_open = stream.line.is_queued;
            let token = self.insert(stream);
            if is_open {
                self.idle.push(token, Instant::now() + IDLE);
            }
            tokens.insert(former, token);
        }
        for file in moved.files {
            self.files.put_in(file, |former| tokens.get(&former).copied().unwrap_or(NOBODY));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::eventfd::EventFd;

    #[test]
    fn what_the_second_thread_has_closed_is_forgotten_unless_more_is_on_its_way_to_it() {
        let (orders, received) = mpsc::channel();
        let bell = Arc::new(EventFd::new().unwrap());
        let pump = Pump { orders, bell, is_due: Arc::default() };
        let file = Part::File(PathBuf::from("/log"));
        let parts = HashMap::from([(file.clone(), 3)]);
        let second = Second { pump: pump.clone(), parts, finished: None };
        let mut first = Partner::Second(second);
        let count = |first: &Partner| match first {
            Partner::Second(second) => second.parts.get(&file).copied(),
            _ => unreachable!(),
        };
        let of_second = Partner::First(pump);
        for (closed, left) in [(1, Some(2)), (2, None)] {
            of_second.tell_end(file.clone(), closed);
            let Ok(Order::Gone(part, streams)) = received.try_recv() else { panic!("the first thread gets it") };
            first.forget(&part, streams);
            assert_eq!(count(&first), left);
        }
    }
}
