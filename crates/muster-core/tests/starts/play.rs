//! A supervisor whose inputs are given by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_core::{
    Effect, Event, Input, Instance, Outcome, RequestId, Settings, ShutdownReason, Supervisor, Time, Verb,
};
use muster_spec::{Exit, ProgramSpec, Signal, State};

use crate::common::programs::{ROOT, SETTINGS};

#[derive(Clone)]
pub struct Play {
    pub core: Supervisor,
    pub now: Time,
    /// The names of the instances that the last input or deadline spawned, in order.
    pub spawned: Vec<String>,
    /// The instances whose state was BACKOFF before it was WAITING.
    pub retrying: BTreeMap<String, bool>,
    pub replies: BTreeMap<RequestId, Outcome>,
    requests: u64,
    pub exit: Option<u8>,
}

impl Play {
    pub fn of<const N: usize>(settings: Settings, programs: [ProgramSpec; N]) -> Play {
        Play::of_list(settings, programs.to_vec())
    }

    pub fn of_list(settings: Settings, programs: Vec<ProgramSpec>) -> Play {
        let programs: Vec<Arc<ProgramSpec>> = programs.into_iter().map(Arc::new).collect();
        let core = Supervisor::new(settings, &programs, 1);
        let (spawned, replies, retrying) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut play = Play { core, now: Time::ZERO, spawned, retrying, replies, requests: 0, exit: None };
        play.hand(Input::Booted);
        play
    }

    /// With the defaults of the daemon.
    pub fn plain<const N: usize>(programs: [ProgramSpec; N]) -> Play {
        Play::of(SETTINGS, programs)
    }

    /// At most so many may be STARTING.
    pub fn at_most<const N: usize>(max_parallel_starts: u32, programs: [ProgramSpec; N]) -> Play {
        Play::of(Settings { max_parallel_starts, ..SETTINGS }, programs)
    }

    pub fn hand(&mut self, input: Input) {
        self.spawned.clear();
        self.core.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Spawn { instance, .. } => {
                    self.spawned.push(self.core.instance(instance).name().to_owned());
                }
                Effect::Publish(Event::State { instance, from, to: State::Waiting, .. }) => {
                    let name = self.core.instance(instance).name().to_owned();
                    self.retrying.insert(name, from == State::Backoff);
                }
                Effect::Reply { request, outcome } => {
                    assert!(self.replies.insert(request, outcome).is_none(), "two replies to {request:?}");
                }
                Effect::Exit { code } => self.exit = Some(code),
                _ => {}
            }
        }
    }

    pub fn one(&self, name: &str) -> &Instance {
        self.core.find(name).expect("it is configured")
    }

    pub fn state(&self, name: &str) -> State {
        self.one(name).state()
    }

    pub fn ask(&mut self, name: &str, verb: Verb) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        let select = name.parse().expect("it is a name");
        self.hand(Input::Commanded { request, select, verb, wait: true, by: ROOT });
        request
    }

    pub fn reload(&mut self, settings: Settings, programs: Vec<ProgramSpec>) {
        let programs = programs.into_iter().map(Arc::new).collect();
        self.hand(Input::Reloaded { request: None, by: None, programs, settings, restarts_all: false });
    }

    pub fn shutdown(&mut self) {
        self.hand(Input::ShutdownAsked { reason: ShutdownReason::Signal(Signal::TERM), timeout: None });
    }

    pub fn is_spawned(&mut self, name: &str) {
        let run = self.one(name).run().expect("it has a run");
        self.hand(Input::Spawned { run });
    }

    pub fn main_ends(&mut self, name: &str, code: u8) {
        let run = self.one(name).run().expect("it has a run");
        self.hand(Input::Exited { run, exit: Exit::Code(code) });
    }

    pub fn is_gone(&mut self, name: &str) {
        let run = self.one(name).run().expect("it has a run");
        self.hand(Input::TreeGone { run });
    }

    /// It exits, and nothing of it is left.
    pub fn exits(&mut self, name: &str, code: u8) {
        self.main_ends(name, code);
        let spawned = std::mem::take(&mut self.spawned);
        self.is_gone(name);
        self.spawned.splice(0..0, spawned);
    }

    /// Time passes; the daemon wakes at each deadline.
    pub fn later(&mut self, by: Duration) {
        let until = self.now + by;
        self.spawned.clear();
        while let Some(at) = self.core.poll_timeout().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.core.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    #[track_caller]
    pub fn waits_for(&self, name: &str, expected: &str) {
        assert_eq!(self.state(name), State::Waiting);
        assert_eq!(self.core.waiting_for(self.one(name).id(), self.now).join(" and "), expected, "at {}", self.now);
    }
}
