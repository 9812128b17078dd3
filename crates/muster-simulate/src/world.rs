//! A world without processes: the daemon's own [`Supervisor`] under a virtual clock, and programs that follow a script.
//!
//! Nothing takes time here except as scripted: a spawn completes at once, a tree is gone with its main process or the
//! scripted leftover. If a deadline and an event coincide, the deadline comes first, unless the plan reverses that: a run
//! of exactly `startsecs` was RUNNING. Executing a program takes longer than the exit of a process, if only slightly.
//! Reads no clock and no file. The result is a [`Timeline`].

mod clients;
pub(crate) mod living;
mod starts;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use muster_core::{Effect, Input, LeftBehind, ProbeOutcome, Settings, ShutdownReason, Supervisor, Time, time::LATE};
use muster_schedule::Agenda;
use muster_spec::{Exit, Hook, InstanceId, InstanceSpec, ProbeKind, RunId, Signal, Spec};

use crate::scenario::{Connect, Leftover, Pause, PlannedRun, Script, Ties};
use crate::timeline::{Moment, Over, Recorder, Timeline};

/// The maximum number of events, and of events at one moment: without any delay between an end and a start, time would
/// never advance.
const MOST_MOMENTS: usize = 500_000;
const MOST_AT_ONCE: usize = 10_000;

/// The conditions of a simulation, from outside and inside.
#[derive(Clone, Debug)]
pub(crate) struct SimulationPlan {
    /// The scripts of runs, by instance or program. Programs without one run indefinitely.
    pub(crate) scripts: BTreeMap<String, Script>,
    /// When the container gets SIGTERM.
    pub(crate) stop_at: Option<Duration>,
    /// When the daemon itself does not run, in chronological order.
    pub(crate) pauses: Vec<Pause>,
    /// The clients of programs that start on a connection.
    pub(crate) connects: Vec<Connect>,
    /// The time limit.
    pub(crate) until: Duration,
    /// The wall clock at the beginning, in seconds since 1970.
    pub(crate) from: i64,
    /// The random seed: jitter is the same for the same seed.
    pub(crate) seed: u64,
    /// Which comes first when a deadline and the end of its run coincide.
    pub(crate) ties: Ties,
    /// Masks secrets in the output.
    pub(crate) mask: fn(&str) -> String,
}

/// A scheduled event.
enum Coming {
    Exit {
        run: RunId,
        exit: Exit,
    },
    Ready {
        run: RunId,
    },
    /// Too much memory for too long.
    Memory {
        run: RunId,
    },
    /// The kernel kills the main process for lack of memory.
    OutOfMemory {
        run: RunId,
    },
    /// A watchdog message, repeated at this interval.
    Ping {
        run: RunId,
        every: Duration,
    },
    /// A hook of a run exits.
    HookEnd {
        run: RunId,
        hook: Hook,
        exit: Exit,
    },
    /// A leftover process of a run exits.
    LeftoverEnd {
        run: RunId,
    },
    /// A client comes to a program, by its number in the plan.
    Contact(usize),
    Stop,
    /// A time of a schedule comes.
    WallClock,
}

struct Run {
    began: Time,
    planned: PlannedRun,
    is_over: bool,
    /// Whether its leftover process has got the stop signal.
    is_leftover_asked: bool,
}

/// Called with each moment when it is complete.
pub(crate) type Listener<'a> = &'a mut dyn FnMut(&Moment);

struct World<'a> {
    supervisor: Supervisor,
    plan: &'a SimulationPlan,
    scripts: Vec<Option<&'a Script>>,
    /// The number of runs of each instance.
    counts: Vec<usize>,
    runs: HashMap<RunId, Run>,
    agenda: Agenda<InstanceId>,
    coming: BTreeMap<(Time, u64), Coming>,
    next_coming: u64,
    /// The plan of the latest run of each instance.
    latest: Vec<Option<(RunId, PlannedRun)>>,
    /// The hooks that are running, and whether only SIGKILL ends them.
    hooks: HashMap<RunId, (Hook, bool)>,
    inputs: VecDeque<Input>,
    /// The notifications of new processes, after everything else of the moment.
    births: VecDeque<Input>,
    recorder: Recorder,
    /// Programs with clients that no run has taken.
    clients: BTreeSet<String>,
    /// The number of events at this moment.
    at_once: usize,
    exit: Option<u8>,
    /// When it begins.
    begin: Time,
    /// The most events.
    most: usize,
    /// Whether the result is still of use.
    is_wanted: &'a dyn Fn() -> bool,
    /// How many of the pauses are over.
    paused: usize,
    /// Whether it has just woken from a pause: then events of that time come before deadlines.
    is_waking: bool,
    listener: Option<Listener<'a>>,
}

