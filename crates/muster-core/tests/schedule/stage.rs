//! The stage: inputs by name, effects as short text, and a referee that sees every effect.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_core::{
    Effect, Event, Input, Instance, Outcome, RequestId, Settings, ShutdownReason, Skipped, Supervisor, Time, Verb,
};
use muster_spec::{
    Exit, Goal, InstanceId, Overlap, ProgramSpec, RestartWhen, RunId, ScheduleSpec, ScheduleTimes, Signal,
};

use crate::common::programs::{ROOT, SETTINGS, job, when};

/// A job at times of the wall clock, with this rule for times during a run.
pub fn timed(name: &str, overlap: Overlap) -> ProgramSpec {
    let cron = ScheduleTimes::Cron { expression: "0 3 * * *".to_owned(), timezone: "UTC".to_owned() };
    scheduled(name, ScheduleSpec { overlap, ..ScheduleSpec::of(vec![cron]) })
}

/// A job with this schedule, which is not restarted.
pub fn scheduled(name: &str, schedule: ScheduleSpec) -> ProgramSpec {
    ProgramSpec { schedule: Some(Box::new(schedule)), restart: when(RestartWhen::Never), ..job(name) }
}

#[derive(Clone)]
pub struct Stage {
    pub core: Supervisor,
    pub now: Time,
    requests: u64,
    deeds: Vec<String>,
    /// The referee's knowledge: live runs by instance, armed instances, and open requests.
    live: BTreeMap<InstanceId, RunId>,
    armed: BTreeMap<InstanceId, bool>,
    open: Vec<RequestId>,
    answers: Vec<(RequestId, String)>,
    is_closing: bool,
    pub has_exited: bool,
}

impl Stage {
    pub fn of<const N: usize>(programs: [ProgramSpec; N]) -> Stage {
        Stage::with(SETTINGS, programs)
    }

    pub fn with<const N: usize>(settings: Settings, programs: [ProgramSpec; N]) -> Stage {
        let programs = programs.map(Arc::new);
        Stage {
            core: Supervisor::new(settings, &programs, 1),
            now: Time::ZERO,
            requests: 0,
            deeds: Vec::new(),
            live: BTreeMap::new(),
            armed: BTreeMap::new(),
            open: Vec::new(),
            answers: Vec::new(),
            is_closing: false,
            has_exited: false,
        }
    }

    pub fn booted<const N: usize>(programs: [ProgramSpec; N]) -> Stage {
        let mut stage = Stage::of(programs);
        stage.hand(Input::Booted);
        stage.deeds.clear();
        stage
    }

