//! Random configurations and random commands.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use muster_core::{Awaited, Settings, Verb, random::Random};
use muster_spec::{
    Backoff, CheckSpec, Dependency, DependencyCondition, Essential, Exceeded, ExitAction, ExitMatch, ExitRule,
    ExitRules, Forget, GroupOrder, Growth, HostPort, Jitter, Judged, Kind, Leftovers, Limit, OnFailure, Preset,
    ProbeKind, ProbeSpec, ProgramSpec, ReadySpec, Recycle, RestartPolicy, RestartWhen, Rolling, ShutdownBudget,
    ShutdownOrder, Signal, SignalScope, StartDelay, StartFailures, StartOn, StopKill, StopScope, StopSpec, WatchSpec,
};

use crate::common::programs::{ms, probe, program, s, several, stop_with, with, with_command};
use crate::common::witness::OPERATORS_SIGNAL;

/// A pseudorandom generator.
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
    let shutdown_timeout = dice.one_of(&[ms(0), ms(50), s(1), s(9), s(9), s(60), s(600)].map(ShutdownBudget::Within));
    let shutdown_timeout = if dice.one_in(8) { ShutdownBudget::Unlimited } else { shutdown_timeout };
    let shutdown_order = dice.one_of(&ShutdownOrder::ALL).1;
    let max_parallel_starts = if dice.one_in(3) { 1 + dice.below(3) as u32 } else { 0 };
    let exit_when_done = dice.one_in(2);
    Settings { shutdown_timeout, shutdown_order, exit_when_done, max_parallel_starts, ..Settings::DEFAULT }
}

const STOPS: [&[(Signal, Duration)]; 5] = [
    &[(Signal::TERM, s(10))],
    &[(Signal::TERM, s(1))],
    &[(Signal::INT, s(1)), (Signal::TERM, s(3)), (Signal::QUIT, ms(500))],
    &[(Signal::QUIT, ms(0))],
    &[(Signal::TERM, s(100))],
];

/// Up to 40 instances of up to 20 programs.
pub fn programs(dice: &mut Dice) -> Vec<Arc<ProgramSpec>> {
    let (mut programs, mut instances) = (Vec::new(), 0);
    let wanted = 1 + dice.below(40);
    while instances < wanted {
        let one = one_program(dice, programs.len());
        let one = related(dice, one, programs.len(), &programs);
        instances += one.instances.len() as u64;
        programs.push(Arc::new(one));
    }
    programs
}

fn number_of(program: &ProgramSpec) -> usize {
    program.name[1..].parse().expect("a number follows the p")
}

/// The same, with dependencies on a few of those with lower numbers, and occasionally restarted with one.
fn related(dice: &mut Dice, spec: ProgramSpec, number: usize, others: &[Arc<ProgramSpec>]) -> ProgramSpec {
    let lower: Vec<&ProgramSpec> = others.iter().map(|it| &**it).filter(|it| number_of(it) < number).collect();
    let (mut depends_on, mut restart_with) = (Vec::new(), Vec::new());
    for _ in 0..dice.below(3).min(lower.len() as u64) {
        let other = lower[dice.below(lower.len() as u64) as usize];
        let mut conditions: Vec<DependencyCondition> = DependencyCondition::ALL.iter().map(|&(_, it)| it).collect();
        conditions.retain(|&it| it != DependencyCondition::Healthy || !other.instances[0].probes.is_empty());
        let condition = if dice.one_in(2) { DependencyCondition::Started } else { dice.one_of(&conditions) };
        depends_on.push(Dependency { program: other.name.clone(), condition });
        // The witness does not foresee when a roll ends and those that restart with it follow, nor which starts of a program are
        // its clients': that is for the short stories.
        let is_plain = other.rolling.is_none() && other.recycle_after.is_none() && other.start_on == StartOn::Boot;
        restart_with.extend((dice.one_in(4) && is_plain).then(|| other.name.clone()));
    }
    ProgramSpec { depends_on, restart_with, ..spec }
}

