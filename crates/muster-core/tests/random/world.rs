//! A world of processes with random behaviour: the shell's part of the contract, with every decision that is not the
//! shell's made at random.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use muster_core::{Effect, Input, ProbeOutcome, RequestId, Settings, ShutdownReason, Supervisor, Time, Verb};
use muster_spec::{Exit, InstanceId, ProgramSpec, RunId, Signal, State};

use crate::common::programs::{ROOT, killed_by, missing, ms, s};
use crate::common::witness::Witness;
use crate::operator::{self, Dice};
use crate::pair::Pair;

/// The processes and the behaviour of one run.
struct Being {
    has_main: bool,
    is_executed: bool,
    /// How long it takes to obey a stop signal; `None` ignores it.
    obeys: Option<Duration>,
    /// The same for the processes beside the main one, if there are any.
    others: Option<Option<Duration>>,
    others_are_dying: bool,
    /// Its watchdog interval, and its probes' success: one in this many fails.
    pings: Option<Duration>,
    wellness: u64,
}

/// Future events that no input causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Executed,
    NotSpawned,
    Ends(u8),
    DiesBy(u8),
    OthersEnd,
    Expires,
    SaysReady,
    AsksForTime,
    Pings,
    TripsWatchdog,
    Answers(u8, bool),
    /// A client comes to an instance.
    Contacts,
}

pub struct World {
    both: Pair,
    witness: Witness,
    settings: Settings,
    programs: Vec<Arc<ProgramSpec>>,
    dice: Dice,
    now: Time,
    /// The time, sequence number, event, and run or request.
    fates: BinaryHeap<Reverse<(Time, u64, Fate, u64)>>,
    beings: BTreeMap<RunId, Being>,
    counter: u64,
    pub log: Vec<String>,
    is_logging: bool,
}

impl World {
    pub fn new(seed: u64, is_logging: bool) -> World {
        let mut dice = Dice::new(seed);
        let settings = operator::settings(&mut dice);
        let programs = operator::programs(&mut dice);
        World {
            both: Pair::new(Supervisor::new(settings, &programs, seed), seed),
            witness: Witness::new(settings, &programs),
            settings,
            programs,
            dice,
            now: Time::ZERO,
            fates: BinaryHeap::new(),
            beings: BTreeMap::new(),
            counter: 0,
            log: Vec::new(),
            is_logging,
        }
    }

    /// A whole story: random commands, then everything ends in one of two ways.
    pub fn tell(&mut self) -> Result<(), String> {
        self.hand(Input::Booted)?;
        for _ in 0..self.dice.below(60) {
            let until = self.now + self.dice.one_of(&[ms(0), ms(30), s(1), s(5), s(20)]);
            self.live_until(until)?;
            self.operate()?;
        }
        match self.dice.below(3) {
            0 => self.end_by_stopping(),
            1 => self.end_by_shutdown(false),
            _ => self.end_by_shutdown(true),
        }
    }

    fn operate(&mut self) -> Result<(), String> {
        if self.dice.one_in(8) {
            return self.reload();
        }
        if self.dice.one_in(8) {
            let program = format!("p{}", self.dice.below(20));
            return self.hand(Input::FilesChanged { program, file: "api.py".to_owned(), at: self.now });
        }
        let (verb, select) = operator::command(&mut self.dice);
        self.command(verb, &select)
    }

    fn reload(&mut self) -> Result<(), String> {
        let programs = operator::edited(&mut self.dice, &self.programs);
        self.counter += 1;
        let request = Some(RequestId(self.counter)).filter(|_| self.dice.one_in(2));
        let (settings, restarts_all) = (self.settings, self.dice.one_in(4));
        let input = Input::Reloaded { request, by: None, programs: programs.clone(), settings, restarts_all };
        if !self.both.one.is_shutting_down() {
            self.programs = programs;
        }
        self.hand(input)
    }

    fn command(&mut self, verb: Verb, select: &str) -> Result<(), String> {
        self.counter += 1;
        let request = RequestId(self.counter);
        let wait = self.dice.one_in(2);
        if wait && self.dice.one_in(2) {
            let patience = self.dice.up_to(s(30));
            self.fate(patience, Fate::Expires, request.0);
        }
        let select = select.parse().map_err(|error| format!("{error}"))?;
        self.hand(Input::Commanded { request, select, verb, wait, by: ROOT })
    }