    pub fn one(&self, name: &str) -> &Instance {
        self.core.find(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    pub fn hand(&mut self, input: Input) {
        self.is_closing |= matches!(input, Input::ShutdownAsked { .. });
        if let Input::TreeGone { run } = input {
            self.live.retain(|_, live| *live != run);
        }
        self.core.handle_input(self.now, input);
        self.drain();
    }

    pub fn is_due(&mut self, name: &str) {
        let next_in = Some(Duration::from_secs(3600));
        self.hand(Input::Due { instance: self.one(name).id(), next_in });
    }

    pub fn order(&mut self, verb: Verb, select: &str) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.open.push(request);
        let select = select.parse().expect("a selector");
        self.hand(Input::Commanded { request, select, verb, wait: true, by: ROOT });
        request
    }

    pub fn spawned(&mut self, name: &str) {
        let run = self.one(name).run().expect("it has a run");
        self.hand(Input::Spawned { run });
    }

    /// Its main process ends, and nothing of it is left.
    pub fn exits(&mut self, name: &str, code: u8) {
        self.main_ends(name, code);
        self.tree_gone(name);
    }

    pub fn main_ends(&mut self, name: &str, code: u8) {
        let run = self.one(name).run().expect("it has a run");
        self.hand(Input::Exited { run, exit: Exit::Code(code) });
    }

    pub fn tree_gone(&mut self, name: &str) {
        if let Some(run) = self.one(name).run() {
            self.hand(Input::TreeGone { run });
        }
    }

    /// Reloads the configuration with these programs.
    pub fn reload<const N: usize>(&mut self, programs: [ProgramSpec; N]) {
        let programs = programs.map(Arc::new).to_vec();
        let settings = SETTINGS;
        self.hand(Input::Reloaded { request: None, by: None, programs, settings, restarts_all: false });
    }

    pub fn shutdown(&mut self) {
        self.hand(Input::ShutdownAsked { reason: ShutdownReason::Signal(Signal::TERM), timeout: None });
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

    /// The daemon does not run for this time.
    pub fn oversleeps(&mut self, span: Duration) {
        self.now = self.now + span;
        self.core.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            self.note(effect);
        }
        self.look();
    }

    fn name(&self, id: InstanceId) -> String {
        self.core.get(id).map_or("what was removed".to_owned(), |it| it.name().to_owned())
    }

    fn note(&mut self, effect: Effect) {
        assert!(!self.has_exited, "after the exit: {effect:?}");
        match effect {
            Effect::Spawn { run, instance, .. } => {
                assert_eq!(
                    self.core.instance(instance).goal(),
                    Goal::Up,
                    "spawned with the goal down: {:?}",
                    self.deeds
                );
                assert!(!self.is_closing, "spawned during the shutdown: {:?}", self.deeds);
                let other = self.live.insert(instance, run);
                assert_eq!(other, None, "spawned while another run is live: {:?}", self.deeds);
                self.deeds.push(format!("spawn {}", self.name(instance)));
            }
            Effect::Arm { instance, .. } => {
                self.armed.insert(instance, true);
                self.deeds.push(format!("arm {}", self.name(instance)));
            }
            Effect::Disarm { instance } => {
                self.armed.insert(instance, false);
                self.deeds.push(format!("disarm {}", self.name(instance)));
            }
            // Leftovers of a run whose main process has ended are not part of these stories.
            Effect::Signal { run, signal, .. } | Effect::Sweep { run, signal: signal @ Signal::KILL } => {
                let of = self.core.instance_of(run).map(Instance::id);
                self.deeds.push(format!("{signal} {}", of.map_or_else(String::new, |id| self.name(id))));
            }
            Effect::Publish(Event::Skipped { instance, why }) => {
                let why = match why {
                    Skipped::Missed { times } => format!("missed {times}"),
                    why => format!("{why:?}").to_lowercase(),
                };
                self.deeds.push(format!("skip {}: {why}", self.name(instance)));
            }
            Effect::Reply { request, outcome } => {
                let place = self.open.iter().position(|open| *open == request);
                self.open.remove(place.unwrap_or_else(|| panic!("{request:?} is answered twice")));
                self.answers.push((request, answer(&outcome)));
            }
            Effect::Exit { code } => {
                assert_eq!(self.open, [], "the daemon ends without these answers");
                self.has_exited = true;
                self.deeds.push(format!("exit {code}"));
            }
            _ => {}
        }
    }

    /// Checks the promises that hold after every input.
    fn look(&mut self) {
        for one in self.core.snapshot().iter().filter(|one| one.program().schedule.is_some()) {
            let is_armed = self.armed.get(&one.id()).copied().unwrap_or(false);
            assert_eq!(is_armed, one.is_armed(), "{} {:?} {}: {:?}", one.name(), one.goal(), one.state(), self.deeds);
            assert!(!one.awaits_time() || one.is_armed() && one.run().is_none(), "{:?}", self.deeds);
        }
    }

    /// Checks the effects since the last check.
    #[track_caller]
    pub fn did(&mut self, expected: &str) {
        assert_eq!(self.take_deeds(), expected, "at {}", self.now);
    }

    pub fn take_deeds(&mut self) -> String {
        std::mem::take(&mut self.deeds)
            .into_iter()
            .filter(|deed| !deed.starts_with("SIGCONT"))
            .collect::<Vec<_>>()
            .join(", ")
    }

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
        let answer = self.answers.iter().find(|(known, _)| *known == request).map(|(_, answer)| answer.as_str());
        assert_eq!(answer, Some(expected), "at {}", self.now);
    }

    #[track_caller]
    pub fn waits_for(&self, name: &str, expected: &str) {
        assert_eq!(self.core.waiting_for(self.one(name).id(), self.now).join(" and "), expected, "at {}", self.now);
    }
}

fn answer(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Results(results) => {
            let words = results.iter().map(|(_, result)| match result {
                Ok(done) => format!("{done:?}"),
                Err(failure) => format!("{failure:?}!"),
            });
            words.collect::<Vec<_>>().join(", ")
        }
        other => format!("{other:?}"),
    }
}