/// Runs a configuration according to a plan, and returns everything that happened.
pub(crate) fn simulate(spec: &Spec, plan: &SimulationPlan) -> Timeline {
    World::of(spec, plan, None).play()
}

/// The same, with every moment passed on when it is complete and then dropped: the timeline has none.
pub(crate) fn simulate_to(spec: &Spec, plan: &SimulationPlan, listener: Listener<'_>) -> Timeline {
    World::of(spec, plan, Some(listener)).play()
}

/// A timeline before anything has happened.
pub(crate) fn nothing_yet(spec: &Spec, plan: &SimulationPlan) -> Timeline {
    let World { recorder, supervisor, .. } = World::of(spec, plan, None);
    recorder.finish(&supervisor, Some(plan.seed), Time::ZERO, Over::AtRest)
}

impl<'a> World<'a> {
    fn of(spec: &Spec, plan: &'a SimulationPlan, listener: Option<Listener<'a>>) -> World<'a> {
        let settings = Settings {
            shutdown_timeout: spec.daemon.shutdown_timeout,
            shutdown_order: spec.daemon.shutdown_order,
            exit_status: spec.daemon.exit_status,
            second_signal: spec.daemon.second_signal,
            exit_when_done: spec.daemon.exit_when_done,
            max_parallel_starts: spec.daemon.max_parallel_starts,
        };
        let supervisor = Supervisor::new(settings, &spec.programs, plan.seed);
        let inputs = VecDeque::from([Input::Booted]);
        World { inputs, listener, ..World::with(supervisor, plan) }
    }

    /// A world of this supervisor, in which nothing happens yet.
    fn with(supervisor: Supervisor, plan: &'a SimulationPlan) -> World<'a> {
        let numbers = supervisor.snapshot().iter().map(|instance| instance.id().0 as usize);
        let instances = numbers.max().map_or(0, |last| last + 1);
        let mut scripts = vec![None; instances];
        for instance in supervisor.snapshot() {
            let own = plan.scripts.get(instance.name());
            scripts[instance.id().0 as usize] = own.or_else(|| plan.scripts.get(&instance.program().name));
        }
        World {
            scripts,
            counts: vec![0; instances],
            recorder: Recorder::of(&supervisor),
            supervisor,
            plan,
            runs: HashMap::new(),
            agenda: Agenda::default(),
            coming: BTreeMap::new(),
            next_coming: 0,
            latest: vec![None; instances],
            hooks: HashMap::new(),
            inputs: VecDeque::new(),
            births: VecDeque::new(),
            clients: BTreeSet::new(),
            at_once: 0,
            exit: None,
            begin: Time::ZERO,
            most: MOST_MOMENTS,
            is_wanted: &|| true,
            paused: 0,
            is_waking: false,
            listener: None,
        }
    }

    fn play(mut self) -> Timeline {
        let (ended, over) = self.run();
        self.hand_on();
        self.recorder.finish(&self.supervisor, Some(self.plan.seed), ended, over)
    }

    fn hand_on(&mut self) {
        if let Some(listener) = &mut self.listener {
            self.recorder.hand_on(listener);
        }
    }

    /// Runs until the container exits, the time limit is reached, or nothing more will happen. Returns when, and which.
    fn run(&mut self) -> (Time, Over) {
        let until = Time::from_origin(self.plan.until);
        if let Some(stop_at) = self.plan.stop_at {
            self.expect(Time::from_origin(stop_at), Coming::Stop);
        }
        for (number, connect) in self.plan.connects.iter().enumerate() {
            self.expect(Time::from_origin(connect.at), Coming::Contact(number));
        }
        let mut now = self.begin;
        self.settle(now);
        while self.exit.is_none() {
            if self.at_once > MOST_AT_ONCE {
                return (now, Over::CutAtOnce(MOST_AT_ONCE));
            }
            if self.recorder.count() > self.most {
                return (now, Over::Cut(self.most));
            }
            if !(self.is_wanted)() {
                return (now, Over::Unwanted);
            }
            let coming = self.coming.first_key_value().map(|(&(at, _), _)| at);
            let deadline = self.supervisor.poll_timeout();
            let Some(next) = coming.into_iter().chain(deadline).min() else { return (now, Over::AtRest) };
            let next = self.awake_at(now, next, deadline);
            if next > until {
                return (until, Over::TimeUp);
            }
            if next > now {
                self.hand_on();
            }
            self.at_once = if next > now { 0 } else { self.at_once + 1 };
            now = now.max(next);
            let is_tie = !self.is_waking && self.note_tie(now);
            let is_due = self.is_waking && self.coming.first_key_value().is_some_and(|(&(at, _), _)| at <= now);
            self.is_waking = is_due;
            let is_other_first = is_due || is_tie && self.plan.ties == Ties::Exit;
            let deadline = self.supervisor.poll_timeout();
            if deadline.is_some_and(|deadline| deadline <= now) && !is_other_first {
                self.supervisor.handle_timeout(now);
                self.drain(now);
            } else if let Some(((at, _), coming)) = self.coming.pop_first() {
                self.happen(at, coming);
            }
            self.settle(now);
        }
        (now, Over::Exited)
    }

    /// When the daemon notices an event, or is due, at this time: when it runs again, if it is paused then. If
    /// that makes it late for its deadline, all deadlines move by the length of the pause, as in the event loop.
    fn awake_at(&mut self, rested: Time, next: Time, asked: Option<Time>) -> Time {
        while let Some(pause) = self.plan.pauses.get(self.paused) {
            let (begin, end) = (Time::from_origin(pause.at), Time::from_origin(pause.at + pause.span));
            if next < begin || end > Time::from_origin(self.plan.until) {
                break;
            }
            self.paused += 1;
            let is_noticed = next < end;
            let is_late = is_noticed && asked.is_some_and(|asked| end.since(asked.max(rested)) > LATE);
            let lost = is_late.then(|| end.since(rested));
            self.hand_on();
            self.recorder.note_pause(end, pause.span, lost);
            if let Some(by) = lost {
                self.supervisor.handle_input(end, Input::TimeLost { by });
                self.drain(end);
            }
            if is_noticed {
                self.is_waking = true;
                return end;
            }
        }
        next
    }

    /// Whether a run ends at this moment together with a deadline of its instance.
    fn note_tie(&mut self, now: Time) -> bool {
        let of = |coming: &Coming| match coming {
            Coming::Exit { run, .. } if self.runs.get(run).is_some_and(|known| !known.is_over) => {
                self.supervisor.instance_of(*run)
            }
            _ => None,
        };
        let ending = self.coming.range(..=(now, u64::MAX)).filter_map(|(_, coming)| of(coming));
        let tied = ending.filter(|instance| instance.earliest_deadline().is_some_and(|at| at <= now));
        let tied: Vec<InstanceId> = tied.map(muster_core::Instance::id).collect();
        self.recorder.note_ties(&tied, self.plan.ties);
        !tied.is_empty()
    }

    fn expect(&mut self, at: Time, coming: Coming) {
        self.next_coming += 1;
        self.coming.insert((at, self.next_coming), coming);
    }

    /// Handles a scheduled event; the daemon may notice it later.
    fn happen(&mut self, at: Time, coming: Coming) {
        match coming {
            Coming::Exit { run, exit } => self.end(run, exit),
            Coming::Ready { run } => self.inputs.push_back(Input::Ready { run }),
            Coming::Memory { run } => {
                let detail = "too much, as the script says".to_owned();
                self.inputs.push_back(Input::MemoryExceeded { run, detail });
            }
            Coming::OutOfMemory { run } => {
                self.inputs.push_back(Input::OutOfMemory { run });
                self.end(run, Exit::Signal { signal: Signal::KILL, core_dumped: false });
            }
            Coming::Ping { run, every } => self.ping(at, run, every),
            Coming::HookEnd { run, hook, exit } => self.hook_ends(run, hook, exit),
            Coming::LeftoverEnd { run } => self.gone(run),
            Coming::WallClock => self.look_at_wall_clock(at),
            Coming::Contact(number) => self.contact(number),
            Coming::Stop => {
                let reason = ShutdownReason::Signal(Signal::TERM);
                self.inputs.push_back(Input::ShutdownAsked { reason, timeout: None });
            }
        }
    }

    /// A main process exits, unless it has already.
    fn end(&mut self, run: RunId, exit: Exit) {
        if let Some(known) = self.runs.get_mut(&run).filter(|known| !known.is_over) {
            known.is_over = true;
            self.inputs.push_back(Input::Exited { run, exit });
        }
    }

    /// Sends watchdog messages as programs should: at half the interval.
    fn ping(&mut self, now: Time, run: RunId, every: Duration) {
        let lives = |known: &&Run| !known.is_over && known.planned.lives_after(now.since(known.began));
        if self.runs.get(&run).filter(lives).is_some() {
            self.inputs.push_back(Input::WatchdogPinged { run });
            self.expect(now + every, Coming::Ping { run, every });
        }
    }

    /// One input, then every effect, until nothing is left to process.
    fn settle(&mut self, now: Time) {
        while self.at_once <= MOST_AT_ONCE
            && let Some(input) = self.inputs.pop_front().or_else(|| self.births.pop_front())
        {
            self.at_once += 1;
            self.supervisor.handle_input(now, input);
            self.drain(now);
        }
    }

    fn drain(&mut self, now: Time) {
        while let Some(effect) = self.supervisor.poll_effect() {
            self.carry_out(now, effect);
        }
    }

    fn carry_out(&mut self, now: Time, effect: Effect) {
        match effect {
            Effect::Spawn { run, instance, spec } => self.spawn(now, run, instance, &spec),
            Effect::RunHook { run, instance, hook, .. } => self.run_hook(now, run, instance, hook),
            Effect::EndHook { run, hook, signal } => {
                let ends = self.hooks.get(&run).is_some_and(|(_, ignores)| !ignores || signal == Signal::KILL);
                if ends {
                    self.hook_ends(run, hook, Exit::Signal { signal, core_dumped: false });
                }
            }
            Effect::Signal { run, signal, .. } => {
                if let Some(instance) = self.supervisor.instance_of(run).filter(|_| signal != Signal::KILL) {
                    self.recorder.note_signal(now, instance, signal);
                }
                self.signal(now, run, signal);
            }
            Effect::Sweep { run, signal } => {
                if self.runs.get(&run).is_some_and(|run| run.is_over) {
                    self.sweep(now, run, signal);
                } else {
                    self.signal(now, run, signal);
                }
            }
            // The leftover of a script is in the group of its main process.
            Effect::SweepGroup { run, signal } => self.sweep(now, run, signal.unwrap_or(Signal::TERM)),
            Effect::Disown { run } => drop(self.runs.remove(&run)),
            Effect::NameLeftovers { run, killed } => {
                if self.runs.get(&run).is_some_and(|known| known.planned.leftover.is_some()) {
                    let left = LeftBehind { count: 1, killed, ..LeftBehind::default() };
                    self.inputs.push_back(Input::LeftBehind { run, left });
                }
            }
            Effect::Publish(event) => self.recorder.record(now, &event, &self.supervisor),
            Effect::Arm { instance, schedule } => self.arm(now, instance, &schedule),
            Effect::Disarm { instance } => self.agenda.disarm(instance),
            Effect::Exit { code } => self.exit = Some(code),
            // Scripts have no stopped processes and no strays, and no client requests.
            Effect::Wake { .. } | Effect::SignalStrays { .. } | Effect::Reply { .. } => {}
            Effect::StartProbe { run, probe, spec, .. } => self.answer(now, run, probe, &spec),
            Effect::AwaitContact { instance } => self.look_for_clients(instance),
            // Every probe has been answered at once.
            Effect::StopProbes { .. } => {}
        }
    }

    /// Handles the leftover of a run whose main process has exited, if there is one.
    fn sweep(&mut self, now: Time, run: RunId, signal: Signal) {
        let Some(known) = self.runs.get_mut(&run) else { return };
        let is_first = !std::mem::replace(&mut known.is_leftover_asked, true);
        match known.planned.leftover.filter(|_| signal != Signal::KILL) {
            Some(Leftover::Ignores) => {}
            Some(Leftover::Ends { after }) if is_first && !after.is_zero() => {
                self.expect(now + after, Coming::LeftoverEnd { run });
            }
            Some(Leftover::Ends { .. }) if !is_first => {}
            Some(Leftover::Ends { .. }) | None => self.gone(run),
        }
    }

    fn gone(&mut self, run: RunId) {
        if self.runs.remove(&run).is_some() {
            self.inputs.push_back(Input::TreeGone { run });
        }
    }

    /// A probe gets the scripted result, at once.
    fn answer(&mut self, now: Time, run: RunId, probe: usize, spec: &InstanceSpec) {
        let Some(known) = self.runs.get(&run).filter(|known| !known.is_over) else { return };
        let success = passes(&known.planned, now.since(known.began), spec.probes.get(probe).map(|probe| probe.kind));
        let detail = if success { "well" } else { "not well, as the script says" }.to_owned();
        self.inputs.push_back(Input::ProbeFinished { run, probe, outcome: ProbeOutcome { success, detail } });
    }

    fn signal(&mut self, now: Time, run: RunId, signal: Signal) {
        let Some(known) = self.runs.get(&run) else { return };
        if let Some((exit, after)) = known.planned.reaction(signal) {
            if after.is_zero() {
                self.end(run, exit);
            } else {
                self.expect(now + after, Coming::Exit { run, exit });
            }
        }
    }
}

/// The result of a probe of this kind, or otherwise of the check of a readiness rule, for a run of this age.
pub(crate) fn passes(planned: &PlannedRun, age: Duration, kind: Option<ProbeKind>) -> bool {
    match kind {
        None | Some(ProbeKind::Startup) => planned.is_ready_after(age),
        Some(ProbeKind::Readiness) => planned.is_ready_after(age) && planned.is_well_after(age),
        Some(ProbeKind::Liveness) => planned.is_well_after(age),
    }
}

mod wall_clock;

#[cfg(test)]
mod tests;
