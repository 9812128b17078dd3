//! One pool of listeners: its buffer, and the runs that take events from it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use muster_spec::{ListenerMode, ListenerSpec, Results, RunId};

use super::exchange::{Level, Lines};
use super::protocol::{ListenerState, Protocol};
use super::{Announcement, Member};

/// Number of events that a pool keeps until a listener of it is ready for the first time.
const AT_FIRST: usize = 1024;

/// Size of all payloads in a buffer, in bytes: a listener that reads nothing of many megabytes must not keep them.
const MOST_BYTES: usize = 16 << 20;

/// An event with the number that all pools know it by.
#[derive(Debug)]
pub(super) struct Numbered {
    pub(super) serial: u64,
    pub(super) announcement: Announcement,
}

/// An event in a pool.
#[derive(Clone, Debug)]
pub(super) struct Buffered {
    pub(super) event: Rc<Numbered>,
    pub(super) pool_serial: u64,
}

impl Buffered {
    fn size(&self) -> usize {
        self.event.announcement.payload.len()
    }

    /// The event as it is written to a listener.
    fn envelope(&self, identifier: &str, pool: &str) -> Vec<u8> {
        let Numbered { serial, announcement: Announcement { kind, payload } } = &*self.event;
        let (pool_serial, name, characters) = (self.pool_serial, kind.name(), payload.chars().count());
        let header = format!(
            "ver:3.0 server:{identifier} serial:{serial} pool:{pool} poolserial:{pool_serial} eventname:{name} \
             len:{characters}\n"
        );
        [header.as_bytes(), payload.as_bytes()].concat()
    }
}

/// A listener of a pool, and its current run.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) member: Member,
    pub(super) run: Option<ListenerRun>,
}

/// A run of a listener.
#[derive(Debug)]
pub(super) struct ListenerRun {
    pub(super) id: RunId,
    pub(super) protocol: Protocol,
    /// The event it has.
    pub(super) event: Option<Buffered>,
    /// Whether it has closed its standard input.
    is_deaf: bool,
}

impl ListenerRun {
    pub(super) fn new(id: RunId, results: Results) -> ListenerRun {
        ListenerRun { id, protocol: Protocol::new(results == Results::Print), event: None, is_deaf: false }
    }

    /// Whether it may be given an event, now or once it is ready for one.
    pub(super) fn may_listen(&self) -> bool {
        !self.is_deaf && self.protocol.state() != ListenerState::Unknown
    }
}

/// A pool.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) spec: Arc<ListenerSpec>,
    pub(super) listeners: Vec<Listener>,
    buffer: VecDeque<Buffered>,
    bytes: usize,
    next_serial: u64,
    /// Whether a listener of it has ever been ready.
    pub(super) was_ready: bool,
    /// When a rejected event may be sent again.
    pub(super) again_at: Option<Instant>,
}

impl Pool {
    pub(super) fn new(spec: Arc<ListenerSpec>) -> Pool {
        Pool {
            spec,
            listeners: Vec::new(),
            buffer: VecDeque::new(),
            bytes: 0,
            next_serial: 0,
            was_ready: false,
            again_at: None,
        }
    }

    /// Takes the members of a configuration. Those that stay keep their runs.
    pub(super) fn set_members(&mut self, members: Vec<Member>) {
        let mut before = std::mem::take(&mut self.listeners);
        self.listeners = members
            .into_iter()
            .map(|member| {
                let known = before.iter_mut().find(|listener| listener.member.instance == member.instance);
                Listener { run: known.and_then(|listener| listener.run.take()), member }
            })
            .collect();
    }

    pub(super) fn listener_of(&self, run: RunId) -> Option<&ListenerRun> {
        self.listeners.iter().filter_map(|listener| listener.run.as_ref()).find(|it| it.id == run)
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Takes an event as often as the subscription includes it.
    pub(super) fn accept(&mut self, event: &Rc<Numbered>, times: usize, lines: &mut Lines) {
        let buffered = Buffered { event: Rc::clone(event), pool_serial: self.next_serial };
        self.next_serial += 1;
        for _ in 0..times {
            self.make_room(buffered.size(), lines);
            self.bytes += buffered.size();
            self.buffer.push_back(buffered.clone());
        }
    }

    /// Takes an event back.
    pub(super) fn return_event(&mut self, event: Buffered, lines: &mut Lines) {
        let (serial, pool, size, most) =
            (event.event.serial, &self.spec.pool, self.buffer.len(), self.spec.buffer_size);
        lines.push(Level::Debug, pool, || {
            format!("rebuffering event {serial} for pool {pool} (buf size={size}, max={most})")
        });
        self.make_room(event.size(), lines);
        self.bytes += event.size();
        self.buffer.push_front(event);
    }

    fn make_room(&mut self, size: usize, lines: &mut Lines) {
        let is_settled = self.was_ready || self.spec.mode == ListenerMode::Exact;
        let most = if is_settled { self.spec.buffer_size } else { self.spec.buffer_size.max(AT_FIRST) };
        // The buffer may have kept more at first than fits now; the rest leaves as it is sent, and not all at once.
        let mut is_full = self.buffer.len() >= most;
        while (is_full || self.bytes + size > MOST_BYTES)
            && let Some(oldest) = self.buffer.pop_front()
        {
            is_full = false;
            self.bytes -= oldest.size();
            let (pool, serial) = (&self.spec.pool, oldest.event.serial);
            lines
                .push(Level::Error, pool, || format!("pool {pool} event buffer overflowed, discarding event {serial}"));
        }
    }

    /// Hands the oldest events to the first listeners that are ready. `write` returns false if the listener has closed its
    /// standard input; the next one gets the event then.
    pub(super) fn dispatch(
        &mut self,
        identifier: &str,
        is_running: impl Fn(RunId) -> bool,
        mut write: impl FnMut(RunId, Vec<u8>) -> bool,
        lines: &mut Lines,
    ) {
        for listener in &mut self.listeners {
            let Some(run) = &mut listener.run else { continue };
            if run.is_deaf || run.protocol.state() != ListenerState::Ready || !is_running(run.id) {
                continue;
            }
            let Some(event) = self.buffer.front() else { return };
            let (serial, process) = (event.event.serial, &listener.member.process);
            if write(run.id, event.envelope(identifier, &self.spec.pool)) {
                run.protocol.dispatch();
                run.event = self.buffer.pop_front();
                self.bytes -= run.event.as_ref().map_or(0, Buffered::size);
                lines.push(Level::Debug, process, || format!("event {serial} sent to listener {process}"));
            } else {
                run.is_deaf = true;
                lines.push(Level::Debug, process, || {
                    format!(
                        "epipe occurred while sending event {serial} to listener {process}, listener state unchanged"
                    )
                });
            }
        }
    }
}
