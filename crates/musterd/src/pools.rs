//! The state of event listeners: their pools, and events that wait for the output before them.
//!
//! Only state: [`crate::listeners`] fills it, and writes events to processes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use muster_logging::main_log;
use muster_logging::repeated::Allowance;
use muster_spec::{RunId, Signal, SignalScope};
use muster_supervisord::events::{Announcement, Exchange, Losses, ProcessStates, Ticks};
use tokio::task::AbortHandle;

/// The number of events that wait for the output before them.
const MOST_HELD: usize = 1024;

/// How long a listener may take for its last events before it is stopped with everything else.
const PARTING: Duration = Duration::from_millis(500);

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
    /// How much output the log repeats.
    pub(crate) repeated: Allowance,
    /// Events that are being written.
    pub(crate) writing: HashMap<RunId, AbortHandle>,
    /// The lines of supervisord's log about lost events.
    pub(crate) losses: Losses,
    /// Whether everything is being stopped to be started again.
    pub(crate) is_restarting: bool,
    /// Stop signals of listeners that have yet to get their last events.
    pub(crate) parting: Vec<(Instant, StopSignal)>,
}

/// A stop signal of a run.
pub(crate) type StopSignal = (RunId, Signal, SignalScope);

/// Something that comes after the output before it.
pub(crate) enum Held {
    Announced(Announcement),
    Ended(RunId),
    /// A line of the main log.
    Line(main_log::Line),
}

impl Listeners {
    /// Headers of events name the daemon by the identifier.
    pub(crate) fn new(identifier: String) -> Listeners {
        Listeners {
            exchange: Exchange::new(identifier, main_log::shows_debug() || tracing::enabled!(tracing::Level::DEBUG)),
            states: ProcessStates::default(),
            groups: HashSet::new(),
            ticks: None,
            held: VecDeque::new(),
            drained: 0,
            repeated: Allowance::new(Instant::now()),
            writing: HashMap::new(),
            losses: Losses::default(),
            is_restarting: false,
            parting: Vec::new(),
        }
    }

    /// When there is a tick, an event to be sent again, or a listener to be stopped.
    pub(crate) fn due(&self) -> Option<Instant> {
        let parting = self.parting.iter().map(|(until, _)| *until);
        self.ticks.iter().map(|(_, at)| *at).chain(self.exchange.due()).chain(parting).min()
    }

    /// Holds the stop signal of a listener back for a while, if there are events for it. Returns whether it does.
    pub(crate) fn postpone(&mut self, stop: StopSignal) -> bool {
        let postpones = self.is_owed(stop.0);
        if postpones {
            self.parting.push((Instant::now() + PARTING, stop));
        }
        postpones
    }

    fn is_owed(&self, run: RunId) -> bool {
        self.exchange.is_owed(run) || (!self.held.is_empty() && self.exchange.may_listen(run))
    }

    /// The stop signals that need not wait any longer.
    pub(crate) fn take_parting(&mut self) -> Vec<StopSignal> {
        let (now, mut parting) = (Instant::now(), std::mem::take(&mut self.parting));
        let ready = parting.extract_if(.., |(until, (run, ..))| *until <= now || !self.is_owed(*run));
        let ready = ready.map(|(_, stop)| stop).collect();
        self.parting = parting;
        ready
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

    /// Announces everything that waits for output, without waiting. Later announcements wait again.
    pub(crate) fn release_held(&mut self) {
        self.release_those_until(u64::MAX);
    }

    fn release_those_until(&mut self, drain: u64) {
        while let Some((_, first)) = self.held.pop_front_if(|(first, _)| *first <= drain) {
            self.release(first);
        }
    }

    fn release(&mut self, held: Held) {
        match held {
            Held::Announced(announcement) => self.exchange.announce(announcement),
            Held::Ended(run) => self.exchange.ended(run),
            Held::Line(line) => line.write(),
        }
    }

    /// Waits for no more output.
    pub(crate) fn release_all(&mut self) {
        self.release_until(u64::MAX);
    }

    /// All output of this drain has been taken.
    pub(crate) fn release_until(&mut self, drain: u64) {
        self.drained = self.drained.max(drain);
        self.release_those_until(self.drained);
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
