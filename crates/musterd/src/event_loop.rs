//! The loop: waits for one thing to happen, tells the core, and carries out everything the core answers, before it waits
//! again.
//!
//! One thread, and a closed list of sources: a deadline, signals (SIGCHLD among them), news of processes being spawned,
//! results of probes, what programs tell, and orders from connections. Log bytes and HTTP bodies are moved elsewhere and never touch this.

mod inputs;
mod observers;
mod replies;
mod settling;
mod signals;
mod sources;
mod starts;
mod sweeps;

use std::rc::Rc;
use std::time::{Duration, Instant};

use muster_core::{Effect, Event, Input, ProbeOutcome, ShutdownReason, time::LATE};
use muster_logs::Console;
use muster_spec::{RunId, SignalScope};
use tokio::sync::mpsc;
use tracing::{debug, error, trace, warn};

use self::inputs::Inputs;
use self::observers::Observers;
use self::replies::Replies;
pub(crate) use self::sources::Sources;
use self::sources::{Happened, Until};
use self::starts::Starts;
use self::sweeps::Sweeps;
use crate::probes::{Finished, Probes};
use crate::shared::{Order, Shared};
use crate::{log_events, reload};

/// How many deadlines are acted on in a row: those of a thousand programs that were started together are due together.
const DEADLINES_A_TURN: usize = 32;

/// After so many turns everybody is asked. Until then who comes first in the list of sources may have all of them.
const TURNS_OF_SOME: u32 = 8;

/// The event loop.
pub(crate) struct EventLoop {
    shared: Rc<Shared>,
    sources: Sources,
    console: Console,
    probes: Probes,
    results: mpsc::Receiver<Finished>,
    inputs: Inputs,
    replies: Replies,
    sweeps: Sweeps,
    observers: Observers,
    /// Until when everything must have stopped.
    budget: Option<Instant>,
    /// Runs that got a stop signal this turn, and cannot act on it while they are stopped.
    to_wake: Vec<RunId>,
    /// The next effect, where it waits for a signal that is on its way to a tree.
    held: Option<Effect>,
    starts: Starts,
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

impl EventLoop {
    pub(crate) fn new(shared: Rc<Shared>, sources: Sources, console: Console) -> EventLoop {
        let (probes, results) = Probes::new(shared.limits.clone());
        let replies = Replies::after(shared.children.borrow().logs().watch_drains());
        let observers = Observers::new(Rc::clone(&shared));
        EventLoop {
            shared,
            sources,
            console,
            probes,
            results,
            inputs: Inputs::default(),
            replies,
            sweeps: Sweeps::default(),
            observers,
            budget: None,
            to_wake: Vec::new(),
            held: None,
            starts: Starts::new(),
            has_many_signals: false,
            is_reaping: false,
            has_effects: false,
            turns: 0,
            exit: None,
        }
    }

