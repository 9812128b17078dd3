//! Programs that start when a client comes (`start_on = "connection"`): the rules as stories, and every story of one program to
//! depth six.

#![allow(unreachable_pub)]

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_core::{
    Done, Effect, Event, Failure, Input, Instance, Outcome, RequestId, ShutdownReason, Supervisor, Time, Verb,
};
use muster_spec::{
    DependencyCondition, Exit, ExitAction, ExitMatch, ExitRule, ExitRules, Goal, InstanceId, Limit, ProgramSpec,
    RestartPolicy, RestartWhen, Rolling, RunId, Signal, StartOn, State,
};

use common::programs::{ROOT, SETTINGS, ms, needs, program, quick, s, several};

fn lazy(name: &str) -> ProgramSpec {
    let restart = RestartPolicy { limit: Limit::Retries(1), when: RestartWhen::Always, ..RestartPolicy::DEFAULT };
    ProgramSpec { start_on: StartOn::Connection, restart, ..quick(name) }
}

#[derive(Clone)]
struct Play {
    core: Supervisor,
    now: Time,
    spawned: Vec<(RunId, InstanceId)>,
    awaited: usize,
    replies: BTreeMap<RequestId, Outcome>,
    requests: u64,
    exit: Option<u8>,
}

impl Play {
    fn of<const N: usize>(programs: [ProgramSpec; N]) -> Play {
        let programs = programs.map(Arc::new);
        let core = Supervisor::new(SETTINGS, &programs, 1);
        let (spawned, replies) = (Vec::new(), BTreeMap::new());
        let mut play = Play { core, now: Time::ZERO, spawned, awaited: 0, replies, requests: 0, exit: None };
        play.hand(Input::Booted);
        play
    }

    fn hand(&mut self, input: Input) {
        self.core.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        (self.spawned, self.awaited) = (Vec::new(), 0);
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Spawn { run, instance, .. } => self.spawned.push((run, instance)),
                Effect::AwaitContact { .. } => self.awaited += 1,
                Effect::Reply { request, outcome } => {
                    assert!(self.replies.insert(request, outcome).is_none(), "two replies to {request:?}");
                }
                Effect::Exit { code } => self.exit = Some(code),
                _ => {}
            }
        }
    }

    fn one(&self, name: &str) -> &Instance {
        self.core.find(name).expect("it is configured")
    }

    fn state(&self, name: &str) -> State {
        self.one(name).state()
    }

    fn run(&self, name: &str) -> RunId {
        self.one(name).run().expect("it has a run")
    }

    fn contact(&mut self, name: &str) {
        self.hand(Input::Contacted { instance: self.one(name).id() });
    }

    fn exits(&mut self, name: &str, code: u8) {
        let run = self.run(name);
        self.hand(Input::Exited { run, exit: Exit::Code(code) });
        self.hand(Input::TreeGone { run });
    }

    fn begins(&mut self, name: &str) {
        self.contact(name);
        self.hand(Input::Spawned { run: self.run(name) });
    }

    fn ask(&mut self, name: &str, verb: Verb) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        let select = name.parse().expect("it is a name");
        self.hand(Input::Commanded { request, select, verb, wait: true, by: ROOT });
        request
    }

    fn later(&mut self, by: Duration) {
        self.now = self.now + by;
        self.core.handle_timeout(self.now);
        self.drain();
    }
}

#[test]
fn nothing_starts_before_the_first_client_and_a_success_waits_for_the_next() {
    let mut play = Play::of([lazy("web")]);
    assert_eq!((play.state("web"), play.awaited, play.spawned.len()), (State::Waiting, 1, 0));
    assert!(play.core.is_ready() && play.core.poll_timeout().is_none(), "it counts as there, and nothing is timed");
    play.begins("web");
    assert_eq!(play.state("web"), State::Running);
    play.contact("web");
    assert!(play.spawned.is_empty(), "it is not asked while it runs");
    play.later(s(5));
    play.exits("web", 0);
    assert_eq!((play.state("web"), play.awaited), (State::Waiting, 1), "whatever `restart` says");
    play.begins("web");
    assert_eq!(play.state("web"), State::Running);
}

