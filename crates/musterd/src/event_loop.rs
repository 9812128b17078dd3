//! The event loop: waits for one event, passes it to the core, carries out every effect, and waits again.
//!
//! One thread and a closed list of sources: a deadline, signals (SIGCHLD among them), the outcomes of spawning, probe results,
//! notifications from programs, and orders from connections. Log bytes and HTTP bodies are moved elsewhere and never pass
//! through here.

mod calls;
mod execs;
mod hooks;
mod inputs;
mod memory;
mod messengers;
mod observers;
mod reads;
mod replies;
mod schedule;
mod settling;
mod signals;
mod sources;
mod starts;
mod sweeps;

use std::rc::Rc;
use std::time::{Duration, Instant};

use muster_core::{Effect, Event, Input, ProbeOutcome, time::LATE};
use muster_logs::Console;
use muster_spec::{RunId, SignalScope};
use tokio::sync::mpsc;
use tracing::{debug, error, trace, warn};

use self::hooks::Hooks;
use self::inputs::Inputs;
use self::memory::{Counted, Memory};
use self::observers::Observers;
use self::reads::{Read, Reads};
use self::replies::Replies;
use self::schedule::WallClock;
pub(crate) use self::sources::Sources;
use self::sources::{Happened, Until};
use self::starts::Starts;
use self::sweeps::Sweeps;
use crate::messengers::Messengers;
use crate::probes::{Finished, Probes};
use crate::shared::{Order, Shared};
use crate::{listeners, log_events, reload};

/// The number of deadlines handled in a row: a thousand programs that started together have their deadlines together.
const DEADLINES_A_TURN: usize = 32;

/// The number of turns after which every source is polled. Until then, the first source in the list may take all of them.
const TURNS_OF_SOME: u32 = 8;

/// The event loop.
pub(crate) struct EventLoop {
    shared: Rc<Shared>,
    sources: Sources,
    console: Console,
    probes: Probes,
    results: mpsc::Receiver<Finished>,
    reads: Reads,
    was_read: mpsc::Receiver<Read>,
    memory: Memory,
    wall_clock: WallClock,
    was_counted: mpsc::Receiver<Vec<Counted>>,
    inputs: Inputs,
    replies: Replies,
    sweeps: Sweeps,
    hooks: Hooks,
    messengers: Messengers,
    /// Until when the exit waits for the last notifications.
    parting: Option<Instant>,
    /// Whether their commands are being killed.
    kills_messengers: bool,
    observers: Observers,
    /// When everything must have stopped.
    budget: Option<Instant>,
    /// Runs that got a stop signal this turn, and cannot handle it while they are stopped (SIGSTOP).
    to_wake: Vec<RunId>,
    /// The next effect, if it has to wait until a pending signal has been sent to a whole tree.
    held: Option<Effect>,
    starts: Starts,
    /// Whether the limit of signals in a row was reached, so that the other sources come first.
    has_many_signals: bool,
    /// Whether there may be children to reap for which no signal is pending.
    is_reaping: bool,
    /// Whether effects are left to carry out before the core may get its next input.
    has_effects: bool,
    /// The number of turns since every source was polled.
    turns: u32,
    exit: Option<u8>,
}