    /// Stops all programs. All must come to rest, and every request must get its reply.
    fn end_by_stopping(&mut self) -> Result<(), String> {
        self.command(Verb::Stop, "all")?;
        // The longest timeout for each of a long chain of dependencies, SIGKILL, and the kernel's delays.
        self.live_until(self.now + s(4000))?;
        if self.witness.has_exited.is_some() {
            return self.is_over();
        }
        let restless = self.both.one.snapshot().iter().find(|one| !one.state().is_final() || one.is_live());
        if let Some(one) = restless {
            return Err(format!("{} is still {} long after the last stop", one.name(), one.state()));
        }
        let open: Vec<RequestId> = self.witness.open().collect();
        open.into_iter().try_for_each(|request| self.hand(Input::RequestExpired { request }))?;
        if let Some(request) = self.witness.open().next() {
            return Err(format!("{request:?} has been forgotten"));
        }
        self.end_by_shutdown(false)
    }

    fn end_by_shutdown(&mut self, is_hurried: bool) -> Result<(), String> {
        let reason = |signal| Input::ShutdownAsked { reason: ShutdownReason::Signal(signal), timeout: None };
        self.hand(reason(Signal::TERM))?;
        for _ in 0..self.dice.below(4) {
            let until = self.now + self.dice.up_to(ms(300));
            self.live_until(until)?;
            self.operate()?;
        }
        if is_hurried {
            self.hand(reason(Signal::INT))?;
        }
        self.live_until(self.now + s(1000))?;
        self.is_over()
    }

    fn is_over(&mut self) -> Result<(), String> {
        if self.witness.has_exited.is_none() {
            return Err("the shutdown never ends".to_owned());
        }
        // A few inputs may still arrive before the daemon is gone.
        let runs: Vec<RunId> = self.beings.keys().copied().collect();
        for run in runs {
            self.hand(Input::Exited { run, exit: Exit::Code(0) })?;
            self.hand(Input::TreeGone { run })?;
        }
        self.both.handle_timeout(self.now + s(1000));
        self.drain()
    }
}

/// Time and random events.
impl World {
    fn fate(&mut self, after: Duration, fate: Fate, whose: u64) {
        self.counter += 1;
        self.fates.push(Reverse((self.now + after, self.counter, fate, whose)));
    }

    fn live_until(&mut self, mut until: Time) -> Result<(), String> {
        while self.witness.has_exited.is_none() {
            let fate = self.fates.peek().map(|Reverse((at, ..))| *at);
            let due = self.both.one.poll_timeout();
            let Some(next) = fate.into_iter().chain(due).min().filter(|&at| at <= until) else { break };
            self.now = self.now.max(next);
            until = until + self.oversleep();
            let fate_first = fate.is_some_and(|at| at <= self.now) && (due > Some(self.now) || self.dice.one_in(2));
            if fate_first || due.is_none() {
                self.fulfil()?;
            } else {
                self.say(|| "time passes".to_owned());
                self.both.handle_timeout(self.now);
                self.drain()?;
                self.looks_at_budget()?;
            }
        }
        self.now = self.now.max(until);
        Ok(())
    }

    /// Occasionally the daemon is not scheduled for a while.
    fn oversleep(&mut self) -> Duration {
        if !self.dice.one_in(400) {
            return Duration::ZERO;
        }
        let delay = self.dice.one_of(&[ms(20), ms(700), s(8), s(3600)]);
        self.now = self.now + delay;
        self.witness.is_late = true;
        delay
    }