#[test]
fn failures_are_the_policys_and_a_client_left_behind_is_one() {
    let mut play = Play::of([lazy("web")]);
    play.begins("web");
    play.later(ms(1000));
    play.hand(Input::LeftContact { run: play.run("web") });
    play.exits("web", 0);
    assert_eq!(play.state("web"), State::Backoff);
    play.contact("web");
    assert!(play.spawned.is_empty());
    play.later(s(60));
    assert_eq!(play.state("web"), State::Starting, "a retry needs no client");
    play.hand(Input::Spawned { run: play.run("web") });
    play.hand(Input::LeftContact { run: play.run("web") });
    play.exits("web", 0);
    assert_eq!(play.state("web"), State::Fatal);
    play.contact("web");
    assert!(play.spawned.is_empty() && !play.core.is_ready());
    // A start opens its sockets again.
    play.ask("web", Verb::Start);
    assert_eq!((play.state("web"), play.awaited), (State::Waiting, 1));
}

#[test]
fn a_client_that_comes_while_a_longer_run_exits_is_no_failure() {
    let mut play = Play::of([lazy("web")]);
    play.begins("web");
    play.later(ms(1001));
    play.hand(Input::LeftContact { run: play.run("web") });
    play.exits("web", 0);
    assert_eq!(play.state("web"), State::Waiting);
}

#[test]
fn commands_are_answered_while_it_waits() {
    let mut play = Play::of([lazy("web")]);
    let answer = |play: &Play, request| match play.replies.get(&request) {
        Some(Outcome::Results(results)) => Some(results[0].1.clone()),
        _ => None,
    };
    let request = play.ask("web", Verb::Start);
    assert_eq!(answer(&play, request), Some(Ok(Done::AwaitsContact)));
    let request = play.ask("web", Verb::Stop);
    assert_eq!((answer(&play, request), play.state("web")), (Some(Ok(Done::Stopped)), State::Stopped));
    play.contact("web");
    assert!(play.spawned.is_empty(), "the goal is down");
    let request = play.ask("web", Verb::Start);
    assert_eq!(answer(&play, request), Some(Ok(Done::AwaitsContact)));
    play.begins("web");
    let request = play.ask("web", Verb::Restart);
    assert_eq!(answer(&play, request), None);
    play.exits("web", 0);
    assert_eq!((answer(&play, request), play.state("web")), (Some(Ok(Done::AwaitsContact)), State::Waiting));
    assert_ne!(answer(&play, request), Some(Err(Failure::Pending)));
}

#[test]
fn dependents_start_while_it_waits_and_it_starts_after_its_own_dependencies() {
    let app = needs(quick("app"), &[("web", DependencyCondition::Ready)]);
    let play = Play::of([app, lazy("web")]);
    assert_eq!((play.state("web"), play.state("app")), (State::Waiting, State::Starting));
    let web = needs(lazy("web"), &[("db", DependencyCondition::Started)]);
    let mut play = Play::of([program("db"), web]);
    assert_eq!(
        (play.awaited, play.core.waiting_for(play.one("web").id(), play.now)),
        (0, vec!["db to run".to_owned()])
    );
    play.hand(Input::Spawned { run: play.run("db") });
    play.later(s(1));
    assert_eq!(play.awaited, 1);
    // It ends before the client comes.
    play.hand(Input::Exited { run: play.run("db"), exit: Exit::Code(1) });
    play.contact("web");
    assert!(play.spawned.is_empty());
    play.hand(Input::TreeGone { run: play.run("db") });
    play.later(s(10));
    play.hand(Input::Spawned { run: play.run("db") });
    play.later(s(1));
    assert_eq!(play.awaited, 1, "it is asked about again");
    play.contact("web");
    assert_eq!(play.state("web"), State::Starting);
}

#[test]
fn each_instance_waits_and_a_daemon_that_waits_for_clients_is_not_done() {
    let settings = muster_core::Settings { exit_when_done: true, ..SETTINGS };
    let programs = [Arc::new(several(lazy("web"), 2))];
    let mut core = Supervisor::new(settings, &programs, 1);
    core.handle_input(Time::ZERO, Input::Booted);
    let effects: Vec<Effect> = std::iter::from_fn(|| core.poll_effect()).collect();
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::AwaitContact { .. })).count(), 2);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Publish(Event::ShutdownBegan { .. }))));
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Contact,
    Asked(Verb),
    TermComes,
    IsSpawned,
    ExitsWell,
    LeavesItsClient,
    Fails,
    TreeIsGone,
    TimePasses,
}

