//! What happened, moment by moment: one row for each state change, with its cause and the decision.
//!
//! The core reports an end, the new state and the decision as three events; here they are one [`Moment`]. An event that
//! is complete by itself is kept as it is. Holds only data; [`super::story`] formats it.

use std::time::Duration;

use muster_core::{Account, Event, Instance, ShutdownReason, StopCause, Supervisor, Time, Verdict};
use muster_spec::{Essential, InstanceId, RunEnd, ShutdownBudget, Signal, Span, State};

use crate::scenario::Ties;

/// An event of the timeline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moment {
    /// The time.
    pub(crate) at: Time,
    /// The event.
    pub(crate) what: What,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// An instance changed its state.
    Changed(Box<Change>),
    /// A run did not stop in time and gets SIGKILL.
    Killed { instance: InstanceId, waited: Duration, cut_short: bool, asked: Vec<Signal>, leftovers: Option<Leftovers> },
    /// Processes left behind by a run get the stop signal, with their time limit.
    LeftBehind { instance: InstanceId, leftovers: Leftovers, signal: Signal },
    /// A run that is being stopped gets another of its stop signals.
    Asked { instance: InstanceId, signal: Signal, nth: usize, of: usize, patience: Option<Duration> },
    /// An event of the core that is complete by itself.
    Event(Event),
    /// A run is stopped because the daemon declared it failed.
    Failing { instance: InstanceId, cause: StopCause, signal: Option<Signal> },
    /// The daemon itself did not run for this long; every deadline moves by that, if any was missed.
    Paused { span: Duration, lost: Option<Duration> },
    /// Everything is being stopped.
    ShutdownBegan { reason: ShutdownReason, timeout: ShutdownBudget, waits_in_vain: bool },
    /// The container exits.
    Exited(Ending),
}

/// Processes left behind by a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Leftovers {
    /// The number of the run, from 1.
    pub(crate) run: usize,
    /// The state of the instance meanwhile.
    pub(crate) state: State,
    /// Their time limit, if the run ended on its own, and whether that is `leftover_wait`.
    pub(crate) wait: Option<(Duration, bool)>,
}

/// A change of a state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) instance: InstanceId,
    pub(crate) from: State,
    pub(crate) to: State,
    /// The number of the instance's latest run, from 1; 0 before the first.
    pub(crate) run: usize,
    /// How the run ended, if it did with or before this change.
    pub(crate) ended: Option<(RunEnd, Duration)>,
    /// The stop signal sent with this change.
    pub(crate) signal: Option<Signal>,
    /// The number of stop signals that the program has.
    pub(crate) signals: usize,
    /// The timeout for it.
    pub(crate) patience: Option<Duration>,
    /// The decision.
    pub(crate) verdict: Option<Verdict>,
    /// The dependencies it waits for.
    pub(crate) waits_for: Vec<String>,
    /// Which came first, if a deadline and the end of the run coincided.
    pub(crate) tie: Option<Ties>,
}

/// The container's exit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ending {
    pub(crate) code: u8,
    pub(crate) reason: ShutdownReason,
    /// The reason as text: the daemon's last line.
    pub(crate) words: String,
    /// The instance that caused it.
    pub(crate) cause: Option<InstanceId>,
}

/// The complete result of a simulation.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    /// In chronological order.
    pub(crate) moments: Vec<Moment>,
    /// When it was over: the container's exit, the time limit, or when nothing was left to happen.
    pub(crate) ended: Time,
    /// The container's exit, if it exited.
    pub(crate) exit: Option<Ending>,
    /// Each instance at the end, by its number.
    pub(crate) instances: Vec<Lane>,
    /// Why the simulation ended.
    pub(crate) over: Over,
    /// The random seed, if it is known.
    pub(crate) seed: Option<u64>,
}

/// Why a simulation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The container exited.
    Exited,
    /// Nothing more will happen.
    AtRest,
    /// The time limit was reached.
    TimeUp,
    /// Its result is no longer wanted.
    Unwanted,
    /// More than this many events happened.
    Cut(usize),
    /// More than this many events happened at one moment.
    CutAtOnce(usize),
}

/// The whole history of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) name: String,
    /// The name of its program.
    pub(crate) program: String,
    /// Its final state, or its last one before it was removed.
    pub(crate) state: State,
    pub(crate) runs: usize,
    pub(crate) exit_codes: Vec<u8>,
    pub(crate) is_essential: bool,
    /// How its last run ended, and the decision about it.
    pub(crate) last: Option<(RunEnd, String)>,
}

/// Converts events into moments.
pub(super) struct Recorder {
    /// The instances at the beginning.
    lanes: Vec<Lane>,
    moments: Vec<Moment>,
    /// How many were passed on and dropped.
    handed_on: usize,
    runs: Vec<usize>,
    ended: Vec<Option<(RunEnd, Duration)>>,
    /// The latest change of each instance.
    latest: Vec<Option<usize>>,
    exit: Option<Ending>,
    /// The stop signals sent to each instance's run.
    asked: Vec<Vec<Signal>>,
    /// The instances with a tie at this moment.
    tied: Vec<InstanceId>,
    ties: Ties,
}

