//! `GET /v1/events`: a snapshot, followed by events until the client disconnects.
//!
//! The state of a listener is the number of its last event. It takes a piece from the ring whenever its connection has
//! room. One that is too slow to keep up gets an event with the number of events it missed, and another snapshot.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use muster_api as api;
use muster_api::{EVENT_STREAM, Happening, ProgramFields};
use muster_core::{EndedHook, Event, Instance, StepOutcome, Time};
use muster_spec::{InstanceId, InstanceSpec, RunEnd};
use tokio::time::{Instant, Sleep};

use super::view;
use crate::shared::Shared;
use muster_logging::event_ring::{Missed, Published, SourceChange, What};
use muster_server::body::{Body, Pieces};
use muster_server::response::{self, Answer};
use muster_server::turns::{SLICE, Waiting};

/// Maximum number of events in one piece.
const MOST_IN_PIECE: usize = 128;

/// Maximum time without sending: proxies drop connections that are silent for longer, and a disconnected client is
/// only noticed by sending to it.
const SILENCE: Duration = Duration::from_secs(30);

/// A comment, which clients ignore.
const KEEP_ALIVE: &[u8] = b":\n\n";

pub(super) fn follow(shared: &Rc<Shared>, headers: &HeaderMap) -> Answer {
    let id = shared.event_ring.borrow_mut().listen();
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let listener = Listener {
        shared: Rc::clone(shared),
        id,
        last,
        silence: Box::pin(tokio::time::sleep(SILENCE)),
        snapshot: None,
        turn: None,
    };
    response::streaming(EVENT_STREAM, Body::streaming(listener))
}

struct Listener {
    shared: Rc<Shared>,
    /// Its id in the ring of events.
    id: u64,
    /// The number of its last event; `None` before the first snapshot.
    last: Option<u64>,
    silence: Pin<Box<Sleep>>,
    /// A snapshot that is being written, or whose writing waits for its turn.
    snapshot: Option<Writing>,
    turn: Option<Waiting>,
}

/// A snapshot that is being written.
struct Writing {
    text: Vec<u8>,
    end: Vec<u8>,
    /// The instances to be written, the next one last.
    left: Vec<InstanceId>,
    /// The number of the last event before the snapshot.
    number: u64,
}

impl Pieces for Listener {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let piece = match self.last {
            Some(_) => self.next_piece(),
            None => std::task::ready!(self.poll_snapshot(context)),
        };
        if !piece.is_empty() {
            self.silence.as_mut().reset(Instant::now() + SILENCE);
            return Poll::Ready(Some(Bytes::from(piece)));
        }
        let mut ring = self.shared.event_ring.borrow_mut();
        if ring.is_over() {
            return Poll::Ready(None);
        }
        ring.wait(self.id, context.waker());
        if self.silence.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.silence.as_mut().reset(Instant::now() + SILENCE);
        Poll::Ready(Some(Bytes::from_static(KEEP_ALIVE)))
    }
}

impl Listener {
    /// The events it has not been sent yet; may be empty. After a gap a snapshot follows.
    fn next_piece(&mut self) -> Vec<u8> {
        let ring = self.shared.event_ring.borrow();
        let mut piece = Vec::new();
        let Some(last) = self.last else { return piece };
        match ring.after(last) {
            Ok(published) => {
                for (id, published) in published.take(MOST_IN_PIECE) {
                    event(&self.shared, id, published).write_to(&mut piece);
                    self.last = Some(id).filter(|_| !matches!(published.what, What::Gap { .. }));
                    if self.last.is_none() {
                        break;
                    }
                }
            }
            Err(Missed(missed)) => {
                let now = self.shared.clock.now();
                numbered(&self.shared, ring.newest(), now, Happening::Gap { missed }).write_to(&mut piece);
                self.last = None;
            }
        }
        piece
    }

    /// Writes the current state, one slice per turn. Events that occur in the meantime follow it, so a program that is
    /// written late may already have the state that such an event reports.
    fn poll_snapshot(&mut self, context: &mut Context<'_>) -> Poll<Vec<u8>> {
        loop {
            let turns = &self.shared.turns;
            let turn = self.turn.get_or_insert_with(|| turns.waiting());
            std::task::ready!(turn.as_mut().poll(context));
            self.turn = None;
            let (shared, moment, fields) = (&*self.shared, self.shared.clock.read(), ProgramFields::ALL);
            let supervisor = shared.supervisor.borrow();
            let writing = self.snapshot.get_or_insert_with(|| {
                let number = shared.event_ring.borrow().newest();
                let left = supervisor.snapshot().iter().rev().map(Instance::id).collect();
                Writing::begin(
                    &numbered(shared, number, moment.now, Happening::Snapshot { programs: Vec::new() }),
                    left,
                )
            });
            writing.slice(|id| Some(view::Listed { shared, instance: supervisor.get(id)?, moment, fields }));
            if writing.left.is_empty()
                && let Some(Writing { mut text, end, number, .. }) = self.snapshot.take()
            {
                text.extend_from_slice(&end);
                self.last = Some(number);
                return Poll::Ready(text);
            }
        }
    }
}

impl Writing {
    /// `empty` is a snapshot without programs.
    fn begin(empty: &api::Event, left: Vec<InstanceId>) -> Writing {
        let mut text = Vec::new();
        empty.write_to(&mut text);
        let list = text.iter().rposition(|&byte| byte == b']').unwrap_or(text.len());
        let end = text.split_off(list);
        Writing { text, end, left, number: empty.id }
    }