/// The configuration after a random edit.
pub fn edited(dice: &mut Dice, programs: &[Arc<ProgramSpec>]) -> Vec<Arc<ProgramSpec>> {
    let mut programs = programs.to_vec();
    for _ in 0..1 + dice.below(3) {
        let place = dice.below(programs.len() as u64) as usize;
        let spec = ProgramSpec::clone(&programs[place]);
        let number = number_of(&spec);
        programs[place] = Arc::new(match dice.below(8) {
            0 if programs.len() > 1 => {
                programs.remove(place);
                continue;
            }
            1 => {
                let number = programs.iter().map(|it| number_of(it)).max().unwrap_or(0) + 1;
                let one = one_program(dice, number);
                let one = related(dice, one, number, &programs);
                programs.push(Arc::new(one));
                continue;
            }
            2 => several(spec, 1 + dice.below(4) as u32),
            3 => ProgramSpec { priority: dice.one_of(&[1, 5, 999]), stop: stop(dice), ..spec },
            4 => ProgramSpec { autostart: !spec.autostart, restart: policy(dice), on_exit: on_exit(dice), ..spec },
            5 => related(dice, spec, number, &programs),
            6 => watched(dice, spec),
            _ => with_command(spec, &format!("edition {}", dice.below(1000))),
        });
    }
    let names: Vec<String> = programs.iter().map(|program| program.name.clone()).collect();
    let is_there = |name: &str| names.iter().any(|other| other == name);
    let known = |program: &Arc<ProgramSpec>| {
        let mut program = ProgramSpec::clone(program);
        program.depends_on.retain(|need| is_there(&need.program));
        program.restart_with.retain(|name| is_there(name));
        Arc::new(program)
    };
    programs.iter().map(known).collect()
}

/// The same with probes, a readiness rule or a watchdog, or without.
fn watched(dice: &mut Dice, spec: ProgramSpec) -> ProgramSpec {
    let kinds = [ProbeKind::Liveness, ProbeKind::Readiness, ProbeKind::Startup];
    let reactions = [OnFailure::Restart, OnFailure::Restart, OnFailure::None, OnFailure::Stop, OnFailure::Shutdown];
    let one = |dice: &mut Dice, number: u64| ProbeSpec {
        period: dice.one_of(&[ms(100), s(1), s(10)]),
        initial_delay: dice.one_of(&[ms(0), ms(0), s(3)]),
        failure_threshold: 1 + dice.below(5) as u32,
        success_threshold: 1 + dice.below(2) as u32,
        on_failure: dice.one_of(&reactions),
        ..probe(&format!("probe{number}"), dice.one_of(&kinds))
    };
    let count = if dice.one_in(2) { 0 } else { 1 + dice.below(3) };
    let probes: Vec<ProbeSpec> = (0..count).map(|number| one(dice, number)).collect();
    let ready = match dice.below(6) {
        0 | 1 => Some(ReadySpec::Notify),
        2 => Some(ReadySpec::Check(CheckSpec::Tcp(HostPort::parse("127.0.0.1:1").expect("an address")))),
        _ => None,
    };
    let start_timeout = dice.one_of(&[ms(500), s(5), s(60)]);
    let watchdog = dice.one_in(5).then(|| dice.one_of(&[s(1), s(20)]));
    with(spec, |it| {
        (it.probes, it.ready) = (probes.clone(), ready.clone());
        (it.start_timeout, it.watchdog) = (start_timeout, watchdog);
    })
}