    /// Supervises until the core says that it is over, and gives the container's exit code, and until when there is time.
    pub(crate) async fn run(mut self) -> (u8, Option<Instant>) {
        self.inputs.of_programs.push_back(Input::Booted);
        loop {
            let is_settled = self.settle();
            self.console.release();
            if !is_settled {
                // Connections and probes have their turn, too.
                if self.starts.is_waiting() {
                    self.wait_to_start().await;
                } else {
                    tokio::task::yield_now().await;
                }
                self.shared.loop_turns.clock().look();
                if let Ok(Some(received)) = self.sources.signals.get_ref().next() {
                    self.handle_signals(received);
                }
                self.ask_everybody();
                continue;
            }
            if let Some(code) = self.exit {
                self.replies.send_all_deferred();
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
                    self.inputs.of_programs.extend(known);
                }
                Happened::Voices(Ok(tokens)) => {
                    self.shared.children.borrow_mut().take_notifications(&tokens, &mut self.inputs.of_programs);
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
                Happened::Drained => self.replies.send_deferred(),
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
            && let Ok(order) = self.sources.orders.try_recv()
        {
            self.handle_order(order);
        }
        if self.turns < TURNS_OF_SOME {
            return;
        }
        self.turns = 0;
        if !self.inputs.is_crowded() {
            self.ask_programs();
        }
        if !self.has_effects && self.next_deadline().is_some_and(|at| at <= Instant::now()) {
            self.handle_deadline();
        }
        if self.replies.has_deferred() {
            self.replies.send_deferred();
        }
    }

    /// Takes in what new processes, probes and programs tell.
    fn ask_programs(&mut self) {
        self.take_statuses();
        if let Ok(finished) = self.results.try_recv() {
            self.handle_results(finished);
        }
        let mut tokens = Vec::new();
        if self.sources.voices.get_ref().ready(&mut tokens).is_ok() {
            self.shared.children.borrow_mut().take_notifications(&tokens, &mut self.inputs.of_programs);
        }
    }

    /// Takes in what has become of new processes. A set that cannot be read is reported when the loop waits for it.
    fn take_statuses(&mut self) {
        let mut tokens = Vec::new();
        if self.sources.statuses.get_ref().ready(&mut tokens).is_ok() {
            self.take_outcomes(&tokens);
        }
    }

    fn take_outcomes(&mut self, tokens: &[u64]) {
        let known = self.shared.children.borrow_mut().take_outcomes(tokens);
        // Before what else is waiting: a program that runs is RUNNING, whatever others do meanwhile.
        known.into_iter().rev().for_each(|input| self.inputs.of_programs.push_front(input));
    }

    async fn wait(&mut self) -> Happened {
        let until = Until {
            deadline: self.next_deadline(),
            results: &mut self.results,
            replies: &mut self.replies,
            loop_turns: &self.shared.loop_turns,
            skips_signals: std::mem::take(&mut self.has_many_signals),
            is_busy: self.is_reaping,
        };
        self.sources.wait(until).await
    }

    /// The loop woke up much later than it asked to: the daemon was stopped, frozen, suspended or starved, and its programs
    /// most likely with it. Nobody is judged by that time. How much of it was lost before the deadline cannot be known, so
    /// everything has as long from now on as it had when the loop went to rest.
    fn lose(&mut self, by: Duration) {
        warn!(milliseconds = by.as_millis(), "the daemon was not running for a while; every deadline moves by that");
        let now = self.shared.clock.now();
        self.shared.supervisor.borrow_mut().handle_input(now, Input::TimeLost { by });
        self.budget = self.budget.and_then(|end| end.checked_add(by));
        self.replies.lose(by);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let core = self.shared.supervisor.borrow().poll_timeout().and_then(|at| self.shared.clock.instant(at));
        let gap = self.shared.feed.borrow().gap_due();
        core.into_iter()
            .chain(self.sweeps.due())
            .chain(self.replies.due())
            .chain(gap)
            .chain(self.shared.limits.due())
            .min()
    }

    fn handle_deadline(&mut self) {
        self.sweeps.handle_deadline(Instant::now());
        self.replies.send_deferred();
        let now = self.shared.clock.now();
        self.shared.feed.borrow_mut().tell_gap(now, Instant::now());
        if self.shared.limits.due().is_some_and(|due| due <= Instant::now()) {
            log_events::write_lasting(&self.shared);
        }
        self.shared.supervisor.borrow_mut().handle_deadlines(now, DEADLINES_A_TURN);
    }

    fn reap(&mut self) {
        if self.inputs.is_crowded() {
            self.is_reaping = true;
            return;
        }
        match self.shared.children.borrow_mut().reap(&mut self.inputs.of_programs) {
            Ok(is_done) => self.is_reaping = !is_done,
            Err(error) => error!(%error, "cannot reap children"),
        }
        let ended = self.shared.children.borrow_mut().take_ended_commands();
        self.sweeps.kill(ended);
        self.sweeps.look_for_growth();
    }

    /// Takes every result that has come.
    fn handle_results(&mut self, first: Finished) {
        let mut next = Some(first);
        while let Some(finished) = next {
            if let Some((run, probe, outcome, command)) = self.probes.finish(finished) {
                self.sweeps.kill(command);
                self.inputs.of_programs.push_back(answered(run, probe, outcome));
            }
            next = self.results.try_recv().ok();
        }
    }

    fn handle_order(&mut self, order: Order) {
        self.inputs.ordered.push_back(match order {
            Order::Command { request, select, verb, wait, by, reply } => {
                self.replies.expect(request, reply);
                Input::Commanded { request, select, verb, wait, by }
            }
            Order::Expire { request } => Input::RequestExpired { request },
            Order::Configure { request, by, new, reply } => {
                self.replies.expect(request, reply);
                reload::put_in_force(&self.shared, (request, by), *new)
            }
            Order::Shutdown { timeout, by } => Input::ShutdownAsked { reason: ShutdownReason::Command(by), timeout },
        });
    }

    fn carry_out(&mut self, effect: Effect) {
        trace!(?effect);
        match effect {
            Effect::Spawn { run, spec, .. } => {
                if let Err(error) = self.shared.children.borrow_mut().spawn(run, &spec) {
                    self.inputs.of_programs.push_back(Input::SpawnFailed { run, error });
                }
            }
            Effect::Signal { run, signal, scope } => {
                self.shared.children.borrow_mut().signal(run, signal, scope, &mut self.inputs.of_programs);
                self.tell_refused();
            }
            Effect::Wake { run, scope: SignalScope::Main } => self.to_wake.push(run),
            Effect::Wake { run, scope } => {
                self.shared.children.borrow_mut().wake_tree(run, scope, &mut self.inputs.of_programs)
            }
            Effect::Sweep { run, signal } => self.sweeps.order(run, signal),
            Effect::NameLeftovers { run, killed } => self.sweeps.name_first(run, killed),
            Effect::StartProbe { run, probe, spec, .. } => {
                let mut children = self.shared.children.borrow_mut();
                if let Some(outcome) = self.probes.start(run, probe, &spec, &mut children) {
                    self.inputs.of_programs.push_back(answered(run, probe, outcome));
                }
            }
            Effect::StopProbes { run } => {
                let commands = self.probes.stop(run);
                self.sweeps.kill(commands);
            }
            Effect::SignalStrays { signal } => self.shared.children.borrow_mut().signal_strays(signal),
            Effect::Reply { request, outcome } => {
                let pending_drain = self.shared.children.borrow().logs().pending_drain();
                self.replies.send(request, outcome, pending_drain);
            }
            Effect::Publish(event) => {
                if let Event::ShutdownBegan { timeout, .. } = event {
                    self.budget = Instant::now().checked_add(timeout);
                    self.shared.children.borrow().logs().gather();
                }
                self.observers.observe(event);
            }
            Effect::Exit { code } => self.exit = Some(code),
        }
    }
}

fn answered(run: RunId, probe: usize, outcome: Option<ProbeOutcome>) -> Input {
    match outcome {
        Some(outcome) => Input::ProbeFinished { run, probe, outcome },
        None => Input::ProbeNotMade { run, probe },
    }
}