    /// Writes programs until the slice is used up. A program may have been removed.
    fn slice<'a>(&mut self, program: impl Fn(InstanceId) -> Option<view::Listed<'a>>) {
        let began = std::time::Instant::now();
        while began.elapsed() < SLICE
            && let Some(id) = self.left.pop()
        {
            let Some(program) = program(id) else { continue };
            if self.text.last() != Some(&b'[') {
                self.text.push(b',');
            }
            serde_json::to_writer(&mut self.text, &program)
                .expect("strings and numbers always make JSON, and memory takes it");
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.event_ring.borrow_mut().leave(self.id);
    }
}

fn numbered(shared: &Shared, id: u64, at: Time, what: Happening) -> api::Event {
    api::Event { id, at: view::date(shared, at), what }
}

/// An event in the API's words.
pub(crate) fn event(shared: &Shared, id: u64, published: &Published) -> api::Event {
    let what = match &published.what {
        What::Event(event) => happening(shared, published.who.as_deref(), event),
        What::Source(change) => {
            let SourceChange { name, state, revision, reason } = (**change).clone();
            Happening::Source { name, state, revision, reason }
        }
        What::Secrets(reason) => Happening::Listener { reason: reason.as_deref().map(str::to_owned) },
        What::Gap { missed } => Happening::Gap { missed: Some(*missed) },
    };
    numbered(shared, id, published.at, what)
}

/// Events that are missing, in the API's words.
pub(crate) fn gap(shared: &Shared, id: u64, missed: Option<u64>) -> api::Event {
    numbered(shared, id, shared.clock.now(), Happening::Gap { missed })
}

fn exit_of_hook(ended: &EndedHook) -> api::ExitInfo {
    let (end, success) = match &ended.end {
        Ok(exit) => (RunEnd::Exited(*exit), ended.failure.is_none()),
        Err(error) => (RunEnd::NotSpawned(error.clone()), false),
    };
    let info = view::exit_info(&end, success);
    match &ended.failure {
        Some(failure) => api::ExitInfo { reason: failure.to_string(), ..info },
        None => info,
    }
}

/// The core's event in the API's words. `who` is the instance it is about, as it was configured then.
fn happening(shared: &Shared, who: Option<&InstanceSpec>, event: &Event) -> Happening {
    let name = who.map_or_else(String::new, |spec| spec.name.clone());
    let pid = event.run().and_then(|run| shared.children.borrow().pid_of(run));
    match event {
        Event::State { from, to, run, .. } => {
            let (from, to) = (view::state(*from), view::state(*to));
            Happening::State { name, from, to, run: run.map(|run| run.0), pid }
        }
        Event::Ended(ended) => Happening::Ended {
            name,
            run: ended.run.0,
            pid,
            exit: view::exit_info(&ended.end, ended.expected),
            uptime: ended.uptime.as_secs_f64(),
            cause: ended.cause.as_ref().map(ToString::to_string),
        },
        Event::Retry { delay, attempt, limit, verdict, .. } => Happening::Retry {
            name,
            delay: delay.as_secs_f64(),
            attempt: *attempt,
            limit: *limit,
            why: verdict.to_string(),
        },
        Event::Final { run, verdict, .. } => Happening::Final { name, run: run.0, why: verdict.to_string() },
        Event::Ready { run, is_ready, .. } => Happening::Ready { name, run: run.0, ready: *is_ready },
        Event::Health { run, health, probe, detail, .. } => Happening::Health {
            name,
            run: run.0,
            health: view::health_word(*health).to_owned(),
            probe: who.and_then(|spec| spec.check(*probe)).map_or("", |check| check.name).to_owned(),
            detail: detail.clone(),
        },
        Event::Failing { run, cause, .. } => Happening::Failing { name, run: run.0, cause: cause.to_string() },
        Event::Hook(ended) => Happening::Hook {
            name,
            run: ended.run.0,
            hook: ended.hook.name().to_owned(),
            exit: exit_of_hook(ended),
            took: ended.took.as_secs_f64(),
        },
        Event::Rolling(step) => Happening::Rolling {
            name,
            step: step.step,
            of: step.of,
            outcome: step.outcome.word().to_owned(),
            error: match &step.outcome {
                StepOutcome::Failed(why) => Some(why.clone()),
                _ => None,
            },
        },
        Event::Waiting { on, .. } => Happening::Waiting { name, waiting_for: on.clone() },
        Event::Skipped { why, .. } => {
            Happening::Skipped { name, reason: why.word().to_owned(), times: u64::from(why.times()) }
        }
        Event::Configured { plan } => Happening::Configured {
            added: plan.added.clone(),
            removed: plan.removed.clone(),
            restarted: plan.restarted.clone(),
            changed: plan.changed.clone(),
            unchanged: plan.unchanged as u64,
        },
        Event::LeftBehind { run, left, .. } => {
            Happening::LeftBehind { name, run: run.0, left: view::left_behind(left, *run) }
        }
        Event::Killed { run, waited, cut_short, .. } => {
            Happening::Killed { name, run: run.0, waited: waited.as_secs_f64(), cut_short: *cut_short }
        }
        Event::Stuck { run, since, .. } => Happening::Stuck { name, run: run.0, stopping: since.as_secs_f64() },
        Event::ShutdownBegan { why, timeout, .. } => {
            Happening::Shutdown { reason: why.to_string(), timeout: timeout.limit().map(|span| span.as_secs_f64()) }
        }
        Event::ShutdownHurried => Happening::ShutdownHurried,
        Event::ShutdownEnded(account) => Happening::Exiting { reason: account.why.to_string(), code: account.code },
        // These are never published.
        Event::ProbeFailed { .. } | Event::ShutdownOverlaps { .. } => Happening::Unknown,
    }
}
