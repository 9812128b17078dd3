//! All pools: they take events, and their listeners answer.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_spec::{EventType, ListenerMode, ListenerSpec, RunId};

use super::Announcement;
use super::pool::{Listener, ListenerRun, Numbered, Pool};
use super::protocol::{ListenerState, Step};
use crate::python::bytes_repr;

/// How long a patient pool waits after a rejection. The original sends the same event again at once, without end.
const AGAIN: Duration = Duration::from_secs(1);

/// How much of a listener's output a line quotes.
const LONGEST_QUOTED: usize = 1024;

/// An instance that is a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name among all instances.
    pub instance: String,
    /// Its name without its group, for messages.
    pub process: String,
    /// Its pool.
    pub listener: Arc<ListenerSpec>,
}

/// The level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// An event is lost.
    Error,
    /// A listener misbehaves.
    Warn,
    /// Everything else.
    Debug,
}

/// A message for the log, in the original's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its level.
    pub level: Level,
    /// The pool or process that it is about.
    pub about: String,
    /// The message.
    pub text: String,
}

/// The messages of one call.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Vec<Line>,
    is_verbose: bool,
}

impl Lines {
    pub(super) fn push(&mut self, level: Level, about: &str, text: impl FnOnce() -> String) {
        if level != Level::Debug || self.is_verbose {
            self.lines.push(Line { level, about: about.to_owned(), text: text() });
        }
    }
}

/// All pools.
#[derive(Debug)]
pub struct Exchange {
    identifier: String,
    pools: BTreeMap<String, Pool>,
    next_serial: u64,
    lines: Lines,
    printed: Vec<u8>,
}

impl Exchange {
    /// No pool yet. Headers of events name the daemon by the identifier. With `is_verbose` there are messages for debugging.
    pub fn new(identifier: String, is_verbose: bool) -> Exchange {
        let lines = Lines { lines: Vec::new(), is_verbose };
        Exchange { identifier, pools: BTreeMap::new(), next_serial: 0, lines, printed: Vec::new() }
    }

    /// Whether there is no pool.
    pub fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// Adds a pool, or changes its members. A pool with another specification forgets its events.
    pub fn put_pool(&mut self, members: Vec<Member>) {
        let Some(spec) = members.first().map(|member| Arc::clone(&member.listener)) else { return };
        let pool = self.pools.entry(spec.pool.clone()).or_insert_with(|| Pool::new(Arc::clone(&spec)));
        if pool.spec != spec {
            *pool = Pool::new(spec);
        }
        pool.set_members(members);
    }

    /// Removes unwanted pools with their events.
    pub fn retain_pools(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.pools.retain(|name, _| is_wanted(name));
    }

    /// Forgets all pools with their events. Numbers of events go on.
    pub fn forget_pools(&mut self) {
        self.pools.clear();
    }

    /// Whether this run is a listener that has an event, or that may still be given one.
    pub fn is_owed(&self, run: RunId) -> bool {
        let mut pools = self.pools.values();
        pools.any(|pool| {
            pool.listener_of(run).is_some_and(|it| it.may_listen() && (it.event.is_some() || pool.has_waiting()))
        })
    }

    /// Whether this run is a listener that may be given events.
    pub fn may_listen(&self, run: RunId) -> bool {
        self.pools.values().filter_map(|pool| pool.listener_of(run)).any(ListenerRun::may_listen)
    }

    /// Whether a pool would take events of this type.
    pub fn is_wanted(&self, kind: EventType) -> bool {
        self.pools.values().any(|pool| pool.spec.events.iter().any(|wanted| wanted.includes(kind)))
    }

    /// Gives an event to all pools that subscribe to it.
    pub fn announce(&mut self, announcement: Announcement) {
        let kind = announcement.kind;
        let times = |pool: &Pool| pool.spec.events.iter().filter(|wanted| wanted.includes(kind)).count();
        let mut takers = self.pools.values_mut().filter(|pool| times(pool) > 0).peekable();
        if takers.peek().is_none() {
            return;
        }
        let event = Rc::new(Numbered { serial: self.next_serial, announcement });
        self.next_serial += 1;
        for pool in takers {
            pool.accept(&event, times(pool), &mut self.lines);
        }
    }

    /// A listener was started.
    pub fn started(&mut self, instance: &str, run: RunId) {
        let mut listeners = self.pools.values_mut().flat_map(|pool| &mut pool.listeners);
        if let Some(listener) = listeners.find(|listener| listener.member.instance == instance) {
            listener.run = Some(ListenerRun::new(run, listener.member.listener.results));
        }
    }

