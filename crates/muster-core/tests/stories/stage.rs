//! The stage for the stories: inputs by name, and effects, states and replies as short readable text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_core::{
    Awaited, Done, Effect, Event, Failure, Input, Instance, LeftBehind, Outcome, ProbeOutcome, ReloadPlan, RequestId,
    Settings, ShutdownReason, Supervisor, Time, Verb,
};
use muster_spec::{Exit, InstanceId, ProgramSpec, RunId, Signal, SignalScope, SpawnError};

use crate::common::programs::{ROOT, SETTINGS, killed_by};
use crate::common::witness::Witness;

pub struct Stage {
    pub core: Supervisor,
    witness: Witness,
    pub now: Time,
    runs: BTreeMap<RunId, String>,
    requests: u64,
    deeds: Vec<String>,
    answers: BTreeMap<RequestId, String>,
    pub events: Vec<Event>,
    /// The requests to name leftovers: whether each was for killed ones.
    pub to_name: Vec<bool>,
}

impl Stage {
    pub fn of<const N: usize>(programs: [ProgramSpec; N]) -> Stage {
        Stage::with(SETTINGS, programs)
    }

    pub fn with<const N: usize>(settings: Settings, programs: [ProgramSpec; N]) -> Stage {
        let programs = programs.map(Arc::new);
        Stage {
            core: Supervisor::new(settings, &programs, 1),
            witness: Witness::new(settings, &programs),
            now: Time::ZERO,
            runs: BTreeMap::new(),
            requests: 0,
            deeds: Vec::new(),
            answers: BTreeMap::new(),
            events: Vec::new(),
            to_name: Vec::new(),
        }
    }

    /// With every autostart program spawned, and no other input.
    pub fn booted<const N: usize>(programs: [ProgramSpec; N]) -> Stage {
        Stage::of(programs).boot()
    }

    pub fn boot(mut self) -> Stage {
        self.hand(Input::Booted);
        let fresh: Vec<RunId> = self.core.snapshot().iter().filter_map(Instance::run).collect();
        fresh.into_iter().for_each(|run| self.hand(Input::Spawned { run }));
        self.deeds.clear();
        self.events.clear();
        self
    }

