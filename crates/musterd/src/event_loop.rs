//! The loop: waits for one thing to happen, tells the core, and carries out everything the core answers, before it waits
//! again.
//!
//! One thread, and a closed list of sources: a deadline, signals (SIGCHLD among them), news of processes being spawned,
//! results of probes, what programs tell, and orders from connections. Log bytes and HTTP bodies are moved elsewhere and never touch this.

mod settling;
mod signals;
mod sweeps;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use muster_core::{Effect, Event, Input, Instance, Outcome, ProbeOutcome, RequestId, ShutdownReason, time::LATE};
use muster_logs::{Console, DRAIN_PATIENCE};
use muster_spec::{RunId, Signal, SignalScope, State};
use muster_sys::async_fd::Watched;
use muster_sys::pollset::PollSet;
use muster_sys::signal::{Received, Signals};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, trace, warn};

use self::sweeps::Sweep;
use crate::probes::{Finished, Probes};
use crate::publish::publish;
use crate::shared::{Order, Shared};
use crate::{log_events, reload};

/// How many deadlines are acted on in a row: those of a thousand programs that were started together are due together.
const DEADLINES_A_TURN: usize = 32;

/// While so many inputs wait for the core, nothing is taken in but signals and orders: children wait as zombies, and
/// messages in their sockets.
const MOST_WAITING: usize = 256;

/// After so many turns everybody is asked. Until then who comes first in the list of sources may have all of them.
const TURNS_OF_SOME: u32 = 8;

/// The event loop.
pub(crate) struct EventLoop {
    shared: Rc<Shared>,
    signals: Watched<Signals>,
    /// Of new processes.
    statuses: Rc<Watched<PollSet>>,
    /// On which programs tell about themselves.
    voices: Rc<Watched<PollSet>>,
    orders: mpsc::Receiver<Order>,
    console: Console,
    probes: Probes,
    results: mpsc::Receiver<Finished>,
    inputs: VecDeque<Input>,
    /// Of them what somebody ordered: it takes turns with the others, so it does not wait behind all that programs do.
    ordered: VecDeque<Input>,
    /// Whether the last input was one of those.
    was_ordered: bool,
    replies: HashMap<RequestId, oneshot::Sender<Outcome>>,
    /// Replies that wait until what was written before is delivered.
    deferred: VecDeque<Deferred>,
    drained: watch::Receiver<u64>,
    /// Until when everything must have stopped.
    budget: Option<Instant>,
    /// Runs whose tree is to go, with the signal that is still to be sent.
    sweeps: BTreeMap<RunId, Sweep>,
    kill_again: Option<Instant>,
    /// Runs that got a stop signal this turn, and cannot act on it while they are stopped.
    to_wake: Vec<RunId>,
    /// The next effect, where it waits for a signal that is on its way to a tree.
    held: Option<Effect>,
    /// How many programs are still to come up before the code that started them is given back.
    to_come_up: usize,
    /// Whether as many signals were taken as may be in a row, and the others come first now.
    has_many_signals: bool,
    /// Whether there may be children to reap of which no signal will tell.
    is_reaping: bool,
    /// Whether the core has effects that are still to be carried out, before it may hear anything else.
    has_effects: bool,
    /// How many turns there were since everybody was asked.
    turns: u32,
    exit: Option<u8>,
}

/// A reply that waits for a drain, or for so long.
#[derive(Debug)]
struct Deferred {
    drain: u64,
    until: Instant,
    reply: oneshot::Sender<Outcome>,
    outcome: Outcome,
}

enum Happened {
    Deadline,
    Signal(io::Result<Received>),
    Statuses(io::Result<Vec<u64>>),
    Voices(io::Result<Vec<u64>>),
    Probe(Finished),
    Order(Order),
    Drained,
    Nothing,
}