const STEPS: [Step; 11] = [
    Step::Contact,
    Step::Asked(Verb::Start),
    Step::Asked(Verb::Stop),
    Step::Asked(Verb::Restart),
    Step::TermComes,
    Step::IsSpawned,
    Step::ExitsWell,
    Step::LeavesItsClient,
    Step::Fails,
    Step::TreeIsGone,
    Step::TimePasses,
];

#[derive(Clone)]
struct Walk {
    play: Play,
    is_executed: bool,
    has_main: bool,
    story: Vec<Step>,
}

impl Walk {
    fn can_happen(&self, step: Step) -> bool {
        match step {
            Step::Contact | Step::Asked(_) | Step::TermComes => true,
            Step::IsSpawned => self.has_main && !self.is_executed,
            Step::ExitsWell | Step::LeavesItsClient | Step::Fails => self.is_executed,
            Step::TreeIsGone => !self.has_main && self.play.one("web").run().is_some(),
            Step::TimePasses => self.play.core.poll_timeout().is_some(),
        }
    }

    fn take(&mut self, step: Step) {
        let play = &mut self.play;
        self.story.push(step);
        let web = play.one("web");
        let (awaited, goal, state, run) = (web.awaits_contact(), web.goal(), web.state(), web.run());
        let (was_closing, is_failing) = (play.core.is_shutting_down(), web.is_failing());
        match step {
            Step::Contact => play.contact("web"),
            Step::Asked(verb) => drop(play.ask("web", verb)),
            Step::TermComes => {
                play.hand(Input::ShutdownAsked { reason: ShutdownReason::Signal(Signal::TERM), timeout: None });
            }
            Step::IsSpawned => play.hand(Input::Spawned { run: play.run("web") }),
            Step::ExitsWell => play.hand(Input::Exited { run: play.run("web"), exit: Exit::Code(0) }),
            Step::LeavesItsClient => {
                play.hand(Input::LeftContact { run: play.run("web") });
                assert!(play.spawned.is_empty() && play.awaited == 0, "it has effects, after {:?}", self.story);
                play.hand(Input::Exited { run: play.run("web"), exit: Exit::Code(0) });
            }
            Step::Fails => play.hand(Input::Exited { run: play.run("web"), exit: Exit::Code(1) }),
            Step::TreeIsGone => play.hand(Input::TreeGone { run: play.run("web") }),
            Step::TimePasses => {
                let at = play.core.poll_timeout().expect("it can happen");
                play.now = play.now.max(at);
                play.core.handle_timeout(play.now);
                play.drain();
            }
        }
        let play = &self.play;
        let web = play.one("web");
        let story = &self.story;
        match play.spawned.len() {
            0 => {}
            1 => {
                let is_by_client = step == Step::Contact && awaited;
                let is_retry = state == State::Backoff && goal == Goal::Up;
                let is_asked = matches!(step, Step::Asked(Verb::Start | Verb::Restart)) && state == State::Backoff;
                assert!(is_by_client || is_retry || is_asked, "a start for no reason, after {story:?}");
                assert!(run.is_none() || step == Step::TreeIsGone, "two runs, after {story:?}");
                assert!(!was_closing, "a start during the shutdown, after {story:?}");
            }
            _ => panic!("two starts, after {story:?}"),
        }
        assert!(play.awaited <= 1, "asked twice, after {story:?}");
        assert!(play.awaited == 0 || web.awaits_contact(), "asked in vain, after {story:?}");
        assert!(!web.awaits_contact() || awaited || play.awaited == 1, "waits without an order, after {story:?}");
        if web.awaits_contact() {
            assert_eq!((web.state(), web.goal(), web.run()), (State::Waiting, Goal::Up, None), "after {story:?}");
            assert!(play.core.poll_timeout().is_none(), "a timer while it waits, after {story:?}");
            assert!(!play.core.is_shutting_down(), "after {story:?}");
        }
        // Nothing else keeps it, so a WAITING program without leftovers waits for a client.
        assert!(web.state() != State::Waiting || web.awaits_contact() || web.run().is_some(), "stuck, after {story:?}");
        let is_up = matches!(state, State::Starting | State::Running) && goal == Goal::Up && !is_failing;
        if step == Step::ExitsWell && is_up {
            assert_eq!(web.state(), State::Waiting, "after {story:?}");
        }
        let has_ended = matches!(step, Step::ExitsWell | Step::Fails | Step::LeavesItsClient);
        self.is_executed = (self.is_executed || step == Step::IsSpawned) && !has_ended;
        self.has_main = self.has_main && !has_ended || !self.play.spawned.is_empty();
        if !self.play.spawned.is_empty() {
            self.is_executed = false;
        }
    }
}

