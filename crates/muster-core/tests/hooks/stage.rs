//! The stage for the stories of one program with hooks: inputs by name, effects as short readable text.

use std::time::Duration;

use muster_core::{Effect, Event, Input, Instance, RequestId, Settings, ShutdownReason, Supervisor, Time, Verb};
use muster_spec::{Exit, Hook, HookSpec, Hooks, ProgramSpec, RunId, ShutdownBudget, Signal, SpawnError, State};

use crate::common::programs::{ROOT, SETTINGS, s, stop_with, with};
use crate::referee::Referee;

/// All four hooks with timeouts of 3, 2, 3 and 2 seconds.
pub fn all_hooks() -> Hooks {
    let mut hooks = Hooks::default();
    for (hook, timeout) in Hook::EVERY.into_iter().zip([3, 2, 3, 2]) {
        let command = vec![hook.name().to_owned()];
        *hooks.get_mut(hook) = Some(HookSpec { timeout: s(timeout), ..HookSpec::of(hook, command) }.into());
    }
    hooks
}

/// The same with a change to one of them.
pub fn changed(mut hooks: Hooks, hook: Hook, change: impl Fn(&mut HookSpec)) -> Hooks {
    let place = hooks.get_mut(hook);
    if let Some(spec) = place {
        let mut new = HookSpec::clone(spec);
        change(&mut new);
        *place = Some(new.into());
    }
    hooks
}

/// Only these of all hooks.
pub fn only(which: &[Hook]) -> Hooks {
    let mut hooks = all_hooks();
    for hook in Hook::EVERY.into_iter().filter(|hook| !which.contains(hook)) {
        *hooks.get_mut(hook) = None;
    }
    hooks
}

pub fn hooked(program: ProgramSpec, hooks: &Hooks) -> ProgramSpec {
    let program = ProgramSpec { stop: stop_with(&[(Signal::TERM, s(5))]), ..program };
    with(program, |spec| spec.hooks = hooks.clone())
}

#[derive(Clone)]
pub struct Stage {
    pub core: Supervisor,
    pub referee: Referee,
    pub now: Time,
    requests: u64,
    pub open: u32,
    deeds: Vec<String>,
}

impl Stage {
    pub fn of(program: ProgramSpec) -> Stage {
        Stage::within(program, s(9))
    }

    pub fn within(program: ProgramSpec, timeout: Duration) -> Stage {
        let settings = Settings { shutdown_timeout: ShutdownBudget::Within(timeout), ..SETTINGS };
        let (hooks, patience) = (program.instances[0].hooks.clone(), program.patience());
        Stage {
            core: Supervisor::new(settings, &[program.into()], 1),
            referee: Referee::new(&hooks, patience, timeout),
            now: Time::ZERO,
            requests: 0,
            open: 0,
            deeds: Vec::new(),
        }
    }

    pub fn booted(program: ProgramSpec) -> Stage {
        let mut stage = Stage::of(program);
        stage.hand(Input::Booted);
        stage
    }

    pub fn one(&self) -> &Instance {
        &self.core.snapshot()[0]
    }

    pub fn run(&self) -> RunId {
        self.one().run().expect("it has a run")
    }

    pub fn try_hand(&mut self, input: Input) -> Result<(), String> {
        self.referee.hears(self.now, &input);
        self.core.handle_input(self.now, input);
        self.drain()
    }

    #[track_caller]
    pub fn hand(&mut self, input: Input) {
        let outcome = self.try_hand(input);
        self.must(outcome);
    }

    #[track_caller]
    fn must(&self, outcome: Result<(), String>) {
        if let Err(broken) = outcome {
            panic!("{broken}, after {:?}", self.deeds);
        }
    }

    fn drain(&mut self) -> Result<(), String> {
        self.referee.learns_goal(self.one().goal());
        while let Some(effect) = self.core.poll_effect() {
            self.referee.sees(self.now, &effect)?;
            self.note(effect);
        }
        self.referee.looks(&self.core)
    }

