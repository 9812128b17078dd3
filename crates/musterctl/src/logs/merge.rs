//! Reads several logs at once, in chronological order.
//!
//! Earlier output comes first: the oldest entry of all logs is next, and entries without a time, which come from
//! files, are older than all others. A single log is printed as it arrives; several are read one after another, which
//! costs the daemon one response at a time, and memory here. New output is read by one thread per log and
//! passed through one channel; entries that arrive within a moment of each other are sorted. All channels are bounded:
//! if printing is slow, the daemon reports how much was missed, and nothing grows.

use muster_spec::arrange;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use muster_api::{EntryKind, LogEntry, Route};

use crate::client::{Client, Stream};
use crate::failure::{Exit, Failure};

/// Maximum number of queued entries.
const BOUND: usize = 256;

/// How long an entry waits for older entries of other logs.
const MOMENT: Duration = Duration::from_millis(20);

/// Maximum size of an entry; a line of 1 MiB that is not UTF-8 is less than half of it.
const LONGEST: u64 = 16 * 1024 * 1024;

/// The stack size of a thread that only reads and parses.
const STACK: usize = 256 * 1024;

type Received = Result<LogEntry, Failure>;

/// A set of logs.
pub(crate) struct Logs {
    /// The earlier output, one for each log.
    earlier: Vec<Earlier>,
    /// New output.
    live: Receiver<Received>,
}

/// The earlier output of one log.
enum Earlier {
    Read(VecDeque<LogEntry>),
    Coming(Receiver<Received>),
}

impl Earlier {
    fn next(&mut self) -> Result<Option<LogEntry>, Failure> {
        match self {
            Earlier::Read(entries) => Ok(entries.pop_front()),
            Earlier::Coming(received) => received.recv().ok().transpose(),
        }
    }
}

impl Logs {
    /// Opens all of them. One that cannot be opened is an error.
    pub(crate) fn open(client: &Client, routes: &[Route]) -> Result<Logs, Failure> {
        let (sender, live) = mpsc::sync_channel(BOUND);
        let mut earlier = Vec::with_capacity(routes.len());
        for route in routes {
            let stream = BufReader::new(client.follow(route)?);
            let mut reader = Reader { stream, client: client.clone(), live: sender.clone(), line: Vec::new() };
            if routes.len() == 1 {
                let (history, received) = mpsc::sync_channel(BOUND);
                reader.start(Some(history))?;
                earlier.push(Earlier::Coming(received));
            } else {
                let (entries, is_live) = reader.read_history()?;
                earlier.push(Earlier::Read(entries));
                if is_live {
                    reader.start(None)?;
                }
            }
        }
        Ok(Logs { earlier, live })
    }

    /// Passes every entry to `print` until all logs have ended, one fails, or `print` returns a value. An empty list of
    /// entries marks a pause: there is no more for now.
    pub(crate) fn for_each<T>(mut self, mut print: impl FnMut(&[LogEntry]) -> Option<T>) -> Result<Option<T>, Failure> {
        if let Some(end) = merge(&mut self.earlier, &mut print)? {
            return Ok(Some(end));
        }
        let gathering = if self.earlier.len() > 1 { MOMENT } else { Duration::ZERO };
        drop(self.earlier);
        let mut entries = Vec::new();
        while let Ok(first) = self.live.recv() {
            entries.push(first?);
            let until = Instant::now() + gathering;
            let failure = gather(&self.live, until, &mut entries);
            arrange::sort_by_key(&mut entries, |entry| entry.time);
            if let Some(end) = print(&entries).or_else(|| print(&[])) {
                return Ok(Some(end));
            }
            entries.clear();
            failure?;
        }
        Ok(None)
    }
}