impl Recorder {
    pub(super) fn of(supervisor: &Supervisor) -> Recorder {
        let count = supervisor.snapshot().iter().map(|instance| instance.id().0 as usize + 1).max().unwrap_or(0);
        let mut lanes = vec![Lane::default(); count];
        for instance in supervisor.snapshot() {
            lanes[instance.id().0 as usize] = Lane::of(instance);
        }
        Recorder {
            runs: lanes.iter().map(|lane| lane.runs).collect(),
            lanes,
            moments: Vec::new(),
            handed_on: 0,
            ended: vec![None; count],
            latest: vec![None; count],
            exit: None,
            asked: vec![Vec::new(); count],
            tied: Vec::new(),
            ties: Ties::Deadline,
        }
    }

    /// The number of events.
    pub(super) fn count(&self) -> usize {
        self.handed_on + self.moments.len()
    }

    /// Passes on and drops the moments that are complete.
    pub(super) fn hand_on(&mut self, listener: &mut dyn FnMut(&Moment)) {
        self.handed_on += self.moments.len();
        for moment in self.moments.drain(..) {
            if let What::Changed(change) = &moment.what {
                self.latest[change.instance.0 as usize] = None;
            }
            listener(&moment);
        }
    }

    /// Records the instances with a run that ends at the same moment as one of its deadlines.
    pub(super) fn note_ties(&mut self, tied: &[InstanceId], ties: Ties) {
        (self.tied, self.ties) = (tied.to_vec(), ties);
    }

    pub(super) fn record(&mut self, at: Time, event: &Event, supervisor: &Supervisor) {
        let what = match event {
            Event::State { instance, from, to, .. } => {
                self.record_change(at, *instance, *from, *to);
                let waits_for = if *to == State::Waiting { supervisor.waiting_for(*instance, at) } else { Vec::new() };
                return self.with_latest(*instance, |change| change.waits_for = waits_for);
            }
            Event::Ended(ended) => {
                return self.ended[ended.instance.0 as usize] = Some((ended.end.clone(), ended.uptime));
            }
            Event::Retry { instance, verdict, .. } | Event::Final { instance, verdict, .. } => {
                return self.with_latest(*instance, |change| change.verdict = Some(**verdict));
            }
            Event::Killed { instance, waited, cut_short, left_behind, .. } => {
                let asked = self.asked[instance.0 as usize].clone();
                let leftovers = left_behind.then(|| self.leftovers(supervisor.instance(*instance)));
                What::Killed { instance: *instance, waited: *waited, cut_short: *cut_short, asked, leftovers }
            }
            // That they are killed is reported at the end of their time limit.
            Event::LeftBehind { instance, left, .. } if !left.killed => {
                let of = supervisor.instance(*instance);
                What::LeftBehind {
                    instance: *instance,
                    leftovers: self.leftovers(of),
                    signal: of.program().stop.steps[0].signal,
                }
            }
            Event::Waiting { .. }
            | Event::Skipped { .. }
            | Event::Hook(_)
            | Event::Rolling(_)
            | Event::Ready { .. }
            | Event::Health { .. }
            | Event::ProbeFailed { .. } => What::Event(event.clone()),
            Event::Failing { instance, cause, .. } => {
                What::Failing { instance: *instance, cause: cause.clone(), signal: None }
            }
            Event::ShutdownBegan { reason, timeout, .. } => {
                let mut instances = supervisor.snapshot().iter();
                let waits_in_vain = instances.any(|instance| instance.state() == State::Waiting);
                What::ShutdownBegan { reason: reason.clone(), timeout: *timeout, waits_in_vain }
            }
            Event::ShutdownEnded(account) => {
                let Account { code, reason, why, .. } = &**account;
                let (words, cause) = (why.to_string(), supervisor.exit_cause(reason));
                let ending = Ending { code: *code, reason: reason.clone(), words, cause };
                self.exit = Some(ending.clone());
                What::Exited(ending)
            }
            // There are no repeated requests here, and no process survives SIGKILL.
            _ => return,
        };
        self.moments.push(Moment { at, what });
    }

    pub(super) fn note_pause(&mut self, end: Time, span: Duration, lost: Option<Duration>) {
        self.moments.push(Moment { at: end, what: What::Paused { span, lost } });
    }

    fn leftovers(&self, of: &Instance) -> Leftovers {
        let (program, past) = (of.program(), of.past().next_back());
        let is_by_itself = past.is_some_and(|past| !past.was_stopping && past.cause.is_none());
        let wait = program.leftover_wait();
        let is_shorter = wait < program.patience();
        Leftovers {
            run: self.runs[of.id().0 as usize],
            state: of.state(),
            wait: is_by_itself.then_some((wait, is_shorter)),
        }
    }