impl EventLoop {
    pub(crate) fn new(shared: Rc<Shared>, sources: Sources, console: Console) -> EventLoop {
        let (probes, results) = Probes::new(shared.limits.clone());
        let (reads, was_read) = Reads::new();
        let (memory, was_counted) = Memory::new();
        let replies = Replies::after(shared.children.borrow().logs().watch_drains());
        let observers = Observers::new(Rc::clone(&shared));
        EventLoop {
            shared,
            sources,
            console,
            probes,
            results,
            reads,
            was_read,
            memory,
            wall_clock: WallClock::default(),
            was_counted,
            inputs: Inputs::default(),
            replies,
            sweeps: Sweeps::default(),
            hooks: Hooks::default(),
            messengers: Messengers::default(),
            parting: None,
            kills_messengers: false,
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

    /// Supervises until the core orders the exit. Returns the exit code, and the end of the shutdown budget if there is one.
    pub(crate) async fn run(mut self) -> (u8, Option<Instant>) {
        listeners::begin(&self.shared);
        // With sources, there are no programs yet.
        if !self.shared.configuration.sources.is_waiting() {
            let remembered = self.shared.state.recall(self.shared.supervisor.borrow().programs());
            self.inputs.of_programs.extend(remembered.map(|instances| Input::Remembered { instances }));
        }
        self.inputs.of_programs.push_back(Input::Booted);
        loop {
            let is_settled = self.settle() && self.attend_sockets();
            self.shared.children.borrow_mut().before_waiting();
            self.console.release();
            if !is_settled {
                // Let connections and probes run.
                if self.starts.is_waiting() {
                    self.wait_to_start().await;
                } else {
                    tokio::task::yield_now().await;
                }
                self.shared.loop_turns.clock().look();
                self.console.hold();
                if let Ok(Some(received)) = self.sources.signals.get_ref().next() {
                    self.handle_signals(received);
                }
                self.ask_everybody();
                continue;
            }
            if let Some(code) = self.exit
                && !self.awaits_notifications()
            {
                self.replies.send_all_deferred();
                self.shared.listeners.borrow_mut().release_all();
                let longest = self.shared.loop_turns.clock().longest();
                debug!(milliseconds = longest.as_millis(), "the longest turn of the loop");
                return (code, self.budget);
            }
            listeners::dispatch(&self.shared);
            if self.send_postponed() {
                continue;
            }
            // Time that the daemon spent working was not lost.
            let (asked, rested) = (self.next_deadline(), Instant::now());
            let happened = self.wait().await;
            let looked_at = Instant::now();
            if asked.is_some_and(|at| looked_at.saturating_duration_since(at.max(rested)) > LATE) {
                self.lose(looked_at.saturating_duration_since(rested));
            }
            // Whatever is logged before the end of the turn is written in one go.
            self.console.hold();
            match happened {
                Happened::Deadline => self.handle_deadline(),
                Happened::Signal(Ok(received)) => self.handle_signals(received),
                Happened::Statuses(Ok(tokens)) => {
                    let known = self.shared.children.borrow_mut().take_outcomes(&tokens);
                    self.inputs.of_programs.extend(known);
                }
                Happened::Notifications(Ok(tokens)) => {
                    self.shared.children.borrow_mut().take_notifications(&tokens, &mut self.inputs.of_programs);
                }
                Happened::Contacts(Ok(tokens)) => {
                    let contacted = self.shared.children.borrow_mut().take_contacts(&tokens);
                    self.inputs.of_programs.extend(contacted);
                }
                Happened::Probe(finished) => self.handle_results(finished),
                Happened::Read(read) => self.handle_read(read),
                Happened::Counted(counted) => self.handle_counted(counted),
                Happened::WallClock(fired) => self.look_at_wall_clock(fired),
                Happened::Order(order) => self.handle_order(order),
                // These descriptors cannot fail while they are open; without them nothing can be supervised.
                Happened::Signal(Err(error))
                | Happened::Statuses(Err(error))
                | Happened::Contacts(Err(error))
                | Happened::Notifications(Err(error)) => {
                    error!(%error, "cannot wait for events");
                    return (1, None);
                }
                Happened::Nothing if std::mem::take(&mut self.is_reaping) => self.reap(),
                Happened::Nothing => {}
                Happened::Drained => {
                    self.replies.send_deferred();
                    self.finish_hooks(Instant::now());
                }
                Happened::Heard => listeners::take_heard(&self.shared),
            }
            self.ask_everybody();
        }
    }

    /// Polls every source now and then. Children that exit or start as fast as the loop handles them would otherwise starve
    /// all other sources.
    fn ask_everybody(&mut self) {
        self.turns += 1;
        // While effects are left, the core must get no input; queueing inputs does no harm.
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

    /// Polls new processes, probes and notifications from programs.
    fn ask_programs(&mut self) {
        self.take_statuses();
        if let Ok(finished) = self.results.try_recv() {
            self.handle_results(finished);
        }
        if let Ok(read) = self.was_read.try_recv() {
            self.handle_read(read);
        }
        if let Ok(counted) = self.was_counted.try_recv() {
            self.handle_counted(counted);
        }
        listeners::take_heard(&self.shared);
        listeners::dispatch(&self.shared);
        let mut tokens = Vec::new();
        if self.sources.contacts.get_ref().ready(&mut tokens).is_ok() {
            let contacted = self.shared.children.borrow_mut().take_contacts(&tokens);
            self.inputs.of_programs.extend(contacted);
        }
        tokens.clear();
        if self.sources.notifications.get_ref().ready(&mut tokens).is_ok() {
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
        self.set_wall_timer();
        let until = Until {
            deadline: self.next_deadline(),
            results: &mut self.results,
            awaits_drain: self.replies.has_deferred() || self.hooks.await_lines(),
            was_read: &mut self.was_read,
            was_counted: &mut self.was_counted,
            wall_timer: self.wall_clock.timer(),
            replies: &mut self.replies,
            loop_turns: &self.shared.loop_turns,
            settled: self.parting.map(|_| &self.shared.notifiers.settled),
            skips_signals: std::mem::take(&mut self.has_many_signals),
            is_busy: self.is_reaping,
        };
        self.sources.wait(until).await
    }

    /// Handles a wake-up that came much too late: the daemon was stopped, frozen, suspended or starved, and most likely its
    /// programs too, so that time counts against no program. How much of it was lost before the deadline is unknown, so every
    /// deadline is as far away now as it was when the loop began to wait.
    fn lose(&mut self, by: Duration) {
        warn!(
            milliseconds = by.as_millis(),
            "the daemon was not running for a while, moving every deadline by that time"
        );
        let now = self.shared.clock.now();
        self.hand(now, Input::TimeLost { by });
        self.budget = self.budget.and_then(|end| end.checked_add(by));
        self.replies.lose(by);
        self.hooks.lose(by);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let core = self.shared.supervisor.borrow().poll_timeout().and_then(|at| self.shared.clock.instant(at));
        let gap = self.shared.event_ring.borrow().gap_due();
        core.into_iter()
            .chain(self.sweeps.due())
            .chain(self.replies.due())
            .chain(self.hooks.due())
            .chain(gap)
            .chain(self.shared.limits.due())
            .chain(self.memory.due())
            .chain(self.parting)
            .chain(self.shared.listeners.borrow().due())
            .min()
    }

    fn handle_deadline(&mut self) {
        self.sweeps.handle_deadline(Instant::now());
        self.replies.send_deferred();
        self.finish_hooks(Instant::now());
        let now = self.shared.clock.now();
        self.shared.event_ring.borrow_mut().tell_gap(now, Instant::now());
        listeners::handle_deadline(&self.shared);
        if self.shared.limits.due().is_some_and(|due| due <= Instant::now()) {
            log_events::write_lasting(&self.shared);
        }
        self.look_at_memory(Instant::now());
        self.hand_deadlines(now, DEADLINES_A_TURN);
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
        let suspensions = self.shared.children.borrow_mut().take_suspensions();
        suspensions.into_iter().for_each(|one| log_events::write_suspension(&self.shared, one));
        let ended = self.shared.children.borrow_mut().take_ended_commands();
        self.sweeps.kill(ended);
        self.sweeps.look_for_growth();
    }

    /// Handles all probe results that are queued.
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
        let input = match order {
            Order::Command { request, select, verb, wait, by, reply } => {
                self.replies.expect(request, reply);
                Input::Commanded { request, select, verb, wait, by }
            }
            Order::Expire { request } => Input::RequestExpired { request },
            Order::Configure { request, by, new, reply } => {
                self.replies.expect(request, reply);
                let remembered = self.shared.state.recall(&new.spec.programs);
                self.inputs.ordered.extend(remembered.map(|instances| Input::Remembered { instances }));
                reload::put_in_force(&self.shared, (request, by), *new)
            }
            Order::FilesChanged { program, files: file, at } => Input::FilesChanged { program, file, at },
            Order::Exec { serial, ask, reply } => return self.begin_exec(serial, *ask, reply),
            Order::SignalExec { serial, signal } => return self.signal_exec(serial, signal),
            Order::HangUp { serial } => return self.hang_up(serial),
            Order::Messenger { messenger, reply } => return self.begin_messenger(&messenger, reply),
            Order::EndMessenger { serial } => return self.end_messenger(serial),
            Order::GiveUp { code } => return self.exit = Some(code),
            Order::Shutdown { timeout, by, pid } => {
                Input::ShutdownAsked { reason: self.reason_of_request(by, pid), timeout }
            }
        };
        self.inputs.ordered.push_back(input);
    }

    /// Before the loop waits: until then, a program may be stopped and started again. False if inputs are queued.
    fn attend_sockets(&mut self) -> bool {
        let supervisor = self.shared.supervisor.borrow();
        self.shared.state.attend(&supervisor);
        let is_shutting_down = supervisor.is_shutting_down();
        let known = self.shared.children.borrow_mut().attend_sockets(supervisor.snapshot(), is_shutting_down);
        let is_settled = known.is_empty();
        self.inputs.of_programs.extend(known);
        is_settled
    }

    /// Sends the stop signals of listeners that have got their last events. Returns whether there were any.
    fn send_postponed(&mut self) -> bool {
        let stops = self.shared.listeners.borrow_mut().take_parting();
        for &(run, signal, scope) in &stops {
            self.shared.children.borrow_mut().signal(run, signal, scope, &mut self.inputs.of_programs);
            self.to_wake.push(run);
        }
        self.tell_refused();
        !stops.is_empty()
    }

    fn carry_out(&mut self, effect: Effect) {
        trace!(?effect);
        self.note_effect(&effect);
        match effect {
            Effect::Spawn { run, spec, .. } => self.start_run(run, spec),
            // Before the loop waits, it looks at what instances wait for.
            Effect::AwaitContact { .. } => self.shared.children.borrow_mut().note_awaited(),
            Effect::RunHook { run, hook, spec, after, .. } => self.run_hook((run, hook), spec, after),
            Effect::EndHook { run, hook, signal } => self.end_hook(run, hook, signal),
            Effect::Signal { run, .. } | Effect::Sweep { run, .. } | Effect::SweepGroup { run, .. }
                if self.gives_up_start(run) => {}
            Effect::Signal { run, signal, scope } if listeners::postpones(&self.shared, (run, signal, scope)) => {}
            Effect::Signal { run, signal, scope } => {
                self.shared.children.borrow_mut().signal(run, signal, scope, &mut self.inputs.of_programs);
                self.tell_refused();
            }
            Effect::Wake { run, scope: SignalScope::Main } => self.to_wake.push(run),
            Effect::Wake { run, scope } => {
                if scope == SignalScope::MainGroup {
                    self.to_wake.push(run);
                }
                self.shared.children.borrow_mut().wake_tree(run, scope, &mut self.inputs.of_programs)
            }
            Effect::Sweep { run, signal } => self.sweeps.order(run, signal),
            Effect::SweepGroup { run, signal } => self.sweeps.order_group(run, signal),
            Effect::Disown { run } => self.shared.children.borrow_mut().disown(run),
            Effect::NameLeftovers { run, killed } => self.sweeps.name_first(run, killed),
            Effect::StartProbe { run, probe, spec, .. } => self.start_check(run, probe, spec),
            Effect::StopProbes { run } => {
                self.reads.give_up_checks(run);
                let commands = self.probes.stop(run);
                self.sweeps.kill(commands);
            }
            Effect::Arm { instance, schedule } => self.arm(instance, &schedule),
            Effect::Disarm { instance } => self.disarm(instance),
            Effect::SignalStrays { signal } => {
                self.signal_execs(signal);
                self.shared.children.borrow_mut().signal_strays(signal);
            }
            Effect::Reply { request, outcome } => {
                // A stop of a program that has exited changes its goal and nothing else.
                self.shared.children.borrow_mut().note_change();
                self.shared.state.note_command();
                let pending_drain = self.shared.children.borrow().logs().pending_drain();
                self.replies.send(request, outcome, pending_drain);
            }
            Effect::Publish(event) => {
                if let Event::ShutdownBegan { timeout, .. } = event {
                    self.budget = timeout.limit().and_then(|span| Instant::now().checked_add(span));
                    self.shared.children.borrow().logs().gather();
                }
                if matches!(event, Event::Configured { .. }) {
                    self.expect_memory();
                }
                self.shared.children.borrow_mut().note_change();
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