/// Collects entries until then, and those that are already queued.
fn gather(live: &Receiver<Received>, until: Instant, entries: &mut Vec<LogEntry>) -> Result<(), Failure> {
    while entries.len() < 4 * BOUND {
        match live.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(received) => entries.push(received?),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}

/// The oldest entry of all logs first, until all are empty.
fn merge<T>(logs: &mut [Earlier], print: &mut impl FnMut(&[LogEntry]) -> Option<T>) -> Result<Option<T>, Failure> {
    let mut heads = logs.iter_mut().map(Earlier::next).collect::<Result<Vec<Option<LogEntry>>, Failure>>()?;
    loop {
        let oldest = heads.iter().enumerate().filter_map(|(place, head)| Some((head.as_ref()?.time, place))).min();
        let Some((_, place)) = oldest else { return Ok(print(&[])) };
        let entry = std::mem::replace(&mut heads[place], logs[place].next()?);
        if let Some(end) = entry.and_then(|entry| print(&[entry])) {
            return Ok(Some(end));
        }
    }
}

/// Reads one log.
struct Reader {
    stream: BufReader<Stream>,
    client: Client,
    live: SyncSender<Received>,
    line: Vec<u8>,
}

impl Reader {
    /// Returns the next entry; `None` at the end.
    fn next(&mut self) -> Option<Received> {
        self.line.clear();
        match self.stream.by_ref().take(LONGEST).read_until(b'\n', &mut self.line) {
            Ok(0) => None,
            Ok(_) => Some(parse(&self.line)),
            Err(error) => Some(Err(self.client.broken(error))),
        }
    }

    /// Reads all earlier output; also returns whether more will follow.
    fn read_history(&mut self) -> Result<(VecDeque<LogEntry>, bool), Failure> {
        let mut entries = VecDeque::new();
        while let Some(received) = self.next() {
            let entry = received?;
            if entry.kind == EntryKind::Live {
                return Ok((entries, true));
            }
            entries.push_back(entry);
        }
        Ok((entries, false))
    }

    /// Continues on its own thread.
    fn start(self, history: Option<SyncSender<Received>>) -> Result<(), Failure> {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || self.run(history));
        thread.map(drop).map_err(|error| Failure::new(Exit::Failed, format!("cannot start a thread: {error}")))
    }

    fn run(mut self, mut history: Option<SyncSender<Received>>) {
        while let Some(received) = self.next() {
            let is_over = received.is_err();
            if received.as_ref().is_ok_and(|entry| entry.kind == EntryKind::Live) {
                history = None;
            }
            let sent = history.as_ref().unwrap_or(&self.live).send(received);
            // If the receiver is closed, the process is about to exit.
            if is_over || sent.is_err() {
                return;
            }
        }
    }
}

fn parse(line: &[u8]) -> Received {
    serde_json::from_slice(line).map_err(|error| {
        let message = format!("unexpected response: {error}");
        Failure::new(Exit::Failed, message).with_hint("are musterctl and musterd of the same version?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_api::Timestamp;

    fn entry(program: &str, at: Option<i64>) -> LogEntry {
        LogEntry { time: at.map(Timestamp::from_unix_ms), ..LogEntry::of(EntryKind::Line, program) }
    }

    fn log(program: &str, times: &[Option<i64>]) -> Earlier {
        Earlier::Read(times.iter().map(|&at| entry(program, at)).collect())
    }

    #[test]
    fn the_oldest_is_next_and_what_has_no_time_is_older() {
        let mut logs = [log("a", &[None, Some(1), Some(4)]), log("b", &[Some(2), Some(3)]), log("c", &[])];
        let mut received = Vec::new();
        let ended = merge(&mut logs, &mut |entries: &[LogEntry]| {
            received.extend(entries.iter().map(|entry| (entry.program.clone(), entry.time.map(Timestamp::unix_ms))));
            None::<()>
        });
        assert_eq!(ended, Ok(None));
        let received: Vec<(&str, Option<i64>)> = received.iter().map(|(program, at)| (program.as_str(), *at)).collect();
        assert_eq!(received, [("a", None), ("a", Some(1)), ("b", Some(2)), ("b", Some(3)), ("a", Some(4))]);
    }

    #[test]
    fn a_failure_ends_it() {
        let (sender, receiver) = mpsc::sync_channel(1);
        sender.send(Err(Failure::new(Exit::NoDaemon, "gone"))).unwrap();
        let ended = merge(&mut [Earlier::Coming(receiver)], &mut |_: &[LogEntry]| None::<()>);
        assert_eq!(ended.unwrap_err().exit, Exit::NoDaemon);
    }
}