    fn record_change(&mut self, at: Time, instance: InstanceId, from: State, to: State) {
        let index = instance.0 as usize;
        if to == State::Starting {
            self.runs[index] += 1;
            self.asked[index].clear();
        }
        let tied = self.tied.iter().position(|tied| *tied == instance);
        let tie = tied.map(|position| self.tied.remove(position)).map(|_| self.ties);
        self.latest[index] = Some(self.moments.len());
        self.lanes[index].state = to;
        let (run, ended) = (self.runs[index], self.ended[index].take());
        let change = Change {
            instance,
            from,
            to,
            run,
            ended,
            signal: None,
            signals: 1,
            patience: None,
            verdict: None,
            waits_for: Vec::new(),
            tie,
        };
        self.moments.push(Moment { at, what: What::Changed(Box::new(change)) });
    }

    fn with_latest(&mut self, instance: InstanceId, act: impl FnOnce(&mut Change)) {
        let latest = self.latest[instance.0 as usize];
        if let Some(What::Changed(change)) = latest.map(|index| &mut self.moments[index].what) {
            act(change);
        }
    }

    /// A stop signal is shown with the change to STOPPING that it belongs to, later ones separately.
    pub(super) fn note_signal(&mut self, at: Time, instance: &muster_core::Instance, signal: Signal) {
        let asked = &mut self.asked[instance.id().0 as usize];
        asked.push(signal);
        let (nth, of) = (asked.len(), instance.program().stop.steps.len());
        let patience = instance.earliest_deadline().map(|deadline| deadline.since(at));
        if nth > 1 {
            let what = What::Asked { instance: instance.id(), signal, nth, of, patience };
            return self.moments.push(Moment { at, what });
        }
        // The signal for a failed run comes right after the failure was recorded.
        if let Some(Moment { what: What::Failing { instance: failing, signal: sent, .. }, .. }) =
            self.moments.last_mut()
            && *failing == instance.id()
        {
            *sent = Some(signal);
            return;
        }
        self.with_latest(instance.id(), |change| {
            if change.to == State::Stopping && change.signal.is_none() {
                (change.signal, change.signals, change.patience) = (Some(signal), of, patience);
            }
        });
    }

    pub(super) fn finish(mut self, supervisor: &Supervisor, seed: Option<u64>, ended: Time, over: Over) -> Timeline {
        for instance in supervisor.snapshot() {
            self.lanes[instance.id().0 as usize] = Lane::of(instance);
        }
        for (lane, runs) in self.lanes.iter_mut().zip(self.runs) {
            lane.runs = runs;
        }
        Timeline { moments: self.moments, ended, exit: self.exit, instances: self.lanes, over, seed }
    }
}

impl Lane {
    /// An instance as it is now. A run that it has, or had last, is its first.
    fn of(instance: &Instance) -> Lane {
        let codes = &instance.program().exit_codes;
        Lane {
            name: instance.name().to_owned(),
            program: instance.program().name.clone(),
            state: instance.state(),
            runs: usize::from(instance.last_run().is_some()),
            exit_codes: codes.clone(),
            is_essential: instance.program().essential != Essential::No,
            last: instance.past().next_back().map(|past| (past.end.clone(), past.explain(codes))),
        }
    }
}

impl Default for Lane {
    /// Stands for a number that no instance has.
    fn default() -> Lane {
        Lane {
            name: String::new(),
            program: String::new(),
            state: State::Stopped,
            runs: 0,
            exit_codes: Vec::new(),
            is_essential: false,
            last: None,
        }
    }
}

impl Timeline {
    /// Why nothing is known about later events, if the simulation was cut short.
    pub(crate) fn cut_short(&self) -> Option<String> {
        let (count, words) = match self.over {
            Over::Exited | Over::AtRest | Over::TimeUp | Over::Unwanted => return None,
            Over::CutAtOnce(count) => (count, "at one moment: restarts without delay"),
            Over::Cut(count) => (count, "in all: look at less time (--until)"),
        };
        Some(format!("cut short at {} after {count} changes {words}", Span(self.ended.since_origin())))
    }

    /// The lanes of all instances. A recording may begin after some were removed, whose numbers are not used again.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.instances.iter().filter(|lane| !lane.program.is_empty())
    }

    /// The lane of an instance.
    pub(crate) fn lane(&self, instance: InstanceId) -> &Lane {
        &self.instances[instance.0 as usize]
    }

    /// All state changes, with their times.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (Time, &Change)> {
        self.moments.iter().filter_map(|moment| match &moment.what {
            What::Changed(change) => Some((moment.at, change.as_ref())),
            _ => None,
        })
    }
}