fn one_program(dice: &mut Dice, number: usize) -> ProgramSpec {
    let spec = ProgramSpec {
        groups: vec![format!("g{}", number % 3)],
        kind: dice.one_of(&[Kind::Service, Kind::Service, Kind::Oneshot]),
        autostart: !dice.one_in(5),
        restart: policy(dice),
        start_delay: if dice.one_in(6) { StartDelay { delay: s(2), stagger: ms(300) } } else { StartDelay::NONE },
        startsecs: dice.one_of(&[ms(0), ms(100), s(1), s(5)]),
        max_runtime: dice.one_in(6).then(|| dice.one_of(&[s(6), s(20)])),
        on_exit: on_exit(dice),
        priority: dice.one_of(&[1, 1, 10, 999, 999, 999]),
        order: dice.one_in(4).then(|| GroupOrder { priority: dice.one_of(&[1, 5, 999]), place: number as u32 % 3 }),
        essential: if dice.one_in(60) { dice.one_of(&[Essential::Yes, Essential::OnFailure]) } else { Essential::No },
        stop: stop(dice),
        rolling: number.is_multiple_of(3).then_some(Rolling { pause: ms(number as u64 * 10), ..Rolling::DEFAULT }),
        start_on: if number % 5 == 2 { StartOn::Connection } else { StartOn::Boot },
        watch: number.is_multiple_of(2).then(|| Box::new(WatchSpec::of(Vec::new()))),
        recycle_after: (number % 4 == 1).then(|| Recycle { after: s(number as u64 * 10), jitter: s(2) }),
        ..program(&format!("p{number}"))
    };
    let spec = match dice.below(4) {
        0 => several(spec, 2 + number as u32 % 5),
        _ => spec,
    };
    if dice.one_in(3) { watched(dice, spec) } else { spec }
}

/// Some rules about ends, of which few end the container.
fn on_exit(dice: &mut Dice) -> ExitRules {
    let mut rules = ExitRules::default();
    for _ in 0..dice.below(4) {
        let status = dice.below(4) as u8;
        let on = dice.one_of(&[
            ExitMatch::Status(status),
            ExitMatch::Range { first: status, last: 9 },
            ExitMatch::Signal(Signal::KILL),
            ExitMatch::AnySignal,
            ExitMatch::Failure,
            ExitMatch::SpawnError,
        ]);
        let then = dice.one_of(&ExitAction::ALL).1;
        if then != ExitAction::Exit || dice.one_in(20) {
            // A rule that contradicts another is left out.
            let _ = rules.add(ExitRule { on, then });
        }
    }
    rules
}

fn stop(dice: &mut Dice) -> StopSpec {
    let stop = stop_with(dice.one_of(&STOPS));
    if dice.one_in(2) {
        return stop;
    }
    StopSpec {
        scope: dice.one_of(&StopScope::ALL).1,
        kill: dice.one_of(&StopKill::ALL).1,
        leftovers: dice.one_of(&Leftovers::ALL).1,
        ..stop
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
    let jitter =
        dice.one_of(&[Jitter::Add(0.3), Jitter::UpTo(ms(50)), Jitter::Full, Jitter::Equal, Jitter::Decorrelated]);
    let ours = Backoff { jitter, ..Backoff::DEFAULT };
    let rate = |judged, then| Limit::Rate { starts: 3, within: s(5), judged, then };
    let (limit, backoff) = match dice.below(5) {
        0 => return preset.policy(when),
        1 => (rate(Judged::AtEnd, Exceeded::WaitOut), ours),
        2 => (rate(Judged::AtStart, Exceeded::Fatal), Backoff { growth: Growth::Steps(4), ..ours }),
        3 => (Limit::Retries(dice.below(4) as u32), ours),
        _ => (Limit::Retries(10), Backoff { delay: ms(0), ..ours }),
    };
    let forget = dice.one_of(&[Forget::WithDelay, Forget::Never]);
    let start_failures = dice.one_of(&[StartFailures::Policy, StartFailures::Retry, StartFailures::Final]);
    RestartPolicy { when, limit, backoff, forget, start_failures, ..RestartPolicy::DEFAULT }
}

/// A command and its selector.
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
    let signal = Verb::Signal { signal: OPERATORS_SIGNAL, scope: SignalScope::Main };
    let verb = match dice.below(10) {
        0..=2 => Verb::Start,
        3..=5 => Verb::Stop,
        6 => Verb::Restart,
        7 => NonZeroU32::new((one % 3) as u32).map_or(Verb::Restart, |parallel| Verb::Roll { parallel }),
        8 => signal,
        _ => Verb::Await(dice.one_of(&Awaited::ALL)),
    };
    (verb, select)
}