    fn note(&mut self, effect: Effect) {
        let deed = match effect {
            Effect::Spawn { .. } => "spawn".to_owned(),
            Effect::RunHook { hook, after, .. } => match after {
                None => hook.name().to_owned(),
                Some(after) => {
                    let next = if after.is_final { "final" } else { "restart" };
                    format!("{} after {} by {}, {next}", hook.name(), after.end, after.cause)
                }
            },
            Effect::EndHook { hook, signal, .. } => format!("{} {}", bare(signal), hook.name()),
            Effect::Signal { signal, .. } => bare(signal),
            Effect::Sweep { signal, .. } => format!("sweep {}", bare(signal)),
            Effect::SignalStrays { signal: Signal::KILL } => "KILL strays".to_owned(),
            Effect::SweepGroup { .. } => "sweep group".to_owned(),
            Effect::Disown { .. } => "disown".to_owned(),
            Effect::Exit { code } => format!("exit {code}"),
            Effect::Publish(Event::Hook(ended)) => match (&ended.failure, ended.counts) {
                (Some(failure), counts) => {
                    format!("({} failed{}: {failure})", ended.hook.name(), if counts { "" } else { ", ignored" })
                }
                (None, _) => return,
            },
            Effect::Publish(Event::Failing { cause, .. }) => format!("(failing: {cause})"),
            Effect::Reply { .. } => {
                self.open -= 1;
                return;
            }
            _ => return,
        };
        self.deeds.push(deed);
    }

    pub fn ask(&mut self, verb: Verb) -> Result<(), String> {
        self.requests += 1;
        self.open += 1;
        let select = "web".parse().expect("a plain name is a selector");
        self.try_hand(Input::Commanded { request: RequestId(self.requests), select, verb, wait: true, by: ROOT })
    }

    #[track_caller]
    pub fn asked(&mut self, verb: Verb) {
        let outcome = self.ask(verb);
        self.must(outcome);
    }

    #[track_caller]
    pub fn term(&mut self) {
        self.hand(Input::ShutdownAsked { reason: ShutdownReason::Signal(Signal::TERM), timeout: None });
    }

    #[track_caller]
    pub fn spawned(&mut self) {
        self.hand(Input::Spawned { run: self.run() });
    }

    #[track_caller]
    pub fn exits(&mut self, code: u8) {
        self.hand(Input::Exited { run: self.run(), exit: Exit::Code(code) });
    }

    #[track_caller]
    pub fn tree_gone(&mut self) {
        self.hand(Input::TreeGone { run: self.run() });
    }

    /// Its hook ends with this status.
    #[track_caller]
    pub fn hook_ends(&mut self, code: u8) {
        self.hook_says(Ok(Exit::Code(code)), "");
    }

    #[track_caller]
    pub fn hook_says(&mut self, end: Result<Exit, SpawnError>, said: &str) {
        let (run, hook) = self.referee.hook().expect("a hook is running");
        self.hand(Input::HookFinished { run, hook, end, said: said.into() });
    }

    pub fn handle_next_deadline(&mut self) -> Result<(), String> {
        self.now = self.core.poll_timeout().map_or(self.now, |at| self.now.max(at));
        self.core.handle_timeout(self.now);
        self.drain()
    }

    /// Time passes without other inputs.
    #[track_caller]
    pub fn after(&mut self, span: Duration) {
        let until = self.now + span;
        while self.core.poll_timeout().is_some_and(|at| at <= until) {
            let outcome = self.handle_next_deadline();
            self.must(outcome);
        }
        self.now = until;
    }

    #[track_caller]
    pub fn did(&mut self, expected: &str) {
        let deeds = std::mem::take(&mut self.deeds).join(", ");
        assert_eq!(deeds, expected, "at {}", self.now);
    }

    pub fn clear_deeds(&mut self) {
        self.deeds.clear();
    }

    #[track_caller]
    pub fn is(&self, state: State, phase: Option<Hook>) {
        assert_eq!((self.one().state(), self.one().phase()), (state, phase), "at {}", self.now);
    }
}

fn bare(signal: Signal) -> String {
    signal.to_string().trim_start_matches("SIG").to_owned()
}