#[test]
fn every_story_of_one_program_to_depth_six() {
    fn walk(from: &Walk, depth: usize, count: &mut u64) {
        for step in STEPS.into_iter().filter(|&step| from.can_happen(step)) {
            let mut next = from.clone();
            next.take(step);
            *count += 1;
            if depth > 1 && next.play.exit.is_none() {
                walk(&next, depth - 1, count);
            }
        }
    }
    let start = Walk { play: Play::of([lazy("web")]), is_executed: false, has_main: false, story: Vec::new() };
    let mut running = start.clone();
    running.take(Step::Contact);
    running.take(Step::IsSpawned);
    let mut count = 0;
    walk(&start, 6, &mut count);
    walk(&running, 5, &mut count);
    assert!(count > 50_000, "{count} steps");
}

fn two_with_a_roll() -> ProgramSpec {
    ProgramSpec { rolling: Some(Rolling::DEFAULT), ..several(lazy("web"), 2) }
}

/// Both instances run, and serve.
fn up(programs: [ProgramSpec; 2]) -> Play {
    let mut play = Play::of(programs);
    for name in ["web:0", "web:1"] {
        play.begins(name);
    }
    play
}

#[test]
fn a_rolling_restart_goes_on_when_an_instance_waits_for_its_next_client() {
    let mut play = up([two_with_a_roll(), quick("other")]);
    let answer = play.ask("web:*", Verb::Restart);
    assert_eq!((play.state("web:0"), play.state("web:1")), (State::Stopping, State::Running));
    play.exits("web:0", 0);
    assert_eq!((play.state("web:0"), play.state("web:1")), (State::Waiting, State::Stopping));
    play.exits("web:1", 0);
    assert_eq!(play.state("web:1"), State::Waiting);
    let Some(Outcome::Results(results)) = play.replies.get(&answer) else { panic!("it is answered") };
    assert!(results.iter().all(|(_, result)| result.is_ok()), "{results:?}");
}

#[test]
fn a_rolling_restart_does_not_wait_for_another_programs_client() {
    let web = ProgramSpec { start_on: StartOn::Boot, ..two_with_a_roll() };
    let mut play = Play::of([web, lazy("idle")]);
    for name in ["web:0", "web:1"] {
        play.hand(Input::Spawned { run: play.run(name) });
    }
    let answer = play.ask("*", Verb::Restart);
    assert_eq!((play.state("idle"), play.state("web:0")), (State::Waiting, State::Stopping));
    for name in ["web:0", "web:1"] {
        play.exits(name, 0);
        play.hand(Input::Spawned { run: play.run(name) });
    }
    assert!(play.replies.contains_key(&answer));
}

#[test]
fn a_rule_of_on_exit_is_not_overridden_by_the_wait_for_the_next_client() {
    for (then, state) in [
        (ExitAction::Stop, State::Exited),
        (ExitAction::Fatal, State::Fatal),
        (ExitAction::Exit, State::Exited),
        (ExitAction::Success, State::Waiting),
    ] {
        let mut on_exit = ExitRules::default();
        on_exit.add(ExitRule { on: ExitMatch::Status(0), then }).expect("it is the only one");
        let mut play = Play::of([ProgramSpec { on_exit, ..lazy("web") }, quick("other")]);
        play.hand(Input::Spawned { run: play.run("other") });
        play.begins("web");
        play.exits("web", 0);
        assert_eq!(play.state("web"), state, "{then:?}");
        assert_eq!(play.state("other") == State::Stopping, then == ExitAction::Exit, "{then:?}");
    }
}
