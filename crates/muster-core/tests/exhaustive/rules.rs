//! `on_exit`: every story with a rule, and the table of all kinds of ends, actions and policies.

use std::sync::Arc;
use std::time::Duration;

use muster_core::{Effect, Event, Input, Settings, Supervisor, Time};
use muster_spec::{Exit, ExitAction, ExitMatch, ExitRule, ExitRules, ProgramSpec, RestartWhen, RunEnd, Signal, State};

use crate::common::programs::{by, code, missing, ms, quick};
use crate::model::Rules;
use crate::policy::{Delays, End, Next, Past};
use crate::story::tell_all;
use crate::{DEPTH, POLICIES, extra_depth, rules};

/// A rule of each kind.
const KINDS: [ExitMatch; 7] = [
    ExitMatch::Status(1),
    ExitMatch::Signal(Signal::TERM),
    ExitMatch::OutOfMemory,
    ExitMatch::Range { first: 1, last: 9 },
    ExitMatch::AnySignal,
    ExitMatch::Failure,
    ExitMatch::SpawnError,
];

const ACTIONS: [ExitAction; 8] = [
    ExitAction::Success,
    ExitAction::Failure,
    ExitAction::Restart,
    ExitAction::RestartNow,
    ExitAction::Stop,
    ExitAction::Fatal,
    ExitAction::Exit,
    ExitAction::RestartAll,
];

impl Rules {
    pub fn rules_of_exits(&self) -> ExitRules {
        let mut all = ExitRules::default();
        if let Some((on, then)) = self.on_exit {
            all.add(ExitRule { on, then }).expect("there is only one");
        }
        all
    }

    /// The action for this end.
    pub fn action(&self, end: &RunEnd) -> Option<ExitAction> {
        let (on, then) = self.on_exit?;
        let holds = match (on, end) {
            (ExitMatch::Status(wanted), RunEnd::Exited(Exit::Code(code))) => *code == wanted,
            (ExitMatch::Range { first, last }, RunEnd::Exited(Exit::Code(code))) => *code >= first && *code <= last,
            (ExitMatch::Failure, RunEnd::Exited(Exit::Code(code))) => *code != 0,
            (ExitMatch::Signal(wanted), RunEnd::Exited(Exit::Signal { signal, .. })) => *signal == wanted,
            (ExitMatch::AnySignal, RunEnd::Exited(Exit::Signal { .. })) => true,
            (ExitMatch::SpawnError, RunEnd::NotSpawned(_)) => true,
            _ => false,
        };
        holds.then_some(then)
    }
}

impl Past {
    /// The next run by a rule, and whether it follows at once, without any delay of the policy.
    pub fn next_by(
        &mut self,
        delays: &Delays,
        when: RestartWhen,
        end: End,
        (action, now): (ExitAction, Time),
    ) -> (Next, bool) {
        match action {
            ExitAction::Success | ExitAction::Failure => (self.next_after(delays, when, end), false),
            ExitAction::Stop | ExitAction::Exit => (Next::Nothing, false),
            ExitAction::Fatal => (Next::GivenUp, false),
            ExitAction::Restart => (self.next_forced(delays, end), false),
            ExitAction::RestartNow => {
                self.at_once.retain(|&earlier| now.since(earlier) < Duration::from_secs(10));
                if self.at_once.len() == 5 {
                    return (self.next_forced(delays, end), false);
                }
                self.at_once.push(now);
                self.is_not_counted(delays, end);
                let apart =
                    if matches!(delays, Delays::Supervisord(_)) { Duration::from_secs(1) } else { Duration::ZERO };
                (Next::RunAfter(apart.saturating_sub(end.up_for)), true)
            }
            ExitAction::RestartAll => {
                let apart = match delays {
                    Delays::AtOnce(_) => Duration::from_secs(1),
                    Delays::Kubernetes => Duration::from_secs(600),
                    _ => Duration::from_secs(10),
                };
                let is_allowed = self.all_restarted.is_none_or(|last| now.since(last) >= apart);
                match self.next_forced(delays, end) {
                    Next::RunAfter(_) if is_allowed => {
                        self.all_restarted = Some(now);
                        (Next::RunAfter(Duration::ZERO), true)
                    }
                    next => (next, false),
                }
            }
        }
    }

    /// Another run whatever `restart` says, counted as a failure.
    fn next_forced(&mut self, delays: &Delays, end: End) -> Next {
        // Docker gives up a start that failed, and a rule overrides that.
        self.next_after(delays, RestartWhen::Always, End { is_success: false, was_spawned: true, ..end })
    }
}

#[test]
fn every_story_with_a_rule_is_as_promised() {
    let deeper = extra_depth();
    let mut number = 0;
    for when in POLICIES {
        for on in KINDS.into_iter().filter(|on| *on != ExitMatch::OutOfMemory) {
            for then in ACTIONS {
                let on_exit = Some((on, then));
                let quick = |delays| Rules { on_exit, startsecs: Duration::ZERO, ..rules(when, delays) };
                tell_all(quick(Delays::Ours(1)), DEPTH - 2 + deeper);
                let others = [
                    quick(Delays::AtOnce(1)),
                    Rules { on_exit, ..rules(when, Delays::Supervisord(1)) },
                    quick(Delays::Systemd(2)),
                    quick(Delays::DockerOf(1)),
                    Rules { exit_when_done: true, ..quick(Delays::Kubernetes) },
                ];
                // Each in its turn, or all of them.
                let has_turn = move |place: usize| deeper > 0 || place == number % 5;
                number += 1;
                for (_, other) in others.into_iter().enumerate().filter(|(place, _)| has_turn(*place)) {
                    tell_all(other, DEPTH - 2);
                }
            }
        }
    }
}