    fn one(&self, name: &str) -> &Instance {
        self.core.find(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    pub fn run(&self, name: &str) -> RunId {
        self.one(name).run().unwrap_or_else(|| panic!("nothing of {name} is left"))
    }
}

/// Inputs.
impl Stage {
    pub fn hand(&mut self, input: Input) {
        self.witness.hears(&input, &self.core);
        self.core.handle_input(self.now, input);
        self.drain();
    }

    pub fn spawned(&mut self, name: &str) {
        self.hand(Input::Spawned { run: self.run(name) });
    }

    pub fn spawn_fails(&mut self, name: &str, error: SpawnError) {
        self.hand(Input::SpawnFailed { run: self.run(name), error });
    }

    pub fn says_ready(&mut self, name: &str) {
        self.hand(Input::Ready { run: self.run(name) });
    }

    pub fn pings(&mut self, name: &str) {
        self.hand(Input::WatchdogPinged { run: self.run(name) });
    }

    pub fn asks_for(&mut self, name: &str, by: Duration) {
        self.hand(Input::Extended { run: self.run(name), by });
    }

    /// One of its probes has finished.
    pub fn check_of(&mut self, name: &str, probe: usize, success: bool) {
        let detail = if success { "200 OK" } else { "connection refused" }.to_owned();
        self.hand(Input::ProbeFinished { run: self.run(name), probe, outcome: ProbeOutcome { success, detail } });
    }

    /// Reloads the configuration with these programs.
    pub fn reload<const N: usize>(&mut self, programs: [ProgramSpec; N]) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        let programs = programs.map(Arc::new).to_vec();
        self.hand(Input::Reloaded {
            request: Some(request),
            by: None,
            programs,
            settings: SETTINGS,
            restarts_all: false,
        });
        request
    }

    /// Its main process ends; the rest of its tree may survive.
    pub fn main_ends(&mut self, name: &str, exit: Exit) {
        self.hand(Input::Exited { run: self.run(name), exit });
    }

    pub fn tree_gone(&mut self, name: &str) {
        self.hand(Input::TreeGone { run: self.run(name) });
    }

    pub fn names(&mut self, name: &str, left: LeftBehind) {
        self.hand(Input::LeftBehind { run: self.run(name), left });
    }

    /// It ends, and no process of its tree is left.
    pub fn exits(&mut self, name: &str, code: u8) {
        let run = self.run(name);
        self.hand(Input::Exited { run, exit: Exit::Code(code) });
        self.hand(Input::TreeGone { run });
    }

    pub fn is_killed(&mut self, name: &str, signal: Signal) {
        let run = self.run(name);
        self.hand(Input::Exited { run, exit: killed_by(signal) });
        self.hand(Input::TreeGone { run });
    }

    /// Time passes without other inputs; the daemon wakes at each deadline.
    pub fn after(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(at) = self.core.poll_timeout().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.core.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// The daemon misses all deadlines in this time.
    pub fn oversleeps(&mut self, span: Duration) {
        self.witness.is_late = true;
        self.now = self.now + span;
        self.core.handle_timeout(self.now);
        self.drain();
    }

    pub fn ask(&mut self, verb: Verb, select: &str) -> RequestId {
        self.order(verb, select, true)
    }

    /// Without waiting for completion.
    pub fn order(&mut self, verb: Verb, select: &str, wait: bool) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        let select = select.parse().expect("a selector");
        self.hand(Input::Commanded { request, select, verb, wait, by: ROOT });
        request
    }

    pub fn start(&mut self, select: &str) -> RequestId {
        self.ask(Verb::Start, select)
    }

    pub fn stop(&mut self, select: &str) -> RequestId {
        self.ask(Verb::Stop, select)
    }

    pub fn restart(&mut self, select: &str) -> RequestId {
        self.ask(Verb::Restart, select)
    }

    pub fn wait_for(&mut self, awaited: Awaited, select: &str) -> RequestId {
        self.ask(Verb::Await(awaited), select)
    }

    pub fn signal_to_daemon(&mut self, signal: Signal) {
        self.hand(Input::ShutdownAsked { reason: ShutdownReason::Signal(signal), timeout: None });
    }

    fn drain(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            if let Err(broken) = self.witness.sees(self.now, &effect) {
                panic!("{broken}, after {:?}", self.deeds);
            }
            self.note(effect);
        }
        if let Err(broken) = self.witness.looks(&self.core) {
            panic!("{broken}, after {:?}", self.deeds);
        }
    }

    fn note(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn { run, instance, .. } => {
                self.runs.insert(run, self.core.instance(instance).name().to_owned());
                self.deeds.push(format!("spawn {}", self.name(run)));
            }
            // It follows every stop signal, and the stories do not repeat it; `stopping.rs` checks it once.
            Effect::Wake { .. } => {}
            Effect::Signal { run, signal, scope: SignalScope::Main } => {
                self.deeds.push(format!("{} {}", bare(signal), self.name(run)));
            }
            Effect::Signal { run, signal, scope } => {
                self.deeds.push(format!("{} {scope:?} of {}", bare(signal), self.name(run)));
            }
            Effect::Sweep { run, signal } => {
                self.deeds.push(format!("sweep {} with {}", self.name(run), bare(signal)));
            }
            Effect::SweepGroup { run, signal } => {
                let signal = signal.map_or("nothing".to_owned(), bare);
                self.deeds.push(format!("sweep the group of {} with {signal}", self.name(run)));
            }
            Effect::Disown { run } => self.deeds.push(format!("disown {}", self.name(run))),
            Effect::StartProbe { run, spec, probe, .. } => {
                let name = spec.check(probe).expect("only what is configured is checked").name;
                self.deeds.push(format!("check {name} of {}", self.name(run)));
            }
            Effect::NameLeftovers { killed, .. } => self.to_name.push(killed),
            Effect::RunHook { .. } | Effect::EndHook { .. } => panic!("no program of these stories has hooks"),
            Effect::Arm { .. } | Effect::Disarm { .. } => panic!("no program of these stories has a schedule"),
            Effect::AwaitContact { instance } => {
                self.deeds.push(format!("await a client of {}", self.core.get(instance).map_or("?", |it| it.name())))
            }
            Effect::StopProbes { run } => self.deeds.push(format!("stop checking {}", self.name(run))),
            Effect::SignalStrays { signal } => self.deeds.push(format!("{} strays", bare(signal))),
            Effect::Reply { request, outcome } => drop(self.answers.insert(request, self.words(outcome))),
            Effect::Publish(event) => self.events.push(event),
            Effect::Exit { code } => self.deeds.push(format!("exit {code}")),
        }
    }

    fn name(&self, run: RunId) -> &str {
        &self.runs[&run]
    }

    fn words(&self, outcome: Outcome) -> String {
        let name = |id| self.core.get(id).map_or("what was removed", Instance::name);
        let of_one = |(id, result): (InstanceId, Result<Done, Failure>)| match result {
            Ok(done) => format!("{} {done:?}", name(id)),
            Err(Failure::Waiting(on)) => format!("{} waits for {}", name(id), on.join(" and ")),
            Err(Failure::InVain(on)) => format!("{} waits in vain for {}", name(id), on.join(" and ")),
            Err(Failure::Ended(end)) => format!("{} failed: {end}", name(id)),
            Err(failure) => format!("{} {failure:?}!", name(id)),
        };
        match outcome {
            Outcome::Reloaded(plan) => plan_in_words(&plan),
            Outcome::ShuttingDown => "refused: shutting down".to_owned(),
            Outcome::NoSuchProgram(pattern) => format!("no such program: {pattern}"),
            Outcome::Results(results) => results.into_iter().map(of_one).collect::<Vec<_>>().join(", "),
        }
    }
}

