//! The sources of the event loop, and the wait for one of them.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use muster_logs::HeardWatch;
use muster_sys::async_fd::Watched;
use muster_sys::pollset::PollSet;
use muster_sys::signal::{Received, Signals};
use muster_sys::wall_timer::{Fired, WallTimer};
use tokio::sync::{Notify, mpsc};

use super::memory::Counted;
use super::reads::Read;
use super::replies::Replies;
use crate::probes::Finished;
use crate::shared::Order;
use muster_server::turn_clock::LoopTurns;

/// The sources of the loop besides deadlines, probe results and drains.
pub(crate) struct Sources {
    pub(crate) signals: Watched<Signals>,
    /// Outcomes of spawning.
    pub(crate) statuses: Rc<Watched<PollSet>>,
    /// Sockets whose clients start programs.
    pub(crate) contacts: Rc<Watched<PollSet>>,
    /// Notifications from programs.
    pub(crate) notifications: Rc<Watched<PollSet>>,
    pub(crate) orders: mpsc::Receiver<Order>,
    /// Output for event listeners, and their answers.
    pub(crate) heard: HeardWatch,
}

/// The source that woke the loop.
pub(super) enum Happened {
    Deadline,
    Signal(io::Result<Received>),
    Statuses(io::Result<Vec<u64>>),
    Contacts(io::Result<Vec<u64>>),
    Notifications(io::Result<Vec<u64>>),
    Probe(Finished),
    Read(Read),
    Counted(Vec<Counted>),
    /// A scheduled time has come, or the clock was set.
    WallClock(io::Result<Fired>),
    Order(Order),
    Drained,
    Heard,
    Nothing,
}

/// Other conditions that end a wait.
pub(super) struct Until<'a> {
    pub(super) deadline: Option<Instant>,
    pub(super) results: &'a mut mpsc::Receiver<Finished>,
    pub(super) was_read: &'a mut mpsc::Receiver<Read>,
    pub(super) was_counted: &'a mut mpsc::Receiver<Vec<Counted>>,
    pub(super) wall_timer: Option<&'a Watched<WallTimer>>,
    pub(super) replies: &'a mut Replies,
    /// While the exit waits for the last notifications: notified after each.
    pub(super) settled: Option<&'a Notify>,
    /// Whether to wait for the end of a drain, too.
    pub(super) awaits_drain: bool,
    pub(super) loop_turns: &'a LoopTurns,
    /// Leaves signals out once, so that the other sources come first.
    pub(super) skips_signals: bool,
    /// Whether there is work to do if nothing happens.
    pub(super) is_busy: bool,
}

impl Sources {
    /// Waits for one thing.
    pub(super) async fn wait(&mut self, until: Until<'_>) -> Happened {
        let Until {
            deadline,
            results,
            was_read,
            was_counted,
            wall_timer,
            replies,
            settled,
            awaits_drain,
            loop_turns,
            skips_signals,
            is_busy,
        } = until;
        let at = tokio::time::Instant::from_std(deadline.unwrap_or_else(Instant::now));
        tokio::select! {
            biased;
            never = loop_turns.looking() => match never {},
            received = self.signals.read_with(next), if !skips_signals => Happened::Signal(received),
            Some(order) = self.orders.recv() => Happened::Order(order),
            tokens = self.statuses.read_with(ready) => Happened::Statuses(tokens),
            () = tokio::time::sleep_until(at), if deadline.is_some() => Happened::Deadline,
            fired = fired(wall_timer), if wall_timer.is_some() => Happened::WallClock(fired),
            Some(finished) = results.recv() => Happened::Probe(finished),
            Some(read) = was_read.recv() => Happened::Read(read),
            Some(counted) = was_counted.recv() => Happened::Counted(counted),
            () = replies.drain_completed(), if awaits_drain => Happened::Drained,
            () = self.heard.arrived() => Happened::Heard,
            tokens = self.contacts.read_with(ready) => Happened::Contacts(tokens),
            // The last: a program that talks without end keeps nothing waiting.
            tokens = self.notifications.read_with(ready) => Happened::Notifications(tokens),
            () = notified(settled), if settled.is_some() => Happened::Nothing,
            () = tokio::task::yield_now(), if skips_signals || is_busy => Happened::Nothing,
        }
    }

    /// Waits until a new process has executed its program, a signal arrives, or the time is over.
    pub(super) async fn wait_for_starts(&self, until: Instant) -> Happened {
        tokio::select! {
            biased;
            received = self.signals.read_with(next) => Happened::Signal(received),
            tokens = self.statuses.read_with(ready) => Happened::Statuses(tokens),
            () = tokio::time::sleep_until(until.into()) => Happened::Nothing,
        }
    }
}

async fn notified(settled: Option<&Notify>) {
    match settled {
        Some(settled) => settled.notified().await,
        None => std::future::pending().await,
    }
}

async fn fired(timer: Option<&Watched<WallTimer>>) -> io::Result<Fired> {
    match timer {
        Some(timer) => timer.read_with(WallTimer::take).await,
        None => std::future::pending().await,
    }
}

/// The tokens of members that are ready, at least one.
fn ready(set: &PollSet) -> io::Result<Vec<u64>> {
    let mut tokens = Vec::new();
    set.ready(&mut tokens)?;
    if tokens.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(tokens) }
}

fn next(signals: &Signals) -> io::Result<Received> {
    signals.next()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
}
