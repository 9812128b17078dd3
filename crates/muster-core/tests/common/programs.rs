//! Programs to tell stories about. Only their rules matter: nothing is ever executed.

use std::rc::Rc;
use std::time::Duration;

use muster_core::restart::{RestartPolicy, RestartWhen};
use muster_core::spec::{
    InstanceSpec, Kind, OutputSpec, ProcessSpec, ProgramSpec, StopScope, StopSpec, StopStep, Target,
};
use muster_core::{Exit, RunEnd, Settings, Signal, SpawnError, SpawnStep, Time};

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
pub const SETTINGS: Settings = Settings { shutdown_timeout: s(9), exit_when_done: false };

/// A service with the configuration's defaults.
pub fn program(name: &str) -> ProgramSpec {
    ProgramSpec {
        name: name.to_owned(),
        groups: Vec::new(),
        kind: Kind::Service,
        autostart: true,
        restart: RestartPolicy::DEFAULT,
        startsecs: s(1),
        exit_codes: vec![0],
        priority: 999,
        essential: false,
        stop: stop_with(&[(Signal::TERM, s(10))]),
        reload_signal: Some(Signal::HUP),
        instances: vec![Rc::new(instance(name.to_owned(), 0))],
    }
}

/// The same, up as soon as it is executed.
pub fn quick(name: &str) -> ProgramSpec {
    ProgramSpec { startsecs: Duration::ZERO, ..program(name) }
}

/// The same with `numprocs`.
pub fn several(program: ProgramSpec, numprocs: u32) -> ProgramSpec {
    let named = |index| Rc::new(instance(format!("{}:{index}", program.name), index));
    ProgramSpec { instances: (0..numprocs).map(named).collect(), ..program }
}

/// A policy with our own limit and delays.
pub fn when(when: RestartWhen) -> RestartPolicy {
    RestartPolicy { when, ..RestartPolicy::DEFAULT }
}

pub fn stop_with(steps: &[(Signal, Duration)]) -> StopSpec {
    let step = |&(signal, patience)| StopStep { signal, patience };
    StopSpec { steps: steps.iter().map(step).collect(), scope: StopScope::Main }
}

fn instance(name: String, index: u32) -> InstanceSpec {
    InstanceSpec {
        process: ProcessSpec {
            command: vec![name.clone()],
            environment: Vec::new(),
            clean_environment: false,
            user: None,
            groups: None,
            directory: None,
            umask: None,
            nice: None,
            oom_score_adj: None,
            rlimits: Vec::new(),
        },
        output: OutputSpec { stdout: Target::Discard, stderr: None },
        name,
        index,
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
