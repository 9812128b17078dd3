//! `GET /v1/events`: a snapshot, then what happens, for as long as the client stays.
//!
//! Each listener is no more than the number of its last event. It takes a piece from the feed whenever its connection has
//! room; one that takes too slowly finds that the feed has gone on without it, is told how much it missed, and gets
//! another snapshot.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use muster_api as api;
use muster_api::{EVENT_STREAM, Happening};
use muster_core::Time;
use tokio::time::{Instant, Sleep};

use super::response::{self, Answer};
use super::stream::{Body, Pieces};
use crate::feed::{Missed, Told, What};
use crate::shared::Shared;
use crate::view;

/// How many events go into one piece.
const MOST_IN_PIECE: usize = 128;

/// How long nothing may be sent: proxies take a connection that is silent for longer as dead, and a client that has gone
/// away is found when something is sent to it.
const SILENCE: Duration = Duration::from_secs(30);

/// A comment, which every client passes over.
const KEEP_ALIVE: &[u8] = b":\n\n";

pub(super) fn follow(shared: &Rc<Shared>, headers: &HeaderMap) -> Answer {
    let id = shared.feed.borrow_mut().listen();
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let listener = Listener { shared: Rc::clone(shared), id, last, silence: Box::pin(tokio::time::sleep(SILENCE)) };
    response::streaming(EVENT_STREAM, Body::streaming(listener))
}

struct Listener {
    shared: Rc<Shared>,
    /// Under which it is known to the feed.
    id: u64,
    /// The number of its last event; `None` before the first snapshot.
    last: Option<u64>,
    silence: Pin<Box<Sleep>>,
}

impl Pieces for Listener {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let piece = self.next_piece();
        if !piece.is_empty() {
            self.silence.as_mut().reset(Instant::now() + SILENCE);
            return Poll::Ready(Some(Bytes::from(piece)));
        }
        let mut feed = self.shared.feed.borrow_mut();
        if feed.is_over() {
            return Poll::Ready(None);
        }
        feed.wait(self.id, context.waker());
        if self.silence.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.silence.as_mut().reset(Instant::now() + SILENCE);
        Poll::Ready(Some(Bytes::from_static(KEEP_ALIVE)))
    }
}

impl Listener {
    /// What it has not had yet; nothing if there is nothing.
    fn next_piece(&mut self) -> Vec<u8> {
        let feed = self.shared.feed.borrow();
        let mut piece = Vec::new();
        let now = self.shared.clock.now();
        let newest = feed.newest();
        let Some(last) = self.last else {
            self.last = Some(newest);
            snapshot(&self.shared, newest, now).write_to(&mut piece);
            return piece;
        };
        match feed.after(last) {
            Ok(told) => {
                for (id, told) in told.take(MOST_IN_PIECE) {
                    event(&self.shared, id, told).write_to(&mut piece);
                    self.last = Some(id);
                }
            }
            Err(Missed(missed)) => {
                numbered(&self.shared, newest, now, Happening::Gap { missed }).write_to(&mut piece);
                snapshot(&self.shared, newest, now).write_to(&mut piece);
                self.last = Some(newest);
            }
        }
        piece
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.feed.borrow_mut().leave(self.id);
    }
}

fn numbered(shared: &Shared, id: u64, at: Time, what: Happening) -> api::Event {
    api::Event { id, at: view::date(shared, at), what }
}

fn snapshot(shared: &Shared, id: u64, now: Time) -> api::Event {
    let supervisor = shared.supervisor.borrow();
    let programs = supervisor.snapshot().iter().map(|instance| view::program(shared, instance, now)).collect();
    numbered(shared, id, now, Happening::Snapshot { programs })
}

fn event(shared: &Shared, id: u64, told: &Told) -> api::Event {
    let name = told.who.as_ref().map_or_else(String::new, |spec| spec.name.clone());
    let (run, pid) = (told.run.map(|run| run.0), told.run.and_then(|run| shared.children.borrow().pid_of(run)));
    // What happens to a run has one.
    let of_run = run.unwrap_or_default();
    let what = match &told.what {
        What::State { from, to } => Happening::State { name, from: view::state(*from), to: view::state(*to), run, pid },
        What::Ended(ended) => Happening::Ended {
            name,
            run: of_run,
            pid,
            exit: view::exit_info(&ended.end, ended.success),
            uptime: ended.uptime.as_secs_f64(),
            cause: ended.cause.as_ref().map(ToString::to_string),
        },
        What::Retry { delay, attempt, limit, verdict } => Happening::Retry {
            name,
            delay: delay.as_secs_f64(),
            attempt: *attempt,
            limit: *limit,
            why: verdict.to_string(),
        },
        What::Final(verdict) => Happening::Final { name, run: of_run, why: verdict.to_string() },
        What::Ready(ready) => Happening::Ready { name, run: of_run, ready: *ready },
        What::Health(found) => Happening::Health {
            name,
            run: of_run,
            health: view::health_word(found.health).to_owned(),
            probe: found.probe.to_string(),
            detail: found.detail.clone(),
        },
        What::Failing(cause) => Happening::Failing { name, run: of_run, cause: cause.to_string() },
        What::Waiting(on) => Happening::Waiting { name, waiting_for: on.clone() },
        What::Configured(plan) => Happening::Configured {
            added: plan.added.clone(),
            removed: plan.removed.clone(),
            restarted: plan.restarted.clone(),
            changed: plan.changed.clone(),
            unchanged: plan.unchanged as u64,
        },
        What::Killed { waited, cut_short } => {
            Happening::Killed { name, run: of_run, waited: waited.as_secs_f64(), cut_short: *cut_short }
        }
        What::Stuck { since } => Happening::Stuck { name, run: of_run, stopping: since.as_secs_f64() },
        What::Shutdown { reason, timeout } => {
            Happening::Shutdown { reason: reason.to_string(), timeout: timeout.as_secs_f64() }
        }
        What::ShutdownHurried => Happening::ShutdownHurried,
        What::Exiting { reason, code } => Happening::Exiting { reason: reason.to_string(), code: *code },
    };
    numbered(shared, id, told.at, what)
}
