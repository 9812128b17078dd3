//! The state of event listeners: their pools, and events that wait for the output before them.
//!
//! Only state: [`crate::listeners`] fills it, and writes events to processes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use muster_spec::RunId;
use muster_supervisord::events::{Announcement, Exchange, ProcessStates, Ticks};
use tokio::task::AbortHandle;

/// The number of events that wait for the output before them.
const MOST_HELD: usize = 1024;

/// All listeners.
pub(crate) struct Listeners {
    pub(crate) exchange: Exchange,
    pub(crate) states: ProcessStates,
    /// The groups that listeners know.
    pub(crate) groups: HashSet<String>,
    /// While a pool wants ticks: when the next one is due.
    ticks: Option<(Ticks, Instant)>,
    /// Later than output that has not come yet, with the drain that reports that it has.
    held: VecDeque<(u64, Held)>,
    /// The last drain that was reported.
    drained: u64,
    /// Events that are being written.
    pub(crate) writing: HashMap<RunId, AbortHandle>,
}

/// Something that comes after the output before it.
pub(crate) enum Held {
    Announced(Announcement),
    Ended(RunId),
}

impl Listeners {
    /// Headers of events name the daemon by the identifier.
    pub(crate) fn new(identifier: String) -> Listeners {
        Listeners {
            exchange: Exchange::new(identifier, tracing::enabled!(tracing::Level::DEBUG)),
            states: ProcessStates::default(),
            groups: HashSet::new(),
            ticks: None,
            held: VecDeque::new(),
            drained: 0,
            writing: HashMap::new(),
        }
    }

    /// When there is a tick, or an event to be sent again.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.ticks.iter().map(|(_, at)| *at).chain(self.exchange.due()).min()
    }

    /// Adds this after everything that waits for a drain, and after the last drain if that is pending.
    pub(crate) fn hold(&mut self, held: Held, last_drain: Option<u64>) {
        let drain = last_drain.unwrap_or(0);
        if self.held.is_empty() && drain <= self.drained {
            return self.release(held);
        }
        self.held.push_back((drain, held));
        if self.held.len() > MOST_HELD
            && let Some((_, first)) = self.held.pop_front()
        {
            self.release(first);
        }
    }

    fn release(&mut self, held: Held) {
        match held {
            Held::Announced(announcement) => self.exchange.announce(announcement),
            Held::Ended(run) => self.exchange.ended(run),
        }
    }

    /// All output of this drain has been taken.
    pub(crate) fn release_until(&mut self, drain: u64) {
        self.drained = self.drained.max(drain);
        while let Some((_, first)) = self.held.pop_front_if(|(drain, _)| *drain <= self.drained) {
            self.release(first);
        }
    }

    /// Sets the time of the next tick that a pool wants, if any.
    pub(crate) fn arm_ticks(&mut self, wall: SystemTime) {
        let now = since_1970(wall);
        let wait = Ticks::wait(now, |kind| self.exchange.is_wanted(kind));
        let Some(wait) = wait else { return self.ticks = None };
        let ticks = self.ticks.take().map_or_else(|| Ticks::beginning_at(now), |(ticks, _)| ticks);
        self.ticks = Some((ticks, Instant::now() + wait));
    }

    /// Announces ticks whose time has come.
    pub(crate) fn pass_ticks(&mut self, wall: SystemTime) {
        if let Some((ticks, at)) = &mut self.ticks
            && *at <= Instant::now()
        {
            ticks.pass(since_1970(wall)).into_iter().for_each(|tick| self.exchange.announce(tick));
            self.arm_ticks(wall);
        }
    }
}

fn since_1970(wall: SystemTime) -> Duration {
    wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