fn plan_in_words(plan: &ReloadPlan) -> String {
    let lists =
        [("add", &plan.added), ("remove", &plan.removed), ("restart", &plan.restarted), ("change", &plan.changed)];
    let told = lists.iter().filter(|(_, names)| !names.is_empty());
    let told = told.map(|(word, names)| format!("{word} {}", names.join(" ")));
    told.chain([format!("{} as before", plan.unchanged)]).collect::<Vec<_>>().join(", ")
}

fn bare(signal: Signal) -> String {
    signal.to_string().trim_start_matches("SIG").to_owned()
}

/// Checks.
impl Stage {
    /// Checks the exact effects since the last check, in order.
    #[track_caller]
    pub fn did(&mut self, expected: &str) {
        let deeds = self.deeds().join(", ");
        assert_eq!(deeds, expected, "at {}", self.now);
    }

    /// The effects since the last check.
    pub fn deeds(&mut self) -> Vec<String> {
        std::mem::take(&mut self.deeds)
    }

    /// Discards the effects so far.
    pub fn forget_deeds(&mut self) {
        self.deeds.clear();
        self.events.clear();
    }

    #[track_caller]
    pub fn did_nothing(&mut self) {
        self.did("");
    }

    /// Checks all states by name: `web RUNNING, db STOPPED`; or those of the given names.
    #[track_caller]
    pub fn stands(&self, expected: &str) {
        let of_one = |part: &str| {
            let name = part.split(' ').next().unwrap_or_default();
            format!("{name} {}", self.one(name).state())
        };
        let states: Vec<String> = expected.split(", ").map(of_one).collect();
        assert_eq!(states.join(", "), expected, "at {}", self.now);
    }

    #[track_caller]
    pub fn answered(&self, request: RequestId, expected: &str) {
        assert_eq!(self.answers.get(&request).map(String::as_str), Some(expected), "at {}", self.now);
    }

    #[track_caller]
    pub fn not_answered(&self, request: RequestId) {
        assert_eq!(self.answers.get(&request), None, "at {}", self.now);
    }

    /// The unmet conditions of a WAITING instance.
    #[track_caller]
    pub fn waits_for(&self, name: &str, expected: &str) {
        assert_eq!(self.core.waiting_for(self.one(name).id(), self.now).join(" and "), expected, "at {}", self.now);
    }

    /// The delay before the next run, in milliseconds.
    #[track_caller]
    pub fn next_start_in(&self, name: &str) -> u128 {
        let next = self.one(name).next_start().unwrap_or_else(|| panic!("{name} waits for nothing"));
        next.since(self.now).as_millis()
    }

    /// The daemon's exit code, if it has exited.
    pub fn exit_code(&self) -> Option<u8> {
        self.witness.has_exited
    }

    pub fn failures(&self, name: &str) -> u32 {
        self.one(name).failures(self.now)
    }
}
