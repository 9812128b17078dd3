//! Programs for the stories. Only their rules matter: no process is ever started.

use std::sync::Arc;
use std::time::Duration;

use muster_core::{Principal, Settings, Time};
use muster_spec::{
    CheckSpec, Dependency, DependencyCondition, Essential, Exit, ExitRules, HostPort, InstanceSpec, Kind, Leftovers,
    Numprocs, OutputSpec, ProbeKind, ProbeSpec, ProcessSpec, ProgramSpec, ReadySpec, RestartPolicy, RestartWhen,
    RunEnd, Signal, SpawnError, SpawnStep, StartDelay, StartOn, StopKill, StopScope, StopSpec, StopStep, Target,
};

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub const fn at(span: Duration) -> Time {
    Time::from_origin(span)
}

/// The configuration's defaults, except that the daemon does not exit by itself.
pub const SETTINGS: Settings = Settings { exit_when_done: false, ..Settings::DEFAULT };

/// The principal of every request in these tests.
pub const ROOT: Principal = Principal::Uid(0);

/// A service with the configuration's defaults.
pub fn program(name: &str) -> ProgramSpec {
    ProgramSpec {
        name: name.to_owned(),
        groups: Vec::new(),
        kind: Kind::Service,
        autostart: true,
        start_on: StartOn::Boot,
        start_delay: StartDelay::NONE,
        once: false,
        restart: RestartPolicy::DEFAULT,
        startsecs: s(1),
        max_runtime: None,
        exit_codes: vec![0],
        on_exit: ExitRules::default(),
        depends_on: Vec::new(),
        restart_with: Vec::new(),
        priority: 999,
        stop_unit: None,
        order: None,
        essential: Essential::No,
        stop: stop_with(&[(Signal::TERM, s(10))]),
        reload_signal: Some(Signal::HUP),
        schedule: None,
        unshown: None,
        numprocs: Numprocs::of(1),
        rolling: None,
        recycle_after: None,
        watch: None,
        instances: vec![Arc::new(instance(name.to_owned(), 0))],
    }
}

/// A program with this priority that is up immediately.
pub fn ranked(name: &str, priority: i64) -> ProgramSpec {
    ProgramSpec { priority, ..quick(name) }
}

/// The same, up as soon as it is executed.
pub fn quick(name: &str) -> ProgramSpec {
    ProgramSpec { startsecs: Duration::ZERO, ..program(name) }
}

/// The same with this `numprocs`.
pub fn several(program: ProgramSpec, numprocs: u32) -> ProgramSpec {
    let named = |index| Arc::new(instance(format!("{}:{index}", program.name), index));
    ProgramSpec { instances: (0..numprocs).map(named).collect(), ..program }
}

/// The same, dependent on these conditions.
pub fn needs(program: ProgramSpec, needs: &[(&str, DependencyCondition)]) -> ProgramSpec {
    let need =
        |&(program, condition): &(&str, DependencyCondition)| Dependency { program: program.to_owned(), condition };
    ProgramSpec { depends_on: needs.iter().map(need).collect(), ..program }
}

/// The same, dependent on these running.
pub fn after(program: ProgramSpec, others: &[&str]) -> ProgramSpec {
    let all: Vec<_> = others.iter().map(|&other| (other, DependencyCondition::Started)).collect();
    needs(program, &all)
}

/// The same, restarted when one of these is.
pub fn restarted_with(program: ProgramSpec, others: &[&str]) -> ProgramSpec {
    ProgramSpec { restart_with: others.iter().map(|&other| other.to_owned()).collect(), ..program }
}

/// The same with a change to each of its instances.
pub fn with(program: ProgramSpec, change: impl Fn(&mut InstanceSpec)) -> ProgramSpec {
    let changed = program.instances.iter().map(|spec| {
        let mut spec = InstanceSpec::clone(spec);
        change(&mut spec);
        Arc::new(spec)
    });
    ProgramSpec { instances: changed.collect(), ..program }
}

/// The same with another command, which requires a new process.
pub fn with_command(program: ProgramSpec, command: &str) -> ProgramSpec {
    with(program, |spec| Arc::make_mut(&mut spec.process).command = vec![command.to_owned()])
}

pub fn job(name: &str) -> ProgramSpec {
    ProgramSpec { kind: Kind::Oneshot, ..program(name) }
}

pub fn notifying(program: ProgramSpec) -> ProgramSpec {
    with(program, |spec| spec.ready = Some(ReadySpec::Notify))
}

pub fn probe(name: &str, kind: ProbeKind) -> ProbeSpec {
    ProbeSpec::new(name, kind, CheckSpec::Tcp(HostPort::parse("127.0.0.1:80").expect("an address")))
}

pub fn probed(program: ProgramSpec, probes: &[ProbeSpec]) -> ProgramSpec {
    with(program, |spec| spec.probes = probes.to_vec())
}

/// A policy with our own limit and delays.
pub fn when(when: RestartWhen) -> RestartPolicy {
    RestartPolicy { when, ..RestartPolicy::DEFAULT }
}

pub fn stop_with(steps: &[(Signal, Duration)]) -> StopSpec {
    let step = |&(signal, patience)| StopStep { signal, patience };
    StopSpec {
        steps: steps.iter().map(step).collect(),
        scope: StopScope::Main,
        kill: StopKill::Tree,
        leftovers: Leftovers::Stop,
        leftover_wait: StopSpec::LEFTOVER_WAIT,
    }
}

fn instance(name: String, index: u32) -> InstanceSpec {
    let process = ProcessSpec::of(vec![name.clone()]);
    InstanceSpec {
        output: Arc::new(OutputSpec { stdout: Target::Discard, stderr: None, ..OutputSpec::default() }),
        index,
        ..InstanceSpec::of(name, process)
    }
}

pub fn missing() -> SpawnError {
    SpawnError { step: SpawnStep::Exec, errno: 2, message: "/usr/bin/postgre: no such file".to_owned() }
}

pub fn forbidden() -> SpawnError {
    SpawnError { step: SpawnStep::Exec, errno: 13, message: "/etc/passwd: permission denied".to_owned() }
}

pub const fn killed_by(signal: Signal) -> Exit {
    Exit::Signal { signal, core_dumped: false }
}

pub fn code(code: u8) -> RunEnd {
    RunEnd::Exited(Exit::Code(code))
}

pub fn by(signal: Signal) -> RunEnd {
    RunEnd::Exited(killed_by(signal))
}