impl EventLoop {
    pub(crate) fn new(
        shared: Rc<Shared>,
        signals: Watched<Signals>,
        (statuses, voices): (Rc<Watched<PollSet>>, Rc<Watched<PollSet>>),
        orders: mpsc::Receiver<Order>,
        console: Console,
    ) -> EventLoop {
        let (probes, results) = Probes::new(shared.limits.clone());
        let drained = shared.children.borrow().logs().watch_drains();
        let autostarts = |instance: &&Instance| instance.program().autostart;
        let to_come_up = shared.supervisor.borrow().snapshot().iter().filter(autostarts).count();
        EventLoop {
            shared,
            signals,
            statuses,
            voices,
            orders,
            console,
            probes,
            results,
            inputs: VecDeque::new(),
            ordered: VecDeque::new(),
            was_ordered: false,
            replies: HashMap::new(),
            deferred: VecDeque::new(),
            drained,
            budget: None,
            sweeps: BTreeMap::new(),
            kill_again: None,
            to_wake: Vec::new(),
            held: None,
            to_come_up,
            has_many_signals: false,
            is_reaping: false,
            has_effects: false,
            turns: 0,
            exit: None,
        }
    }

    /// Supervises until the core says that it is over, and gives the container's exit code, and until when there is time.
    pub(crate) async fn run(mut self) -> (u8, Option<Instant>) {
        self.inputs.push_back(Input::Booted);
        loop {
            let is_settled = self.settle();
            self.console.release();
            if !is_settled {
                // Connections and probes have their turn, too.
                tokio::task::yield_now().await;
                self.shared.loop_turns.clock().look();
                if let Ok(Some(received)) = self.signals.get_ref().next() {
                    self.handle_signals(received);
                }
                self.ask_everybody();
                continue;
            }
            if let Some(code) = self.exit {
                self.send_deferred(u64::MAX);
                let longest = self.shared.loop_turns.clock().longest();
                debug!(milliseconds = longest.as_millis(), "the longest turn of the loop");
                return (code, self.budget);
            }
            // What the daemon itself has spent on its work was not lost.
            let (asked, rested) = (self.next_deadline(), Instant::now());
            let happened = self.wait().await;
            let looked_at = Instant::now();
            if asked.is_some_and(|at| looked_at.saturating_duration_since(at.max(rested)) > LATE) {
                self.lose(looked_at.saturating_duration_since(rested));
            }
            // Whatever is logged on the way to the next rest is written at once.
            self.console.hold();
            match happened {
                Happened::Deadline => self.handle_deadline(),
                Happened::Signal(Ok(received)) => self.handle_signals(received),
                Happened::Statuses(Ok(tokens)) => {
                    let known = self.shared.children.borrow_mut().take_outcomes(&tokens);
                    self.inputs.extend(known);
                }
                Happened::Voices(Ok(tokens)) => {
                    self.shared.children.borrow_mut().take_notifications(&tokens, &mut self.inputs);
                }
                Happened::Probe(finished) => self.handle_results(finished),
                Happened::Order(order) => self.handle_order(order),
                // None of these descriptors can fail as long as it is open; without them nothing could be supervised.
                Happened::Signal(Err(error)) | Happened::Statuses(Err(error)) | Happened::Voices(Err(error)) => {
                    error!(%error, "cannot wait for events any more");
                    return (1, None);
                }
                Happened::Nothing if std::mem::take(&mut self.is_reaping) => self.reap(),
                Happened::Nothing => {}
                Happened::Drained => {
                    let delivered = *self.drained.borrow_and_update();
                    self.send_deferred(delivered);
                }
            }
            self.ask_everybody();
        }
    }

    /// Children that end, or start, as fast as that is taken in would be all that the loop hears of. So now and then each of
    /// the others has its turn, as far as the core may be told.
    fn ask_everybody(&mut self) {
        self.turns += 1;
        // While effects are left, nothing may be told the core; what is queued for it does no harm.
        if !self.has_effects
            && let Ok(order) = self.orders.try_recv()
        {
            self.handle_order(order);
        }
        if self.turns < TURNS_OF_SOME {
            return;
        }
        self.turns = 0;
        if self.inputs.len() < MOST_WAITING {
            self.ask_programs();
        }
        if !self.has_effects && self.next_deadline().is_some_and(|at| at <= Instant::now()) {
            self.handle_deadline();
        }
        if !self.deferred.is_empty() {
            let delivered = *self.drained.borrow_and_update();
            self.send_deferred(delivered);
        }
    }

    /// Takes in what new processes, probes and programs tell.
    fn ask_programs(&mut self) {
        let mut tokens = Vec::new();
        // If one of these cannot be asked, the loop is told that when it waits.
        if self.statuses.get_ref().ready(&mut tokens).is_ok() {
            let known = self.shared.children.borrow_mut().take_outcomes(&tokens);
            // Before what else is waiting: a program that runs is RUNNING, whatever others do meanwhile.
            known.into_iter().rev().for_each(|input| self.inputs.push_front(input));
        }
        if let Ok(finished) = self.results.try_recv() {
            self.handle_results(finished);
        }
        tokens.clear();
        if self.voices.get_ref().ready(&mut tokens).is_ok() {
            self.shared.children.borrow_mut().take_notifications(&tokens, &mut self.inputs);
        }
    }