    fn fulfil(&mut self) -> Result<(), String> {
        let Some(Reverse((_, _, fate, whose))) = self.fates.pop() else { return Ok(()) };
        if fate == Fate::Expires {
            return self.hand(Input::RequestExpired { request: RequestId(whose) });
        }
        if fate == Fate::Contacts {
            return self.hand(Input::Contacted { instance: InstanceId(whose as u32) });
        }
        let run = RunId(whose);
        let Some(being) = self.beings.get_mut(&run) else { return Ok(()) };
        match fate {
            Fate::Executed if being.has_main => {
                being.is_executed = true;
                self.hand(Input::Spawned { run })
            }
            Fate::NotSpawned if being.has_main => {
                self.beings.remove(&run);
                self.hand(Input::SpawnFailed { run, error: missing() })
            }
            Fate::Ends(code) if being.has_main => self.main_ends(run, Exit::Code(code)),
            // The daemon may lose track of it before.
            Fate::DiesBy(11) if being.has_main && run.0.is_multiple_of(4) => {
                being.has_main = false;
                self.hand(Input::MainLost { run })
            }
            Fate::DiesBy(number) if being.has_main => {
                self.main_ends(run, killed_by(Signal::from_number(i32::from(number)).unwrap_or(Signal::KILL)))
            }
            Fate::OthersEnd if !being.has_main => {
                self.beings.remove(&run);
                self.hand(Input::TreeGone { run })
            }
            Fate::OthersEnd => {
                being.others = None;
                Ok(())
            }
            Fate::SaysReady if being.has_main => self.hand(Input::Ready { run }),
            Fate::AsksForTime if being.has_main => self.hand(Input::Extended { run, by: s(3) }),
            Fate::TripsWatchdog if being.has_main => self.hand(Input::WatchdogTripped { run }),
            Fate::Pings if being.has_main => {
                if let Some(interval) = being.pings {
                    self.fate(interval, Fate::Pings, run.0);
                }
                self.hand(Input::WatchdogPinged { run })
            }
            Fate::Answers(probe, success) if being.has_main => {
                let (probe, outcome) = (probe.into(), ProbeOutcome { success, detail: "it".to_owned() });
                self.hand(Input::ProbeFinished { run, probe, outcome })
            }
            _ => Ok(()),
        }
    }

    fn main_ends(&mut self, run: RunId, exit: Exit) -> Result<(), String> {
        // Of a program that does not start on a connection this says nothing.
        if self.dice.one_in(10) {
            self.hand(Input::LeftContact { run })?;
        }
        self.beings.get_mut(&run).into_iter().for_each(|being| being.has_main = false);
        self.hand(Input::Exited { run, exit })
    }
}