/// The state after an end of a run that was RUNNING, whether it counts as a success, and the delay before the next run.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    state: State,
    success: bool,
    delay: Option<Duration>,
    exits: Option<u8>,
}

/// An end with the word whether memory ran out.
type Case = (RunEnd, bool);

/// The promise for an end that the rule is about.
fn expected(when: RestartWhen, then: ExitAction, (end, _): &Case) -> Row {
    let is_well = matches!(end, RunEnd::Exited(Exit::Code(0)));
    let row = |state, success| Row { state, success, delay: None, exits: None };
    let again = |success, delay| Row { delay: Some(delay), ..row(State::Backoff, success) };
    let was_spawned = !matches!(end, RunEnd::NotSpawned(_));
    let down = if was_spawned { State::Exited } else { State::Fatal };
    let by_policy = |success| match when {
        RestartWhen::Never => row(down, success),
        RestartWhen::OnFailure if success => row(down, success),
        _ => again(success, ms(500)),
    };
    match then {
        ExitAction::Success => by_policy(true),
        ExitAction::Failure => by_policy(false),
        ExitAction::Restart => again(is_well, ms(500)),
        ExitAction::RestartNow | ExitAction::RestartAll => again(is_well, ms(0)),
        ExitAction::Stop => row(State::Exited, is_well),
        ExitAction::Fatal => row(State::Fatal, is_well),
        ExitAction::Exit => Row { exits: Some(end.shell_code()), ..row(down, is_well) },
    }
}

fn observed(spec: ProgramSpec, (end, is_out_of_memory): &Case) -> Row {
    let settings = Settings { exit_when_done: false, ..Settings::DEFAULT };
    let mut core = Supervisor::new(settings, &[Arc::new(spec)], 1);
    let mut row = Row { state: State::Stopped, success: false, delay: None, exits: None };
    core.handle_input(Time::ZERO, Input::Booted);
    let run = core.snapshot()[0].run().expect("it has been started");
    let mut inputs = match end {
        RunEnd::NotSpawned(error) => vec![Input::SpawnFailed { run, error: error.clone() }],
        RunEnd::Exited(exit) => vec![Input::Spawned { run }, Input::Exited { run, exit: *exit }],
        RunEnd::MainLost => vec![Input::Spawned { run }, Input::MainLost { run }],
    };
    if *is_out_of_memory {
        inputs.insert(1, Input::OutOfMemory { run });
    }
    for input in inputs {
        core.handle_input(Time::ZERO, input);
        while let Some(effect) = core.poll_effect() {
            match effect {
                Effect::Publish(Event::State { to, .. }) if row.state != State::Backoff => row.state = to,
                Effect::Publish(Event::Retry { delay, .. }) => row.delay = Some(delay),
                Effect::Publish(Event::ShutdownBegan { .. }) => {
                    core.handle_input(Time::ZERO, Input::TreeGone { run });
                }
                Effect::Exit { code } => row.exits = Some(code),
                _ => {}
            }
        }
    }
    let past = core.snapshot()[0].past().next_back().expect("its run has ended");
    row.success = past.success;
    row
}

#[test]
fn every_kind_of_end_has_every_action_under_every_policy() {
    let mut checked = 0;
    for when in POLICIES {
        for on in KINDS {
            let (about, other): (Vec<Case>, Case) = match on {
                ExitMatch::Status(_) => (vec![(code(1), false)], (code(2), false)),
                ExitMatch::Signal(_) => (vec![(by(Signal::TERM), false)], (by(Signal::KILL), false)),
                ExitMatch::OutOfMemory => (vec![(by(Signal::KILL), true)], (by(Signal::KILL), false)),
                ExitMatch::Range { .. } => (vec![(code(1), false), (code(9), false)], (code(10), false)),
                ExitMatch::AnySignal => (vec![(by(Signal::HUP), false), (by(Signal::KILL), true)], (code(137), false)),
                ExitMatch::Failure => (vec![(code(1), false), (code(255), false)], (code(0), false)),
                ExitMatch::SpawnError => (vec![(RunEnd::NotSpawned(missing()), false)], (RunEnd::MainLost, false)),
            };
            for then in ACTIONS {
                let spec = || {
                    let rules = Rules { on_exit: Some((on, then)), ..rules(when, Delays::Ours(10)) };
                    ProgramSpec { on_exit: rules.rules_of_exits(), restart: rules.delays.policy(when), ..quick("web") }
                };
                for case in &about {
                    let told = format!("restart = {:?}, on_exit {on} = {then:?}, {case:?}", when.name());
                    assert_eq!(observed(spec(), case), expected(when, then, case), "{told}");
                    checked += 1;
                }
                let plain = ProgramSpec { on_exit: ExitRules::default(), ..spec() };
                let told = format!("restart = {:?}, on_exit {on} = {then:?}, {other:?} is another end", when.name());
                assert_eq!(observed(spec(), &other), observed(plain, &other), "{told}");
            }
        }
    }
    assert_eq!(checked, POLICIES.len() * ACTIONS.len() * 10);
}