    /// A run has ended, perhaps of a listener: its event is for another one.
    pub fn ended(&mut self, run: RunId) {
        let Some((pool, place)) = place_of(&mut self.pools, run) else { return };
        if let Some(event) = pool.listeners[place].run.take().and_then(|run| run.event) {
            pool.return_event(event, &mut self.lines);
        }
    }

    /// A listener wrote this to its standard output.
    pub fn heard(&mut self, run: RunId, bytes: &[u8], now: Instant) {
        if let Some((pool, place)) = place_of(&mut self.pools, run) {
            hear(pool, place, (bytes, now), &mut self.lines, &mut self.printed);
        }
    }

    /// Writes events to the listeners that are ready for one. `write` returns false if that listener has closed its standard
    /// input.
    pub fn dispatch(
        &mut self,
        now: Instant,
        is_running: impl Fn(RunId) -> bool,
        mut write: impl FnMut(RunId, Vec<u8>) -> bool,
    ) {
        for pool in self.pools.values_mut() {
            pool.again_at.take_if(|at| *at <= now);
            if pool.again_at.is_none() && pool.has_waiting() {
                pool.dispatch(&self.identifier, &is_running, &mut write, &mut self.lines);
            }
        }
    }

    /// When a rejected event is to be dispatched again.
    pub fn due(&self) -> Option<Instant> {
        self.pools.values().filter_map(|pool| pool.again_at).min()
    }

    /// The output to be printed since the last call, in whole lines.
    pub fn take_printed(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.printed)
    }

    /// The messages since the last call.
    pub fn take_lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines.lines)
    }
}

fn place_of(pools: &mut BTreeMap<String, Pool>, run: RunId) -> Option<(&mut Pool, usize)> {
    pools.values_mut().find_map(|pool| {
        let is_it = |listener: &Listener| listener.run.as_ref().is_some_and(|it| it.id == run);
        let place = pool.listeners.iter().position(is_it)?;
        Some((pool, place))
    })
}

fn hear(pool: &mut Pool, place: usize, (bytes, now): (&[u8], Instant), lines: &mut Lines, printed: &mut Vec<u8>) {
    let listener = &mut pool.listeners[place];
    let (Some(run), process) = (&mut listener.run, listener.member.process.as_str()) else { return };
    let quoted = &bytes[..bytes.len().min(LONGEST_QUOTED)];
    lines.push(Level::Debug, process, || format!("'{process}' stdout output:\n{}", bytes_repr(quoted)));
    let mut steps = Vec::new();
    run.protocol.take(bytes, &mut steps);
    let mut returned = None;
    for step in steps {
        let step = match step {
            Step::Answered(result) if print(&result, printed) => Step::Processed,
            Step::Answered(_) => Step::Rejected,
            step => step,
        };
        match step {
            Step::Processed | Step::Answered(_) => {
                run.event = None;
                lines.push(Level::Debug, process, || format!("{process}: event was processed"));
            }
            Step::Rejected => {
                returned = run.event.take();
                pool.again_at = (pool.spec.mode == ListenerMode::Patient).then_some(now + AGAIN);
                lines.push(Level::Warn, process, || format!("{process}: event was rejected"));
            }
            Step::BadResult(line) => {
                returned = run.event.take();
                lines.push(Level::Warn, process, || format!("{process}: bad result line: '{line}'"));
            }
            Step::Entered(from, to) => {
                pool.was_ready |= to == ListenerState::Ready;
                lines.push(Level::Debug, process, || format!("{process}: {} -> {}", from.name(), to.name()));
                if to == ListenerState::Unknown {
                    lines.push(Level::Warn, process, || {
                        format!(
                            "{process}: has entered the UNKNOWN state and will no longer receive events, this usually \
                             indicates the process violated the eventlistener protocol"
                        )
                    });
                }
            }
        }
    }
    if let Some(event) = returned {
        pool.return_event(event, lines);
    }
}

/// Prints a result that consists of the first line of a PROCESS_LOG event and its text. False if it does not.
fn print(result: &[u8], printed: &mut Vec<u8>) -> bool {
    let end = result.iter().position(|byte| *byte == b'\n');
    let Some((header, text)) = end.map(|end| (&result[..end], &result[end + 1..])) else { return false };
    let field = |name: &str| {
        let words = header.split(u8::is_ascii_whitespace);
        words.rev().find_map(|word| word.strip_prefix(name.as_bytes())?.strip_prefix(b":"))
    };
    let (Some(process), Some(channel)) = (field("processname"), field("channel")) else { return false };
    for part in [process, b" | ", channel, b" | ", text] {
        printed.extend_from_slice(part);
    }
    if !printed.ends_with(b"\n") {
        printed.push(b'\n');
    }
    true
}

#[cfg(test)]
mod tests;