/// The shell's part.
impl World {
    fn hand(&mut self, input: Input) -> Result<(), String> {
        self.say(|| format!("-> {}", brief(format!("{input:?}"))));
        self.witness.hears(&input, &self.both.one);
        self.both.handle_input(self.now, input.clone());
        self.drain()?;
        // An input about a process may be repeated; the second one is late.
        let is_news = matches!(
            input,
            Input::Exited { .. } | Input::MainLost { .. } | Input::TreeGone { .. } | Input::SpawnFailed { .. }
        );
        if is_news && self.dice.one_in(10) {
            self.both.handle_input(self.now, input.clone());
            if let Some(effect) = self.both.poll_effect()? {
                return Err(format!("{input:?} is repeated, and causes {effect:?}"));
            }
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), String> {
        while let Some(effect) = self.both.poll_effect()? {
            self.say(|| format!("   {}", brief(format!("{effect:?}"))));
            self.witness.sees(self.now, &effect)?;
            self.carry_out(&effect);
            if matches!(effect, Effect::Exit { .. })
                && let Some(end) = self.witness.end().filter(|&end| self.now > end && !self.witness.is_late)
            {
                return Err(format!("the shutdown ended at {}, after its budget at {end}", self.now));
            }
        }
        self.witness.looks(&self.both.one)
    }

    /// A late daemon ends the shutdown when it looks at its deadlines next, however many delays there were before.
    fn looks_at_budget(&self) -> Result<(), String> {
        match self.witness.end().filter(|&end| self.now >= end && self.witness.has_exited.is_none()) {
            Some(end) => Err(format!("the shutdown goes on at {}, after its budget at {end}", self.now)),
            None => Ok(()),
        }
    }

    fn carry_out(&mut self, effect: &Effect) {
        match *effect {
            Effect::Spawn { run, .. } => self.bear(run),
            Effect::Signal { run, signal: Signal::TERM | Signal::INT | Signal::QUIT, .. } => {
                let Some(being) = self.beings.get(&run) else { return };
                let obeys = being.obeys;
                if self.dice.one_in(4) {
                    let when = self.dice.up_to(s(1));
                    self.fate(when, Fate::AsksForTime, run.0);
                }
                if let Some(after) = obeys {
                    let fate = if self.dice.one_in(3) { Fate::DiesBy(15) } else { Fate::Ends(0) };
                    self.fate(after, fate, run.0);
                }
            }
            Effect::Signal { run, signal: Signal::KILL, .. } => {
                let kernel_takes = self.dice.up_to(ms(20));
                self.fate(kernel_takes, Fate::DiesBy(9), run.0);
            }
            Effect::Sweep { run, signal } | Effect::SweepGroup { run, signal: Some(signal) } => self.sweep(run, signal),
            // They have that signal already.
            Effect::SweepGroup { run, signal: None } => self.sweep(run, Signal::TERM),
            Effect::Disown { run } => drop(self.beings.remove(&run)),
            Effect::AwaitContact { instance } => {
                let longest = self.dice.one_of(&[ms(0), s(2), s(60)]);
                let when = self.dice.up_to(longest);
                self.fate(when, Fate::Contacts, u64::from(instance.0));
            }
            Effect::StartProbe { run, probe, .. } => {
                let wellness = self.beings.get(&run).map_or(2, |being| being.wellness);
                let success = !self.dice.one_in(wellness);
                let takes = if self.dice.one_in(20) { s(15) } else { self.dice.up_to(ms(50)) };
                self.fate(takes, Fate::Answers(probe as u8, success), run.0);
            }
            _ => {}
        }
    }

    fn bear(&mut self, run: RunId) {
        let obeys = if self.dice.one_in(6) { None } else { Some(self.dice.up_to(ms(400))) };
        let others = self.dice.one_in(4).then(|| if self.dice.one_in(2) { None } else { Some(self.dice.up_to(s(1))) });
        let pings = self.dice.one_in(2).then(|| self.dice.one_of(&[ms(300), s(3)]));
        let wellness = self.dice.one_of(&[2, 10, 1000]);
        let (has_main, is_executed, others_are_dying) = (true, false, false);
        self.beings.insert(run, Being { has_main, is_executed, obeys, others, others_are_dying, pings, wellness });
        let soon = self.dice.up_to(ms(20));
        match self.dice.below(20) {
            0 => self.fate(soon, Fate::NotSpawned, run.0),
            // It hangs before exec.
            1 => {}
            2 => self.fate(soon, Fate::DiesBy(9), run.0),
            _ => {
                self.fate(soon, Fate::Executed, run.0);
                self.decide_its_life(soon, run);
            }
        }
    }

    fn decide_its_life(&mut self, soon: Duration, run: RunId) {
        let longest = self.dice.one_of(&[ms(50), s(2), s(30)]);
        let after = soon + self.dice.up_to(longest);
        if self.dice.one_in(2) {
            let words = self.dice.one_of(&[Fate::SaysReady, Fate::SaysReady, Fate::AsksForTime, Fate::TripsWatchdog]);
            let when = self.dice.up_to(s(1));
            self.fate(when, words, run.0);
            self.fate(when, Fate::Pings, run.0);
        }
        match self.dice.below(6) {
            0 => self.fate(after, Fate::Ends(0), run.0),
            1 => self.fate(after, Fate::Ends(1), run.0),
            2 => self.fate(after, Fate::DiesBy(11), run.0),
            _ => {}
        }
    }

    /// Swept processes are gone after a while, unless they ignore the stop signal.
    fn sweep(&mut self, run: RunId, signal: Signal) {
        let kernel_takes = if self.dice.one_in(50) { s(3) } else { self.dice.up_to(ms(20)) };
        let Some(being) = self.beings.get_mut(&run) else { return };
        if signal == Signal::KILL && being.has_main {
            self.fate(kernel_takes, Fate::DiesBy(9), run.0);
            return;
        }
        let after = match being.others {
            None => Some(Duration::ZERO),
            Some(_) if signal == Signal::KILL => Some(kernel_takes),
            Some(obeys) => obeys,
        };
        if let Some(after) = after
            && (!being.others_are_dying || signal == Signal::KILL)
        {
            being.others_are_dying = true;
            self.fate(after, Fate::OthersEnd, run.0);
        }
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if self.is_logging {
            let living = self.both.one.snapshot().iter().filter(|one| one.state() != State::Stopped).count();
            self.log.push(format!("{:>10} ({living}) {}", self.now.to_string(), what()));
        }
    }
}

/// Without the configuration.
fn brief(mut told: String) -> String {
    for long in [", spec: InstanceSpec", ", programs: ["] {
        if let Some(place) = told.find(long) {
            told.truncate(place);
        }
    }
    told
}