    async fn wait(&mut self) -> Happened {
        let deadline = self.next_deadline();
        let at = tokio::time::Instant::from_std(deadline.unwrap_or_else(Instant::now));
        let ready = |set: &PollSet| {
            let mut tokens = Vec::new();
            set.ready(&mut tokens)?;
            if tokens.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(tokens) }
        };
        let is_crowded = std::mem::take(&mut self.has_many_signals);
        let signals = |signals: &Signals| signals.next()?.ok_or_else(|| io::ErrorKind::WouldBlock.into());
        tokio::select! {
            biased;
            never = self.shared.loop_turns.looking() => match never {},
            received = self.signals.read_with(signals), if !is_crowded => Happened::Signal(received),
            Some(order) = self.orders.recv() => Happened::Order(order),
            tokens = self.statuses.read_with(ready) => Happened::Statuses(tokens),
            () = tokio::time::sleep_until(at), if deadline.is_some() => Happened::Deadline,
            Some(finished) = self.results.recv() => Happened::Probe(finished),
            Ok(()) = self.drained.changed(), if !self.deferred.is_empty() => Happened::Drained,
            // The last: who talks without end keeps nothing waiting.
            tokens = self.voices.read_with(ready) => Happened::Voices(tokens),
            () = tokio::task::yield_now(), if is_crowded || self.is_reaping => Happened::Nothing,
        }
    }

    /// The loop woke up much later than it asked to: the daemon was stopped, frozen, suspended or starved, and its programs
    /// most likely with it. Nobody is judged by that time. How much of it was lost before the deadline cannot be known, so
    /// everything has as long from now on as it had when the loop went to rest.
    fn lose(&mut self, by: Duration) {
        warn!(milliseconds = by.as_millis(), "the daemon was not running for a while; every deadline moves by that");
        let now = self.shared.clock.now();
        self.shared.supervisor.borrow_mut().handle_input(now, Input::TimeLost { by });
        self.budget = self.budget.and_then(|end| end.checked_add(by));
        self.deferred.iter_mut().for_each(|deferred| deferred.until += by);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let core = self.shared.supervisor.borrow().poll_timeout().and_then(|at| self.shared.clock.instant(at));
        let deferred = self.deferred.front().map(|first| first.until);
        let gap = self.shared.feed.borrow().gap_due();
        core.into_iter().chain(self.kill_again).chain(deferred).chain(gap).chain(self.shared.limits.due()).min()
    }

    /// Sends the replies that waited for this drain or an earlier one, and those that have waited long enough.
    fn send_deferred(&mut self, delivered: u64) {
        let now = Instant::now();
        while let Some(first) = self.deferred.pop_front_if(|first| first.drain <= delivered || first.until <= now) {
            // Who has gone away needs no reply.
            let _ = first.reply.send(first.outcome);
        }
    }

    fn reply(&mut self, request: RequestId, outcome: Outcome) {
        let Some(reply) = self.replies.remove(&request) else { return };
        match self.shared.children.borrow().logs().pending_drain() {
            Some(drain) => {
                let until = Instant::now() + DRAIN_PATIENCE;
                self.deferred.push_back(Deferred { drain, until, reply, outcome });
            }
            // Who has gone away needs no reply.
            None => drop(reply.send(outcome)),
        }
    }

    fn handle_deadline(&mut self) {
        if self.kill_again.is_some_and(|at| at <= Instant::now()) {
            self.kill_again = None;
            self.kill_what_grew();
        }
        let delivered = *self.drained.borrow_and_update();
        self.send_deferred(delivered);
        let now = self.shared.clock.now();
        self.shared.feed.borrow_mut().tell_gap(now, Instant::now());
        if self.shared.limits.due().is_some_and(|due| due <= Instant::now()) {
            log_events::write_lasting(&self.shared);
        }
        self.shared.supervisor.borrow_mut().handle_deadlines(now, DEADLINES_A_TURN);
    }

    fn reap(&mut self) {
        if self.inputs.len() >= MOST_WAITING {
            self.is_reaping = true;
            return;
        }
        match self.shared.children.borrow_mut().reap(&mut self.inputs) {
            Ok(is_done) => self.is_reaping = !is_done,
            Err(error) => error!(%error, "cannot reap children"),
        }
        let ended = self.shared.children.borrow_mut().take_ended_commands();
        self.kill(ended);
        self.look_for_growth();
    }

    /// Takes every result that has come.
    fn handle_results(&mut self, first: Finished) {
        let mut next = Some(first);
        while let Some(finished) = next {
            if let Some((run, probe, outcome, command)) = self.probes.finish(finished) {
                self.kill(command);
                self.inputs.push_back(answered(run, probe, outcome));
            }
            next = self.results.try_recv().ok();
        }
    }

    fn handle_order(&mut self, order: Order) {
        self.ordered.push_back(match order {
            Order::Command { request, select, verb, wait, reply } => {
                self.replies.insert(request, reply);
                Input::Commanded { request, select, verb, wait }
            }
            Order::Expire { request } => Input::RequestExpired { request },
            Order::Configure { request, new, reply } => {
                self.replies.insert(request, reply);
                reload::put_in_force(&self.shared, request, *new)
            }
            Order::Shutdown { timeout } => Input::ShutdownAsked { reason: ShutdownReason::Command, timeout },
        });
    }

    fn carry_out(&mut self, effect: Effect) {
        trace!(?effect);
        match effect {
            Effect::Spawn { run, spec, .. } => {
                if let Err(error) = self.shared.children.borrow_mut().spawn(run, &spec) {
                    self.inputs.push_back(Input::SpawnFailed { run, error });
                }
            }
            Effect::Signal { run, signal, scope } => {
                self.shared.children.borrow_mut().signal(run, signal, scope, &mut self.inputs);
                self.tell_refused();
            }
            Effect::Wake { run, scope: SignalScope::Main } => self.to_wake.push(run),
            Effect::Wake { run, scope } => self.shared.children.borrow_mut().wake_tree(run, scope, &mut self.inputs),
            Effect::Sweep { run, signal } => {
                let sweep = self.sweeps.entry(run).or_default();
                sweep.unsent = Some(signal);
                sweep.is_killing |= signal == Signal::KILL;
            }
            Effect::NameLeftovers { run, killed } => self.sweeps.entry(run).or_default().to_name = Some(killed),
            Effect::StartProbe { run, probe, spec, .. } => {
                let mut children = self.shared.children.borrow_mut();
                if let Some(outcome) = self.probes.start(run, probe, &spec, &mut children) {
                    self.inputs.push_back(answered(run, probe, outcome));
                }
            }
            Effect::StopProbes { run } => {
                let commands = self.probes.stop(run);
                self.kill(commands);
            }
            Effect::SignalStrays { signal } => self.shared.children.borrow_mut().signal_strays(signal),
            Effect::Reply { request, outcome } => self.reply(request, outcome),
            Effect::Publish(event) => {
                if let Event::ShutdownBegan { timeout, .. } = event {
                    self.budget = Instant::now().checked_add(timeout);
                    self.shared.children.borrow().logs().gather();
                }
                if matches!(event, Event::State { to: State::Running, .. }) {
                    self.note_start();
                }
                if let Event::Ended(ended) = &event
                    && !ended.expected
                    && ended.cause.is_none()
                {
                    self.shared.deaths.borrow_mut().look_into(ended.run, &ended.end);
                }
                self.shared.tallies.borrow_mut().count(&event, &self.shared.deaths.borrow());
                let said = self.shared.limits.pass_event(&self.shared.supervisor.borrow(), &event);
                log_events::write(&self.shared, &event, said);
                publish(&self.shared, event, said.is_some());
            }
            Effect::Exit { code } => self.exit = Some(code),
        }
    }

    /// When as many have come up as start with the daemon, what starts them is not needed for a while.
    fn note_start(&mut self) {
        if self.to_come_up == 1 {
            muster_sys::footprint::release_startup_code();
        }
        self.to_come_up = self.to_come_up.saturating_sub(1);
    }
}

fn answered(run: RunId, probe: usize, outcome: Option<ProbeOutcome>) -> Input {
    match outcome {
        Some(outcome) => Input::ProbeFinished { run, probe, outcome },
        None => Input::ProbeNotMade { run, probe },
    }
}
