//! What is configured and what operators do, at random.

use std::rc::Rc;
use std::time::Duration;

use muster_core::random::Random;
use muster_core::restart::{Backoff, Limit, Preset, RestartPolicy, RestartWhen};
use muster_core::spec::{Kind, ProgramSpec};
use muster_core::{Awaited, Scope, Settings, Signal, Verb};

use crate::common::programs::{ms, program, s, several, stop_with};
use crate::common::witness::OPERATORS_SIGNAL;

/// Dice.
#[derive(Clone)]
pub struct Dice(Random);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(Random::seeded(seed))
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0.next_bits() % n
    }

    /// Once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    pub fn up_to(&mut self, longest: Duration) -> Duration {
        ms(self.below(longest.as_millis() as u64 + 1))
    }
}

pub fn settings(dice: &mut Dice) -> Settings {
    let shutdown_timeout = dice.one_of(&[ms(0), ms(50), s(1), s(9), s(9), s(60), s(600)]);
    Settings { shutdown_timeout, exit_when_done: dice.one_in(2) }
}

const STOPS: [&[(Signal, Duration)]; 5] = [
    &[(Signal::TERM, s(10))],
    &[(Signal::TERM, s(1))],
    &[(Signal::INT, s(1)), (Signal::TERM, s(3)), (Signal::QUIT, ms(500))],
    &[(Signal::QUIT, ms(0))],
    &[(Signal::TERM, s(100))],
];

/// Up to 40 instances of up to 20 programs.
pub fn programs(dice: &mut Dice) -> Vec<Rc<ProgramSpec>> {
    let (mut programs, mut instances) = (Vec::new(), 0);
    let wanted = 1 + dice.below(40);
    while instances < wanted {
        let one = one_program(dice, programs.len());
        instances += one.instances.len() as u64;
        programs.push(Rc::new(one));
    }
    programs
}

fn one_program(dice: &mut Dice, number: usize) -> ProgramSpec {
    let spec = ProgramSpec {
        groups: vec![format!("g{}", number % 3)],
        kind: dice.one_of(&[Kind::Service, Kind::Service, Kind::Oneshot]),
        autostart: !dice.one_in(5),
        restart: policy(dice),
        startsecs: dice.one_of(&[ms(0), ms(100), s(1), s(5)]),
        priority: dice.one_of(&[1, 1, 10, 999, 999, 999]),
        essential: dice.one_in(60),
        stop: stop_with(dice.one_of(&STOPS)),
        ..program(&format!("p{number}"))
    };
    match dice.below(4) {
        0 => several(spec, 2 + number as u32 % 5),
        _ => spec,
    }
}

fn policy(dice: &mut Dice) -> RestartPolicy {
    let when = dice.one_of(&[
        RestartWhen::Never,
        RestartWhen::OnFailure,
        RestartWhen::OnFailure,
        RestartWhen::Always,
        RestartWhen::UnlessStopped,
    ]);
    let preset = dice.one_of(&Preset::ALL).1;
    let ours = Backoff { jitter: 0.3, ..Backoff::DEFAULT };
    let (limit, backoff) = match dice.below(3) {
        0 => (preset.limit(), preset.backoff()),
        1 => (Limit::Retries(dice.below(4) as u32), ours),
        _ => (Limit::Retries(10), Backoff { delay: ms(0), ..ours }),
    };
    RestartPolicy { when, limit, backoff }
}

/// A command and whom it is for.
pub fn command(dice: &mut Dice) -> (Verb, String) {
    let one = dice.below(20);
    let select = match dice.below(8) {
        0 => "all".to_owned(),
        1 => format!("g{}:*", dice.below(4)),
        2 => "p?".to_owned(),
        3 => format!("p{one}:*"),
        4 => format!("p{one}:{}", dice.below(4)),
        5 => format!("p{one},p{}", dice.below(20)),
        _ => format!("p{one}"),
    };
    let signal = Verb::Signal { signal: OPERATORS_SIGNAL, scope: Scope::Main };
    let verb = match dice.below(10) {
        0..=2 => Verb::Start,
        3..=5 => Verb::Stop,
        6..=7 => Verb::Restart,
        8 => signal,
        _ => Verb::Await(dice.one_of(&Awaited::ALL).1),
    };
    (verb, select)
}
